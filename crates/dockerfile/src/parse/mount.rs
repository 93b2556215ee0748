//! `RUN --mount=…`: its options, as they are written.

use super::flags::Flags;
use crate::ast::{Flag, MountFlag, MountOption, NetworkMode, SecurityMode, Word};
use crate::{Diagnostic, Position, Span};

/// The types of mounts.
pub const MOUNT_TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];

/// The options of mounts: the usual name, and the others.
pub const MOUNT_OPTIONS: &[(&str, &[&str])] = &[
    ("type", &[]),
    ("from", &[]),
    ("source", &["src"]),
    ("target", &["dst", "destination"]),
    ("readonly", &["ro"]),
    ("readwrite", &["rw"]),
    ("id", &[]),
    ("sharing", &[]),
    ("required", &[]),
    ("mode", &[]),
    ("uid", &[]),
    ("gid", &[]),
    ("size", &[]),
    ("env", &[]),
];

/// All mounts of a `RUN`.
pub(super) fn mounts(flags: &Flags) -> Result<Vec<MountFlag>, Diagnostic> {
    flags.iter().filter(|flag| flag.name == "mount").map(mount).collect()
}

fn mount(flag: &Flag) -> Result<MountFlag, Diagnostic> {
    let text = flag.value.as_ref().map_or("", |value| value.text.as_str());
    let mut options: Vec<MountOption> = Vec::new();
    for (at, field) in fields(text, flag.span)? {
        let span = within(flag, text, at, field.len());
        let (name, value) = match field.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (field.as_str(), None),
        };
        let name = usual(&name.to_lowercase(), span)?;
        let bare = matches!(name, "readonly" | "readwrite" | "required");
        let Some(value) = value else {
            if !bare {
                let message = format!("{name} needs a value: {name}=…");
                return Err(Diagnostic::error(span, message));
            }
            options.push(MountOption { name: name.to_owned(), value: None, span });
            continue;
        };
        // The stages that a stage needs are known before anything is expanded.
        if name == "from" && value.find('$').is_some_and(|at| at + 1 < value.len()) {
            let message = "the from of a mount cannot have variables";
            let help = "name a stage of its own with the variable in its FROM, and take that";
            return Err(Diagnostic::error(span, message).with_help(help));
        }
        let value = Word { text: value.to_owned(), span };
        options.push(MountOption { name: name.to_owned(), value: Some(value), span });
    }
    Ok(MountFlag { options, span: flag.span })
}

/// An option's usual name.
fn usual(name: &str, span: Span) -> Result<&'static str, Diagnostic> {
    for (usual, others) in MOUNT_OPTIONS {
        if *usual == name || others.contains(&name) {
            return Ok(usual);
        }
    }
    let all = MOUNT_OPTIONS
        .iter()
        .flat_map(|(usual, others)| std::iter::once(*usual).chain(others.iter().copied()));
    Err(Diagnostic::error(span, format!("a mount has no option '{name}'")).with_suggestion(name, all))
}

/// The fields of a line of comma-separated values, each with where it begins.
fn fields(text: &str, span: Span) -> Result<Vec<(usize, String)>, Diagnostic> {
    let mut fields = Vec::new();
    let mut at = 0;
    let refuse = |message: &str| Err(Diagnostic::error(span, message));
    loop {
        let rest = &text[at..];
        let (field, length) = if let Some(inner) = rest.strip_prefix('"') {
            let Some((field, length)) = quoted(inner) else {
                return refuse("a double quote (\") of the mount is not closed");
            };
            (field, length + 1)
        } else {
            let length = rest.find(',').unwrap_or(rest.len());
            if rest[..length].contains('"') {
                return refuse("a double quote (\") stands within an option of the mount");
            }
            (rest[..length].to_owned(), length)
        };
        fields.push((at, field));
        match text[at + length..].chars().next() {
            None => return Ok(fields),
            Some(',') => at += length + 1,
            Some(_) => return refuse("something stands behind a closed quote of the mount"),
        }
    }
}

/// What stands up to the closing quote, and how long it is with that. Two quotes are one.
fn quoted(inner: &str) -> Option<(String, usize)> {
    let mut field = String::new();
    let mut chars = inner.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            field.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            field.push('"');
        } else {
            return Some((field, at + 1));
        }
    }
    None
}

/// Where an option stands, if the flag stands in one piece without quotes; else the whole flag.
fn within(flag: &Flag, text: &str, at: usize, length: usize) -> Span {
    let Span { start, end } = flag.span;
    let head = "--mount=".len();
    if start.line != end.line || end.offset - start.offset != head + text.len() || !text.is_ascii() {
        return flag.span;
    }
    let place = |by: usize| Position {
        offset: start.offset + by,
        line: start.line,
        column: start.column + by as u32,
    };
    Span { start: place(head + at), end: place(head + at + length) }
}

/// `--network`.
pub(super) fn network(flags: &Flags) -> Result<NetworkMode, Diagnostic> {
    let Some(word) = flags.value("network") else { return Ok(NetworkMode::Default) };
    match word.text.as_str() {
        "default" => Ok(NetworkMode::Default),
        "none" => Ok(NetworkMode::None),
        "host" => Ok(NetworkMode::Host),
        other => {
            Err(Diagnostic::error(word.span, format!("'{other}' is no network: it is default, none or host"))
                .with_suggestion(other, ["default", "none", "host"]))
        }
    }
}

/// `--security`.
pub(super) fn security(flags: &Flags) -> Result<SecurityMode, Diagnostic> {
    let Some(word) = flags.value("security") else { return Ok(SecurityMode::Sandbox) };
    match word.text.as_str() {
        "sandbox" => Ok(SecurityMode::Sandbox),
        "insecure" => Ok(SecurityMode::Insecure),
        other => {
            Err(Diagnostic::error(word.span, format!("'{other}' is no security: it is sandbox or insecure"))
                .with_suggestion(other, ["sandbox", "insecure"]))
        }
    }
}
