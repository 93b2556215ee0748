//! One logical line to one instruction.

use super::flags::{FLAGS, Flags};
use super::lines::Logical;
use super::words::{self, Stretch};
use super::{json, mount, number, transfer};
use crate::ast::{Argument, Command, CommandLine, Healthcheck, Heredoc, Instruction, Pair, Run, Word};
use crate::{Diagnostic, Span};

/// What a line is.
pub(super) enum Read {
    /// A `FROM`.
    From(Box<Head>),
    /// Anything else.
    Instruction(Box<Instruction>),
}

/// A `FROM` line.
pub(super) struct Head {
    pub(super) name: Option<Word>,
    pub(super) base: Word,
    pub(super) platform: Option<Word>,
    pub(super) description: Option<String>,
    pub(super) span: Span,
    pub(super) source: String,
    pub(super) keyword: Word,
    pub(super) as_keyword: Option<Word>,
    pub(super) comments: Vec<String>,
}

/// A line, its keyword and flags taken off.
struct Parts<'l, 'a> {
    line: &'l Logical<'a>,
    /// The keyword in its usual form.
    name: &'static str,
    flags: Flags,
    arguments: Stretch,
    escape: char,
    heredocs: Vec<Heredoc>,
    span: Span,
}

/// Reads a line whose here-documents were taken already.
pub(super) fn read(line: &Logical<'_>, escape: char, heredocs: Vec<Heredoc>) -> Result<Read, Diagnostic> {
    let from = line.text.len() - line.text.trim_start().len();
    read_from(line, from, escape, heredocs)
}

fn read_from(
    line: &Logical<'_>,
    from: usize,
    escape: char,
    heredocs: Vec<Heredoc>,
) -> Result<Read, Diagnostic> {
    let end = line.text.trim_end().len().max(from);
    let keyword_end = line.text[from..end].find(words::blank).map_or(end, |at| from + at);
    let keyword = line.word(from, keyword_end);
    let upper = keyword.text.to_ascii_uppercase();
    let Some((name, _)) = FLAGS.iter().find(|(name, _)| *name == upper) else {
        let finding = Diagnostic::error(keyword.span, format!("there is no instruction {upper}"));
        return Err(finding.with_suggestion(&upper, FLAGS.iter().map(|(name, _)| *name)));
    };
    let (flags, arguments) = Flags::take(line, name, (keyword_end, end), escape)?;
    let arguments =
        (arguments + line.text[arguments..end].len() - line.text[arguments..end].trim_start().len(), end);
    let span = line.span_to(heredocs.last().map(|last| last.span));
    let parts = Parts { line, name, flags, arguments, escape, heredocs, span };
    if *name == "FROM" {
        return parts.from(keyword).map(|head| Read::From(Box::new(head)));
    }
    let command = parts.command()?;
    Ok(Read::Instruction(Box::new(Instruction {
        command,
        span,
        source: line.text[from..end].to_owned(),
        keyword,
        comments: line.comments.clone(),
    })))
}

impl Parts<'_, '_> {
    fn text(&self) -> &str {
        &self.line.text[self.arguments.0..self.arguments.1]
    }

    fn whole(&self) -> Word {
        self.line.word(self.arguments.0, self.arguments.1)
    }

    fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.span, message)
    }

    fn words(&self, stretches: Vec<Stretch>) -> Vec<Word> {
        stretches.into_iter().map(|(from, to)| self.line.word(from, to)).collect()
    }

    fn by_space(&self) -> Vec<Word> {
        self.words(words::by_space(&self.line.text, self.arguments))
    }

    fn command(self) -> Result<Command, Diagnostic> {
        match self.name {
            "ADD" => self.transfer().map(Command::Add),
            "ARG" => self.arguments().map(Command::Arg),
            "CMD" => self.command_line().map(Command::Cmd),
            "COPY" => self.transfer().map(Command::Copy),
            "ENTRYPOINT" => self.command_line().map(Command::Entrypoint),
            "ENV" => self.pairs().map(Command::Env),
            "EXPOSE" => self.some(self.by_space()).map(Command::Expose),
            "HEALTHCHECK" => self.healthcheck().map(Command::Healthcheck),
            "LABEL" => self.pairs().map(Command::Label),
            "MAINTAINER" => self.one().map(Command::Maintainer),
            "ONBUILD" => self.onbuild().map(Command::Onbuild),
            "RUN" => self.run().map(|run| Command::Run(Box::new(run))),
            "SHELL" => self.shell().map(Command::Shell),
            "STOPSIGNAL" => self.one().map(Command::StopSignal),
            "USER" => self.one().map(Command::User),
            "VOLUME" => self.volumes().map(Command::Volume),
            _ => self.one().map(Command::Workdir),
        }
    }

    /// Exactly one argument: the whole text.
    fn one(&self) -> Result<Word, Diagnostic> {
        if self.text().is_empty() {
            return Err(self.error(format!("{} needs exactly one argument", self.name)));
        }
        Ok(self.whole())
    }

    fn some(&self, words: Vec<Word>) -> Result<Vec<Word>, Diagnostic> {
        if words.is_empty() {
            return Err(self.error(format!("{} needs at least one argument", self.name)));
        }
        Ok(words)
    }

    /// The JSON form, each argument at the place of all of them; or what white space separates.
    fn list(&self) -> Result<Vec<Word>, Diagnostic> {
        let span = self.whole().span;
        match json::list(self.text()) {
            json::List::Strings(strings) => Ok(strings.into_iter().map(|text| Word { text, span }).collect()),
            json::List::Other => Err(self.not_strings()),
            json::List::None => Ok(self.by_space()),
        }
    }

    fn not_strings(&self) -> Diagnostic {
        Diagnostic::error(self.whole().span, "the JSON form is a list of strings, and of nothing else")
    }

    /// The JSON form, or a line for the shell.
    fn command_line(&self) -> Result<CommandLine, Diagnostic> {
        match json::list(self.text()) {
            json::List::Strings(strings) => Ok(CommandLine::Exec(strings)),
            json::List::Other => Err(self.not_strings()),
            json::List::None => Ok(CommandLine::Shell(self.whole())),
        }
    }

    fn transfer(&self) -> Result<crate::ast::Transfer, Diagnostic> {
        transfer::transfer(self.name, &self.flags, self.list()?, &self.heredocs, self.span)
    }

    fn quoted(&self) -> Vec<Stretch> {
        words::quoted(&self.line.text, self.arguments, self.escape)
    }

    /// A word at its first `=`.
    fn split(&self, (from, to): Stretch) -> Option<(Word, Word)> {
        let equals = from + self.line.text[from..to].find('=')?;
        Some((self.line.word(from, equals), self.line.word(equals + 1, to)))
    }

    fn arguments(&self) -> Result<Vec<Argument>, Diagnostic> {
        let mut arguments = Vec::new();
        for (from, to) in self.quoted() {
            let (name, default) = match self.split((from, to)) {
                Some((name, default)) => (name, Some(default)),
                None => (self.line.word(from, to), None),
            };
            if name.text.is_empty() {
                return Err(Diagnostic::error(
                    self.line.place(from, to),
                    "an ARG has no name in front of its =",
                ));
            }
            arguments.push(Argument { name, default });
        }
        if arguments.is_empty() {
            return Err(self.error("ARG needs at least one argument"));
        }
        Ok(arguments)
    }

    fn pairs(&self) -> Result<Vec<Pair>, Diagnostic> {
        let stretches = self.quoted();
        let Some(first) = stretches.first() else {
            return Err(self.error(format!("{} needs at least one argument", self.name)));
        };
        // Whether white space or `=` comes first tells which of the two forms it is.
        if !self.line.text[first.0..first.1].contains('=') {
            return self.legacy_pair().map(|pair| vec![pair]);
        }
        let mut pairs = Vec::new();
        for (from, to) in stretches {
            let Some((name, value)) = self.split((from, to)) else {
                let word = self.line.word(from, to);
                let message = format!("'{}' has no =: {} is written name=value", word.text, self.name);
                return Err(Diagnostic::error(word.span, message)
                    .with_help("put the value in quotes if it has spaces"));
            };
            if name.text.is_empty() {
                let message = format!("a name of {} is empty", self.name);
                return Err(Diagnostic::error(self.line.place(from, to), message));
            }
            pairs.push(Pair { name, value, legacy: false });
        }
        Ok(pairs)
    }

    /// `NAME value`: all behind the first white space is the value.
    fn legacy_pair(&self) -> Result<Pair, Diagnostic> {
        let (start, end) = self.arguments;
        let text = &self.line.text;
        let Some(space) = text[start..end].find(words::blank).map(|at| start + at) else {
            return Err(self.error(format!("{} needs a name and a value", self.name)));
        };
        let value = end - text[space..end].trim_start_matches(words::blank).len();
        Ok(Pair { name: self.line.word(start, space), value: self.line.word(value, end), legacy: true })
    }

    fn volumes(&self) -> Result<Vec<Word>, Diagnostic> {
        let mut volumes = self.some(self.list()?)?;
        for volume in &mut volumes {
            volume.text = volume.text.trim().to_owned();
            if volume.text.is_empty() {
                return Err(Diagnostic::error(volume.span, "a VOLUME is empty"));
            }
        }
        Ok(volumes)
    }

    fn shell(&self) -> Result<Vec<String>, Diagnostic> {
        match json::list(self.text()) {
            json::List::Strings(strings) if strings.is_empty() => {
                Err(self.error("SHELL needs at least one argument"))
            }
            json::List::Strings(strings) => Ok(strings),
            json::List::Other => Err(self.not_strings()),
            json::List::None => {
                let help = "such as SHELL [\"/bin/bash\", \"-c\"]";
                Err(self.error("SHELL has to be written in the JSON form").with_help(help))
            }
        }
    }

    fn run(mut self) -> Result<Run, Diagnostic> {
        let line = self.command_line()?;
        if matches!(&line, CommandLine::Shell(word) if word.text.is_empty()) {
            return Err(self.error("RUN needs a command"));
        }
        Ok(Run {
            line,
            mounts: mount::mounts(&self.flags)?,
            network: mount::network(&self.flags)?,
            security: mount::security(&self.flags)?,
            heredocs: std::mem::take(&mut self.heredocs),
        })
    }

    fn healthcheck(&self) -> Result<Healthcheck, Diagnostic> {
        let (start, end) = self.arguments;
        let text = &self.line.text;
        let kind_end = text[start..end].find(char::is_whitespace).map_or(end, |at| start + at);
        let kind = self.line.word(start, kind_end);
        let rest = end - text[kind_end..end].trim_start().len();
        match kind.text.to_ascii_uppercase().as_str() {
            "" => return Err(self.error("HEALTHCHECK needs CMD and a command, or NONE")),
            "NONE" if rest < end => return Err(self.error("HEALTHCHECK NONE has no arguments")),
            "NONE" => match self.flags.iter().next() {
                Some(flag) => return Err(Diagnostic::error(flag.span, "HEALTHCHECK NONE has no flags")),
                None => return Ok(Healthcheck::None),
            },
            "CMD" => {}
            other => {
                let finding = Diagnostic::error(kind.span, format!("HEALTHCHECK {other} is nothing"));
                return Err(finding.with_help("it is HEALTHCHECK CMD and a command, or HEALTHCHECK NONE"));
            }
        }
        let command = match json::list(&text[rest..end]) {
            json::List::Strings(strings) => CommandLine::Exec(strings),
            json::List::Other => return Err(self.not_strings()),
            json::List::None => CommandLine::Shell(self.line.word(rest, end)),
        };
        let empty = match &command {
            CommandLine::Exec(arguments) => arguments.is_empty(),
            CommandLine::Shell(word) => word.text.is_empty(),
        };
        if empty {
            return Err(self.error("HEALTHCHECK CMD needs a command"));
        }
        Ok(Healthcheck::Test {
            command,
            interval: self.interval("interval")?,
            timeout: self.interval("timeout")?,
            start_period: self.interval("start-period")?,
            start_interval: self.interval("start-interval")?,
            retries: self.retries()?,
        })
    }

    fn interval(&self, name: &str) -> Result<std::time::Duration, Diagnostic> {
        let Some(word) = self.flags.value(name).filter(|word| !word.text.is_empty()) else {
            return Ok(std::time::Duration::ZERO);
        };
        let Some(found) = number::duration(&word.text) else {
            let finding = Diagnostic::error(word.span, format!("'{}' is no time for --{name}", word.text));
            return Err(finding.with_help("write it with its unit, such as 30s or 1m30s"));
        };
        if !found.is_zero() && found < std::time::Duration::from_millis(1) {
            return Err(Diagnostic::error(word.span, format!("--{name} is less than 1ms")));
        }
        Ok(found)
    }

    fn retries(&self) -> Result<u32, Diagnostic> {
        let Some(word) = self.flags.value("retries").filter(|word| !word.text.is_empty()) else {
            return Ok(0);
        };
        word.text
            .parse::<u32>()
            .ok()
            .filter(|count| i32::try_from(*count).is_ok())
            .ok_or_else(|| Diagnostic::error(word.span, format!("'{}' is no number of --retries", word.text)))
    }

    /// The instruction is checked now, and kept as text.
    fn onbuild(mut self) -> Result<Word, Diagnostic> {
        let (start, end) = self.arguments;
        if start >= end {
            return Err(self.error("ONBUILD needs an instruction"));
        }
        let text = &self.line.text;
        let keyword_end = text[start..end].find(words::blank).map_or(end, |at| start + at);
        let keyword = text[start..keyword_end].to_ascii_uppercase();
        if ["ONBUILD", "FROM", "MAINTAINER"].contains(&keyword.as_str()) {
            let message = format!("{keyword} cannot be kept by ONBUILD");
            return Err(Diagnostic::error(self.line.place(start, keyword_end), message));
        }
        let heredocs = std::mem::take(&mut self.heredocs);
        let mut kept = self.whole();
        for heredoc in &heredocs {
            kept.text.push('\n');
            kept.text.push_str(&heredoc.data);
            kept.text.push_str(&heredoc.name);
        }
        read_from(self.line, start, self.escape, heredocs)?;
        Ok(kept)
    }

    fn from(&self, keyword: Word) -> Result<Head, Diagnostic> {
        let mut words = self.by_space().into_iter();
        let (base, as_keyword, name) = match (words.next(), words.next(), words.next(), words.next()) {
            (Some(base), None, None, None) => (base, None, None),
            (Some(base), Some(word), Some(name), None) if word.text.eq_ignore_ascii_case("as") => {
                (base, Some(word), Some(name))
            }
            _ => {
                let help = "it is written FROM image, or FROM image AS name";
                return Err(self
                    .error("FROM needs one argument, or three with AS in the middle")
                    .with_help(help));
            }
        };
        if let Some(name) = name.as_ref().filter(|name| !stage_name(&name.text)) {
            let finding = Diagnostic::error(name.span, format!("'{}' cannot be a stage's name", name.text));
            return Err(
                finding.with_help("it begins with a letter, and has letters, digits, '-', '_' and '.'")
            );
        }
        let lower = name.as_ref().map(|name| name.text.to_lowercase());
        let description = lower.and_then(|name| {
            let found = self.line.comments.iter().find_map(|line| line.strip_prefix(&format!("{name} ")));
            found.map(str::to_owned)
        });
        Ok(Head {
            name,
            base,
            platform: self.flags.value("platform").filter(|word| !word.text.is_empty()),
            description,
            span: self.line.span(),
            source: self.line.text.trim().to_owned(),
            keyword,
            as_keyword,
            comments: self.line.comments.clone(),
        })
    }
}

fn stage_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
