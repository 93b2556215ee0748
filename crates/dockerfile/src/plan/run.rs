//! A stage's instructions, one after the other, with what is known at each.

mod command;
mod flag;
mod transfer;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Action, Base, ImageConfig, Names, Options, Plan, Platform, Step};
use crate::ast::{Command, Instruction, Word};
use crate::diagnostic::suggest;
use crate::expand::{Lexer, Variables};
use crate::{Diagnostic, parse};

/// Where programs are looked for when nothing says it.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a stage begins with.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time, and it is taken apart at once")]
pub enum Parent<'a> {
    /// The configuration of the image, or of the named context, that it starts from; an empty one for `scratch`.
    Image(ImageConfig),
    /// The stage that it starts from, at its end.
    Stage(&'a StageRun),
}

/// A stage being gone through: an iterator over its steps. After an error it has no more.
#[derive(Clone, Debug)]
pub struct StageRun {
    lexer: Lexer,
    platform: Platform,
    options: Arc<Options>,
    globals: Arc<Variables>,
    names: Arc<Names>,
    config: ImageConfig,
    /// What words see: the environment, and the arguments that were declared.
    variables: Variables,
    /// The arguments that were declared, in order, each with its value if it has one.
    arguments: Vec<(String, Option<String>)>,
    waiting: VecDeque<(Instruction, bool)>,
    cmd_said: bool,
    ssh_mounts: usize,
    undefined: Vec<Undefined>,
}

/// A variable that is used and was never set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undefined {
    /// Its name.
    pub name: String,
    /// The word that uses it.
    pub word: Word,
    /// A name that is near to it, and set.
    pub near: Option<String>,
}

impl StageRun {
    pub(super) fn begin(plan: &Plan, index: usize, parent: Parent<'_>) -> Result<Self, Diagnostic> {
        let stage = &plan.file.stages[index];
        let (mut config, variables, arguments) = match parent {
            Parent::Image(config) => (config, Variables::default(), Vec::new()),
            Parent::Stage(run) => (run.config.clone(), run.variables.clone(), run.arguments.clone()),
        };
        let triggers = std::mem::take(&mut config.onbuild);
        let mut run = Self {
            lexer: Lexer::new(plan.file.directives.escape),
            platform: plan.stages[index].platform.clone(),
            options: Arc::clone(&plan.options),
            globals: Arc::clone(&plan.globals),
            names: Arc::clone(&plan.names),
            config,
            variables,
            arguments,
            waiting: VecDeque::new(),
            cmd_said: false,
            ssh_mounts: 0,
            undefined: Vec::new(),
        };
        if run.config.variable("PATH").is_none() && run.platform.os != "windows" {
            run.config.set_variable("PATH", USUAL_PATH);
        }
        for (name, value) in &run.config.env {
            run.variables.set(name, value);
        }
        let replaced = matches!(plan.stages[index].base, Base::Context(_))
            && super::graph::replaced(&plan.stages[index], &plan.names);
        if !replaced {
            for trigger in triggers {
                run.waiting.push_back((parse::parse_trigger(&trigger)?, true));
            }
            run.waiting.extend(stage.instructions.iter().map(|each| (each.clone(), false)));
        }
        Ok(run)
    }

    /// The configuration as it is after the last step that was taken.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The platform that the stage is for.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// What words see now: the environment, and the arguments that were declared.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// The variables that were used so far and never set.
    pub fn undefined(&self) -> &[Undefined] {
        &self.undefined
    }

    /// The words that a word is with what is known now.
    pub(crate) fn peek(&self, word: &Word) -> Result<Vec<String>, Diagnostic> {
        super::expand(word, self.lexer, &self.variables).map(|found| found.words)
    }

    /// How many instructions are still to come.
    pub fn remaining(&self) -> usize {
        self.waiting.len()
    }

    /// The folder that paths are seen from.
    fn folder(&self) -> &str {
        if self.config.working_dir.is_empty() { "/" } else { &self.config.working_dir }
    }

    /// Expands a word with what is known now.
    fn expand(&mut self, word: &Word) -> Result<String, Diagnostic> {
        let found = super::expand(word, self.lexer, &self.variables)?;
        self.note(word, found.missing);
        Ok(found.text)
    }

    fn expand_some(&mut self, word: Option<&Word>) -> Result<Option<String>, Diagnostic> {
        let text = word.map(|word| self.expand(word)).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// Remembers the variables that were not there and that nothing declares.
    fn note(&mut self, word: &Word, missing: BTreeSet<String>) {
        const MOST: usize = 200;
        for name in missing {
            let declared = self.arguments.iter().any(|(known, _)| *known == name);
            if !declared && self.undefined.len() < MOST {
                let near = suggest(&name, self.variables.names()).map(str::to_owned);
                self.undefined.push(Undefined { name, word: word.clone(), near });
            }
        }
    }

    fn step(&mut self, instruction: &Instruction, trigger: bool) -> Result<Step, Diagnostic> {
        let (action, created_by) = self.act(&instruction.command)?;
        Ok(Step {
            span: (!trigger).then_some(instruction.span),
            source: instruction.source.clone(),
            created_by,
            action,
        })
    }

    fn act(&mut self, command: &Command) -> Result<(Action, String), Diagnostic> {
        match command {
            Command::Add(transfer) => self.transfer(transfer, true),
            Command::Copy(transfer) => self.transfer(transfer, false),
            Command::Run(run) => self.run(run),
            Command::Workdir(word) => self.workdir(word),
            Command::Onbuild(word) => {
                self.config.onbuild.push(word.text.clone());
                Ok((Action::Nothing, String::new()))
            }
            other => self.configure(other).map(|created_by| (Action::Config, created_by)),
        }
    }
}

impl Iterator for StageRun {
    type Item = Result<Step, Diagnostic>;

    fn next(&mut self) -> Option<Self::Item> {
        let (instruction, trigger) = self.waiting.pop_front()?;
        let step = self.step(&instruction, trigger).map_err(|mut finding| {
            if trigger {
                // A place in what the image kept is none in this file.
                finding.span = crate::Span::default();
                finding.message = format!("ONBUILD {}: {}", instruction.source, finding.message);
            }
            finding
        });
        if step.is_err() {
            self.waiting.clear();
        }
        Some(step)
    }
}
