//! The instructions that change the configuration, and `RUN`.

use super::StageRun;
use crate::Diagnostic;
use crate::ast::{Argument, Command, CommandLine, Healthcheck, Pair, Run, Word};
use crate::plan::{Action, HealthCheck, InlineFile, PROXIES, RunStep, history, path, ports};

/// What a here-document that begins with `#!` is below.
const SCRIPTS: &str = "/dev/pipes/";

/// The names of signals, without `SIG`.
const SIGNALS: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "UNUSED", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "EMT",
];

impl StageRun {
    /// Carries out what only changes the configuration. Says what history says of it.
    pub(super) fn configure(&mut self, command: &Command) -> Result<String, Diagnostic> {
        match command {
            Command::Arg(arguments) => self.declare(arguments),
            Command::Env(pairs) => self.env(pairs),
            Command::Label(pairs) => self.label(pairs),
            Command::Cmd(line) => {
                let argv = self.argv(line, |word| word.text.clone());
                let created_by = format!("CMD {}", history::quoted_list(&argv));
                self.config.cmd = Some(argv);
                self.cmd_said = true;
                Ok(created_by)
            }
            Command::Entrypoint(line) => Ok(self.entrypoint(line)),
            Command::Expose(words) => self.expose(words),
            Command::Healthcheck(check) => Ok(self.health(check)),
            Command::Maintainer(word) => {
                self.config.author = Some(word.text.clone());
                Ok(format!("MAINTAINER {}", word.text))
            }
            Command::Shell(shell) => {
                self.config.shell = Some(shell.clone());
                Ok(format!("SHELL {}", history::list(shell)))
            }
            Command::StopSignal(word) => self.stop_signal(word),
            Command::User(word) => {
                self.config.user = self.expand(word)?;
                Ok(format!("USER {}", self.config.user))
            }
            Command::Volume(words) => self.volumes(words),
            // These do more than change the configuration: see `StageRun::act`.
            Command::Add(_)
            | Command::Copy(_)
            | Command::Run(_)
            | Command::Workdir(_)
            | Command::Onbuild(_) => Ok(String::new()),
        }
    }

    /// The default is only expanded when nothing goes before it.
    fn declare(&mut self, arguments: &[Argument]) -> Result<String, Diagnostic> {
        let mut shown = String::from("ARG");
        for argument in arguments {
            let name = argument.name.text.as_str();
            let value = match (self.options.build_args.get(name), &argument.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expand(default)?),
                (None, None) => self.globals.get(name).map(str::to_owned),
            };
            shown.push(' ');
            shown.push_str(name);
            if let Some(value) = &value {
                self.variables.set(name, value);
                shown.push('=');
                shown.push_str(value);
            }
            self.arguments.retain(|(known, _)| known != name);
            self.arguments.push((name.to_owned(), value));
        }
        Ok(shown)
    }

    /// All pairs see what was before the instruction.
    fn expand_pairs(&mut self, pairs: &[Pair]) -> Result<Vec<(String, String)>, Diagnostic> {
        pairs.iter().map(|pair| Ok((self.expand(&pair.name)?, self.expand(&pair.value)?))).collect()
    }

    fn env(&mut self, pairs: &[Pair]) -> Result<String, Diagnostic> {
        let mut shown = String::from("ENV");
        for (name, value) in self.expand_pairs(pairs)? {
            shown.push_str(&format!(" {name}={value}"));
            self.variables.set(&name, &value);
            self.config.set_variable(&name, &value);
        }
        Ok(shown)
    }

    fn label(&mut self, pairs: &[Pair]) -> Result<String, Diagnostic> {
        let mut shown = String::from("LABEL");
        for (name, value) in self.expand_pairs(pairs)? {
            shown.push_str(&format!(" {name}={value}"));
            self.config.labels.insert(name, value);
        }
        Ok(shown)
    }

    fn entrypoint(&mut self, line: &CommandLine) -> String {
        let argv = self.argv(line, |word| word.text.clone());
        let created_by = format!("ENTRYPOINT {}", history::quoted_list(&argv));
        self.config.entrypoint = Some(argv).filter(|argv| !argv.is_empty());
        // The base's CMD was for the base's ENTRYPOINT.
        if !self.cmd_said {
            self.config.cmd = None;
        }
        created_by
    }

    fn expose(&mut self, words: &[Word]) -> Result<String, Diagnostic> {
        let mut sorted: Vec<&Word> = words.iter().collect();
        sorted.sort_by(|a, b| a.text.cmp(&b.text));
        let mut all = Vec::new();
        for word in sorted {
            let found = super::super::expand(word, self.lexer, &self.variables)?;
            self.note(word, found.missing);
            for text in found.words {
                let read = ports(&text).map_err(|message| Diagnostic::error(word.span, message))?;
                all.extend(read.all);
            }
        }
        self.config.ports.extend(all.iter().cloned());
        Ok(format!("EXPOSE {}", history::list(&all)))
    }

    fn health(&mut self, check: &Healthcheck) -> String {
        let check = match check {
            Healthcheck::None => HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() },
            Healthcheck::Test { command, interval, timeout, start_period, start_interval, retries } => {
                let mut test = Vec::new();
                match command {
                    CommandLine::Exec(argv) => {
                        test.push("CMD".to_owned());
                        test.extend(argv.iter().cloned());
                    }
                    CommandLine::Shell(word) => test.extend(["CMD-SHELL".to_owned(), word.text.clone()]),
                }
                HealthCheck {
                    test,
                    interval: *interval,
                    timeout: *timeout,
                    start_period: *start_period,
                    start_interval: *start_interval,
                    retries: *retries,
                }
            }
        };
        let created_by = format!("HEALTHCHECK {}", history::health(&check));
        self.config.healthcheck = Some(check);
        created_by
    }

    fn stop_signal(&mut self, word: &Word) -> Result<String, Diagnostic> {
        let signal = self.expand(word)?;
        let upper = signal.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let real_time = name.starts_with("RTMIN") || name.starts_with("RTMAX");
        let number = signal.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
        if !number && !real_time && !SIGNALS.contains(&name) {
            let finding = Diagnostic::error(word.span, format!("'{signal}' is no signal"));
            return Err(finding.with_suggestion(name, SIGNALS));
        }
        let created_by = format!("STOPSIGNAL {signal}");
        self.config.stop_signal = Some(signal);
        Ok(created_by)
    }

    fn volumes(&mut self, words: &[Word]) -> Result<String, Diagnostic> {
        let mut volumes = Vec::new();
        for word in words {
            let volume = self.expand(word)?;
            if volume.is_empty() {
                return Err(Diagnostic::error(word.span, "a VOLUME is empty"));
            }
            volumes.push(volume);
        }
        self.config.volumes.extend(volumes.iter().cloned());
        Ok(format!("VOLUME {}", history::list(&volumes)))
    }

    pub(super) fn workdir(&mut self, word: &Word) -> Result<(Action, String), Diagnostic> {
        let wanted = self.expand(word)?;
        let folder = path::join(self.folder(), &wanted);
        self.config.working_dir.clone_from(&folder);
        let created_by = format!("WORKDIR {folder}");
        // The root is always there.
        let action = if folder == "/" { Action::Config } else { Action::Folder(folder) };
        Ok((action, created_by))
    }

    /// The argument vector: the shell's, with the line as one argument, or the list.
    fn argv(&self, line: &CommandLine, text: impl Fn(&Word) -> String) -> Vec<String> {
        match line {
            CommandLine::Exec(argv) => argv.clone(),
            CommandLine::Shell(word) => {
                let shell = self.config.shell.clone().filter(|shell| !shell.is_empty());
                let mut argv = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
                argv.push(text(word));
                argv
            }
        }
    }

    pub(super) fn run(&mut self, run: &Run) -> Result<(Action, String), Diagnostic> {
        let mut script = None;
        let text = match &run.line {
            CommandLine::Shell(word) => {
                let (text, file) = script_of(run, word);
                script = file;
                text
            }
            CommandLine::Exec(_) => String::new(),
        };
        let argv = self.argv(&run.line, |_| text.clone());
        let mounts = self.mounts(&run.mounts)?;
        let created_by = format!("RUN {}{} # buildkit", self.shown_arguments(), argv.join(" "));
        let mut env: Vec<(String, String)> =
            self.variables.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut uncached = Vec::new();
        for (name, value) in self.proxies() {
            if self.variables.get(&name).is_none() {
                uncached.push(name.clone());
                env.push((name, value));
            }
        }
        let step = RunStep {
            argv,
            env,
            uncached,
            working_dir: self.folder().to_owned(),
            user: self.config.user.clone(),
            mounts,
            network: run.network,
            security: run.security,
            script,
        };
        Ok((Action::Run(Box::new(step)), created_by))
    }

    /// `|2 A=x B=y `: the arguments that a program sees.
    fn shown_arguments(&self) -> String {
        if self.arguments.is_empty() {
            return String::new();
        }
        let pairs: Vec<String> = self
            .arguments
            .iter()
            .map(|(name, value)| {
                let value = self.variables.get(name).or(value.as_deref()).unwrap_or_default();
                format!("{name}={value}")
            })
            .collect();
        format!("|{} {} ", pairs.len(), pairs.join(" "))
    }

    /// The proxy arguments that the build was given, in both spellings.
    fn proxies(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for proxy in PROXIES {
            let given = self.options.build_args.iter().rfind(|(name, _)| name.eq_ignore_ascii_case(proxy));
            if let Some((_, value)) = given {
                found.push((proxy.to_owned(), value.clone()));
                found.push((proxy.to_ascii_lowercase(), value.clone()));
            }
        }
        found
    }
}

/// The line that the shell gets. A here-document alone is the line itself, or a script; with something else around it
/// the shell reads it.
fn script_of(run: &Run, word: &Word) -> (String, Option<InlineFile>) {
    let Some(first) = run.heredocs.first() else { return (word.text.clone(), None) };
    if !crate::parse::is_heredoc(&word.text) {
        let mut text = word.text.clone();
        for heredoc in &run.heredocs {
            text.push('\n');
            text.push_str(&heredoc.data);
            text.push_str(&heredoc.name);
        }
        return (text, None);
    }
    let data = first.content();
    if !data.starts_with("#!") {
        return (data, None);
    }
    let name = format!("{SCRIPTS}{}", first.name);
    (name.clone(), Some(InlineFile { name, data }))
}
