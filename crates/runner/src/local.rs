//! Jobs of this very process: no unit of their own, no control, no spool. The same steps, actions, masks and commands as
//! a job of a server has; what it says and how it goes is heard at once. For `windlass run`.

mod shell;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use windlass_api::Conclusion;
use windlass_api::runner::{Assignment, JobHappening};
use windlass_kernel::Clock;
use windlass_runtime::{Bind, Runtime};
use windlass_workflow::Workflow;
use windlass_workflow::model::{Step, StepKind};

pub use shell::{FailedStep, StepPlace, StepShell};

use crate::control::Control;
use crate::place::Manner;
use crate::stop::{Stop, StopSwitch};
use crate::unit::UnitSettings;

/// Hears what a job does, in order.
#[async_trait]
pub trait Listener: Send + Sync {
    /// A line of its log, masked, without its time.
    fn line(&self, line: &[u8]);

    /// For a moment no line follows: what was held back may be shown.
    fn pause(&self);

    /// Something happened.
    fn happened(&self, what: JobHappening);

    /// A `run` step failed; what to do about it.
    async fn failed(&self, step: FailedStep) -> AfterFailure {
        let _ = step;
        AfterFailure::Stop
    }
}

/// What is to follow a failed step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// It has failed.
    Stop,
    /// It is run once more.
    Again,
    /// It counts as a success.
    GoOn,
}

/// Repositories of this machine that stand for those that a workflow names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTrees {
    /// The run's own repository: its working tree is what `actions/checkout` gives.
    pub own: PathBuf,
    /// Others, by `owner/repo@ref` or `owner/repo`, in lower case.
    pub others: BTreeMap<String, PathBuf>,
}

impl SourceTrees {
    /// The trees as a sandbox sees them: where they are, to be read only.
    pub(crate) fn binds(&self) -> impl Iterator<Item = Bind> {
        let trees = std::iter::once(&self.own).chain(self.others.values());
        trees.map(|tree| Bind { host: tree.clone(), inside: tree.clone(), read_only: true })
    }

    /// The folder of another repository.
    pub(crate) fn other(&self, repository: &str, git_ref: &str) -> Option<&PathBuf> {
        let name = repository.to_lowercase();
        let exact = self.others.get(&format!("{name}@{}", git_ref.to_lowercase()));
        exact.or_else(|| self.others.get(&name))
    }
}

/// A job to be carried out here.
pub struct LocalJob {
    /// What it is.
    pub assignment: Assignment,
    /// The workflow that it is of, as its assignment's text reads.
    pub workflow: Arc<Workflow>,
    /// Its folder: made if it is not there.
    pub folder: PathBuf,
    /// Whether the folder stays.
    pub keep: bool,
    /// This program, which a sandbox executes again.
    pub exe: PathBuf,
    /// What a unit is told.
    pub settings: UnitSettings,
    /// Where it runs.
    pub sandboxes: Arc<dyn Runtime>,
    /// Where its containers run, or why nowhere; none: where it does itself.
    pub containers: Option<Result<Arc<dyn Runtime>, String>>,
    /// Whether that is plain processes of this user: then files are looked at from here.
    pub plain: bool,
    /// A folder in memory, for what is small and short-lived.
    pub memory: Option<PathBuf>,
    /// Where its repositories are.
    pub trees: Arc<SourceTrees>,
    /// Variables of every step, whatever the workflow and the job say.
    pub env: BTreeMap<String, String>,
    /// Whether the listener is asked about steps that fail.
    pub ask: bool,
}

/// What differs in a job of this process.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) workflow: Arc<Workflow>,
    pub(crate) containers: Option<Result<Arc<dyn Runtime>, String>>,
    pub(crate) manner: Manner,
    pub(crate) trees: Arc<SourceTrees>,
    /// Variables of every step.
    pub(crate) env: Arc<BTreeMap<String, String>>,
    /// Who is asked about steps that fail.
    pub(crate) asked: Option<Arc<dyn Listener>>,
}

impl LocalJob {
    /// The folder of its steps' small files; none where a container must see them: those see the job's own folders.
    pub(crate) fn small(&self) -> Option<PathBuf> {
        let memory = self.memory.as_ref()?;
        let on_disk = needs_disk(&self.workflow, &self.assignment.key, self.settings.image.as_deref());
        (!on_disk).then(|| memory.join(&self.assignment.job))
    }

    /// The tool cache of all jobs of this user; none where a container must see it.
    pub(crate) fn tools(&self) -> Option<PathBuf> {
        let contained = needs_disk(&self.workflow, &self.assignment.key, self.settings.image.as_deref());
        self.settings.tools.clone().filter(|_| !contained)
    }
}

/// Whether a container may have to see the small files of a job's steps: it sees the job's own folders only.
pub(crate) fn needs_disk(workflow: &Workflow, job: &str, image: Option<&str>) -> bool {
    let Some(model) = workflow.job(job) else { return true };
    let plainly = |step: &Step| match &step.kind {
        StepKind::Uses(uses) => {
            uses.action.value.repository_name().is_some_and(|name| crate::action::find(&name).is_some())
        }
        _ => true,
    };
    let contained = model.container.is_some() || !model.services.is_empty() || image.is_some();
    contained || !model.all_steps().all(plainly)
}

/// Ends a job from outside. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct JobStop {
    pub(crate) switch: StopSwitch,
}

impl JobStop {
    /// The job is cancelled: what runs is ended, steps that always run still run.
    pub fn cancel(&self, reason: &str) {
        self.switch.set(Stop::Cancelled(reason.to_owned()));
    }

    /// Nothing of it runs any more.
    pub fn force(&self, reason: &str) {
        self.switch.set(Stop::Forced(reason.to_owned()));
    }
}

/// How a job ended.
#[derive(Clone, Debug)]
pub struct LocalEnd {
    /// How.
    pub conclusion: Conclusion,
    /// Why, when it is not a plain success.
    pub reason: Option<String>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// The environment's address.
    pub environment_url: Option<String>,
}

/// Carries a job out. Its future may be large: box it where many are kept.
///
/// # Errors
/// When the job's folder cannot be made; what goes wrong in the job itself is in its end.
pub async fn run_local_job(
    job: LocalJob,
    control: Arc<dyn Control>,
    listener: Arc<dyn Listener>,
    stop: &JobStop,
    clock: Arc<dyn Clock>,
) -> std::io::Result<LocalEnd> {
    std::fs::create_dir_all(&job.folder)?;
    let (folder, keep) = (job.folder.clone(), job.keep);
    let small = job.small();
    if let Some(small) = &small {
        DirBuilder::new().recursive(true).mode(0o700).create(small)?;
    }
    let end = crate::unit::here(job, control, listener, stop.switch.clone(), clock).await;
    if let Some(small) = small {
        let _ = std::fs::remove_dir_all(small);
    }
    if !keep {
        // What is left of it is of no use to anybody; the next run has a folder of its own.
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(LocalEnd {
        conclusion: end.conclusion,
        reason: end.reason,
        outputs: end.outputs,
        environment_url: end.environment_url,
    })
}
