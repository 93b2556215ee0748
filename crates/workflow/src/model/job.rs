//! Jobs.

use super::{Concurrency, Map, Permissions, RunDefaults, Setting, Spanned, Step, Tree};
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
    /// `runs-on`.
    pub runs_on: RunsOn,
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
    /// `continue-on-error`.
    pub continue_on_error: Setting<bool>,
    /// `concurrency` of the job.
    pub concurrency: Option<Concurrency>,
    /// `environment`.
    pub environment: Option<Environment>,
    /// `permissions` of its token, instead of the workflow's.
    pub permissions: Option<Permissions>,
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub span: Span,
}

impl Job {
    /// Its steps.
    pub fn steps(&self) -> &[Step] {
        match &self.kind {
            JobKind::Steps(steps) => steps,
        }
    }
}

/// What a job does.
#[derive(Clone, Debug, PartialEq)]
pub enum JobKind {
    /// Its steps, in order; never empty.
    Steps(Vec<Step>),
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
    /// Where it stands.
    pub span: Span,
}
