//! Places: from byte offsets to lines and columns, and from a scalar's text back to the source.

use super::Style;
use crate::diagnostic::{Position, Span, lines};

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
    pub(super) fn byte(&self, character: usize) -> usize {
        if self.characters.is_empty() {
            return character.min(self.text.len());
        }
        self.characters.get(character).map_or(self.text.len(), |start| *start as usize)
    }

    /// The stretch between two byte offsets.
    pub fn span(&self, start: usize, end: usize) -> Span {
        Span { start: self.position(start), end: self.position(end.max(start)) }
    }

    /// Where a stretch of a scalar's text (byte offsets into `value`) stands in the source, when the scalar stands
    /// at `scalar`.
    ///
    /// Folding, indentation and escapes are undone by walking both texts side by side: white space may
    /// differ between them, every other character stands in both, in the same order.
    pub fn inside(&self, scalar: Span, value: &str, start: usize, end: usize) -> Span {
        let from = self.offset_inside(scalar, value, start);
        let last = value[..value.floor_char_boundary(end)].char_indices().next_back();
        let to = match last {
            Some((at, _)) if at >= start => {
                let at = self.offset_inside(scalar, value, at);
                at + self.text[at..].chars().next().map_or(0, char::len_utf8)
            }
            _ => from,
        };
        self.span(from, to)
    }

    fn offset_inside(&self, scalar: Span, value: &str, wanted: usize) -> usize {
        let begin = self.text.floor_char_boundary(scalar.start.offset);
        let end = self.text.floor_char_boundary(scalar.end.offset.max(begin));
        let raw = &self.text[begin..end];
        let style = Walk::style(raw);
        let mut walk = Walk { raw, at: opening(raw, style), style };
        for (at, c) in value.char_indices() {
            walk.seek(c);
            if at >= wanted {
                break;
            }
            walk.consume();
        }
        begin + walk.at.min(raw.len())
    }
}

/// How many bytes come before a scalar's content: the quote, or the block's header line.
fn opening(raw: &str, style: Style) -> usize {
    match style {
        Style::Plain => 0,
        Style::SingleQuoted | Style::DoubleQuoted => usize::from(!raw.is_empty()),
        Style::Literal | Style::Folded if raw.starts_with(['|', '>']) => {
            raw.find(['\n', '\r']).unwrap_or(raw.len())
        }
        Style::Literal | Style::Folded => 0,
    }
}

/// A walk over a scalar's source.
struct Walk<'a> {
    raw: &'a str,
    at: usize,
    style: Style,
}

impl Walk<'_> {
    /// A scalar's style shows in its first character.
    fn style(raw: &str) -> Style {
        match raw.bytes().next() {
            Some(b'\'') => Style::SingleQuoted,
            Some(b'"') => Style::DoubleQuoted,
            Some(b'|') => Style::Literal,
            Some(b'>') => Style::Folded,
            _ => Style::Plain,
        }
    }

    fn rest(&self) -> &str {
        self.raw.get(self.at..).unwrap_or("")
    }

    /// Moves to where a character of the value stands.
    fn seek(&mut self, wanted: char) {
        if wanted.is_whitespace() {
            return;
        }
        loop {
            let rest = self.rest();
            let folded =
                self.style == Style::DoubleQuoted && (rest.starts_with("\\\n") || rest.starts_with("\\\r"));
            match rest.chars().next() {
                Some(c) if c.is_whitespace() => self.at += c.len_utf8(),
                Some(_) if folded => self.at += 1,
                _ => return,
            }
        }
    }

    /// Steps over what stands for one character of the value.
    fn consume(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        let width = match (self.style, first) {
            (Style::DoubleQuoted, '\\') => match rest.as_bytes().get(1) {
                Some(b'x') => 4,
                Some(b'u') => 6,
                Some(b'U') => 10,
                _ => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            },
            (Style::SingleQuoted, '\'') if rest.starts_with("''") => 2,
            _ => first.len_utf8(),
        };
        self.at += width.min(rest.len());
        while !self.raw.is_char_boundary(self.at) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Limits, load};

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
    }

    /// Every `@` in the value of `k` is found at an `@` of the source, in order.
    fn check(text: &str) {
        let root = load(&Source::new(text), &Limits::WORKFLOW)
            .unwrap_or_else(|found| panic!("{text:?}: {found:?}"))
            .root;
        let node = root.get("k").expect("a key k");
        let value = &node.as_scalar().expect("a scalar").text;
        let source = Source::new(text);
        let wanted: Vec<usize> = text.match_indices('@').map(|(at, _)| at).collect();
        let found: Vec<usize> = value
            .match_indices('@')
            .map(|(at, _)| source.inside(node.span, value, at, at + 1).start.offset)
            .collect();
        assert_eq!(found, wanted, "{text:?} -> {value:?}");
    }

    #[test]
    fn places_inside_scalars() {
        check("k: a @ b @");
        check("k: 'it''s @ and '' @'");
        check("k: \"t\\t @ \\u00e9 @ \\x41@ \\\\@\"");
        check("k: \"a \\\n   b @\n\n  c @ \"");
        check("k: |\n  a @\n   b @\n\n  @\nz: 1\n");
        check("k: |2-\n    a @\n   b @\n");
        check("k: >-\n  a @\n  b @\n\n    c @\n  d @\n");
        check("k: a\n  b @\n\n  c @\n");
        check("x: é\r\nk: |\r\n  é @\r\n  b @\r\n");
        check("k: 'a @\n  b @'\n");
        check("k: &a !!str 'é @'\n");
        check("k: | # a note\n  b @\n");
    }
}
