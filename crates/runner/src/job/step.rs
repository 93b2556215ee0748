//! One step: whether it runs, with what, and what came of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;
use windlass_api::Conclusion;
use windlass_api::runner::JobHappening;
use windlass_runtime::{Exec, Output};
use windlass_workflow::model::{Run, Setting, Step, StepKind};

use super::background::Place as StepPlace;
use super::step_files::StepFiles;
use super::{Entry, Job, Progress, default_name, script_name, waiting};
use crate::context::{Frame, Status, StepResult, StepScope};
use crate::local::AfterFailure;
use crate::log::{Lines, Log, Part};
use crate::place::{Ended, Interruption, Patience, Place, PlaceError};
use crate::shell::Shell;
use crate::tool::MARK;
use crate::transcript::{Effects, Transcript, Voice};

/// How much of a variable's value stands at the beginning of a step's log, in characters.
const LONGEST_VALUE: usize = 4096;
/// The most summaries of a job.
const MOST_SUMMARIES: u32 = 20;

/// A step that is about to run.
pub(crate) struct Going {
    pub(crate) voice: Voice,
    pub(crate) patience: Patience,
    /// The step's own variables, and all others that expressions see.
    pub(crate) visible: BTreeMap<String, String>,
    /// Those of the step, and of the steps that use the action in which it stands.
    pub(crate) own: BTreeMap<String, String>,
    /// What the step's name is.
    pub(crate) name: String,
    /// Which step it is: its number among the job's, and below a composite action among that action's.
    pub(crate) key: String,
    /// `github.action`
    pub(crate) action: String,
    pub(crate) continue_on_error: Setting<bool>,
    /// Its `timeout-minutes`.
    minutes: Option<f64>,
    /// Whether it said itself why it failed.
    pub(crate) told: bool,
    /// By this its processes are found.
    pub(crate) mark: String,
    /// What its commands, files or action brought about.
    pub(crate) effects: Effects,
}

/// What came of a step.
pub(super) struct Came {
    pub(super) outcome: Conclusion,
    pub(super) conclusion: Conclusion,
    pub(super) outputs: BTreeMap<String, String>,
    /// Why it failed.
    pub(super) reason: Option<String>,
}

impl Job {
    /// A step of the job itself: reported as one.
    pub(super) async fn top_step(&self, progress: &mut Progress, place: StepPlace<'_>) {
        let StepPlace { step, number, key, action } = place;
        let mut frame = std::mem::take(&mut progress.frame);
        frame.action = action;
        let name = self.name(progress, &frame, step);
        let told = (number, key, name.clone());
        let (came, entry) = self.told_step(progress, &mut frame, step, told, self.voice(number)).await;
        if let Some(entry) = entry {
            entry.end(came.outcome, came.conclusion, &self.log, &self.reporter, self.now());
        }
        progress.note(&name, &came);
        remember(&mut frame, step, came);
        progress.frame = frame;
    }

    /// Runs a step of the job. It is told when it begins, and wholly if it is skipped; its end is left to be told.
    pub(super) async fn told_step(
        &self,
        progress: &mut Progress,
        frame: &mut Frame,
        step: &Step,
        (number, key, name): (u32, String, String),
        voice: Voice,
    ) -> (Came, Option<Entry>) {
        let verdict = self.holds(progress, frame, step);
        if verdict == Ok(false) {
            let mut view = waiting(number, &name);
            view.state = windlass_api::State::Completed;
            view.outcome = Some(Conclusion::Skipped);
            view.conclusion = Some(Conclusion::Skipped);
            view.log_start = self.log.position();
            view.log_end = Some(view.log_start);
            self.reporter.tell(JobHappening::Step { step: view });
            return (Came::skipped(), None);
        }
        let entry = Entry::begin(number, &name, &self.log, &self.reporter, self.now());
        let came = match verdict {
            Ok(_) => self.go(progress, frame, step, (name, key), voice).await,
            Err(why) => {
                voice.error(&why);
                Came::failed(why)
            }
        };
        (came, Some(entry))
    }

    /// A step of a composite action. True if the action goes on as a success.
    pub(crate) fn inner_step<'a>(
        &'a self,
        progress: &'a mut Progress,
        frame: &'a mut Frame,
        step: &'a Step,
        key: String,
        outer: &'a Going,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let name = self.name(progress, frame, step);
            let voice = outer.voice.clone();
            let came = match self.holds(progress, frame, step) {
                Ok(false) => Came::skipped(),
                Ok(true) => self.go(progress, frame, step, (name, key), voice).await,
                Err(why) => {
                    voice.error(&why);
                    Came::failed(why)
                }
            };
            if let (Conclusion::Failure, Some(composite)) = (came.conclusion, &mut frame.composite) {
                composite.failed = true;
            }
            remember(frame, step, came);
        })
    }

    pub(super) fn name(&self, progress: &Progress, frame: &Frame, step: &Step) -> String {
        let env = Self::visible_env(progress, frame);
        let scope = self.step_scope(progress, frame, &env, None);
        let own = step.name.as_ref().and_then(|name| scope.text(&name.value).ok());
        let own = own.filter(|name| !name.trim().is_empty()).or_else(|| match &step.kind {
            // As the shell gets it, where that is known before the step has its own variables.
            StepKind::Run(run) => scope.text(&run.script.value).ok().map(|script| script_name(&script)),
            _ => None,
        });
        self.log.masked(&own.unwrap_or_else(|| default_name(step)))
    }

    pub(crate) fn step_scope<'a>(
        &'a self,
        progress: &Progress,
        frame: &'a Frame,
        env: &'a BTreeMap<String, String>,
        patience: Option<&'a Patience>,
    ) -> StepScope<'a> {
        StepScope {
            contexts: &self.contexts,
            frame,
            env,
            job: self.status(progress),
            place: patience.map(|patience| (&self.place, patience)),
        }
    }

    /// Whether the step's `if` holds now.
    fn holds(&self, progress: &Progress, frame: &Frame, step: &Step) -> Result<bool, String> {
        let composite = frame.composite.as_ref();
        let late = composite.and_then(|c| c.deadline).is_some_and(|deadline| deadline <= Instant::now());
        if self.stop.now().is_final() || frame.own.now().is_stop() || late {
            return Ok(false);
        }
        self.holds_if(progress, frame, step, self.status(progress))
    }

    fn holds_if(
        &self,
        progress: &Progress,
        frame: &Frame,
        step: &Step,
        status: Status,
    ) -> Result<bool, String> {
        let env = Self::visible_env(progress, frame);
        let patience = self.last_patience();
        let scope = StepScope { job: status, ..self.step_scope(progress, frame, &env, Some(&patience)) };
        let Some(condition) = &step.condition else { return Ok(scope.status() == Status::Success) };
        match condition.value.evaluate(&scope) {
            Ok(verdict) => {
                if self.assignment.debug {
                    self.log.say(&format!("##[debug]if: {} => {}", verdict.explained, verdict.holds));
                }
                Ok(verdict.holds)
            }
            Err(e) => Err(format!("`if: {}` cannot be evaluated: {e}", condition.value.text())),
        }
    }

    async fn go(
        &self,
        progress: &mut Progress,
        frame: &mut Frame,
        step: &Step,
        (name, key): (String, String),
        voice: Voice,
    ) -> Came {
        let mut going = match self.prepare_step(progress, frame, step, name, key, voice.clone()) {
            Ok(going) => going,
            Err(why) => {
                voice.error(&why);
                return Came::failed(why);
            }
        };
        let files = match StepFiles::create(&self.place, self.next_serial(), &progress.declared) {
            Ok(files) => files,
            Err(e) => {
                let why = format!("cannot make the step's environment files: {e}");
                voice.error(&why);
                return Came::failed(why);
            }
        };
        let result = match &step.kind {
            StepKind::Run(run) => self.script(progress, frame, run, &mut going, &files).await,
            StepKind::Uses(uses) => self.uses(progress, frame, uses, &mut going, &files).await,
            _ => Err(PlaceError::Failed("background steps are not waited for within actions".to_owned())),
        };
        self.collect(progress, frame, going, result, &files).await
    }

    /// Takes in what a step brought about, by its files too.
    pub(super) async fn collect(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        mut going: Going,
        result: Result<(), PlaceError>,
        files: &StepFiles,
    ) -> Came {
        let summary = files.collect(&self.place, &going.voice, &mut going.effects);
        if let Some(markdown) = summary {
            match self.summaries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0..MOST_SUMMARIES => self.reporter.tell(JobHappening::Summary { markdown }),
                MOST_SUMMARIES => going.voice.say(&format!(
                    "##[warning]A job shows the summaries of {MOST_SUMMARIES} steps: this one, and those that follow, are left out."
                )),
                _ => {}
            }
        }
        let declared = self.declare(progress, &mut going).await;
        let result = match (result.and(declared), going.effects.failure.take()) {
            (Ok(()), Some(why)) => {
                // It was said when it was found.
                going.told = true;
                Err(PlaceError::Failed(why))
            }
            (result, _) => result,
        };
        Self::apply(progress, &mut going);
        self.judge(progress, frame, going, result)
    }

    /// A step that is about to run, without variables.
    pub(super) fn going(&self, name: &str, key: &str, voice: Voice) -> Going {
        Going {
            voice,
            patience: self.last_patience(),
            visible: BTreeMap::new(),
            own: BTreeMap::new(),
            name: name.to_owned(),
            key: key.to_owned(),
            action: String::new(),
            continue_on_error: Setting::Literal(false),
            minutes: None,
            told: false,
            mark: format!("{}.{}", self.assignment.job, self.next_serial()),
            effects: Effects::default(),
        }
    }

    pub(super) fn prepare_step(
        &self,
        progress: &Progress,
        frame: &Frame,
        step: &Step,
        name: String,
        key: String,
        voice: Voice,
    ) -> Result<Going, String> {
        let mut visible = Self::visible_env(progress, frame);
        let mut going = self.going(&name, &key, voice);
        let scope = self.step_scope(progress, frame, &visible, Some(&going.patience));
        let own = scope.map(&step.env).map_err(|e| format!("`env` cannot be evaluated: {e}"))?;
        let minutes = step.timeout_minutes.as_ref().map(|setting| scope.number(setting)).transpose();
        going.minutes = minutes.map_err(|e| format!("`timeout-minutes` cannot be evaluated: {e}"))?;
        visible.extend(own.iter().cloned());
        going.visible = visible;
        going.own = frame.composite.as_ref().map(|composite| composite.own.clone()).unwrap_or_default();
        going.own.extend(own);
        going.action.clone_from(&frame.action);
        going.continue_on_error = step.continue_on_error.clone();
        // A step that would also run in a cancelled job is not interrupted by the cancellation.
        going.patience.survives_cancel =
            self.holds_if(progress, frame, step, Status::Cancelled).unwrap_or(false);
        let limit = going.minutes.filter(|m| *m > 0.0);
        let limit = limit.and_then(|m| Duration::try_from_secs_f64(m * 60.0).ok());
        let limit = limit.and_then(|limit| Instant::now().checked_add(limit));
        let outer = frame.composite.as_ref().and_then(|composite| composite.deadline);
        going.patience.deadline = limit.into_iter().chain(outer).min();
        going.patience.own = frame.own.clone();
        Ok(going)
    }

    /// Carries over what a step set for those that follow.
    fn apply(progress: &mut Progress, going: &mut Going) {
        progress.env.extend(going.effects.env.drain(..).filter(|(name, _)| crate::env_file::may_set(name)));
        progress.paths.append(&mut going.effects.paths);
        if !going.effects.state.is_empty() {
            progress.states.entry(going.key.clone()).or_default().extend(going.effects.state.drain(..));
        }
    }

    pub(super) fn judge(
        &self,
        progress: &Progress,
        frame: &Frame,
        going: Going,
        result: Result<(), PlaceError>,
    ) -> Came {
        let (outcome, reason) = match result {
            Ok(()) => (Conclusion::Success, None),
            Err(PlaceError::Failed(why)) => {
                if !going.told {
                    going.voice.error(&why);
                }
                (Conclusion::Failure, Some(why))
            }
            Err(PlaceError::Interrupted(Interruption::TimedOut)) => {
                let why = match going.minutes {
                    Some(minutes) => {
                        format!("The action '{}' has timed out after {minutes} minutes.", going.name)
                    }
                    None => format!("The time of the action that '{}' is part of is over.", going.name),
                };
                going.voice.error(&why);
                (Conclusion::Failure, Some(why))
            }
            Err(PlaceError::Interrupted(_)) => {
                going.voice.error("The operation was canceled.");
                (Conclusion::Cancelled, None)
            }
        };
        let mut conclusion = outcome;
        if outcome == Conclusion::Failure {
            let scope = self.step_scope(progress, frame, &going.visible, Some(&going.patience));
            match scope.flag(&going.continue_on_error) {
                Ok(true) => conclusion = Conclusion::Success,
                Ok(false) => {}
                Err(e) => going.voice.error(&format!("`continue-on-error` cannot be evaluated: {e}")),
            }
        }
        Came { outcome, conclusion, outputs: going.effects.outputs.into_iter().collect(), reason }
    }

    /// A `run` step.
    async fn script(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        run: &Run,
        going: &mut Going,
        files: &StepFiles,
    ) -> Result<(), PlaceError> {
        let failed = |what: &str, e: &dyn std::fmt::Display| PlaceError::Failed(format!("{what}: {e}"));
        let scope = self.step_scope(progress, frame, &going.visible, Some(&going.patience));
        let script = scope.text(&run.script.value).map_err(|e| failed("`run` cannot be evaluated", &e))?;
        let shell = self.shell(&scope, frame, run).map_err(PlaceError::Failed)?;
        let cwd = self.working_directory(&scope, frame, run).map_err(PlaceError::Failed)?;
        let file = self.place.layout.scripts.join(shell.file_name(&going.mark));
        self.place
            .write(&file, shell.script(&script).as_bytes())
            .map_err(|e| failed("cannot write the script", &e))?;
        let own: Vec<_> = going.visible.iter().collect();
        going.voice.log.say(&header(&script, &shell.shown, &own));

        let mut env = self.program_env(progress, frame, &going.visible, &going.mark);
        env.extend(files.env());
        let exec = Exec { env, ..Exec::new(shell.argv(&file.to_string_lossy())) }.cwd(cwd);
        loop {
            let why = match self.execute(progress, going, exec.clone()).await? {
                exit if exit.success() => return Ok(()),
                windlass_runtime::Exit::OutOfMemory => {
                    "The process was killed: the job's memory limit was reached.".to_owned()
                }
                exit => format!("Process completed with exit code {}.", exit.code()),
            };
            match self.after_failure(&going.name, &why, &exec, &file).await {
                AfterFailure::Again => {}
                AfterFailure::GoOn => return Ok(()),
                AfterFailure::Stop => return Err(PlaceError::Failed(why)),
            }
        }
    }

    /// Runs a step's program, in the job's container if it has one.
    pub(crate) async fn execute(
        &self,
        progress: &mut Progress,
        going: &mut Going,
        exec: Exec,
    ) -> Result<windlass_runtime::Exit, PlaceError> {
        if !self.contained.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(PlaceError::Failed("the containers that the job runs in did not start".to_owned()));
        }
        self.execute_in(self.step_place(), progress, going, self.within(exec)).await
    }

    /// Runs a step's program: what it writes is the step's output, commands in it take effect.
    pub(crate) async fn execute_in(
        &self,
        place: &Place,
        progress: &mut Progress,
        going: &mut Going,
        exec: Exec,
    ) -> Result<windlass_runtime::Exit, PlaceError> {
        debug_assert!(exec.env.contains_key(MARK));
        let unsecure =
            exec.env.get("ACTIONS_ALLOW_UNSECURE_COMMANDS").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let matchers = std::mem::take(&mut progress.matchers);
        let mut transcript = Transcript::new(going.voice.clone(), unsecure, matchers);
        let ran = place.run(exec, &going.patience, &mut |bytes| transcript.feed(bytes)).await;
        let (effects, matchers) = transcript.finish();
        progress.matchers = matchers;
        going.effects = effects;
        let ran = ran?;
        if let Some(leftover) = ran.leftover {
            tokio::spawn(drain(leftover, self.log.clone()));
        }
        match ran.ended {
            Ended::Exit(exit) => Ok(exit),
            Ended::Interrupted(why) => Err(PlaceError::Interrupted(why)),
        }
    }

    fn shell(&self, scope: &StepScope<'_>, frame: &Frame, run: &Run) -> Result<Shell, String> {
        let defaults = [self.model().map(|job| &job.defaults), Some(&self.workflow.defaults)];
        let mut set = defaults.into_iter().flatten().filter(|_| frame.composite.is_none());
        let set = run.shell.as_ref().or(set.find_map(|defaults| defaults.shell.as_ref()));
        let asked = set
            .map(|shell| scope.text(&shell.value))
            .transpose()
            .map_err(|e| format!("`shell` cannot be evaluated: {e}"))?;
        let asked = asked.filter(|shell| !shell.is_empty());
        Shell::parse(asked.as_deref(), self.has_bash && !self.in_container()).map_err(|e| e.to_string())
    }

    fn working_directory(
        &self,
        scope: &StepScope<'_>,
        frame: &Frame,
        run: &Run,
    ) -> Result<std::path::PathBuf, String> {
        let defaults = [self.model().map(|job| &job.defaults), Some(&self.workflow.defaults)];
        let mut set = defaults.into_iter().flatten().filter(|_| frame.composite.is_none());
        let set = run.working_directory.as_ref().or(set.find_map(|d| d.working_directory.as_ref()));
        let folder = set
            .map(|folder| scope.text(&folder.value))
            .transpose()
            .map_err(|e| format!("`working-directory` cannot be evaluated: {e}"))?
            .unwrap_or_default();
        Ok(self.place.layout.workspace.join(folder))
    }
}

impl Progress {
    /// Notes how a step ended: a failure is the job's.
    pub(super) fn note(&mut self, name: &str, came: &Came) {
        if came.conclusion == Conclusion::Failure {
            self.failed = true;
            let why = came.reason.as_deref().unwrap_or("it failed");
            let reason = format!("step `{name}` failed: {why}");
            self.reason.get_or_insert(reason);
        }
    }
}

impl Came {
    pub(super) fn skipped() -> Self {
        let outputs = BTreeMap::new();
        Self { outcome: Conclusion::Skipped, conclusion: Conclusion::Skipped, outputs, reason: None }
    }

    pub(super) fn failed(why: String) -> Self {
        let outputs = BTreeMap::new();
        Self { outcome: Conclusion::Failure, conclusion: Conclusion::Failure, outputs, reason: Some(why) }
    }
}

pub(super) fn remember(frame: &mut Frame, step: &Step, came: Came) {
    if let Some(id) = &step.id {
        let result = StepResult { outputs: came.outputs, outcome: came.outcome, conclusion: came.conclusion };
        frame.steps.insert(id.value.clone(), result);
    }
}

/// What stands at the beginning of a `run` step's log.
fn header(script: &str, shell: &str, env: &[(&String, &String)]) -> String {
    let first = script.trim_start().lines().next().unwrap_or_default();
    let mut text = format!("##[group]Run {first}\n{}\nshell: {shell}", script.trim_end());
    if !env.is_empty() {
        text.push_str("\nenv:");
        for (name, value) in env {
            let shown =
                value.char_indices().nth(LONGEST_VALUE).map_or(value.as_str(), |(end, _)| &value[..end]);
            let more = if shown.len() < value.len() { "…" } else { "" };
            text.push_str(&format!("\n  {name}: {shown}{more}"));
        }
    }
    text + "\n##[endgroup]"
}

/// What a step left in the background still writes: into the log, as plain lines.
async fn drain(mut output: Output, log: Log) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n @ 1..) = output.read(&mut buffer).await {
        lines.feed(&buffer[..n], |part| match part {
            Part::Line(line) => log.aside(line),
            Part::Piece(_) => {}
            Part::Last(_) => {
                log.aside(b"(a line of more than 64 KiB from a process in the background is left out)");
            }
        });
    }
}
