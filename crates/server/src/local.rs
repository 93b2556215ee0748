//! Runs without a server, for `windlass run`: a shell around the same machine that decides about runs of the platform
//! ([`windlass_pipeline::step`]), with jobs in this very process ([`windlass_runner::run_local_job`]). No store, no
//! ledger, no lease that could end: what happens is told to an [`Audience`] and then forgotten.
//!
//! - `repository` finds out what a run is of, `event` what started it, `plan` which workflows and jobs run.
//! - `shell` carries a plan out, `place` says where jobs run, `control` is what they reach in a server's stead, `images`
//!   what they build.

mod control;
mod event;
mod images;
mod job;
mod place;
mod plan;
mod repository;
mod shell;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use windlass_api::{JobView, RunDetail, StepView};
use windlass_kernel::Secret;

pub use place::{LabelPlace, Where};
pub use plan::{Plan, PlanError, PlannedJob, PlannedRun, plan};
pub use shell::carry_out;
pub use windlass_runner::{AfterFailure, FailedStep, StepPlace, StepShell};

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct LocalRequest {
    /// The event; none: `push`, or what a named file runs on.
    pub event: Option<String>,
    /// A folder of the repository.
    pub folder: PathBuf,
    /// A workflow file, or a folder with workflow files; none: `.github/workflows`.
    pub workflows: Option<PathBuf>,
    /// The ids of the jobs that are wanted, with those that they need; empty for all.
    pub jobs: Vec<String>,
    /// The event's payload; its entries take the place of those made up here.
    pub payload: Option<serde_json::Map<String, serde_json::Value>>,
    /// Secrets.
    pub secrets: BTreeMap<String, Secret<String>>,
    /// Variables of the `vars` context.
    pub vars: BTreeMap<String, String>,
    /// Inputs of a start by hand.
    pub inputs: BTreeMap<String, String>,
    /// Environment variables of every step.
    pub env: BTreeMap<String, String>,
    /// The values that legs of matrices must have, by their keys.
    pub matrix: BTreeMap<String, Vec<String>>,
    /// Where jobs of a label run.
    pub places: Vec<LabelPlace>,
    /// Who is taken to have started it.
    pub actor: Option<String>,
    /// Folders that stand for repositories, by `owner/repo@ref` or `owner/repo`.
    pub repositories: BTreeMap<String, PathBuf>,
    /// Whether containers run on the Docker Engine instead of the sandbox.
    pub docker: bool,
    /// Whether nothing is to run, only to be decided: then a job whose labels nobody serves is told, not refused.
    pub plans_only: bool,
    /// Whether jobs' folders stay for the next run.
    pub reuse: bool,
    /// Whether the audience is asked about steps that fail.
    pub ask: bool,
    /// How many jobs run at a time.
    pub at_once: usize,
    /// Where artifacts, caches and jobs' folders are kept.
    pub store: PathBuf,
    /// This program, which sandboxes execute again.
    pub exe: PathBuf,
}

/// How the runs of a plan ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The runs, in the order of the plan.
    pub runs: Vec<RunDetail>,
    /// Whether something that was asked for was not there to be run: a leg with the wanted values.
    pub missed: bool,
    /// The OCI image layout that holds what was built, if something was.
    pub images: Option<PathBuf>,
    /// The folders with artifacts.
    pub artifacts: Vec<PathBuf>,
}

/// Hears how runs go. Lines come in the order in which their job wrote them.
#[async_trait]
pub trait Audience: Send + Sync {
    /// A line of a job's log, masked.
    fn line(&self, job: &str, step: &str, line: &[u8]);
    /// For a moment no line follows.
    fn pause(&self);
    /// A step began, ended or was skipped.
    fn step(&self, job: &str, step: &StepView);
    /// A job stands otherwise than before.
    fn job(&self, workflow: &str, job: &JobView);
    /// A run began or ended.
    fn run(&self, run: &RunDetail);
    /// Something that is to be known once.
    fn note(&self, text: &str);
    /// Whether pictures are wanted.
    fn looks(&self) -> bool {
        false
    }
    /// How all runs stand now; about ten times a second while something happens.
    fn look(&self, runs: &[RunDetail]) {
        let _ = runs;
    }
    /// A step of a job failed; what to do about it.
    async fn failed(&self, job: &str, step: FailedStep) -> AfterFailure {
        let _ = (job, step);
        AfterFailure::Stop
    }
}
