//! The parser directives: `# syntax=`, `# escape=` and `# check=` before everything else.

use crate::ast::{Directives, Word};
use crate::{Diagnostic, Span};

const NAMES: [&str; 3] = ["syntax", "escape", "check"];

/// The directives, being read: the first line that is none ends them.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) directives: Directives,
    seen: Vec<&'static str>,
    /// The first line is `#!…`. BuildKit looks for the other directives below it, but not for `escape`.
    shebang: bool,
    over: bool,
}

impl Reading {
    /// Something else than a directive stood there.
    pub(super) fn over(&mut self) {
        self.over = true;
    }

    /// Reads a comment. Says whether it was a directive.
    pub(super) fn read(
        &mut self,
        comment: &str,
        place: impl Fn(usize, usize) -> Span,
    ) -> Result<bool, Box<Diagnostic>> {
        if self.over {
            return Ok(false);
        }
        let Some((name, start, value)) = directive(comment) else {
            // `#!/usr/bin/env …` in the first line is for who starts the file as a program.
            self.shebang = comment.starts_with("#!") && place(0, 0).start.line == 1;
            self.over = !self.shebang;
            return Ok(false);
        };
        let span = place(start, start + value.len());
        if self.seen.contains(&name) {
            let message = format!("there is a second {name} directive: only one may be there");
            return Err(Box::new(Diagnostic::error(span, message)));
        }
        self.seen.push(name);
        let value = Word { text: value.to_owned(), span };
        match name {
            "syntax" => self.directives.syntax = Some(value),
            "escape" if self.shebang => {}
            "escape" => self.escape(&value)?,
            _ => checks(&mut self.directives, comment, start, &value.text, &place)?,
        }
        Ok(true)
    }

    fn escape(&mut self, value: &Word) -> Result<(), Box<Diagnostic>> {
        let mut chars = value.text.chars();
        match (chars.next(), chars.next()) {
            (Some(c @ ('\\' | '`')), None) => self.directives.escape = c,
            _ => {
                let message = format!("'{}' cannot be the escape character", value.text);
                let help = "it is \\ or a backtick";
                return Err(Box::new(Diagnostic::error(value.span, message).with_help(help)));
            }
        }
        Ok(())
    }
}

/// A directive's name, and its value with where that begins.
fn directive(comment: &str) -> Option<(&'static str, usize, &str)> {
    let inner = comment.strip_prefix('#')?.trim_start();
    let name_end = inner.find(|c: char| !c.is_ascii_alphanumeric())?;
    let name = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(&inner[..name_end]))?;
    let value = inner[name_end..].trim_start().strip_prefix('=')?.trim();
    let start = value.as_ptr() as usize - comment.as_ptr() as usize;
    (!value.is_empty()).then_some((name, start, value))
}

/// `skip=Rule,Rule;error=true;experimental=Rule`.
fn checks(
    directives: &mut Directives,
    comment: &str,
    start: usize,
    value: &str,
    place: impl Fn(usize, usize) -> Span,
) -> Result<(), Box<Diagnostic>> {
    let base = comment.as_ptr() as usize;
    let word = |text: &str| {
        let from = text.as_ptr() as usize - base;
        Word { text: text.to_owned(), span: place(from, from + text.len()) }
    };
    debug_assert_eq!(comment.get(start..start + value.len()), Some(value));
    for option in comment[start..start + value.len()].split(';') {
        let Some((name, setting)) = option.split_once('=') else {
            let message = format!("'{}' is no option of check", option.trim());
            let finding = Diagnostic::error(word(option.trim()).span, message);
            return Err(Box::new(finding.with_help("it is written skip=…, error=true or experimental=…")));
        };
        let setting = setting.trim();
        let rules = || setting.split(',').map(str::trim).map(word).collect::<Vec<_>>();
        match name.trim() {
            "skip" if setting == "all" => directives.skip_all = true,
            "skip" => directives.skip = rules(),
            "experimental" if setting == "all" => directives.experimental_all = true,
            "experimental" => directives.experimental = rules(),
            "error" => match super::boolean(setting) {
                Some(error) => directives.check_errors = error,
                None => {
                    let message = format!("'{setting}' is neither true nor false");
                    return Err(Box::new(Diagnostic::error(word(setting).span, message)));
                }
            },
            other => {
                let finding =
                    Diagnostic::error(word(name.trim()).span, format!("'{other}' is no option of check"));
                let finding = finding.with_suggestion(other, ["skip", "error", "experimental"]);
                return Err(Box::new(finding));
            }
        }
    }
    Ok(())
}

/// The rules that a comment directly above an instruction turns off for it: `# check=skip=Rule`.
pub(crate) fn skipped_by(comments: &[String]) -> Vec<&str> {
    let mut rules = Vec::new();
    for comment in comments {
        let Some(options) =
            comment.strip_prefix("check").and_then(|rest| rest.trim_start().strip_prefix('='))
        else {
            continue;
        };
        for option in options.split(';') {
            if let Some(("skip", setting)) = option.split_once('=').map(|(name, value)| (name.trim(), value))
            {
                rules.extend(setting.split(',').map(str::trim));
            }
        }
    }
    rules
}
