//! The flags of each instruction: which there are, and reading them.

use super::lines::Logical;
use super::words::{self, Stretch};
use crate::ast::{Flag, Word};
use crate::diagnostic::suggest;
use crate::{Diagnostic, Span};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagShape {
    /// Nothing, `true` or `false`.
    Switch,
    /// A value, once.
    Value,
    /// A value, as often as one likes.
    Values,
}

/// The flags of an instruction, by their names.
pub type Known = &'static [(&'static str, FlagShape)];

/// Every instruction in its usual form, and its flags.
pub const FLAGS: &[(&str, Known)] = &[
    (
        "ADD",
        &[
            ("chown", FlagShape::Value),
            ("chmod", FlagShape::Value),
            ("link", FlagShape::Switch),
            ("keep-git-dir", FlagShape::Switch),
            ("checksum", FlagShape::Value),
            ("unpack", FlagShape::Switch),
            ("exclude", FlagShape::Values),
        ],
    ),
    ("ARG", &[]),
    ("CMD", &[]),
    (
        "COPY",
        &[
            ("from", FlagShape::Value),
            ("chown", FlagShape::Value),
            ("chmod", FlagShape::Value),
            ("link", FlagShape::Switch),
            ("parents", FlagShape::Switch),
            ("exclude", FlagShape::Values),
        ],
    ),
    ("ENTRYPOINT", &[]),
    ("ENV", &[]),
    ("EXPOSE", &[]),
    ("FROM", &[("platform", FlagShape::Value)]),
    (
        "HEALTHCHECK",
        &[
            ("interval", FlagShape::Value),
            ("timeout", FlagShape::Value),
            ("start-period", FlagShape::Value),
            ("start-interval", FlagShape::Value),
            ("retries", FlagShape::Value),
        ],
    ),
    ("LABEL", &[]),
    ("MAINTAINER", &[]),
    ("ONBUILD", &[]),
    ("RUN", &[("mount", FlagShape::Values), ("network", FlagShape::Value), ("security", FlagShape::Value)]),
    ("SHELL", &[]),
    ("STOPSIGNAL", &[]),
    ("USER", &[]),
    ("VOLUME", &[]),
    ("WORKDIR", &[]),
];

/// The flags that an instruction was given, checked against those that it has.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags {
    flags: Vec<Flag>,
}

impl Flags {
    /// Takes the flags in front of an instruction's arguments. Says also where the arguments begin.
    pub(super) fn take(
        line: &Logical<'_>,
        keyword: &str,
        rest: Stretch,
        escape: char,
    ) -> Result<(Self, usize), Diagnostic> {
        let known = FLAGS.iter().find(|(name, _)| *name == keyword).map_or(&[][..], |(_, flags)| flags);
        let (raw, arguments) = words::flags(&line.text, rest, escape);
        let mut flags: Vec<Flag> = Vec::new();
        for flag in raw {
            let span = line.place(flag.stretch.0, flag.stretch.1);
            let read = read(keyword, known, &flag.text, span)?;
            let shape = known.iter().find(|(name, _)| *name == read.name).map(|(_, shape)| *shape);
            if shape != Some(FlagShape::Values) && flags.iter().any(|earlier| earlier.name == read.name) {
                let message = format!("--{} is given twice", read.name);
                return Err(Diagnostic::error(span, message));
            }
            flags.push(read);
        }
        Ok((Self { flags }, arguments))
    }

    /// The value of one.
    pub(super) fn value(&self, name: &str) -> Option<Word> {
        self.flags.iter().find(|flag| flag.name == name).and_then(|flag| flag.value.clone())
    }

    /// All values of one.
    pub(super) fn values(&self, name: &str) -> Vec<Word> {
        self.flags.iter().filter(|flag| flag.name == name).filter_map(|flag| flag.value.clone()).collect()
    }

    /// Whether a switch is on, when it is said.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        let flag = self.flags.iter().find(|flag| flag.name == name)?;
        Some(!flag.value.as_ref().is_some_and(|value| value.text.eq_ignore_ascii_case("false")))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Flag> {
        self.flags.iter()
    }
}

fn read(keyword: &str, known: Known, text: &str, span: Span) -> Result<Flag, Diagnostic> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let name = name.strip_prefix("--").unwrap_or(name);
    let Some((_, shape)) = known.iter().find(|(each, _)| *each == name) else {
        let finding = Diagnostic::error(span, format!("{keyword} has no flag --{name}"));
        return Err(match suggest(name, known.iter().map(|(each, _)| *each)) {
            Some(word) => finding.with_help(format!("did you mean --{word}?")),
            None if known.is_empty() => finding.with_help(format!("{keyword} has no flags")),
            None => {
                let names: Vec<String> = known.iter().map(|(each, _)| format!("--{each}")).collect();
                finding.with_help(format!("there are {}", names.join(", ")))
            }
        });
    };
    match (shape, value) {
        (FlagShape::Switch, Some(value))
            if !value.eq_ignore_ascii_case("true") && !value.eq_ignore_ascii_case("false") =>
        {
            let message = format!("--{name} is true or false, not '{value}'");
            return Err(Diagnostic::error(span, message));
        }
        (FlagShape::Value | FlagShape::Values, None) => {
            let message = format!("--{name} needs a value: --{name}=…");
            return Err(Diagnostic::error(span, message));
        }
        _ => {}
    }
    let value = value.map(|value| Word { text: value.to_owned(), span });
    Ok(Flag { name: name.to_owned(), value, span })
}
