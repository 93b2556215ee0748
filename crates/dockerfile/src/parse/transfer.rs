//! `COPY` and `ADD`: sources, here-documents and the destination.

use super::flags::Flags;
use super::heredoc;
use crate::Diagnostic;
use crate::Span;
use crate::ast::{Heredoc, Transfer, Word};

/// Reads the arguments of `COPY` or `ADD`.
pub(super) fn transfer(
    keyword: &str,
    flags: &Flags,
    mut words: Vec<Word>,
    heredocs: &[Heredoc],
    span: Span,
) -> Result<Transfer, Diagnostic> {
    let count = words.len();
    let Some(destination) = words.pop().filter(|_| count >= 2) else {
        let message = format!("{keyword} needs at least a source and a destination");
        return Err(Diagnostic::error(span, message));
    };
    if heredoc::announced(&destination.text).is_some() {
        let message = format!("{keyword} cannot have a here-document as its destination");
        return Err(Diagnostic::error(destination.span, message));
    }
    let mut transfer = Transfer {
        destination,
        from: flags.value("from").filter(|word| !word.text.is_empty()),
        chown: flags.value("chown").filter(|word| !word.text.is_empty()),
        chmod: flags.value("chmod").filter(|word| !word.text.is_empty()),
        link: flags.switch("link").unwrap_or(false),
        parents: flags.switch("parents").unwrap_or(false),
        exclude: flags.values("exclude"),
        keep_git_dir: flags.switch("keep-git-dir"),
        checksum: flags.value("checksum").filter(|word| !word.text.is_empty()),
        unpack: flags.switch("unpack"),
        ..Transfer::default()
    };
    for word in words {
        match heredoc::announced(&word.text) {
            None => transfer.sources.push(word),
            Some(announced) => {
                // The last one of a name is the one that counts.
                let Some(text) = heredocs.iter().rev().find(|each| each.name == announced.name) else {
                    let message = format!("the here-document {} has no text", announced.name);
                    return Err(Diagnostic::error(word.span, message));
                };
                transfer.inline.push(Heredoc {
                    expand: announced.expand,
                    chomp: announced.chomp,
                    ..text.clone()
                });
            }
        }
    }
    Ok(transfer)
}
