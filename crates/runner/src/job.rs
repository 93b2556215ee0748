//! One job, from its set-up to its end. What a step does stands in `step`.

mod background;
mod declared;
mod environment;
mod finish;
mod hook;
mod stage;
mod step;
mod step_files;

use background::{Background, Place as StepPlace};
pub(crate) use declared::Declaration;
use declared::Declared;
pub use hook::Hooks;
pub(crate) use stage::{Post, PostWork, When};
pub(crate) use step::Going;
pub(crate) use step_files::StepFiles;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use windlass_api::runner::{Assignment, JobHappening};
use windlass_api::{Conclusion, State, StepView};
use windlass_kernel::{Clock, Timestamp};
use windlass_runtime::Level;
use windlass_workflow::model::{ActionRef, Job as JobModel, Step, StepKind, Workflow};

use crate::action::{ActionSources, Shelf};
use crate::container::{Containers, Engine, wants_containers};
use crate::context::{Frame, JobContexts, Status, StepScope};
use crate::control::Control;
use crate::docker::{Client, Docker};
use crate::local::Local;
use crate::log::Log;
use crate::matcher::Matchers;
use crate::place::{Patience, Place};
use crate::report::Reporter;
use crate::stop::{Stop, StopSwitch};
use crate::transcript::Voice;

/// How long the steps that always run have, once a job is cancelled or out of time.
const GRACE: Duration = Duration::from_mins(5);

/// What a job needs while it runs. Nothing in it changes.
pub(crate) struct Job {
    pub(crate) assignment: Assignment,
    pub(crate) workflow: Arc<Workflow>,
    pub(crate) place: Place,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) log: Log,
    pub(crate) reporter: Reporter,
    pub(crate) stop: StopSwitch,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) contexts: JobContexts,
    pub(crate) has_bash: bool,
    /// How strongly the job is kept apart: whether what it writes is thrown away.
    pub(crate) level: Level,
    pub(crate) annotations: Arc<AtomicU32>,
    pub(crate) serial: AtomicU32,
    /// Whether the steps failed, for those that come after them.
    pub(crate) steps_failed: AtomicBool,
    /// Where actions come from that are not built in, and those that came.
    pub(crate) sources: ActionSources,
    pub(crate) shelf: Shelf,
    /// What carries out its containers.
    pub(crate) engine: Arc<dyn Engine>,
    /// The machine's Docker, what was started there, and the images that were built for its actions.
    pub(crate) docker: Docker,
    /// The engine's client, once it was needed.
    pub(crate) client: tokio::sync::OnceCell<Client>,
    /// The image of its container, where it names none.
    pub(crate) image: Option<String>,
    /// What the job may use at most.
    pub(crate) limits: windlass_runtime::Limits,
    pub(crate) containers: std::sync::OnceLock<Containers>,
    /// False once they should run and do not.
    pub(crate) contained: AtomicBool,
    pub(crate) images: tokio::sync::Mutex<BTreeMap<String, String>>,
    /// The operator's scripts around it.
    pub(crate) hooks: Hooks,
    /// How many summaries its steps wrote.
    pub(crate) summaries: AtomicU32,
    /// How Node.js is called, and its version, once an action needed it.
    pub(crate) node: tokio::sync::OnceCell<(Vec<String>, String)>,
    /// This program on the machine, which the sandboxes of builds execute again.
    pub(crate) exe: PathBuf,
    /// Where builds of Dockerfiles keep what they did, by project and ref.
    pub(crate) builds: Option<PathBuf>,
    /// The registries that it logged in to.
    pub(crate) logins: Mutex<Vec<windlass_oci::Login>>,
    /// What differs in a job of this process.
    pub(crate) local: Option<Local>,
}

/// What changes from step to step.
pub(crate) struct Progress {
    /// The workflow's and the job's variables, and what steps added to them.
    pub(crate) env: BTreeMap<String, String>,
    /// Folders put before `PATH`, the first to be searched last.
    pub(crate) paths: Vec<String>,
    pub(crate) failed: bool,
    /// Why the job failed, the first time.
    pub(crate) reason: Option<String>,
    pub(crate) posts: Vec<Post>,
    /// What the stages of actions kept, by their steps.
    pub(crate) states: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) matchers: Matchers,
    /// The artifacts that steps declared.
    pub(crate) declared: Declared,
    pub(crate) frame: Frame,
}

/// How a job ended.
#[derive(Clone, Debug)]
pub(crate) struct JobEnd {
    pub(crate) conclusion: Conclusion,
    pub(crate) reason: Option<String>,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) environment_url: Option<String>,
}

/// A step's entry in the job's list, from when it begins.
pub(crate) struct Entry {
    view: StepView,
}

impl Entry {
    /// A step that begins now: its part of the log begins here.
    pub(crate) fn begin(number: u32, name: &str, log: &Log, reporter: &Reporter, now: Timestamp) -> Self {
        let view = StepView {
            name: name.to_owned(),
            state: State::Running,
            started_at: Some(now),
            log_start: log.position(),
            ..waiting(number, name)
        };
        reporter.tell(JobHappening::Step { step: view.clone() });
        Self { view }
    }

    /// The step has ended.
    pub(crate) fn end(
        mut self,
        outcome: Conclusion,
        conclusion: Conclusion,
        log: &Log,
        reporter: &Reporter,
        now: Timestamp,
    ) {
        self.view.state = State::Completed;
        self.view.outcome = Some(outcome);
        self.view.conclusion = Some(conclusion);
        self.view.finished_at = Some(now);
        self.view.log_end = Some(log.position());
        reporter.tell(JobHappening::Step { step: self.view });
    }
}

impl Entry {
    /// The step has ended; where its log stands is not known yet.
    fn ended(
        mut self,
        outcome: Conclusion,
        conclusion: Conclusion,
        reporter: &Reporter,
        now: Timestamp,
    ) -> Self {
        self.view.state = State::Completed;
        self.view.outcome = Some(outcome);
        self.view.conclusion = Some(conclusion);
        self.view.finished_at = Some(now);
        self.view.log_end = Some(self.view.log_start);
        reporter.tell(JobHappening::Step { step: self.view.clone() });
        self
    }

    /// Now it is.
    fn stands(mut self, begin: u64, end: u64, reporter: &Reporter) {
        self.view.log_start = begin;
        self.view.log_end = Some(end);
        reporter.tell(JobHappening::Step { step: self.view });
    }
}

fn waiting(number: u32, name: &str) -> StepView {
    StepView {
        number,
        name: name.to_owned(),
        state: State::Queued,
        outcome: None,
        conclusion: None,
        started_at: None,
        finished_at: None,
        log_start: 0,
        log_end: None,
    }
}

/// The name of a step that runs this script.
pub(crate) fn script_name(script: &str) -> String {
    format!("Run {}", script.trim_start().lines().next().unwrap_or_default().trim_end())
}

/// The name of a step where it has none of its own, or before it is known.
pub(crate) fn default_name(step: &Step) -> String {
    match &step.kind {
        StepKind::Run(run) => script_name(run.script.value.text()),
        StepKind::Uses(uses) => format!("Run {}", uses.action.value),
        StepKind::Wait(ids) => {
            let ids: Vec<&str> = ids.iter().map(|id| id.value.as_str()).collect();
            format!("Wait for {}", ids.join(", "))
        }
        StepKind::WaitAll => "Wait for all background steps".to_owned(),
        StepKind::Cancel(id) => format!("Cancel {}", id.value),
        StepKind::Parallel(_) => "Parallel steps".to_owned(),
    }
}

impl Job {
    /// The job as the workflow has it.
    pub(crate) fn model(&self) -> Option<&JobModel> {
        self.workflow.job(&self.assignment.key)
    }

    /// How the job stands.
    pub(crate) fn status(&self, progress: &Progress) -> Status {
        match (self.stop.now().is_stop(), progress.failed) {
            (true, _) => Status::Cancelled,
            (false, true) => Status::Failure,
            (false, false) => Status::Success,
        }
    }

    /// The present.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the job had failed, or was cancelled, when its last step ended.
    pub(crate) fn failed_before_posts(&self) -> bool {
        self.steps_failed.load(Ordering::Relaxed)
    }

    /// A number that no other step of this job has.
    pub(crate) fn next_serial(&self) -> u32 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// How a step of this number speaks.
    pub(crate) fn voice(&self, step: u32) -> Voice {
        Voice {
            log: self.log.clone(),
            reporter: self.reporter.clone(),
            step,
            debug: self.assignment.debug,
            in_job: self.annotations.clone(),
            in_step: Arc::default(),
        }
    }

    /// Runs the steps, those that come after, and evaluates what is left. The first step was the set-up.
    pub(crate) async fn run(&self) -> JobEnd {
        let watch = tokio::spawn(watch_time(self.stop.clone(), self.assignment.timeout_minutes));
        let Some(model) = self.model() else {
            return JobEnd::failed(format!("the workflow has no job `{}`", self.assignment.key));
        };
        let mut progress = Progress {
            env: BTreeMap::new(),
            paths: Vec::new(),
            failed: false,
            reason: None,
            posts: Vec::new(),
            states: BTreeMap::new(),
            matchers: Matchers::below(self.place.below.clone(), self.place.layout.workspace.clone()),
            declared: Declared::default(),
            frame: Frame::default(),
        };
        if let Err(why) = self.job_env(&mut progress, model) {
            self.voice(1).error(&why);
            return JobEnd::failed(why);
        }
        let mut pres = match self.pres(&progress, Frame::default(), model.steps(), None).await {
            Ok(pres) => pres,
            Err(why) => {
                self.voice(1).error(&why);
                return JobEnd::failed(why);
            }
        };
        if wants_containers(model) || self.image.is_some() {
            pres.insert(0, Post::plain("Initialize containers", PostWork::StartContainers));
            progress.posts.push(Post::plain("Stop containers", PostWork::StopContainers));
        }
        if let Some(script) = &self.hooks.started {
            pres.insert(0, Post::hook(hook::STARTED, script));
        }
        let places = background::places(model.steps(), 2 + pres.len() as u32);
        for (index, pre) in pres.iter().enumerate() {
            self.reporter.tell(JobHappening::Step { step: waiting(2 + index as u32, &pre.name) });
        }
        let mut number = 1;
        for place in places.iter().flat_map(|(place, children)| std::iter::once(place).chain(children)) {
            number = place.number;
            self.reporter.tell(JobHappening::Step { step: waiting(place.number, &default_name(place.step)) });
        }
        for (index, pre) in pres.into_iter().enumerate() {
            self.stage(&mut progress, pre, 2 + index as u32).await;
        }
        self.all_steps(&mut progress, places).await;
        self.steps_failed.store(self.status(&progress) != Status::Success, Ordering::Relaxed);
        while let Some(post) = progress.posts.pop() {
            number += 1;
            self.stage(&mut progress, post, number).await;
        }
        if let Some(script) = &self.hooks.completed {
            number += 1;
            self.stage(&mut progress, Post::hook(hook::COMPLETED, script), number).await;
        }
        let end = self.complete(&mut progress, model, number + 1).await;
        watch.abort();
        end
    }

    /// The job's own steps, in the foreground and in the background.
    async fn all_steps<'a>(
        &'a self,
        progress: &mut Progress,
        places: Vec<(StepPlace<'a>, Vec<StepPlace<'a>>)>,
    ) {
        let mut background = Background::of(self);
        for (place, children) in places {
            if background::goes_behind(place.step) {
                background.begin(progress, place);
            } else if background::controls(place.step) {
                background.control(progress, place, children).await;
            } else {
                background.alongside(self.top_step(progress, place)).await;
            }
        }
        background.rest(progress).await;
    }

    /// The workflow's and the job's `env`, which cannot read themselves.
    fn job_env(&self, progress: &mut Progress, model: &JobModel) -> Result<(), String> {
        for (map, whose) in [(&self.workflow.env, "the workflow"), (&model.env, "the job")] {
            let nothing = BTreeMap::new();
            let scope = StepScope {
                contexts: &self.contexts,
                frame: &progress.frame,
                env: &nothing,
                job: Status::Success,
                place: None,
            };
            let found = scope.map(map).map_err(|e| format!("`env` of {whose} cannot be evaluated: {e}"))?;
            progress.env.extend(found);
        }
        if let Some(local) = &self.local {
            progress.env.extend(local.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        Ok(())
    }

    /// The patience that nothing but the job's last end exhausts.
    pub(crate) fn last_patience(&self) -> Patience {
        Patience { switch: self.stop.clone(), survives_cancel: true, ..Patience::default() }
    }
}

impl JobEnd {
    /// A failure, and why.
    pub(crate) fn failed(reason: String) -> Self {
        Self {
            conclusion: Conclusion::Failure,
            reason: Some(reason),
            outputs: BTreeMap::new(),
            environment_url: None,
        }
    }
}

/// Ends the job when its time is over, and for good when the time for an orderly end is.
async fn watch_time(stop: StopSwitch, minutes: f64) {
    let limit = Duration::try_from_secs_f64(minutes.max(0.0) * 60.0).unwrap_or(Duration::MAX);
    tokio::select! {
        () = tokio::time::sleep(limit) => {
            let why = format!("The job has exceeded the maximum execution time of {minutes} minutes.");
            stop.set(Stop::Cancelled(why));
        }
        _ = stop.until(Stop::is_stop) => {}
    }
    let why = stop.now().reason().unwrap_or_default().to_owned();
    tokio::time::sleep(GRACE).await;
    stop.set(Stop::Forced(why));
}

/// The steps that a step runs at once.
pub(crate) fn parallel(step: &Step) -> &[Step] {
    match &step.kind {
        StepKind::Parallel(steps) => steps,
        _ => &[],
    }
}

/// What `github.action` is in each of some steps: the step's id, or a name made from what it does.
pub(crate) fn step_names(steps: &[Step]) -> Vec<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let name = |step: &Step| {
        if let Some(id) = &step.id {
            return id.value.clone();
        }
        let base = match &step.kind {
            StepKind::Uses(uses) => match &uses.action.value {
                ActionRef::Repository { owner, repo, .. } => format!("__{owner}_{repo}"),
                _ => "__self".to_owned(),
            },
            StepKind::Run(_) => "__run".to_owned(),
            _ => return String::new(),
        };
        let count = seen.entry(base.clone()).or_default();
        *count += 1;
        if *count == 1 { base } else { format!("{base}_{count}") }
    };
    steps.iter().map(name).collect()
}
