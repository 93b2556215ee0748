//! Findings: what is wrong with a file, where, and what to do; and how that is printed.
//!
//! A finding never carries the text of the file: the caller that has it asks for the snippet.

mod source;
mod suggest;

use std::fmt::Write as _;

pub use source::Source;
pub use suggest::suggest;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Bytes from the text's beginning.
    pub offset: usize,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl Position {
    /// The beginning of a text.
    pub const START: Self = Self { offset: 0, line: 1, column: 1 };
}

impl Default for Position {
    fn default() -> Self {
        Self::START
    }
}

/// A stretch of a text: from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Where it begins.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
}

impl Span {
    /// An empty stretch at a place.
    pub const fn at(position: Position) -> Self {
        Self { start: position, end: position }
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but likely does not do what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word for it: `error`, `warning` or `note`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Where.
    pub span: Span,
    /// What is wrong, on one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The rule that found it, such as `untrusted`; `language` when it is the language itself.
    pub rule: &'static str,
}

impl Diagnostic {
    /// What a message quotes from the file may be long and may run over lines; the message may not.
    fn new(severity: Severity, span: Span, message: String) -> Self {
        let short = message.len() <= LONGEST && !message.contains(char::is_control);
        let message = if short {
            message
        } else {
            let words: Vec<&str> = message.split(|c: char| c.is_whitespace() || c.is_control()).collect();
            let mut line =
                words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ");
            if line.len() > LONGEST {
                line.truncate(line.floor_char_boundary(LONGEST));
                line.push('…');
            }
            line
        };
        Self { severity, span, message, help: None, rule: "language" }
    }

    /// An error.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, span, message.into())
    }

    /// A warning.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, span, message.into())
    }

    /// A note.
    pub fn note(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, span, message.into())
    }

    /// The same, found by another rule than that of the language itself.
    pub fn with_rule(mut self, rule: &'static str) -> Self {
        self.rule = rule;
        self
    }

    /// The same, with what to do.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with `did you mean` when one of the words that were possible is close to the one found.
    pub fn with_suggestion<'a>(self, found: &str, possible: impl IntoIterator<Item = &'a str>) -> Self {
        match suggest(found, possible) {
            Some(word) => self.with_help(format!("did you mean '{word}'?")),
            None => self,
        }
    }

    /// Whether the file cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The message and the help in one sentence, for places that have one line.
    pub fn sentence(&self) -> String {
        match &self.help {
            Some(help) => format!("{} ({help})", self.message),
            None => self.message.clone(),
        }
    }

    /// `file:line:col: error: message (help)`, one line, as compilers print it.
    pub fn one_line(&self, file: &str) -> String {
        let Position { line, column, .. } = self.span.start;
        format!("{file}:{line}:{column}: {}: {}", self.severity, self.sentence())
    }

    /// Several lines: the message, the place, the line of the text with the stretch underlined, the help.
    pub fn snippet(&self, file: &str, text: &str) -> String {
        let Position { line, column, .. } = self.span.start;
        let number = line.to_string();
        let pad = " ".repeat(number.len());
        let mut out = format!("{}: {}\n", self.severity, self.message);
        _ = writeln!(out, "{pad}--> {file}:{line}:{column}");
        if let Some(source) = nth_line(text, line) {
            let (shown, marker) = underline(source, self.span);
            _ = writeln!(out, "{pad} |");
            _ = writeln!(out, "{}", format!("{number} | {shown}").trim_end());
            _ = writeln!(out, "{pad} | {marker}");
        }
        if let Some(help) = &self.help {
            _ = writeln!(out, "{pad} = help: {help}");
        }
        out
    }
}

/// The longest message, in bytes.
const LONGEST: usize = 500;
/// The longest piece of a line that a snippet shows, in characters.
const SHOWN: usize = 120;

/// The lines of a text, without their breaks. A break is `\n`, `\r\n` or a lone `\r`, as in YAML.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let Some(at) = current.find(['\n', '\r']) else {
            rest = None;
            return Some(current);
        };
        let width = if current[at..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&current[at + width..]);
        Some(&current[..at])
    })
}

fn nth_line(text: &str, line: u32) -> Option<&str> {
    lines(text).nth(line.checked_sub(1)? as usize)
}

/// The line as it is shown (tabs as one space, long ones cut around the place) and the carets below it.
fn underline(source: &str, span: Span) -> (String, String) {
    let column = span.start.column.saturating_sub(1) as usize;
    let from = column.saturating_sub(SHOWN / 2);
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = source.chars().skip(from).take(SHOWN).map(visible).collect();
    let room = shown.chars().count().saturating_sub(column - from).max(1);
    let wanted = if span.end.line == span.start.line {
        span.end.column.saturating_sub(span.start.column).max(1) as usize
    } else {
        source.trim_end().chars().count().saturating_sub(column).max(1)
    };
    let marker = " ".repeat(column - from) + &"^".repeat(wanted.min(room));
    (shown.trim_end().to_owned(), marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(line: u32, from: u32, to: u32) -> Span {
        Span {
            start: Position { offset: 0, line, column: from },
            end: Position { offset: 0, line, column: to },
        }
    }

    #[test]
    fn one_line_is_what_editors_jump_to() {
        let finding =
            Diagnostic::error(span(2, 3, 5), "Unexpected value 'rn'").with_help("did you mean 'run'?");
        assert_eq!(
            finding.one_line("ci.yml"),
            "ci.yml:2:3: error: Unexpected value 'rn' (did you mean 'run'?)"
        );
    }

    #[test]
    fn snippet_underlines_in_characters_not_bytes() {
        let text = "a: 1\né: rn\r\nb: 2\n";
        let finding = Diagnostic::warning(span(2, 4, 6), "odd").with_help("do this");
        assert_eq!(
            finding.snippet("f.yml", text),
            "warning: odd\n --> f.yml:2:4\n  |\n2 | é: rn\n  |    ^^\n  = help: do this\n"
        );
    }

    #[test]
    fn snippet_of_a_place_beyond_the_text_has_no_line() {
        let finding = Diagnostic::error(span(9, 1, 1), "gone");
        assert_eq!(finding.snippet("f", "a"), "error: gone\n --> f:9:1\n");
        let zero = Diagnostic::error(span(0, 0, 0), "odd");
        assert_eq!(zero.snippet("f", "a"), "error: odd\n --> f:0:0\n");
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let finding = Diagnostic::error(Span::default(), format!("a\n\n  b\0{}", "é".repeat(1_000)));
        assert!(finding.message.starts_with("a b éé"), "{}", finding.message);
        assert!(finding.message.len() <= LONGEST + "…".len());
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let text = "x".repeat(10_000);
        let shown = Diagnostic::error(span(1, 5_000, 5_003), "m").snippet("f", &text);
        assert!(shown.len() < 500, "{shown}");
        assert!(shown.contains("^^^"), "{shown}");
    }
}
