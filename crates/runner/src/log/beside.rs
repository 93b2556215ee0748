//! Logs beside the job's own: what steps in the background say, until it becomes part of the job's log.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{LONGEST, Log, Spool};

impl Log {
    /// A log of its own at an empty spool. What is hidden in it is hidden here as well.
    pub(crate) fn beside(&self, spool: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let spool = options.create(true).write(true).truncate(true).mode(0o600).open(spool)?;
        let (mut masker, clock, limit) = {
            let inner = self.lock();
            (inner.masker.clone(), inner.clock.clone(), inner.limit)
        };
        // What this log's last piece held back is not the other's.
        masker.finish(&mut Vec::new());
        let mut log = Self::to(Spool::File(spool), masker, clock, limit);
        log.above = Some(Box::new(self.clone()));
        Ok(log)
    }

    /// Takes in what a log beside this one holds, with the times of its lines.
    pub(crate) fn take_in(&self, spool: &Path) {
        let taken = File::open(spool).and_then(|file| self.take_lines(&mut BufReader::new(file)));
        if let Err(e) = taken {
            self.say(&format!("##[error]the log of a background step cannot be read: {e}"));
        }
        self.flush();
    }

    fn take_lines(&self, lines: &mut BufReader<File>) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            // Lines of a log are pieces of that length at most, and their times.
            let longest = 4 * LONGEST as u64;
            if lines.by_ref().take(longest).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            let at = line.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
            let (stamp, text) = line.split_at(at);
            let mut inner = self.lock();
            inner.then = Some(String::from_utf8_lossy(stamp).into_owned());
            inner.line(text);
            inner.then = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use windlass_secrets::Masker;
    use windlass_testkit::TestClock;

    use super::super::DEFAULT_LIMIT;
    use super::*;

    #[test]
    fn lines_keep_their_times_and_secrets_of_either_log_are_hidden_in_both() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at(1_700_000_000_000));
        let masker = Masker::new(["hunter2secret"]);
        let log = Log::create(&dir.path().join("log"), masker, clock.clone(), DEFAULT_LIMIT).unwrap();
        let beside = log.beside(&dir.path().join("beside")).unwrap();
        beside.say("beside hunter2secret late-secret");
        beside.mask("from-beside");
        log.mask("late-secret");
        clock.advance(std::time::Duration::from_secs(1));
        log.say("own from-beside");
        log.take_in(&dir.path().join("beside"));
        let text = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(
            text,
            "2023-11-14T22:13:21.0000000Z own ***\n2023-11-14T22:13:20.0000000Z beside *** ***\n"
        );
        assert_eq!(log.position(), text.len() as u64);
    }
}
