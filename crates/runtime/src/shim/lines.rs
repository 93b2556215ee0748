//! Bytes into lines, in constant memory whatever comes.

/// Longest line kept, bytes. What follows is dropped, and the line says so.
pub(super) const LONGEST: usize = 64 * 1024;

/// Collects the line that is being written.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    dropped: u64,
}

impl Lines {
    /// Takes bytes and hands every finished line, without its end, to `emit`.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.append(&bytes[..end]);
            self.finish(&mut emit);
            bytes = &bytes[end + 1..];
        }
        self.append(bytes);
    }

    /// The end: a line without an end is a line too.
    pub(super) fn end(&mut self, mut emit: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            self.finish(&mut emit);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(LONGEST - self.line.len());
        self.line.extend_from_slice(&bytes[..kept]);
        self.dropped += (bytes.len() - kept) as u64;
    }

    fn finish(&mut self, emit: &mut impl FnMut(&[u8])) {
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        if self.dropped > 0 {
            self.line.extend_from_slice(format!(" [line cut: {} more bytes]", self.dropped).as_bytes());
        }
        emit(&self.line);
        self.line.clear();
        self.line.shrink_to(8 * 1024);
        self.dropped = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.take(chunk, |line| found.push(String::from_utf8_lossy(line).into_owned()));
        }
        lines.end(|line| found.push(String::from_utf8_lossy(line).into_owned()));
        found
    }

    #[test]
    fn lines_cross_chunks() {
        assert_eq!(lines(&[b"a", b"b\nc\r\n\n", b"d"]), ["ab", "c", "", "d"]);
        assert!(lines(&[b""]).is_empty());
    }

    #[test]
    fn an_endless_line_is_cut_and_memory_stays() {
        let chunk = [b'x'; 8192];
        let mut lines = Lines::default();
        for _ in 0..10_000 {
            lines.take(&chunk, |_| panic!("no line has ended"));
            assert!(lines.line.capacity() <= 2 * LONGEST);
        }
        let mut last = String::new();
        lines.take(b"\n", |line| last = String::from_utf8_lossy(line).into_owned());
        assert_eq!(last, format!("{} [line cut: {} more bytes]", "x".repeat(LONGEST), 81_920_000 - LONGEST));
    }

    proptest! {
        #[test]
        fn where_chunks_end_does_not_matter(text in "[ab\n]{0,80}", cut in 0_usize..80) {
            let cut = cut.min(text.len());
            let (left, right) = text.as_bytes().split_at(cut);
            prop_assert_eq!(lines(&[left, right]), lines(&[text.as_bytes()]));
        }
    }
}
