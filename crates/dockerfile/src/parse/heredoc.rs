//! Here-documents: which a line announces, and their text below it.

use super::lines::{Lines, Logical};
use super::{json, words};
use crate::Diagnostic;
use crate::ast::Heredoc;
use crate::expand::{Lexer, Variables};

/// A here-document as it is announced: `3<<-"NAME"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) name: String,
    pub(super) descriptor: u32,
    pub(super) expand: bool,
    pub(super) chomp: bool,
}

/// Reads a word that may announce a here-document.
pub(super) fn announced(word: &str) -> Option<Announced> {
    let digits = word.find(|c: char| !c.is_ascii_digit())?;
    let rest = word[digits..].strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let none = Variables::default();
    let plain = Lexer { keep_unset: true, ..Lexer::new('\\') };
    let raw = Lexer { raw_quotes: true, ..plain };
    let mut names = plain.expand(rest, &none).ok()?.words;
    let mut written = raw.expand(rest, &none).ok()?.words;
    let (name, written) = match (names.pop(), written.pop()) {
        (Some(name), Some(written)) if names.is_empty() => (name, written),
        _ => return None,
    };
    // A name with quotes around any of it: nothing is expanded.
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = quotes(&name) == quotes(&written);
    Some(Announced { descriptor: word[..digits].parse().unwrap_or(0), expand, chomp, name })
}

/// Takes the texts of the here-documents that a line announces.
pub(super) fn take<'a>(line: &Logical<'a>, lines: &mut Lines<'a>) -> Result<Vec<Heredoc>, Diagnostic> {
    let mut heredocs = Vec::new();
    for announced in all(line, lines.escape()) {
        let start = lines.offset();
        let mut data = String::new();
        let mut end = start;
        loop {
            let Some(raw) = lines.next_raw() else {
                let message = format!("the here-document {} has no end", announced.name);
                let finding = Diagnostic::error(line.span(), message);
                return Err(finding.with_help(format!("a line '{}' ends it", announced.name)));
            };
            let text = raw.trim_end_matches(['\r', '\n']);
            let text = if announced.chomp { text.trim_start_matches('\t') } else { text };
            if text == announced.name {
                break;
            }
            data.push_str(raw);
            end = lines.offset();
        }
        heredocs.push(Heredoc {
            span: lines.span(start, end),
            name: announced.name,
            descriptor: announced.descriptor,
            data,
            expand: announced.expand,
            chomp: announced.chomp,
        });
    }
    Ok(heredocs)
}

/// The here-documents that a line announces: only `ADD`, `COPY` and `RUN` have them, and `ONBUILD` of those, and none
/// in the JSON form.
fn all(line: &Logical<'_>, escape: char) -> Vec<Announced> {
    if !line.text.contains("<<") || !admits(line, escape) {
        return Vec::new();
    }
    let lexer = Lexer { raw_quotes: true, raw_escapes: true, keep_unset: true, ..Lexer::new('\\') };
    let words = lexer.expand(&line.text, &Variables::default()).map(|found| found.words).unwrap_or_default();
    words.iter().filter_map(|word| announced(word)).collect()
}

fn admits(line: &Logical<'_>, escape: char) -> bool {
    let mut rest = line.text.trim();
    loop {
        let end = rest.find(words::blank).unwrap_or(rest.len());
        let keyword = rest[..end].to_ascii_uppercase();
        rest = rest[end..].trim();
        match keyword.as_str() {
            "ONBUILD" => {}
            "ADD" | "COPY" | "RUN" => {
                let (_, from) = words::flags(rest, (0, rest.len()), escape);
                return !matches!(json::list(&rest[from..]), json::List::Strings(_));
            }
            _ => return false,
        }
    }
}
