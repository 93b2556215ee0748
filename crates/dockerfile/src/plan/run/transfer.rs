//! `COPY` and `ADD`.

use super::StageRun;
use crate::Diagnostic;
use crate::ast::{Transfer, Word};
use crate::expand::Lexer;
use crate::plan::{Action, Checksum, InlineFile, Mode, Origin, Source, TransferStep, git, path};

impl StageRun {
    pub(super) fn transfer(
        &mut self,
        transfer: &Transfer,
        add: bool,
    ) -> Result<(Action, String), Diagnostic> {
        let owner = self.expand_some(transfer.chown.as_ref())?;
        let mode_text = self.expand_some(transfer.chmod.as_ref())?;
        let mode = match (&mode_text, &transfer.chmod) {
            (Some(text), Some(word)) => Some(mode(text, word)?),
            _ => None,
        };
        let checksum_text = self.expand_some(transfer.checksum.as_ref())?;
        let mut shown = String::from(if add { "ADD" } else { "COPY" });
        if transfer.parents {
            shown.push_str(" --parents");
        }
        for (flag, value) in [("chown", &owner), ("chmod", &mode_text)] {
            if let Some(value) = value {
                shown.push_str(&format!(" --{flag}={value}"));
            }
        }
        let mut step = TransferStep {
            add,
            origin: self.origin(transfer)?,
            sources: Vec::new(),
            destination: String::new(),
            owner,
            mode,
            link: transfer.link,
            parents: transfer.parents,
            exclude: transfer.exclude.iter().map(|word| word.text.clone()).collect(),
            keep_git_dir: transfer.keep_git_dir.unwrap_or(false),
            checksum: None,
            unpack: transfer.unpack,
        };
        let mut checksum = checksum_text.map(|text| (text, transfer.checksum.clone().unwrap_or_default()));
        for word in &transfer.sources {
            let text = self.expand(word)?;
            shown.push(' ');
            shown.push_str(&text);
            let source = source(&text, word, transfer, &mut step, &mut checksum)?;
            step.sources.push(source);
        }
        step.checksum = resolve(checksum, &step)?;
        for heredoc in &transfer.inline {
            let mut data = heredoc.content();
            if heredoc.expand {
                let word = Word { text: data, span: heredoc.span };
                let found = super::super::expand(&word, Lexer::heredoc(), &self.variables)?;
                self.note(&word, found.missing);
                data = found.text;
            }
            shown.push_str(&format!(" <<{}", heredoc.name));
            step.sources.push(Source::Inline(InlineFile { name: heredoc.name.clone(), data }));
        }
        let destination = self.expand(&transfer.destination)?;
        shown.push(' ');
        shown.push_str(&destination);
        step.destination = path::destination(self.folder(), &destination);
        Ok((Action::Transfer(Box::new(step)), format!("{shown} # buildkit")))
    }

    fn origin(&self, transfer: &Transfer) -> Result<Origin, Diagnostic> {
        transfer.from.as_ref().map_or(Ok(Origin::Context), |word| self.names.origin(word))
    }
}

/// What one word of the sources means; it may bring a checksum and more along.
fn source(
    text: &str,
    word: &Word,
    transfer: &Transfer,
    step: &mut TransferStep,
    checksum: &mut Option<(String, Word)>,
) -> Result<Source, Diagnostic> {
    let refuse = |message: String| Err(Diagnostic::error(word.span, message));
    let remote = match git::remote(text) {
        Ok(remote) => remote,
        Err(message) => return refuse(message),
    };
    if let Some(remote) = remote {
        if !step.add {
            return refuse("COPY cannot fetch from Git: ADD can".to_owned());
        }
        if let Some(keep) = remote.keep_git_dir {
            if transfer.keep_git_dir.is_some_and(|said| said != keep) {
                return refuse("--keep-git-dir and the source say different things".to_owned());
            }
            step.keep_git_dir = keep;
        }
        if let Some(own) = remote.checksum {
            if checksum.as_ref().is_some_and(|(said, _)| *said != own) {
                return refuse("--checksum and the source say different things".to_owned());
            }
            *checksum = Some((own, word.clone()));
        }
        return Ok(remote.source.map_or_else(|| Source::Path(".".to_owned()), Source::Git));
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        if !step.add {
            return refuse("COPY cannot fetch from an address: ADD can".to_owned());
        }
        return Ok(Source::Url(text.to_owned()));
    }
    Ok(Source::Path(local(text, step.parents)))
}

/// A path of the context. With `--parents`, what stands in front of `/./` is left out of what is kept.
fn local(text: &str, parents: bool) -> String {
    match text.split_once("/./") {
        Some((front, rest)) if parents => {
            format!("{}/./{}", path::relative(front), path::relative(rest))
        }
        _ => path::relative(text),
    }
}

fn mode(text: &str, word: &Word) -> Result<Mode, Diagnostic> {
    let octal = || {
        let message = format!("'{text}' is no mode: octal digits up to 7777, or such as u=rwX,go=rX");
        Diagnostic::error(word.span, message)
    };
    if text.chars().all(|c| c.is_ascii_digit()) {
        let bits = u32::from_str_radix(text, 8).map_err(|_| octal())?;
        return if bits <= 0o7777 { Ok(Mode::Octal(bits)) } else { Err(octal()) };
    }
    if text.split(',').all(clause) { Ok(Mode::Symbolic(text.to_owned())) } else { Err(octal()) }
}

/// `[ugoa]*([-+=][rwxXst]*)+`, or with one of `ugo` behind the sign.
fn clause(text: &str) -> bool {
    let rest = text.trim_start_matches(['u', 'g', 'o', 'a']);
    if !rest.starts_with(['-', '+', '=']) {
        return false;
    }
    rest.split(['-', '+', '='])
        .skip(1)
        .all(|what| matches!(what, "u" | "g" | "o") || what.chars().all(|c| "rwxXst".contains(c)))
}

fn resolve(checksum: Option<(String, Word)>, step: &TransferStep) -> Result<Option<Checksum>, Diagnostic> {
    let Some((text, word)) = checksum else { return Ok(None) };
    let refuse = |message: String| Err(Diagnostic::error(word.span, message));
    match step.sources.as_slice() {
        [Source::Url(_)] => match text.parse() {
            Ok(digest) => Ok(Some(Checksum::Digest(digest))),
            Err(_) => {
                refuse(format!("'{text}' is no digest: it is written sha256: and 64 hexadecimal digits"))
            }
        },
        [Source::Git(_)] => {
            let sound = (7..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
            if sound {
                Ok(Some(Checksum::Commit(text.to_ascii_lowercase())))
            } else {
                refuse(format!("'{text}' is no commit: it has 7 to 64 hexadecimal digits"))
            }
        }
        [_] => refuse("--checksum is for an address or a Git source".to_owned()),
        _ => refuse("--checksum is for exactly one source".to_owned()),
    }
}
