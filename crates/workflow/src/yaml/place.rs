//! Places: from a scalar's text back to the source.

use super::Style;
use crate::diagnostic::{Source, Span};

/// Where a stretch of a scalar's text (byte offsets into `value`) stands in the source, when the scalar stands
/// at `scalar`.
///
/// Folding, indentation and escapes are undone by walking both texts side by side: white space may
/// differ between them, every other character stands in both, in the same order.
pub fn inside(source: &Source<'_>, scalar: Span, value: &str, start: usize, end: usize) -> Span {
    let text = source.text();
    let from = offset_inside(text, scalar, value, start);
    let last = value[..value.floor_char_boundary(end)].char_indices().next_back();
    let to = match last {
        Some((at, _)) if at >= start => {
            let at = offset_inside(text, scalar, value, at);
            at + text[at..].chars().next().map_or(0, char::len_utf8)
        }
        _ => from,
    };
    source.span(from, to)
}

fn offset_inside(text: &str, scalar: Span, value: &str, wanted: usize) -> usize {
    let begin = text.floor_char_boundary(scalar.start.offset);
    let end = text.floor_char_boundary(scalar.end.offset.max(begin));
    let raw = &text[begin..end];
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
            .map(|(at, _)| inside(&source, node.span, value, at, at + 1).start.offset)
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
