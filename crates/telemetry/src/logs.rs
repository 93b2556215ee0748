//! What instances wrote: per service, segment files of lines; searched by reading them, newest first.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use windlass_kernel::Timestamp;

/// A segment is closed at this size.
const SEGMENT: u64 = 8 << 20;
/// Segments kept of one service: 256 MiB.
const SEGMENTS: usize = 32;
/// A line is cut here.
const LONGEST: usize = 64 << 10;

/// Which of its outputs an instance wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was read.
    pub at: Timestamp,
    /// The instance.
    pub instance: String,
    /// Its output.
    pub stream: Stream,
    /// Its text.
    pub text: String,
    /// Its place: a search after it goes on behind it.
    pub cursor: String,
}

/// Which lines.
#[derive(Clone, Debug, Default)]
pub struct LogSearch {
    /// Contain this text, whatever the case of its letters (ASCII).
    pub text: String,
    /// Are this instance's.
    pub instance: Option<String>,
    /// Are not older.
    pub since: Option<Timestamp>,
    /// Stand behind this cursor: then the oldest first; else the newest are given.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// Why logs cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("the log store failed at {path}: {source}")]
pub struct LogError {
    path: PathBuf,
    source: std::io::Error,
}

/// The store of logs.
#[derive(Debug)]
pub struct LogStore {
    root: PathBuf,
    open: Mutex<HashMap<PathBuf, Segment>>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: File,
    size: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    segment: u64,
    offset: u64,
}

impl FromStr for Cursor {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (segment, offset) = text.split_once(':').ok_or(())?;
        Ok(Self { segment: segment.parse().map_err(|_| ())?, offset: offset.parse().map_err(|_| ())? })
    }
}

impl LogStore {
    /// A store below `root`.
    pub fn open(root: &Path) -> Self {
        Self { root: root.to_owned(), open: Mutex::default() }
    }

    fn folder(&self, service: &[&str]) -> PathBuf {
        service.iter().fold(self.root.clone(), |path, part| path.join(part))
    }

    /// Keeps lines of a service (named by validated names: they become folders). Their cursors are ignored.
    pub fn append<'a>(
        &self,
        service: &[&str],
        lines: impl IntoIterator<Item = &'a Line>,
    ) -> Result<(), LogError> {
        let folder = self.folder(service);
        let mut bytes = Vec::new();
        for line in lines {
            let mark = if line.stream == Stream::Out { 'o' } else { 'e' };
            let mut text = line.text.as_str();
            if text.len() > LONGEST {
                text = &text[..text.floor_char_boundary(LONGEST)];
            }
            let text = text.replace('\n', " ");
            let _ = writeln!(bytes, "{} {} {mark} {text}", line.at.as_millis(), line.instance);
        }
        self.write(&folder, &bytes).map_err(|source| LogError { path: folder, source })
    }

    fn write(&self, folder: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(folder).is_none_or(|s| s.size >= SEGMENT) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let mut numbers = numbers(folder)?;
            let last = numbers.last().copied();
            let full = |n: u64| segment_path(folder, n).metadata().is_ok_and(|m| m.len() >= SEGMENT);
            let number = match last {
                Some(n) if !full(n) => n,
                Some(n) => n + 1,
                None => 0,
            };
            let path = segment_path(folder, number);
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
            let size = file.metadata()?.len();
            if last != Some(number) {
                numbers.push(number);
            }
            let surplus = numbers.len().saturating_sub(SEGMENTS);
            for old in &numbers[..surplus] {
                std::fs::remove_file(segment_path(folder, *old))?;
            }
            open.insert(folder.to_owned(), Segment { number, file, size });
        }
        if let Some(segment) = open.get_mut(folder) {
            tracing::trace!(segment = segment.number, bytes = bytes.len(), "log lines");
            segment.file.write_all(bytes)?;
            segment.size += bytes.len() as u64;
        }
        Ok(())
    }

    /// The lines that match, oldest first.
    pub fn search(&self, service: &[&str], wanted: &LogSearch) -> Result<Vec<Line>, LogError> {
        let folder = self.folder(service);
        let fail = |source| LogError { path: folder.clone(), source };
        let numbers = match numbers(&folder) {
            Ok(numbers) => numbers,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(fail(e)),
        };
        let after = wanted.after.as_deref().and_then(|c| c.parse::<Cursor>().ok());
        let mut found: Vec<Line> = Vec::new();
        if let Some(after) = after {
            for number in numbers.into_iter().filter(|n| *n >= after.segment) {
                let from = if number == after.segment { after.offset } else { 0 };
                read_segment(&folder, number, from, wanted, |line| {
                    found.push(line);
                    found.len() < wanted.limit
                })
                .map_err(fail)?;
                if found.len() >= wanted.limit {
                    break;
                }
            }
            return Ok(found);
        }
        for number in numbers.into_iter().rev() {
            let mut here = std::collections::VecDeque::new();
            let room = wanted.limit - found.len();
            read_segment(&folder, number, 0, wanted, |line| {
                if here.len() == room {
                    here.pop_front();
                }
                here.push_back(line);
                true
            })
            .map_err(fail)?;
            let older: Vec<Line> = here.into();
            found.splice(0..0, older);
            if found.len() >= wanted.limit {
                break;
            }
        }
        Ok(found)
    }
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.log"))
}

fn numbers(folder: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|n| n.strip_suffix(".log")).and_then(|n| n.parse().ok())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads a segment from an offset; `each` says whether to go on.
fn read_segment(
    folder: &Path,
    number: u64,
    from: u64,
    wanted: &LogSearch,
    mut each: impl FnMut(Line) -> bool,
) -> std::io::Result<()> {
    let mut file = File::open(segment_path(folder, number))?;
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::with_capacity(128 << 10, file);
    let (mut offset, mut raw) = (from, Vec::new());
    let needle = wanted.text.to_ascii_lowercase();
    loop {
        raw.clear();
        let read = reader.by_ref().take(2 * LONGEST as u64).read_until(b'\n', &mut raw)?;
        // A line without its end is still being written.
        if read == 0 || raw.last() != Some(&b'\n') {
            return Ok(());
        }
        offset += read as u64;
        let text = String::from_utf8_lossy(&raw[..raw.len() - 1]);
        if let Some(line) = parse(&text, Cursor { segment: number, offset })
            && wanted.since.is_none_or(|since| line.at >= since)
            && wanted.instance.as_ref().is_none_or(|i| *i == line.instance)
            && (needle.is_empty() || line.text.to_ascii_lowercase().contains(&needle))
            && !each(line)
        {
            return Ok(());
        }
    }
}

fn parse(text: &str, cursor: Cursor) -> Option<Line> {
    let mut parts = text.splitn(4, ' ');
    let at = Timestamp::from_millis(parts.next()?.parse().ok()?);
    let instance = parts.next()?.to_owned();
    let stream = if parts.next()? == "e" { Stream::Err } else { Stream::Out };
    let text = parts.next().unwrap_or_default().to_owned();
    Some(Line { at, instance, stream, text, cursor: format!("{}:{}", cursor.segment, cursor.offset) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: i64, text: &str) -> Line {
        let at = Timestamp::from_millis(at);
        Line { at, instance: "i1".into(), stream: Stream::Out, text: text.into(), cursor: String::new() }
    }

    #[test]
    fn the_newest_are_found_and_followed() {
        let folder = tempfile::tempdir().unwrap();
        let store = LogStore::open(folder.path());
        let service = ["p", "e", "s"];
        assert!(store.search(&service, &LogSearch { limit: 5, ..LogSearch::default() }).unwrap().is_empty());
        let lines: Vec<Line> = (0..100)
            .map(|i| line(i, &format!("Line {i} {}", if i % 10 == 0 { "ERROR" } else { "" })))
            .collect();
        store.append(&service, &lines).unwrap();

        let search = LogSearch { text: "error".into(), limit: 3, ..LogSearch::default() };
        let found = store.search(&service, &search).unwrap();
        assert_eq!(found.iter().map(|l| l.at.as_millis()).collect::<Vec<_>>(), [70, 80, 90]);

        let after = store.search(&service, &LogSearch { limit: 1, ..LogSearch::default() }).unwrap()[0]
            .cursor
            .clone();
        store.append(&service, &[line(200, "new\nline")]).unwrap();
        let search = LogSearch { after: Some(after), limit: 10, ..LogSearch::default() };
        let found = store.search(&service, &search).unwrap();
        assert_eq!(found.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["new line"]);
    }

    #[test]
    fn old_segments_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = LogStore::open(folder.path());
        let long = "x".repeat(LONGEST + 100);
        for i in 0..(SEGMENT as usize / LONGEST * (SEGMENTS + 3)) as i64 {
            store.append(&["s"], &[line(i, &long)]).unwrap();
        }
        assert!(numbers(&folder.path().join("s")).unwrap().len() <= SEGMENTS);
        let found = store.search(&["s"], &LogSearch { limit: 2, ..LogSearch::default() }).unwrap();
        assert_eq!((found.len(), found[0].text.len()), (2, LONGEST));
    }
}
