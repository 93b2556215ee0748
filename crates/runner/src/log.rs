//! The job's log: masked, stamped, spooled to disk as it comes, handed over from there.
//!
//! Each line reads `YYYY-MM-DDTHH:MM:SS.fffffffZ text` and ends with a line feed. Memory is constant: neither a
//! long log nor a long line is ever held. A job of this very process has no spool: its lines go to a [`Listener`].

mod beside;
mod lines;
mod upload;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use windlass_kernel::Clock;
use windlass_secrets::Masker;

pub(crate) use lines::{LONGEST, Lines, Part};
pub(crate) use upload::Uploader;

use crate::local::Listener;

/// The largest log of a job, if nothing else was said: 1 GiB.
pub const DEFAULT_LIMIT: u64 = 1 << 30;

/// The job's log. Cheap to clone; all clones write to the same place.
#[derive(Clone)]
pub(crate) struct Log {
    inner: Arc<Mutex<Inner>>,
    written: watch::Receiver<u64>,
    /// The log that this one stands beside.
    above: Option<Box<Log>>,
}

struct Inner {
    spool: Spool,
    masker: Masker,
    clock: Arc<dyn Clock>,
    position: u64,
    limit: u64,
    full: bool,
    failed: bool,
    /// Masked bytes of the line that is being written.
    line: Vec<u8>,
    /// Whole lines that go to the spool together.
    batch: Vec<u8>,
    /// The time of the line that is being written, if that is not the present.
    then: Option<String>,
    written: watch::Sender<u64>,
}

/// Where lines go.
enum Spool {
    /// A file, from which they are handed over.
    File(File),
    /// Somebody in this process, at once and without their time.
    Heard(Arc<dyn Listener>),
}

/// What a log that is full says last.
const FULL: &str =
    "##[error]The log of this job reached its limit of {} bytes: the rest of its output is dropped.";
/// How much is gathered before it goes to the spool.
const BATCH: usize = 32 << 10;

impl Log {
    /// A log that begins at an empty spool.
    pub(crate) fn create(
        spool: &Path,
        masker: Masker,
        clock: Arc<dyn Clock>,
        limit: u64,
    ) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = std::fs::OpenOptions::new();
        let spool = options.create(true).write(true).truncate(true).mode(0o600).open(spool)?;
        Ok(Self::to(Spool::File(spool), masker, clock, limit))
    }

    /// A log whose lines are heard as they come.
    pub(crate) fn heard(
        listener: Arc<dyn Listener>,
        masker: Masker,
        clock: Arc<dyn Clock>,
        limit: u64,
    ) -> Self {
        Self::to(Spool::Heard(listener), masker, clock, limit)
    }

    fn to(spool: Spool, masker: Masker, clock: Arc<dyn Clock>, limit: u64) -> Self {
        let (sender, written) = watch::channel(0);
        let inner = Inner {
            spool,
            masker,
            clock,
            position: 0,
            limit,
            full: false,
            failed: false,
            line: Vec::new(),
            batch: Vec::with_capacity(BATCH),
            then: None,
            written: sender,
        };
        Self { inner: Arc::new(Mutex::new(inner)), written, above: None }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a text, each of its lines as a line, and makes it visible.
    pub(crate) fn say(&self, text: &str) {
        self.write(text);
        self.flush();
    }

    /// Writes a text, each of its lines as a line; made visible by [`Log::flush`].
    pub(crate) fn write(&self, text: &str) {
        let mut inner = self.lock();
        for line in text.split('\n') {
            inner.line(line.strip_suffix('\r').unwrap_or(line).as_bytes());
        }
    }

    /// Writes what a process wrote; made visible by [`Log::flush`].
    pub(crate) fn part(&self, part: &Part<'_>) {
        let mut inner = self.lock();
        match part {
            Part::Line(line) => inner.line(line),
            Part::Piece(piece) => inner.piece(piece),
            Part::Last(piece) => {
                inner.piece(piece);
                inner.end();
            }
        }
    }

    /// Writes a whole line that comes beside the stream of the step under way.
    pub(crate) fn aside(&self, line: &[u8]) {
        let mut inner = self.lock();
        let masked = inner.masker.mask_text(&String::from_utf8_lossy(line));
        let held = std::mem::replace(&mut inner.line, masked.into_bytes());
        inner.write_line();
        inner.line = held;
        inner.flush();
    }

    /// Makes all that was written visible to readers of the spool.
    pub(crate) fn flush(&self) {
        self.lock().flush();
    }

    /// Hides a value from now on.
    pub(crate) fn mask(&self, value: &str) {
        self.lock().masker.add(value);
        if let Some(above) = &self.above {
            above.mask(value);
        }
    }

    /// A text as it would stand in the log.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.lock().masker.mask_text(text)
    }

    /// Whether a known secret shows in a text.
    pub(crate) fn holds_secret(&self, text: &str) -> bool {
        self.lock().masker.contains_secret(text)
    }

    /// Where the next line will stand, in bytes.
    pub(crate) fn position(&self) -> u64 {
        let mut inner = self.lock();
        inner.flush();
        inner.position
    }

    /// Tells how far the spool is written.
    pub(crate) fn written(&self) -> watch::Receiver<u64> {
        self.written.clone()
    }
}

impl Inner {
    fn line(&mut self, text: &[u8]) {
        if self.full && self.line.is_empty() {
            return;
        }
        self.masker.mask_chunk(text, &mut self.line);
        self.end();
    }

    /// Each piece becomes a line of the log; what may be the beginning of a secret waits for the next piece.
    fn piece(&mut self, text: &[u8]) {
        self.masker.mask_chunk(text, &mut self.line);
        self.write_line();
    }

    fn end(&mut self) {
        self.masker.finish(&mut self.line);
        self.write_line();
    }

    fn write_line(&mut self) {
        if self.full {
            self.line.clear();
            return;
        }
        if let Spool::Heard(listener) = &self.spool {
            let needs = self.line.len() as u64 + 1;
            if self.position + needs > self.limit {
                self.full = true;
                listener.line(FULL.replace("{}", &self.limit.to_string()).as_bytes());
            } else {
                listener.line(&self.line);
                self.position += needs;
            }
            self.line.clear();
            return;
        }
        let stamp = self.stamp();
        let needs = (stamp.len() + self.line.len() + 1) as u64;
        if self.position + self.batch.len() as u64 + needs > self.limit {
            self.full = true;
            self.line.clear();
            let note = format!("{stamp}{}\n", FULL.replace("{}", &self.limit.to_string()));
            self.batch.extend_from_slice(note.as_bytes());
            return self.flush();
        }
        self.batch.extend_from_slice(stamp.as_bytes());
        self.batch.append(&mut self.line);
        self.batch.push(b'\n');
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// The clock knows milliseconds; the format has seven digits of a second.
    fn stamp(&self) -> String {
        if let Some(then) = &self.then {
            return then.clone();
        }
        let now = self.clock.now().to_string();
        format!("{}0000Z ", now.trim_end_matches('Z'))
    }

    fn flush(&mut self) {
        let spool = match &mut self.spool {
            Spool::Heard(listener) => return listener.pause(),
            Spool::File(_) if self.batch.is_empty() => return,
            Spool::File(spool) => spool,
        };
        match spool.write_all(&self.batch) {
            Ok(()) => {
                self.position += self.batch.len() as u64;
                self.written.send_replace(self.position);
                if std::mem::take(&mut self.failed) {
                    let note = format!(
                        "{}##[error]A part of the log is missing here: the runner's disk took no more.\n",
                        self.stamp()
                    );
                    self.batch.clear();
                    self.batch.extend_from_slice(note.as_bytes());
                    return self.flush();
                }
            }
            // The disk is full or gone: the job goes on without this part of its log, and says so once.
            Err(e) if !self.failed => {
                self.failed = true;
                self.repair();
                tracing::error!(error = %e, "cannot write the job's log");
            }
            Err(_) => self.repair(),
        }
        self.batch.clear();
    }

    /// A write that failed may have written a part: the spool goes back to its last whole line.
    fn repair(&mut self) {
        use std::io::Seek as _;
        if let Spool::File(spool) = &mut self.spool {
            let _ = spool.set_len(self.position);
            let _ = spool.seek(io::SeekFrom::Start(self.position));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_testkit::TestClock;

    fn log(limit: u64) -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at(1_700_000_000_123));
        let masker = Masker::new(["hunter2secret"]);
        let log = Log::create(&dir.path().join("log"), masker, clock, limit).unwrap();
        (dir, log)
    }

    fn read(dir: &tempfile::TempDir) -> String {
        std::fs::read_to_string(dir.path().join("log")).unwrap()
    }

    #[test]
    fn lines_are_stamped_and_masked() {
        let (dir, log) = log(DEFAULT_LIMIT);
        log.say("one\nthe hunter2secret is out");
        log.mask("another-one");
        log.say("x another-one y");
        let stamp = "2023-11-14T22:13:20.1230000Z ";
        assert_eq!(read(&dir), format!("{stamp}one\n{stamp}the *** is out\n{stamp}x *** y\n"));
        assert_eq!(log.position(), read(&dir).len() as u64);
        assert_eq!(log.masked("a hunter2secret"), "a ***");
    }

    #[test]
    fn a_secret_across_pieces_is_masked() {
        let (dir, log) = log(DEFAULT_LIMIT);
        let mut lines = Lines::default();
        let mut text = vec![b'a'; LONGEST - 5];
        text.extend_from_slice(b"hunter2secret and more\nnext\n");
        for chunk in text.chunks(1000) {
            lines.feed(chunk, |part| log.part(&part));
        }
        log.flush();
        let written = read(&dir);
        assert!(!written.contains("hunte") && !written.contains("r2secret"), "{}", &written[LONGEST - 20..]);
        assert!(written.contains("***") && written.contains(" and more\n") && written.contains("Z next\n"));
    }

    #[test]
    fn past_the_limit_there_is_one_message_and_no_more() {
        let (dir, log) = log(1000);
        for n in 0..100 {
            log.say(&format!("line {n}"));
        }
        let written = read(&dir);
        assert_eq!(written.matches("reached its limit of 1000 bytes").count(), 1);
        assert!(written.ends_with("is dropped.\n") && written.len() < 1300);
        assert_eq!(log.position(), written.len() as u64);
    }
}
