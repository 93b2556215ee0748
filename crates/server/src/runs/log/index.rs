//! The index beside a job's log: where lines begin, one every 64 KiB or so, and where groups begin and end. It is
//! extended with the log, and made again from it where it is missing: the log is the truth.
//!
//! A record is 16 bytes, little endian: the line's number (its kind in the highest byte), and its first byte.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::lines::{At, each, read, unstamped};

/// How far two marks stand apart, in bytes of the log.
const BLOCK: u64 = 64 << 10;
const RECORD: usize = 16;
/// The largest index: a log of 2 GiB has half a MiB of blocks; groups that do not fit do not fold.
const LARGEST: u64 = 2 << 20;
/// How much of the index's end holds the last block and all groups behind it.
const TAIL: u64 = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Block,
    Group,
    EndGroup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) kind: Kind,
    pub(super) at: At,
}

impl Mark {
    const START: Self = Self { kind: Kind::Block, at: At { line: 0, offset: 0 } };

    fn bytes(self) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&(self.at.line | (self.kind as u64) << 56).to_le_bytes());
        record[8..].copy_from_slice(&self.at.offset.to_le_bytes());
        record
    }

    fn read(record: &[u8]) -> Option<Self> {
        let (line, offset) = record.split_at_checked(8)?;
        let line = u64::from_le_bytes(line.try_into().ok()?);
        let offset = u64::from_le_bytes(offset.try_into().ok()?);
        let kind = [Kind::Block, Kind::Group, Kind::EndGroup].into_iter().nth((line >> 56) as usize)?;
        Some(Self { kind, at: At { line: line & ((1 << 56) - 1), offset } })
    }
}

/// The index's file beside a log's.
fn beside(log: &Path) -> PathBuf {
    log.with_extension("idx")
}

/// Brings the index of a log up to its present end. One at a time for each log.
pub(super) fn extend(log: &Path) -> io::Result<()> {
    let file = File::open(log)?;
    let size = file.metadata()?.len();
    let mut options = File::options();
    let index = options.create(true).truncate(false).read(true).write(true).open(beside(log))?;
    let known = index.metadata()?.len() / RECORD as u64 * RECORD as u64;
    let from = known.saturating_sub(TAIL);
    let tail = marks(&index, from, known)?;
    let last = tail.iter().rposition(|m| m.kind == Kind::Block).filter(|i| tail[*i].at.offset <= size);
    // Without a block in sight the index says nothing: it is made again.
    let (keep, start) = match last {
        Some(i) => (from + (i + 1) as u64 * RECORD as u64, tail[i]),
        None => (0, Mark::START),
    };
    let mut out = Vec::new();
    if keep == 0 {
        out.extend_from_slice(&start.bytes());
    }
    walk(&file, start.at, size, |mark| {
        let full = keep + out.len() as u64 >= LARGEST;
        if !full || mark.kind == Kind::Block {
            out.extend_from_slice(&mark.bytes());
        }
    })?;
    if keep < known {
        index.set_len(keep)?;
    }
    index.write_all_at(&out, keep)
}

/// Tells the marks of a log from a block's begin on; gives where the first line stands that is not whole.
fn walk(file: &File, start: At, size: u64, mut tell: impl FnMut(Mark)) -> io::Result<At> {
    let mut block = start.offset;
    each(file, start, size, false, |at, line| {
        if at.offset >= block + BLOCK {
            block = at.offset;
            tell(Mark { kind: Kind::Block, at });
        }
        let text = unstamped(line);
        if text.starts_with(b"##[") {
            if text.starts_with(b"##[group]") {
                tell(Mark { kind: Kind::Group, at });
            } else if text.starts_with(b"##[endgroup]") {
                tell(Mark { kind: Kind::EndGroup, at });
            }
        }
        ControlFlow::Continue(())
    })
}

fn marks(index: &File, from: u64, to: u64) -> io::Result<Vec<Mark>> {
    let mut bytes = vec![0; (to - from) as usize];
    // Shorter than it was a moment ago: it is being extended.
    let length = read(index, &mut bytes, from)?;
    Ok(bytes[..length].chunks_exact(RECORD).map_while(Mark::read).collect())
}

/// A log with its index, to be read.
pub(super) struct Indexed {
    pub(super) file: File,
    pub(super) size: u64,
    /// Where the first line stands that is not whole yet.
    pub(super) end: At,
    blocks: Vec<At>,
    folds: Vec<Mark>,
}

impl Indexed {
    /// Opens a log; none if there is none yet. What the index does not cover is looked at now, so let it be
    /// [extended](extend) first where [`lags`] says so.
    pub(super) fn open(log: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(log) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let size = file.metadata()?.len();
        let mut known = match File::open(beside(log)) {
            Ok(index) => {
                let length = index.metadata()?.len().min(LARGEST * 2) / RECORD as u64 * RECORD as u64;
                marks(&index, 0, length)?
            }
            Err(_) => Vec::new(),
        };
        known.truncate(known.iter().rposition(|m| m.kind == Kind::Block).map_or(0, |i| i + 1));
        if known.is_empty() || known.last().is_some_and(|m| m.at.offset > size) {
            known = vec![Mark::START];
        }
        let start = known.last().map_or(At::default(), |m| m.at);
        let end = walk(&file, start, size, |mark| {
            if known.len() < LARGEST as usize / RECORD * 2 {
                known.push(mark);
            }
        })?;
        let blocks = known.iter().filter(|m| m.kind == Kind::Block).map(|m| m.at).collect();
        known.retain(|m| m.kind != Kind::Block);
        Ok(Some(Self { file, size, end, blocks, folds: known }))
    }

    /// Where groups begin and end.
    pub(super) fn folds(&self) -> &[Mark] {
        &self.folds
    }

    /// The last known place that is not behind a line.
    pub(super) fn before_line(&self, line: u64) -> At {
        self.blocks[self.blocks.partition_point(|at| at.line <= line).saturating_sub(1)]
    }

    /// The number of the line that begins at a byte, or of the first one behind it; from 0.
    pub(super) fn line_at(&self, offset: u64) -> io::Result<u64> {
        if offset >= self.end.offset {
            return Ok(self.end.line);
        }
        let near = self.blocks[self.blocks.partition_point(|at| at.offset <= offset).saturating_sub(1)];
        if near.offset == offset {
            return Ok(near.line);
        }
        Ok(each(&self.file, near, offset, true, |_, _| ControlFlow::Continue(()))?.line)
    }
}

/// How many bytes of a log its index does not cover: many for a log of before there were indices.
pub(super) fn lags(log: &Path) -> io::Result<u64> {
    let size = match std::fs::metadata(log) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?.len(),
    };
    let Ok(index) = File::open(beside(log)) else { return Ok(size) };
    let known = index.metadata()?.len() / RECORD as u64 * RECORD as u64;
    let tail = marks(&index, known.saturating_sub(TAIL), known)?;
    let last = tail.iter().rev().find(|m| m.kind == Kind::Block && m.at.offset <= size);
    Ok(size - last.map_or(0, |m| m.at.offset))
}

/// Takes the index away with its log.
pub(super) fn forget(log: &Path) -> io::Result<()> {
    match std::fs::remove_file(beside(log)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn sample() -> Vec<u8> {
        let mut text = Vec::new();
        for n in 0..40_000 {
            let mark = match n % 1000 {
                10 => "##[group]",
                20 => "##[endgroup]",
                _ => "",
            };
            writeln!(text, "2026-11-20T11:25:42.1234567Z {mark}line {n}").unwrap();
        }
        text
    }

    #[test]
    fn an_index_written_in_pieces_is_the_one_written_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (pieces, whole) = (dir.path().join("pieces.log"), dir.path().join("whole.log"));
        let text = sample();
        std::fs::write(&whole, &text).unwrap();
        extend(&whole).unwrap();
        let mut file = File::create(&pieces).unwrap();
        for piece in text.chunks(77_777) {
            file.write_all(piece).unwrap();
            extend(&pieces).unwrap();
        }
        assert_eq!(std::fs::read(beside(&pieces)).unwrap(), std::fs::read(beside(&whole)).unwrap());
        let open = Indexed::open(&whole).unwrap().unwrap();
        assert_eq!((open.end.line, open.end.offset), (40_000, text.len() as u64));
        assert_eq!(open.folds().len(), 80);
        assert!(open.blocks.len() > 15 && lags(&whole).unwrap() < 2 * BLOCK);
    }

    #[test]
    fn places_are_found_with_the_index_and_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        std::fs::write(&log, sample()).unwrap();
        for _ in 0..2 {
            let open = Indexed::open(&log).unwrap().unwrap();
            for line in [0, 1, 999, 20_000, 39_999] {
                let before = open.before_line(line);
                assert!(before.line <= line);
                let mut offset = None;
                each(&open.file, before, open.size, false, |at, _| {
                    offset = (at.line == line).then_some(at.offset);
                    if offset.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .unwrap();
                assert_eq!(open.line_at(offset.unwrap()).unwrap(), line);
            }
            assert_eq!(open.line_at(u64::MAX).unwrap(), 40_000);
            extend(&log).unwrap();
        }
    }

    #[test]
    fn a_spoilt_or_foreign_index_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        std::fs::write(&log, sample()).unwrap();
        extend(&log).unwrap();
        let good = std::fs::read(beside(&log)).unwrap();
        for bad in
            [vec![0xff; 999], vec![7; 16], good[..good.len() - 5].to_vec(), [&good[..], &[9; 7]].concat()]
        {
            std::fs::write(beside(&log), &bad).unwrap();
            assert_eq!(Indexed::open(&log).unwrap().unwrap().end.line, 40_000);
            extend(&log).unwrap();
            assert_eq!(Indexed::open(&log).unwrap().unwrap().end.line, 40_000);
        }
        // The log of a new hand-out is shorter than the index that stands there.
        std::fs::write(&log, "short\n").unwrap();
        assert_eq!(Indexed::open(&log).unwrap().unwrap().end.line, 1);
        extend(&log).unwrap();
        assert_eq!(Indexed::open(&log).unwrap().unwrap().end.line, 1);
        assert!(Indexed::open(&dir.path().join("none.log")).unwrap().is_none());
    }
}
