//! A workflow, typed: what is left of the file once it has been read and checked.
//!
//! Nothing here is evaluated: texts that may hold expressions are [`Template`]s, and what is known only when
//! the run goes on is an expression. Every impossible state (a step that both runs and uses, a job without
//! `runs-on`) has no value. Made by [`crate::parse()`] only.

mod call;
mod container;
pub(crate) mod graph;
mod job;
mod step;
mod value;

use crate::diagnostic::Span;
use crate::template::Template;
use crate::trigger::Triggers;

pub use call::{Call, CallSecrets, WorkflowRef};
pub use container::{Container, ContainerSetting, Credentials, List, Service, Services};
pub use job::{Environment, Job, JobKind, RunsOn, Snapshot, Strategy};
pub use step::{ActionRef, Run, Step, StepKind, Uses, is_commit};
pub use value::{ComputedEntry, Entry, Map, MapPart, Setting, Spanned, Tree, TreeName};

/// A workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Its file, as it was told to the parser, such as `.github/workflows/ci.yml`.
    pub file: String,
    /// `name`.
    pub name: Option<Spanned<String>>,
    /// `run-name`: the title of its runs.
    pub run_name: Option<Spanned<Template>>,
    /// `on`: what starts it.
    pub on: Triggers,
    /// `permissions` of the job token.
    pub permissions: Option<Permissions>,
    /// `env` of every step.
    pub env: Map,
    /// `defaults.run`.
    pub defaults: RunDefaults,
    /// `concurrency` of the run.
    pub concurrency: Option<Concurrency>,
    /// `cache-mode` of its jobs.
    pub cache_mode: Option<CacheMode>,
    /// `jobs`, in the file's order; never empty, without cycles.
    pub jobs: Vec<Job>,
}

impl Workflow {
    /// What it is called: `name`, or its file.
    pub fn display_name(&self) -> &str {
        self.name.as_ref().map_or(&self.file, |name| &name.value)
    }
}

/// `defaults.run`, or what a step says itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunDefaults {
    /// The shell's name or command line.
    pub shell: Option<Spanned<Template>>,
    /// Where `run` steps start, relative to the workspace.
    pub working_directory: Option<Spanned<Template>>,
}

/// `cache-mode`: what jobs may do with caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// Restore only.
    Read,
    /// Restore and save.
    Write,
    /// Save only.
    WriteOnly,
    /// Nothing.
    None,
}

impl CacheMode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::WriteOnly, Self::None];

    /// As it stands behind `cache-mode`, and in `ACTIONS_CACHE_MODE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::WriteOnly => "write-only",
            Self::None => "none",
        }
    }

    /// Whether caches are restored.
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }

    /// Whether caches are saved.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::WriteOnly)
    }

    /// What both allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self.reads() && other.reads(), self.writes() && other.writes()) {
            (true, true) => Self::Write,
            (true, false) => Self::Read,
            (false, true) => Self::WriteOnly,
            (false, false) => Self::None,
        }
    }
}

/// `concurrency`: at most one at a time runs in a group, and others wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Concurrency {
    /// The group's name; it ignores case.
    pub group: Spanned<Template>,
    /// Whether a newer one also cancels the one that runs.
    pub cancel_in_progress: Setting<bool>,
    /// How many wait.
    pub queue: Queue,
    /// Where it stands.
    pub span: Span,
}

/// `concurrency.queue`: how many wait in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queue {
    /// One: a newer one takes its place, and it is cancelled.
    #[default]
    Single,
    /// Up to 100, first come first served; what comes when all places are taken is cancelled.
    Max,
}

/// `permissions` of the job token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// `read-all`
    ReadAll,
    /// `write-all`
    WriteAll,
    /// What is named; all else is none. Empty for `{}`.
    Scopes(Vec<(String, Access)>),
}

/// What a token may do in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Read and write.
    Write,
}
