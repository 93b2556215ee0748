//! Physical lines to logical ones: comments away, continued lines joined, every character still knowing its place.

use super::LONGEST_LINE;
use super::directive::Reading;
use crate::ast::{Directives, Word};
use crate::diagnostic::Source;
use crate::{Diagnostic, Span};

/// A piece of a logical line: a stretch of the joined text that stands in one piece in the file.
#[derive(Clone, Copy, Debug)]
struct Piece {
    joined: usize,
    file: usize,
}

/// An instruction's line, with what continues it.
pub(super) struct Logical<'a> {
    source: &'a Source<'a>,
    /// The joined text.
    pub(super) text: String,
    /// The comments above it.
    pub(super) comments: Vec<String>,
    pieces: Vec<Piece>,
    end: usize,
}

impl Logical<'_> {
    /// Where a stretch of the joined text stands in the file.
    pub(super) fn place(&self, start: usize, end: usize) -> Span {
        let from = self.offset(start);
        // The last character's end, not the next one's beginning: that may stand a line further.
        let to = if end > start { self.offset(end - 1) + 1 } else { from };
        self.source.span(from, to)
    }

    fn offset(&self, joined: usize) -> usize {
        let at = self.pieces.partition_point(|piece| piece.joined <= joined).max(1) - 1;
        self.pieces.get(at).map_or(self.end, |piece| piece.file + (joined - piece.joined))
    }

    /// All of it.
    pub(super) fn span(&self) -> Span {
        let from = self.pieces.first().map_or(self.end, |piece| piece.file);
        self.source.span(from, self.end)
    }

    /// All of it, and the here-documents behind it.
    pub(super) fn span_to(&self, last: Option<Span>) -> Span {
        Span { start: self.span().start, end: last.map_or(self.span().end, |last| last.end) }
    }

    /// A stretch of the joined text as a word.
    pub(super) fn word(&self, start: usize, end: usize) -> Word {
        Word { text: self.text[start..end].to_owned(), span: self.place(start, end) }
    }
}

/// The lines of a file, being read.
pub(super) struct Lines<'a> {
    source: &'a Source<'a>,
    /// Where the next line begins.
    at: usize,
    reading: Reading,
    comments: Vec<String>,
    findings: Vec<Diagnostic>,
    empty: Vec<Span>,
}

/// A physical line: where it begins, its text without its end, and where the next one begins.
#[derive(Clone, Copy)]
struct Physical<'a> {
    start: usize,
    text: &'a str,
}

impl<'a> Lines<'a> {
    pub(super) fn new(source: &'a Source<'a>) -> Self {
        let at = if source.text().starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self {
            source,
            at,
            reading: Reading::default(),
            comments: Vec::new(),
            findings: Vec::new(),
            empty: Vec::new(),
        }
    }

    /// The escape character, as far as it is known by now.
    pub(super) fn escape(&self) -> char {
        self.reading.directives.escape
    }

    /// What the directives said, what was wrong with them, and where continued lines go on below empty ones.
    pub(super) fn finish(self) -> (Directives, Vec<Diagnostic>, Vec<Span>) {
        (self.reading.directives, self.findings, self.empty)
    }

    /// A span of the file.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        self.source.span(start, end)
    }

    /// Where the next line begins.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The next physical line, with its end.
    pub(super) fn next_raw(&mut self) -> Option<&'a str> {
        let rest = &self.source.text()[self.at..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        self.at += length;
        Some(&rest[..length])
    }

    fn next_physical(&mut self) -> Result<Option<Physical<'a>>, Diagnostic> {
        let start = self.at;
        let Some(raw) = self.next_raw() else { return Ok(None) };
        if raw.len() > LONGEST_LINE {
            let message = format!("the line is longer than {LONGEST_LINE} bytes");
            return Err(Diagnostic::error(self.source.span(start, start), message));
        }
        Ok(Some(Physical { start, text: raw.trim_end_matches(['\r', '\n']) }))
    }

    /// The next instruction's line.
    pub(super) fn next_logical(&mut self) -> Result<Option<Logical<'a>>, Diagnostic> {
        while let Some(line) = self.next_physical()? {
            let text = line.text.trim_start();
            let start = line.start + (line.text.len() - text.len());
            if text.starts_with('#') {
                self.comment(line.text, text, start);
                continue;
            }
            self.reading.over();
            let (kept, continued) = continuation(text, self.escape());
            if kept.is_empty() && !continued {
                continue;
            }
            let mut logical = Logical {
                source: self.source,
                text: kept.to_owned(),
                comments: Vec::new(),
                pieces: vec![Piece { joined: 0, file: start }],
                end: start + text.len(),
            };
            if continued {
                self.join(&mut logical)?;
            }
            logical.comments = std::mem::take(&mut self.comments);
            if logical.text.trim().is_empty() {
                continue;
            }
            return Ok(Some(logical));
        }
        Ok(None)
    }

    /// A comment: a directive, or text that is kept for the instruction below.
    fn comment(&mut self, line: &str, text: &str, start: usize) {
        match self.reading.read(text, |from, to| self.source.span(start + from, start + to)) {
            Ok(true) => return,
            Ok(false) => {}
            Err(finding) => self.findings.push(*finding),
        }
        let comment = line.chars().skip(1).collect::<String>().trim().to_owned();
        if comment.is_empty() {
            self.comments.clear();
        } else {
            self.comments.push(comment);
        }
    }

    /// Adds the lines that continue one.
    fn join(&mut self, logical: &mut Logical<'a>) -> Result<(), Diagnostic> {
        let mut empty = false;
        while let Some(line) = self.next_physical()? {
            if line.text.trim_start().starts_with('#') {
                continue;
            }
            if line.text.trim().is_empty() {
                empty = true;
                continue;
            }
            if std::mem::take(&mut empty) {
                self.empty.push(self.source.span(line.start, line.start + line.text.len()));
            }
            let (kept, continued) = continuation(line.text, self.escape());
            logical.pieces.push(Piece { joined: logical.text.len(), file: line.start });
            logical.text.push_str(kept);
            logical.end = line.start + line.text.len();
            if !continued {
                break;
            }
        }
        if empty {
            self.empty.push(self.source.span(logical.end, logical.end));
        }
        Ok(())
    }
}

/// The line without the escape character at its end, and whether there was one. Two of them are text.
fn continuation(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(kept) if !kept.ends_with(escape) => (kept, true),
        _ => (line, false),
    }
}
