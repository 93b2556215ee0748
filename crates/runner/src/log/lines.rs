//! Bytes to lines, in constant memory: a line that is too long comes in pieces.

/// The longest line that is held whole, and the longest piece of a longer one.
pub(crate) const LONGEST: usize = 64 << 10;

/// What stands between two line ends, or a part of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A whole line, without its end.
    Line(&'a [u8]),
    /// A piece of a line of more than [`LONGEST`] bytes; more of it comes.
    Piece(&'a [u8]),
    /// The last piece of such a line.
    Last(&'a [u8]),
}

/// Splits a stream into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: Vec<u8>,
    in_long: bool,
}

impl Lines {
    /// Takes bytes in, gives the parts that are complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut part: impl FnMut(Part<'_>)) {
        while !bytes.is_empty() {
            let room = LONGEST - self.held.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            if let Some(end) = window.iter().position(|b| *b == b'\n') {
                if self.held.is_empty() {
                    self.whole(&bytes[..end], &mut part);
                } else {
                    let mut held = std::mem::take(&mut self.held);
                    held.extend_from_slice(&bytes[..end]);
                    self.whole(&held, &mut part);
                    held.clear();
                    self.held = held;
                }
                bytes = &bytes[end + 1..];
                continue;
            }
            let take = bytes.len().min(room);
            self.held.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.held.len() == LONGEST && !bytes.is_empty() {
                self.in_long = true;
                let keep = split_at_char(&self.held);
                part(Part::Piece(&self.held[..keep]));
                self.held.drain(..keep);
            }
        }
    }

    /// The stream has ended: what is held is the last line, if it is anything.
    pub(crate) fn finish(&mut self, mut part: impl FnMut(Part<'_>)) {
        if !self.held.is_empty() || self.in_long {
            let held = std::mem::take(&mut self.held);
            self.whole(&held, &mut part);
        }
    }

    fn whole(&mut self, line: &[u8], part: &mut impl FnMut(Part<'_>)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if std::mem::take(&mut self.in_long) {
            part(Part::Last(line));
        } else {
            part(Part::Line(line));
        }
    }
}

/// The longest beginning that does not end within a UTF-8 character.
fn split_at_char(bytes: &[u8]) -> usize {
    let mut at = bytes.len();
    for back in 1..=3.min(bytes.len()) {
        let byte = bytes[bytes.len() - back];
        if byte & 0b1100_0000 == 0b1000_0000 {
            continue;
        }
        let long = match byte {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000.. => 4,
            _ => 1,
        };
        if long > back {
            at = bytes.len() - back;
        }
        break;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(char, Vec<u8>)> {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        let mut take = |part: Part<'_>| match part {
            Part::Line(l) => got.push(('l', l.to_vec())),
            Part::Piece(p) => got.push(('p', p.to_vec())),
            Part::Last(p) => got.push(('e', p.to_vec())),
        };
        for chunk in chunks {
            lines.feed(chunk, &mut take);
        }
        lines.finish(&mut take);
        got
    }

    #[test]
    fn lines_do_not_depend_on_chunks() {
        let text = b"one\ntwo\r\n\nthr\xc3\xa9e";
        let whole = split(&[text]);
        let words: Vec<_> =
            whole.iter().map(|(k, t)| (*k, String::from_utf8_lossy(t).into_owned())).collect();
        let wanted = [('l', "one"), ('l', "two"), ('l', ""), ('l', "thrée")].map(|(k, t)| (k, t.to_owned()));
        assert_eq!(words, wanted);
        for at in 0..text.len() {
            assert_eq!(split(&[&text[..at], &text[at..]]), whole, "cut at {at}");
        }
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_join_to_it() {
        let mut long = "é".repeat(LONGEST).into_bytes();
        long.insert(0, b'x');
        let got = split(&[&long, b"\nshort\n"]);
        assert_eq!(got.last(), Some(&('l', b"short".to_vec())));
        let pieces = &got[..got.len() - 1];
        assert!(pieces.len() > 1);
        assert!(pieces.iter().all(|(_, piece)| piece.len() <= LONGEST && std::str::from_utf8(piece).is_ok()));
        assert_eq!(pieces.last().unwrap().0, 'e');
        assert_eq!(pieces.iter().flat_map(|(_, piece)| piece.clone()).collect::<Vec<_>>(), long);
        let exact = vec![b'a'; LONGEST];
        assert_eq!(split(&[&exact, b"\n"]), vec![('l', exact.clone())]);
    }
}
