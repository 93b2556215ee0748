use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use windlass_kernel::{JobId, Timestamp};

use crate::concurrency::Manner;
use crate::settings::{DEFAULT_CANCEL_TIMEOUT_MINUTES, DEFAULT_TIMEOUT_MINUTES};

/// How often a job is handed to a runner before it is given up.
pub const MAX_TRIES: u32 = 3;

/// How a run, a job or a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// It did what it should.
    Success,
    /// It failed.
    Failure,
    /// It was cancelled, or took too long.
    Cancelled,
    /// Its condition was not met.
    Skipped,
    /// The workflow file is not valid (runs only).
    StartupFailure,
}

impl Conclusion {
    /// The word for it, as in `needs.x.result`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::StartupFailure => "startup_failure",
        }
    }
}

/// A job of a run, one leg of its matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its key in the workflow file.
    pub key: String,
    /// Its name, with the leg's values.
    pub name: String,
    /// Its leg of the matrix.
    pub leg: Option<Leg>,
    /// The keys of the jobs that it needs directly.
    pub needs: Vec<String>,
    /// The job that called the workflow which this one is of; none for the jobs of the run's own workflow.
    #[serde(default)]
    pub parent: Option<JobId>,
    /// What it has called, where it calls a workflow; known when its turn has come.
    #[serde(default)]
    pub call: Option<CallState>,
    /// Where it stands.
    pub state: JobState,
    /// The labels that a runner must have, all of them.
    pub labels: Vec<String>,
    /// The environment that it deploys to.
    pub environment: Option<String>,
    /// Whether what it does there is recorded as a deployment (`environment.deployment`).
    #[serde(default = "yes")]
    pub deployment: bool,
    /// The environment's address, as its runner reported it.
    pub environment_url: Option<String>,
    /// The concurrency group that it belongs to.
    pub group: Option<GroupHold>,
    /// Whether its failure does not count.
    pub continue_on_error: bool,
    /// Whether its failure cancels the other legs.
    pub fail_fast: bool,
    /// How many legs may go on at a time; none for all.
    pub max_parallel: Option<usize>,
    /// Its time limit in minutes.
    pub timeout_minutes: f64,
    /// How long it may take to end once it was told to, in minutes.
    #[serde(default = "default_cancel_timeout")]
    pub cancel_timeout_minutes: f64,
    /// How often it was handed to a runner.
    pub tries: u32,
    /// Why it was queued again, in words.
    pub note: Option<String>,
    /// Why it is to stop, once it was told to.
    pub stopping: Option<String>,
    /// When it was told to stop.
    #[serde(default)]
    pub stopping_at: Option<Timestamp>,
    /// When it came to the gate of its environment.
    #[serde(default)]
    pub at_gate_since: Option<Timestamp>,
    /// When it was queued last.
    pub queued_at: Option<Timestamp>,
    /// When it started last.
    pub started_at: Option<Timestamp>,
    /// The level of the sandbox that it runs in, in words.
    pub sandbox: Option<String>,
    /// Its steps, as far as they are known, by number.
    pub steps: Vec<StepRecord>,
    /// Its annotations.
    pub annotations: Vec<Annotation>,
    /// Its summary, Markdown.
    pub summary: String,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// The last of its runner's reports that was taken in, of this hand-out.
    pub acknowledged: u64,
}

fn yes() -> bool {
    true
}

fn default_cancel_timeout() -> f64 {
    DEFAULT_CANCEL_TIMEOUT_MINUTES
}

/// The workflow that a job calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallState {
    /// Its place among [`crate::Run::called`].
    pub source: usize,
    /// Its `inputs` context.
    pub inputs: Json,
    /// The concurrency group that it has as a whole.
    pub group: Option<GroupHold>,
}

/// One combination of a matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// The `matrix` context.
    pub values: Json,
    /// What its job's name gains: `(linux, 3)`.
    pub suffix: String,
    /// Its place, from 0.
    pub index: usize,
    /// How many there are.
    pub total: usize,
}

/// A place in a concurrency group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHold {
    /// The group's name.
    pub name: String,
    /// How it joins.
    #[serde(flatten)]
    pub manner: Manner,
    /// Whether it has joined and not left.
    pub joined: bool,
}

/// A job in a runner's hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The runner's name.
    pub runner: String,
    /// When the lease ends unless the runner is heard of.
    pub until: Timestamp,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum JobState {
    /// It cannot be queued yet.
    Waiting {
        /// What it waits for.
        for_what: WaitingFor,
    },
    /// Ready; waiting for a runner.
    Queued {
        /// Since when.
        at: Timestamp,
    },
    /// Handed to a runner that has not said that it started.
    Leased {
        /// To whom.
        lease: Lease,
    },
    /// Running.
    Running {
        /// Where.
        lease: Lease,
        /// Since when.
        started: Timestamp,
    },
    /// The workflow that it calls goes on.
    Calling {
        /// Since when.
        started: Timestamp,
    },
    /// Finished. Nothing comes after.
    Completed {
        /// How.
        conclusion: Conclusion,
        /// Why, in words, when it is not a plain success.
        reason: Option<String>,
        /// When.
        at: Timestamp,
    },
}

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "for")]
pub enum WaitingFor {
    /// The jobs that it needs, or its run's start.
    Needs,
    /// Other legs, by `max-parallel`.
    Siblings,
    /// The rules of its environment.
    Gate {
        /// The environment.
        environment: String,
    },
    /// A concurrency group.
    Group {
        /// The group's name.
        group: String,
    },
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Running.
    Running,
    /// Finished.
    Completed,
}

/// A step, as its runner reported it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its number within the job, from 1.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: StepState,
    /// How it ended, before `continue-on-error`.
    pub outcome: Option<Conclusion>,
    /// How it counts, after `continue-on-error`.
    pub conclusion: Option<Conclusion>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Where its part of the log begins, in bytes.
    pub log_start: u64,
    /// Where its part of the log ends, once it has.
    pub log_end: Option<u64>,
}

/// A message on a line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// `notice`, `warning` or `error`.
    pub level: String,
    /// Its title.
    pub title: Option<String>,
    /// Its text.
    pub message: String,
    /// The file.
    pub path: Option<String>,
    /// The first line, from 1.
    pub line: Option<u32>,
    /// The last line.
    pub end_line: Option<u32>,
    /// The first column, from 1.
    pub column: Option<u32>,
    /// The last column.
    pub end_column: Option<u32>,
    /// The step that said it.
    pub step: u32,
}

impl Job {
    /// A job that waits for what it needs, before anything of it was evaluated.
    pub(crate) fn waiting(id: JobId, key: &str, needs: Vec<String>) -> Self {
        Self {
            id,
            key: key.to_owned(),
            name: key.to_owned(),
            leg: None,
            needs,
            parent: None,
            call: None,
            state: JobState::Waiting { for_what: WaitingFor::Needs },
            labels: Vec::new(),
            environment: None,
            deployment: true,
            environment_url: None,
            group: None,
            continue_on_error: false,
            fail_fast: true,
            max_parallel: None,
            timeout_minutes: DEFAULT_TIMEOUT_MINUTES,
            cancel_timeout_minutes: DEFAULT_CANCEL_TIMEOUT_MINUTES,
            tries: 0,
            note: None,
            stopping: None,
            stopping_at: None,
            at_gate_since: None,
            queued_at: None,
            started_at: None,
            sandbox: None,
            steps: Vec::new(),
            annotations: Vec::new(),
            summary: String::new(),
            outputs: BTreeMap::new(),
            acknowledged: 0,
        }
    }

    /// How it ended, if it has.
    pub fn conclusion(&self) -> Option<Conclusion> {
        match &self.state {
            JobState::Completed { conclusion, .. } => Some(*conclusion),
            _ => None,
        }
    }

    /// Why it stands as it does, in words, where there is something to say.
    pub fn reason(&self) -> Option<String> {
        match &self.state {
            JobState::Completed { reason, .. } => reason.clone(),
            JobState::Waiting { for_what } => match for_what {
                WaitingFor::Needs if self.needs.is_empty() => None,
                WaitingFor::Needs => Some(format!("waits for {}", self.needs.join(", "))),
                WaitingFor::Siblings => Some("waits for other legs of its matrix (max-parallel)".into()),
                WaitingFor::Gate { environment } => {
                    Some(format!("waits for the rules of the environment {environment}"))
                }
                WaitingFor::Group { group } => Some(format!("waits in the concurrency group '{group}'")),
            },
            _ => self
                .stopping
                .as_ref()
                .map(|why| format!("is being stopped: {why}"))
                .or_else(|| self.note.clone()),
        }
    }

    /// When it ended.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match &self.state {
            JobState::Completed { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// Whether it has ended.
    pub fn is_completed(&self) -> bool {
        matches!(self.state, JobState::Completed { .. })
    }

    /// The lease, while a runner holds it.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            JobState::Leased { lease } | JobState::Running { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// The concurrency groups that it belongs to: its own, and that of the workflow that it calls.
    pub fn groups(&self) -> impl Iterator<Item = &GroupHold> {
        self.group.iter().chain(self.call.iter().filter_map(|call| call.group.as_ref()))
    }

    pub(crate) fn groups_mut(&mut self) -> impl Iterator<Item = &mut GroupHold> {
        self.group.iter_mut().chain(self.call.iter_mut().filter_map(|call| call.group.as_mut()))
    }

    /// How it joins a group that it belongs to.
    pub fn manner(&self, group: &str) -> Manner {
        self.groups().find(|hold| hold.name == group).map(|hold| hold.manner).unwrap_or_default()
    }

    /// Whether it waits for `needs` (or the run's start).
    pub(crate) fn waits_for_needs(&self) -> bool {
        matches!(self.state, JobState::Waiting { for_what: WaitingFor::Needs })
    }

    /// Whether it waits for its siblings.
    pub(crate) fn waits_for_siblings(&self) -> bool {
        matches!(self.state, JobState::Waiting { for_what: WaitingFor::Siblings })
    }

    /// How it counts for others: a failure with `continue-on-error` is a success.
    pub(crate) fn result(&self) -> Option<Conclusion> {
        match self.conclusion() {
            Some(Conclusion::Failure) if self.continue_on_error => Some(Conclusion::Success),
            other => other,
        }
    }

    /// The state's name, for errors.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            JobState::Waiting { .. } => "waiting",
            JobState::Queued { .. } => "queued",
            JobState::Leased { .. } => "leased",
            JobState::Running { .. } => "running",
            JobState::Calling { .. } => "calling a workflow",
            JobState::Completed { .. } => "completed",
        }
    }
}
