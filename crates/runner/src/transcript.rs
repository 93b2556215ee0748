//! What a step writes, as it comes: workflow commands take effect, everything else goes to the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use windlass_api::AnnotationView;
use windlass_api::runner::JobHappening;

use crate::command::{self, Command, Name};
use crate::job::Declaration;
use crate::log::{LONGEST, Lines, Log, Part};
use crate::matcher::{Finding, Matchers};
use crate::report::Reporter;

/// The most annotations of one kind in a step, and of all kinds in a job.
const PER_STEP: u32 = 10;
const PER_JOB: u32 = 50;
/// The longest message of an annotation, in characters.
const LONGEST_MESSAGE: usize = 4096;

/// What the commands of a step brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// From `::set-output`.
    pub(crate) outputs: Vec<(String, String)>,
    /// From `::save-state`.
    pub(crate) state: Vec<(String, String)>,
    /// From `::set-env`.
    pub(crate) env: Vec<(String, String)>,
    /// From `::add-path`.
    pub(crate) paths: Vec<String>,
    /// From `$GITHUB_ARTIFACTS`, with the numbers of the lines.
    pub(crate) declared: Vec<(usize, Declaration)>,
    /// Why a command failed, which fails the step.
    pub(crate) failure: Option<String>,
    /// The last `::error::`, masked.
    pub(crate) last_error: Option<String>,
}

/// Where a step's annotations and log lines go.
#[derive(Clone)]
pub(crate) struct Voice {
    /// The job's log.
    pub(crate) log: Log,
    /// The job's reporter.
    pub(crate) reporter: Reporter,
    /// The step's number.
    pub(crate) step: u32,
    /// Whether `::debug::` is shown.
    pub(crate) debug: bool,
    /// How many annotations the job has.
    pub(crate) in_job: Arc<AtomicU32>,
    /// How many notices, warnings and errors the step has.
    pub(crate) in_step: Arc<[AtomicU32; 3]>,
}

/// Reads a step's output.
pub(crate) struct Transcript {
    voice: Voice,
    lines: Lines,
    rules: Rules,
}

/// Which commands are in force.
struct Rules {
    /// `ACTIONS_ALLOW_UNSECURE_COMMANDS`.
    unsecure: bool,
    echo: bool,
    stopped: Option<String>,
    matchers: Matchers,
    effects: Effects,
}

impl Voice {
    /// Says something in the step's part of the log.
    pub(crate) fn say(&self, text: &str) {
        self.log.say(text);
    }

    /// Says a warning, and annotates it.
    pub(crate) fn warn(&self, text: &str) {
        self.log.say(&format!("##[warning]{text}"));
        self.annotate(plain_annotation("warning", text));
    }

    /// Says an error, and annotates it.
    pub(crate) fn error(&self, text: &str) {
        self.log.say(&format!("##[error]{text}"));
        self.annotate(plain_annotation("error", text));
    }

    /// Says something only those who debug want to read.
    pub(crate) fn debug(&self, text: &str) {
        if self.debug {
            self.log.say(&format!("##[debug]{text}"));
        }
    }

    /// Reports an annotation, as long as there are not too many.
    pub(crate) fn annotate(&self, mut annotation: AnnotationView) {
        let kind = ["notice", "warning", "error"].iter().position(|k| *k == annotation.level).unwrap_or(0);
        if self.in_step[kind].fetch_add(1, Ordering::Relaxed) >= PER_STEP
            || self.in_job.fetch_add(1, Ordering::Relaxed) >= PER_JOB
        {
            return;
        }
        annotation.step = self.step;
        annotation.message = self.log.masked(&annotation.message).chars().take(LONGEST_MESSAGE).collect();
        annotation.title = annotation.title.map(|title| self.log.masked(&title));
        self.reporter.tell(JobHappening::Annotation { annotation });
    }
}

impl Transcript {
    /// A transcript of a step that is about to write.
    pub(crate) fn new(voice: Voice, unsecure: bool, matchers: Matchers) -> Self {
        let rules =
            Rules { unsecure, echo: voice.debug, stopped: None, matchers, effects: Effects::default() };
        Self { voice, lines: Lines::default(), rules }
    }

    /// Takes in what was written.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let Self { voice, lines, rules } = self;
        lines.feed(bytes, |part| rules.take(voice, &part));
        voice.log.flush();
    }

    /// The step wrote its last. Gives the effects of its commands, and the problem matchers as they stand.
    pub(crate) fn finish(mut self) -> (Effects, Matchers) {
        let Self { voice, lines, rules } = &mut self;
        lines.finish(|part| rules.take(voice, &part));
        voice.log.flush();
        (self.rules.effects, self.rules.matchers)
    }
}

impl Rules {
    fn take(&mut self, voice: &Voice, part: &Part<'_>) {
        let Part::Line(line) = part else { return voice.log.part(part) };
        let Ok(text) = std::str::from_utf8(line) else { return voice.log.part(part) };
        if let Some(token) = &self.stopped {
            if command::resumes(text, token) {
                self.stopped = None;
            }
            return voice.log.part(part);
        }
        let may_be = line.len() < LONGEST && (text.contains("::") || text.contains("##["));
        match may_be.then(|| command::parse(text)).flatten() {
            Some(command) => self.carry_out(voice, &command, text),
            None => {
                let seen = self.matchers.see(text);
                seen.dropped.iter().for_each(|why| voice.warn(why));
                match seen.finding {
                    Some(finding) => {
                        voice.log.write(&format!("##[{}]{text}", finding.level));
                        report_finding(voice, finding);
                    }
                    None => voice.log.part(part),
                }
            }
        }
    }

    fn carry_out(&mut self, voice: &Voice, command: &Command, line: &str) {
        let said = match command.name {
            Name::Debug => {
                if voice.debug {
                    voice.log.write(&format!("##[debug]{}", command.data));
                }
                return;
            }
            Name::Notice | Name::Warning | Name::Error => {
                if command.name == Name::Error {
                    self.effects.last_error = Some(voice.log.masked(&command.data));
                }
                return annotate(voice, command, &self.matchers);
            }
            Name::Group => return voice.log.write(&format!("##[group]{}", command.data)),
            Name::EndGroup => return voice.log.write("##[endgroup]"),
            Name::AddMask => {
                voice.log.mask(&command.data);
                if command.data.trim().is_empty() {
                    voice
                        .log
                        .write("##[warning]Can't add secret mask for empty string in ##[add-mask] command.");
                }
                Ok(())
            }
            Name::StopCommands => self.stop(command),
            Name::Echo => self.set_echo(command),
            Name::AddMatcher => self.matchers.want(&command.data),
            Name::RemoveMatcher => self.matchers.remove(command.property("owner"), &command.data),
            Name::SetOutput | Name::SaveState => self.keep(voice, command),
            Name::SetEnv | Name::AddPath => self.unsecure(command),
        };
        if self.echo {
            voice.log.write(line);
        }
        if let Err(why) = said {
            voice.error(&format!("Unable to process command '{line}' successfully."));
            voice.error(&why);
            self.effects.failure.get_or_insert(why);
        }
    }

    fn stop(&mut self, command: &Command) -> Result<(), String> {
        let token = command.data.trim();
        if token.is_empty() || Name::parse(token).is_some() {
            return Err(format!(
                "'{token}' cannot be a stop token: use a unique, non-empty text that is no command"
            ));
        }
        self.stopped = Some(token.to_owned());
        Ok(())
    }

    fn set_echo(&mut self, command: &Command) -> Result<(), String> {
        self.echo = match command.data.trim().to_ascii_lowercase().as_str() {
            "on" => true,
            "off" => false,
            _ => {
                return Err(format!(
                    "Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: '{}'.",
                    command.data
                ));
            }
        };
        Ok(())
    }

    fn keep(&mut self, voice: &Voice, command: &Command) -> Result<(), String> {
        let name = required(command, "name")?;
        let kind = command.name;
        let file = if kind == Name::SetOutput { "GITHUB_OUTPUT" } else { "GITHUB_STATE" };
        voice.warn(&format!(
            "The `{}` command is deprecated: write to the file ${file} instead.",
            kind.as_str()
        ));
        let kept = if kind == Name::SetOutput { &mut self.effects.outputs } else { &mut self.effects.state };
        kept.push((name, command.data.clone()));
        Ok(())
    }

    fn unsecure(&mut self, command: &Command) -> Result<(), String> {
        let (kind, file) = if command.name == Name::SetEnv {
            ("set-env", "GITHUB_ENV")
        } else {
            ("add-path", "GITHUB_PATH")
        };
        if !self.unsecure {
            return Err(format!(
                "The `{kind}` command is disabled. Write to the file ${file} instead, or set the environment variable \
                 ACTIONS_ALLOW_UNSECURE_COMMANDS to `true` if you trust all that this step prints."
            ));
        }
        if command.name == Name::SetEnv {
            let name = required(command, "name")?;
            if name.eq_ignore_ascii_case("NODE_OPTIONS") {
                return Err(
                    "Can't update NODE_OPTIONS environment variable using ::set-env:: command.".to_owned()
                );
            }
            self.effects.env.push((name, command.data.clone()));
        } else if command.data.is_empty() {
            return Err("a path must follow ::add-path::".to_owned());
        } else {
            self.effects.paths.push(command.data.clone());
        }
        Ok(())
    }
}

fn required(command: &Command, name: &str) -> Result<String, String> {
    let missing = || format!("Required field '{name}' is missing in ##[{}] command.", command.name.as_str());
    command.property(name).map(str::to_owned).ok_or_else(missing)
}

fn annotate(voice: &Voice, command: &Command, matchers: &Matchers) {
    let level = command.name.as_str();
    voice.log.write(&format!("##[{level}]{}", command.data));
    let number = |name: &str| command.property(name).and_then(|text| text.trim().parse::<u32>().ok());
    let mut annotation = AnnotationView {
        title: command.property("title").map(str::to_owned),
        path: command.property("file").map(|file| matchers.in_workspace(file)),
        line: number("line"),
        end_line: number("endLine"),
        column: number("col"),
        end_column: number("endColumn"),
        ..plain_annotation(level, &command.data)
    };
    // An end without a beginning is the beginning; columns mean something only within one line.
    annotation.line = annotation.line.or(annotation.end_line);
    let one_line =
        annotation.line.is_some() && annotation.end_line.is_none_or(|end| Some(end) == annotation.line);
    if !one_line {
        annotation.column = None;
        annotation.end_column = None;
    }
    voice.annotate(annotation);
}

fn plain_annotation(level: &str, message: &str) -> AnnotationView {
    AnnotationView {
        level: level.to_owned(),
        title: None,
        message: message.to_owned(),
        path: None,
        line: None,
        end_line: None,
        column: None,
        end_column: None,
        step: 0,
    }
}

fn report_finding(voice: &Voice, finding: Finding) {
    voice.annotate(AnnotationView {
        path: finding.file,
        line: finding.line,
        column: finding.column,
        title: finding.code,
        ..plain_annotation(finding.level, &finding.message)
    });
}

#[cfg(test)]
mod tests;
