//! An instance's log: lines with their time, in a file that is put aside when it is large.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use windlass_kernel::Timestamp;

const CURRENT: &str = "log";
const BEFORE: &str = "log.1";
/// Size at which a new file is begun; one old one is kept.
const FULL: u64 = 16 * 1024 * 1024;

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Error,
}

/// The files of a folder's log, oldest first.
pub(super) fn files(dir: &Path) -> [PathBuf; 2] {
    [dir.join(BEFORE), dir.join(CURRENT)]
}

/// Appends to a folder's log.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    file: File,
    size: u64,
    full: u64,
}

impl Log {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let (file, size) = open(dir)?;
        Ok(Self { dir: dir.to_owned(), file, size, full: FULL })
    }

    /// Appends a line. An error is not reported: there is nowhere to report it to, and the instance must go on.
    pub(super) fn line(&mut self, at: Timestamp, stream: Stream, text: &[u8]) {
        let mut line = format!("{at} {} ", if stream == Stream::Out { 'o' } else { 'e' }).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        if self.size + line.len() as u64 > self.full && self.size > 0 {
            let [before, current] = files(&self.dir);
            if fs::rename(current, before).is_ok()
                && let Ok((file, size)) = open(&self.dir)
            {
                (self.file, self.size) = (file, size);
            }
        }
        if self.file.write_all(&line).is_ok() {
            self.size += line.len() as u64;
        }
    }
}

fn open(dir: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(dir.join(CURRENT))?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_time_and_a_full_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        log.full = 80;
        for number in 0..5 {
            let stream = if number % 2 == 0 { Stream::Out } else { Stream::Error };
            log.line(Timestamp::from_millis(1000 * number), stream, format!("line {number}").as_bytes());
        }
        let [before, current] = files(dir.path()).map(|file| fs::read_to_string(file).unwrap());
        assert_eq!(before, "1970-01-01T00:00:02.000Z o line 2\n1970-01-01T00:00:03.000Z e line 3\n");
        assert_eq!(current, "1970-01-01T00:00:04.000Z o line 4\n");
        drop(log);
        assert_eq!(Log::open(dir.path()).unwrap().size, current.len() as u64);
    }
}
