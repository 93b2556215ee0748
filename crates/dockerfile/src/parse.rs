//! Text to a [`Dockerfile`], or to what is wrong with it. Any text gives one of the two.

mod directive;
mod flags;
mod heredoc;
mod instruction;
mod json;
mod lines;
mod mount;
mod number;
mod transfer;
mod words;

use crate::ast::{Command, Dockerfile, Heredoc, Stage};
use crate::diagnostic::Source;
use crate::{Diagnostic, Span};
use instruction::{Head, Read};
use lines::{Lines, Logical};

pub(crate) use directive::skipped_by;
pub use flags::{FLAGS, FlagShape, Known};
pub use mount::{MOUNT_OPTIONS, MOUNT_TYPES};
pub(crate) use number::{boolean, size};

/// The longest file, in bytes.
pub const LONGEST_FILE: usize = 4 << 20;
/// The longest line, in bytes: what BuildKit reads too.
pub const LONGEST_LINE: usize = (64 << 10) - 1;
/// The most instructions of a file.
pub const MOST_INSTRUCTIONS: usize = 10_000;
/// The most findings that are told.
pub const MOST_FINDINGS: usize = 200;

/// What came of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The file, if nothing is wrong with it.
    pub dockerfile: Option<Dockerfile>,
    /// What is wrong. What could be better is for [`crate::lint`] to say.
    pub diagnostics: Vec<Diagnostic>,
    /// Where a continued line goes on below an empty one.
    pub empty_continuations: Vec<Span>,
}

/// Reads a Dockerfile.
pub fn parse(text: &str) -> Parsed {
    let source = Source::new(text);
    if text.len() > LONGEST_FILE {
        let message = format!("the file is longer than {LONGEST_FILE} bytes");
        return Parsed {
            diagnostics: vec![Diagnostic::error(Span::default(), message)],
            ..Parsed::default()
        };
    }
    let mut reader = Reader::new(Lines::new(&source));
    reader.read();
    reader.finish()
}

/// Reads a Dockerfile of which only the bytes are known.
pub fn parse_bytes(bytes: &[u8]) -> Parsed {
    parse(&String::from_utf8_lossy(bytes))
}

/// Reads what an image's `ONBUILD` kept: one instruction, without its place.
pub(crate) fn parse_trigger(text: &str) -> Result<crate::Instruction, Diagnostic> {
    let source = Source::new(text);
    let mut lines = Lines::new(&source);
    let refuse = |message: &str| Err(Diagnostic::error(Span::default(), message));
    let Some(line) = lines.next_logical()? else {
        return refuse("an ONBUILD instruction of the base image is empty");
    };
    let heredocs = heredoc::take(&line, &mut lines)?;
    let read = instruction::read(&line, lines.escape(), heredocs)?;
    match (read, lines.next_logical()?) {
        (Read::Instruction(instruction), None) => Ok(*instruction),
        _ => refuse("an ONBUILD instruction of the base image is not one instruction"),
    }
}

/// Whether a word announces a here-document, and is nothing else.
pub(crate) fn is_heredoc(word: &str) -> bool {
    heredoc::announced(word).is_some()
}

struct Reader<'a> {
    lines: Lines<'a>,
    globals: Vec<crate::Instruction>,
    stages: Vec<Stage>,
    diagnostics: Vec<Diagnostic>,
    instructions: usize,
}

impl<'a> Reader<'a> {
    fn new(lines: Lines<'a>) -> Self {
        Self { lines, globals: Vec::new(), stages: Vec::new(), diagnostics: Vec::new(), instructions: 0 }
    }

    fn read(&mut self) {
        loop {
            match self.lines.next_logical() {
                Ok(Some(line)) => self.line(&line),
                Ok(None) => return,
                Err(finding) => self.tell(finding),
            }
            if self.diagnostics.len() >= MOST_FINDINGS || self.instructions > MOST_INSTRUCTIONS {
                return;
            }
        }
    }

    fn tell(&mut self, finding: Diagnostic) {
        self.diagnostics.push(finding);
    }

    fn line(&mut self, line: &Logical<'a>) {
        self.instructions += 1;
        if self.instructions > MOST_INSTRUCTIONS {
            let message = format!("the file has more than {MOST_INSTRUCTIONS} instructions");
            return self.tell(Diagnostic::error(line.span(), message));
        }
        let heredocs = match self.heredocs(line) {
            Ok(heredocs) => heredocs,
            Err(finding) => return self.tell(finding),
        };
        match instruction::read(line, self.lines.escape(), heredocs) {
            Ok(Read::From(head)) => self.begin_stage(*head),
            Ok(Read::Instruction(instruction)) => self.add(*instruction),
            Err(finding) => self.tell(finding),
        }
    }

    fn heredocs(&mut self, line: &Logical<'a>) -> Result<Vec<Heredoc>, Diagnostic> {
        heredoc::take(line, &mut self.lines)
    }

    fn begin_stage(&mut self, head: Head) {
        let index = self.stages.len();
        self.stages.push(Stage {
            index,
            name: head.name,
            base: head.base,
            platform: head.platform,
            description: head.description,
            instructions: Vec::new(),
            span: head.span,
            source: head.source,
            keyword: head.keyword,
            as_keyword: head.as_keyword,
            comments: head.comments,
        });
    }

    fn add(&mut self, instruction: crate::Instruction) {
        match (self.stages.last_mut(), &instruction.command) {
            (Some(stage), _) => stage.instructions.push(instruction),
            (None, Command::Arg(_)) => self.globals.push(instruction),
            (None, command) => {
                let message =
                    format!("{} stands before the first FROM: only ARG may stand there", command.keyword());
                self.tell(Diagnostic::error(instruction.keyword.span, message));
            }
        }
    }

    fn finish(mut self) -> Parsed {
        let (directives, findings, empty_continuations) = self.lines.finish();
        self.diagnostics.splice(0..0, findings);
        if self.instructions == 0 && self.diagnostics.is_empty() {
            let message = "the file has no instructions: it begins with a FROM";
            self.diagnostics.push(Diagnostic::error(Span::default(), message));
        } else if self.stages.is_empty() && self.diagnostics.is_empty() {
            let message = "the file has no FROM, so there is no stage to build";
            self.diagnostics.push(Diagnostic::error(Span::default(), message));
        }
        self.diagnostics.truncate(MOST_FINDINGS);
        let sound = !self.diagnostics.iter().any(Diagnostic::is_error);
        let dockerfile =
            sound.then_some(Dockerfile { directives, globals: self.globals, stages: self.stages });
        Parsed { dockerfile, diagnostics: self.diagnostics, empty_continuations }
    }
}

#[cfg(test)]
mod tests;
