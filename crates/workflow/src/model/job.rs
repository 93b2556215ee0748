//! Jobs.

use super::{
    CacheMode, Call, Concurrency, ContainerSetting, Map, Permissions, RunDefaults, Services, Setting,
    Spanned, Step, StepKind, Tree,
};
use crate::diagnostic::Span;
use crate::template::{Condition, Template};

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its key under `jobs`, as written; unique ignoring case.
    pub id: Spanned<String>,
    /// `name`: what it is called, where it says.
    pub name: Option<Spanned<Template>>,
    /// `needs`: the ids of other jobs of this workflow, spelt as those jobs spell them.
    pub needs: Vec<Spanned<String>>,
    /// `if`; absent means `success()`.
    pub condition: Option<Spanned<Condition>>,
    /// `runs-on`; absent exactly when the job calls a workflow.
    pub runs_on: Option<RunsOn>,
    /// `strategy`.
    pub strategy: Option<Strategy>,
    /// `env` of its steps.
    pub env: Map,
    /// `defaults.run` of its steps.
    pub defaults: RunDefaults,
    /// `outputs`, evaluated when it has ended.
    pub outputs: Map,
    /// `timeout-minutes`; absent means 360.
    pub timeout_minutes: Option<Setting<f64>>,
    /// `cancel-timeout-minutes`: how long cancelling may take; absent means 5.
    pub cancel_timeout_minutes: Option<Setting<f64>>,
    /// `continue-on-error`.
    pub continue_on_error: Setting<bool>,
    /// `concurrency` of the job.
    pub concurrency: Option<Concurrency>,
    /// `environment`.
    pub environment: Option<Environment>,
    /// `permissions` of its token, instead of the workflow's.
    pub permissions: Option<Permissions>,
    /// `container` that its steps run in.
    pub container: Option<ContainerSetting>,
    /// `services` beside it.
    pub services: Services,
    /// `snapshot`: an image made of the runner when the job has ended.
    pub snapshot: Option<Snapshot>,
    /// `cache-mode`, instead of the workflow's.
    pub cache_mode: Option<CacheMode>,
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub span: Span,
}

impl Job {
    /// Its steps; none when it calls a workflow.
    pub fn steps(&self) -> &[Step] {
        match &self.kind {
            JobKind::Steps(steps) => steps,
            JobKind::Call(_) => &[],
        }
    }

    /// Its steps, those of `parallel` too.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps().iter().flat_map(|step| {
            let inner = match &step.kind {
                StepKind::Parallel(steps) => steps.as_slice(),
                _ => &[],
            };
            std::iter::once(step).chain(inner)
        })
    }

    /// The workflow that it calls.
    pub fn call(&self) -> Option<&Call> {
        match &self.kind {
            JobKind::Call(call) => Some(call),
            JobKind::Steps(_) => None,
        }
    }
}

/// What a job does.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it stands in a job, which is larger than both")]
pub enum JobKind {
    /// Its steps, in order; never empty.
    Steps(Vec<Step>),
    /// The jobs of another workflow.
    Call(Call),
}

/// `runs-on`: the labels that a runner must have, all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct RunsOn {
    /// The labels. A single one that is an expression may give a list.
    pub labels: Vec<Spanned<Template>>,
    /// The group of runners.
    pub group: Option<Spanned<Template>>,
    /// Where it stands.
    pub span: Span,
}

/// `strategy`.
#[derive(Clone, Debug, PartialEq)]
pub struct Strategy {
    /// `matrix`: a mapping of vectors, `include` and `exclude`, or one expression that gives that.
    pub matrix: Option<Tree>,
    /// `fail-fast`: whether a leg's failure cancels its siblings.
    pub fail_fast: Setting<bool>,
    /// `max-parallel`: how many legs run at a time; absent means all.
    pub max_parallel: Option<Setting<f64>>,
    /// Where it stands.
    pub span: Span,
}

/// `environment`: where the job deploys to; its rules must pass before the job starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// Its name; one that evaluates to nothing is no environment.
    pub name: Spanned<Template>,
    /// Its address, evaluated when the job has ended.
    pub url: Option<Spanned<Template>>,
    /// `deployment`: whether a deployment is recorded.
    pub deployment: Setting<bool>,
    /// Where it stands.
    pub span: Span,
}

/// `snapshot`: an image made of the runner.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The image's name.
    pub image_name: Spanned<Template>,
    /// `version`: `1.*`.
    pub version: Option<Spanned<Template>>,
    /// `if`
    pub condition: Option<Spanned<Condition>>,
}
