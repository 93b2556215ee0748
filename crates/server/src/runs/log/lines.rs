//! A log's lines, one after the other, in constant memory.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;

/// A line ends here at the latest, in bytes: a log without line ends has lines all the same.
pub(super) const LONGEST: usize = 64 << 10;
/// How much is read at a time.
const CHUNK: usize = 256 << 10;

/// Where a line stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    /// Its number, from 0.
    pub(super) line: u64,
    /// Its first byte.
    pub(super) offset: u64,
}

/// Shows every line from `at` up to the byte `end`, until `each` has seen enough. Gives where the first line stands that
/// was not shown; a last line without its end is shown only if `unfinished`.
pub(super) fn each(
    file: &File,
    mut at: At,
    end: u64,
    unfinished: bool,
    mut each: impl FnMut(At, &[u8]) -> ControlFlow<()>,
) -> io::Result<At> {
    let mut buffer = vec![0; CHUNK];
    while at.offset < end {
        let wanted = usize::try_from(end - at.offset).unwrap_or(CHUNK).min(CHUNK);
        let length = read(file, &mut buffer[..wanted], at.offset)?;
        let last = length < wanted || at.offset + length as u64 >= end;
        let mut rest = &buffer[..length];
        while let Some((line, used)) = first(rest, last && unfinished) {
            let flow = each(at, line);
            at = At { line: at.line + 1, offset: at.offset + used as u64 };
            rest = &rest[used..];
            if flow.is_break() {
                return Ok(at);
            }
        }
        if last {
            break;
        }
    }
    Ok(at)
}

/// The first line of some bytes, without its end; and how many bytes it takes. None if it goes on behind them.
fn first(bytes: &[u8], unfinished: bool) -> Option<(&[u8], usize)> {
    let near = &bytes[..bytes.len().min(LONGEST)];
    match memchr::memchr(b'\n', near) {
        Some(end) => Some((&bytes[..end], end + 1)),
        None if bytes.len() >= LONGEST => Some((near, LONGEST)),
        None if unfinished && !bytes.is_empty() => Some((bytes, bytes.len())),
        None => None,
    }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// A line without the stamp that the runner put before it.
pub(super) fn unstamped(line: &[u8]) -> &[u8] {
    let space = memchr::memchr(b' ', &line[..line.len().min(40)]);
    match space {
        Some(space) if space >= 20 && line[4] == b'-' && line[10] == b'T' && line[space - 1] == b'Z' => {
            &line[space + 1..]
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn all(text: &[u8], unfinished: bool) -> (Vec<(u64, u64, usize)>, At) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let mut seen = Vec::new();
        let end = each(&file, At::default(), text.len() as u64, unfinished, |at, line| {
            seen.push((at.line, at.offset, line.len()));
            ControlFlow::Continue(())
        });
        (seen, end.unwrap())
    }

    #[test]
    fn lines_come_whole_and_an_unfinished_one_only_when_asked_for() {
        let text = b"one\n\nthree\nfou";
        assert_eq!(all(text, false), (vec![(0, 0, 3), (1, 4, 0), (2, 5, 5)], At { line: 3, offset: 11 }));
        assert_eq!(all(text, true).0.last(), Some(&(3, 11, 3)));
        assert_eq!(all(b"", true).0, []);
    }

    #[test]
    fn a_line_without_end_is_cut_into_lines() {
        let (seen, end) = all(&vec![b'x'; LONGEST * 9 + 5], true);
        assert_eq!(seen.len(), 10);
        assert!(seen[..9].iter().all(|(_, _, length)| *length == LONGEST));
        assert_eq!(end, At { line: 10, offset: LONGEST as u64 * 9 + 5 });
    }

    #[test]
    fn lines_across_chunks_are_whole() {
        let line = format!("{}\n", "y".repeat(999));
        let text = line.repeat(2000);
        let (seen, _) = all(text.as_bytes(), false);
        assert_eq!(seen.len(), 2000);
        assert!(seen.iter().all(|(n, offset, length)| *length == 999 && *offset == n * 1000));
    }

    #[test]
    fn stamps_go_and_what_only_looks_like_one_stays() {
        for (line, text) in [
            ("2026-11-20T11:25:42.1234567Z hello", "hello"),
            ("2026-11-20T11:25:42.1234567Z ", ""),
            ("hello world", "hello world"),
            ("abcd-fghijTklmnopqrstuvw xyz", "abcd-fghijTklmnopqrstuvw xyz"),
            ("", ""),
        ] {
            assert_eq!(unstamped(line.as_bytes()), text.as_bytes(), "{line}");
        }
    }
}
