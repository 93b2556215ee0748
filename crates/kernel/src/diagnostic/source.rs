//! Places: from byte offsets to lines and columns.

use super::{Position, Span, lines};

/// A text whose offsets can be told as lines and columns.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    text: &'a str,
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
    /// Where each character begins, in bytes; empty when the text is ASCII and both counts are the same.
    characters: Vec<u32>,
}

impl<'a> Source<'a> {
    /// Indexes a text's lines and characters. Meant for texts of a megabyte, not of gigabytes.
    pub fn new(text: &'a str) -> Self {
        let base = text.as_ptr() as usize;
        // Findings are shown with the lines of that function: the places have to be counted in the same way.
        let starts = lines(text).map(|line| line.as_ptr() as usize - base).collect();
        let characters =
            if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at as u32).collect() };
        Self { text, starts, characters }
    }

    /// The text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The line and column of a byte offset; one past the end, or inside a character, is the nearest before.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let column = self.character(offset) - self.character(self.starts[line - 1]) + 1;
        Position { offset, line: line as u32, column: column as u32 }
    }

    /// How many characters stand before a byte offset.
    fn character(&self, offset: usize) -> usize {
        if self.characters.is_empty() {
            return offset;
        }
        self.characters.partition_point(|start| (*start as usize) < offset)
    }

    /// The byte offset of a character; the text's end for one beyond it.
    pub fn byte(&self, character: usize) -> usize {
        if self.characters.is_empty() {
            return character.min(self.text.len());
        }
        self.characters.get(character).map_or(self.text.len(), |start| *start as usize)
    }

    /// The stretch between two byte offsets.
    pub fn span(&self, start: usize, end: usize) -> Span {
        Span { start: self.position(start), end: self.position(end.max(start)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters_and_any_break_counts() {
        let source = Source::new("aé\r\nb\rc\n");
        let at = |offset| {
            let position = source.position(offset);
            (position.line, position.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (1, 3));
        assert_eq!(at(2), (1, 2), "inside a character");
        assert_eq!(at(5), (2, 1));
        assert_eq!(at(7), (3, 1));
        assert_eq!(at(9), (4, 1));
        assert_eq!(at(99), (4, 1));
        assert_eq!((source.byte(2), source.byte(99)), (3, 9));
    }
}
