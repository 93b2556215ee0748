//! Places: from byte offsets to lines and columns.

use crate::{Position, Span, diagnostic};

/// A text whose offsets can be told as lines and columns.
pub(super) struct Source<'a> {
    text: &'a str,
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
    /// Where each character begins, in bytes; empty when the text is ASCII and both counts are the same.
    characters: Vec<u32>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let base = text.as_ptr() as usize;
        // Findings are shown with the lines of that function: the places have to be counted in the same way.
        let starts = diagnostic::lines(text).map(|line| line.as_ptr() as usize - base).collect();
        let characters =
            if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at as u32).collect() };
        Self { text, starts, characters }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let column = self.character(offset) - self.character(self.starts[line - 1]) + 1;
        Position { offset, line: line as u32, column: column as u32 }
    }

    fn character(&self, offset: usize) -> usize {
        if self.characters.is_empty() {
            return offset;
        }
        self.characters.partition_point(|start| (*start as usize) < offset)
    }

    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span { start: self.position(start), end: self.position(end.max(start)) }
    }
}
