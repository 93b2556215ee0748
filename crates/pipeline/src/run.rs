use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use windlass_kernel::{Actor, Document, JobId, ProjectName, RunId, Timestamp};
use windlass_workflow::model::Workflow;

use crate::called::{CalledWorkflow, Loaded};
use crate::frame::Models;
use crate::machine::Machine;
use crate::{Action, Conclusion, GroupHold, Job};

/// A run of a workflow: all that is known of its newest attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The project.
    pub project: ProjectName,
    /// Its number within the workflow, from 1.
    pub number: u64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The workflow, as it stands at the run's commit.
    pub workflow: WorkflowSource,
    /// The workflows that it calls, directly or not, as they stood when the run was made.
    #[serde(default)]
    pub called: Vec<CalledWorkflow>,
    /// The places in `called` of what the run's own workflow calls, by the text behind `uses`.
    #[serde(default)]
    pub calls: BTreeMap<String, usize>,
    /// Its title.
    pub title: String,
    /// What started it: `push`, `pull_request`, `workflow_dispatch`, `schedule`.
    pub event: String,
    /// The `github` context, whole but for what only the runner knows.
    pub github: Json,
    /// The full ref, such as `refs/heads/main`.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// Whether it is of a change that somebody proposed who may not write: it gets no secrets, may not write, and shares
    /// no concurrency group with the project's own runs.
    #[serde(default)]
    pub untrusted: bool,
    /// Who started it.
    pub actor: Actor,
    /// The `inputs` context.
    pub inputs: Json,
    /// The `vars` context, as it was when the run was made.
    pub vars: Json,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its present attempt was made; none for the first.
    #[serde(default)]
    pub attempt_at: Option<Timestamp>,
    /// When its first job started, in this attempt.
    pub started_at: Option<Timestamp>,
    /// Where it stands.
    pub state: RunState,
    /// That it shall end, once somebody said so.
    pub cancellation: Option<Cancellation>,
    /// The concurrency group that it belongs to.
    pub group: Option<GroupHold>,
    /// What is wrong with the workflow, or worth knowing.
    pub diagnostics: Vec<Finding>,
    /// Its jobs, in the file's order, legs in theirs.
    pub jobs: Vec<Job>,
}

/// A workflow file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowSource {
    /// The file, such as `.github/workflows/ci.yml`.
    pub file: String,
    /// Its text.
    pub text: String,
    /// The workflow's name.
    pub name: String,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RunState {
    /// It waits for its turn in its concurrency group; none of its jobs has begun.
    Waiting {
        /// The group's name.
        group: String,
    },
    /// It waits for somebody's approval; none of its jobs has begun, nor has it asked for its turn in a group.
    Held {
        /// Why, in words.
        reason: String,
    },
    /// Its jobs go on.
    Active,
    /// All its jobs have ended. Only a re-run leads out of here.
    Completed {
        /// How.
        conclusion: Conclusion,
        /// When.
        at: Timestamp,
    },
}

/// That a run shall end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// Who said so.
    pub by: Actor,
    /// Why, in words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A finding in the workflow file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// The file, where it is not the run's own workflow.
    #[serde(default)]
    pub file: Option<String>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// What is wrong and what to do.
    pub message: String,
}

/// What a run is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The project.
    pub project: ProjectName,
    /// Its number within the workflow, from 1.
    pub number: u64,
    /// The workflow's file.
    pub file: String,
    /// The workflow's text.
    pub text: String,
    /// Its title, unless the workflow has a `run-name`: the commit's subject.
    pub title: String,
    /// What started it.
    pub event: String,
    /// The `github` context.
    pub github: Json,
    /// The full ref.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// Who started it.
    pub actor: Actor,
    /// The `inputs` context; null or an object.
    pub inputs: Json,
    /// The `vars` context.
    pub vars: Json,
    /// The workflows that it calls: see [`crate::Loading`].
    pub called: Loaded,
}

impl Run {
    /// A run, as it stands right after it was made, and what is to be done. A workflow with errors gives one that has
    /// ended, with the errors in its diagnostics.
    pub fn new(new: NewRun, now: Timestamp, new_job_id: &mut dyn FnMut() -> JobId) -> (Self, Vec<Action>) {
        let (workflow, diagnostics) = parse(&new.file, &new.text);
        let mut models = workflow.map(|workflow| Models::knowing(Arc::new(workflow))).unwrap_or_default();
        Self::known(new, diagnostics, now, new_job_id, &mut models)
    }

    /// A run of a change that somebody proposed who may not write. Nothing of it begins before [`RunEvent::Approved`];
    /// `reason` says what it waits for.
    ///
    /// [`RunEvent::Approved`]: crate::RunEvent::Approved
    pub fn untrusted(
        new: NewRun,
        reason: &str,
        now: Timestamp,
        new_job_id: &mut dyn FnMut() -> JobId,
    ) -> (Self, Vec<Action>) {
        let (workflow, diagnostics) = parse(&new.file, &new.text);
        let mut models = workflow.map(|workflow| Models::knowing(Arc::new(workflow))).unwrap_or_default();
        Self::make(new, Some(reason), diagnostics, now, new_job_id, &mut models)
    }

    /// [`Run::new`] of a workflow that was read already, without errors: `models` know it.
    pub fn known(
        new: NewRun,
        diagnostics: Vec<Finding>,
        now: Timestamp,
        new_job_id: &mut dyn FnMut() -> JobId,
        models: &mut Models,
    ) -> (Self, Vec<Action>) {
        Self::make(new, None, diagnostics, now, new_job_id, models)
    }

    fn make(
        new: NewRun,
        held: Option<&str>,
        mut diagnostics: Vec<Finding>,
        now: Timestamp,
        new_job_id: &mut dyn FnMut() -> JobId,
        models: &mut Models,
    ) -> (Self, Vec<Action>) {
        let workflow = models.own();
        let wrong = new.called.findings.iter().any(|finding| finding.severity == "error");
        diagnostics.extend(new.called.findings);
        let name = workflow.as_ref().map_or(new.file.as_str(), |workflow| workflow.display_name()).to_owned();
        let run = Self {
            id: new.id,
            project: new.project,
            number: new.number,
            attempt: 1,
            workflow: WorkflowSource { file: new.file, text: new.text, name },
            called: new.called.workflows,
            calls: new.called.calls,
            title: new.title,
            event: new.event,
            github: new.github,
            git_ref: new.git_ref,
            sha: new.sha,
            untrusted: held.is_some(),
            actor: new.actor,
            inputs: new.inputs,
            vars: new.vars,
            created_at: now,
            attempt_at: None,
            started_at: None,
            state: RunState::Active,
            cancellation: None,
            group: None,
            diagnostics,
            jobs: Vec::new(),
        };
        let mut machine = Machine::new(run, now, new_job_id, models);
        machine.create(workflow.as_deref().filter(|_| !wrong), held);
        machine.finish()
    }

    /// A job by its id.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }

    /// A concurrency group as this run may join it: what somebody else wrote must not make the project's own runs wait,
    /// nor end them.
    pub(crate) fn fenced(&self, mut group: GroupHold) -> GroupHold {
        if self.untrusted {
            group.name = format!("{}: {}", self.git_ref, group.name);
        }
        group
    }

    /// Whether all its jobs have ended.
    pub fn is_completed(&self) -> bool {
        matches!(self.state, RunState::Completed { .. })
    }

    /// How it ended, if it has.
    pub fn conclusion(&self) -> Option<Conclusion> {
        match self.state {
            RunState::Completed { conclusion, .. } => Some(conclusion),
            _ => None,
        }
    }

    /// When it ended.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self.state {
            RunState::Completed { at, .. } => Some(at),
            _ => None,
        }
    }

    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            RunState::Waiting { .. } => "waiting",
            RunState::Held { .. } => "held for an approval",
            RunState::Active => "active",
            RunState::Completed { .. } => "completed",
        }
    }
}

impl Document for Run {
    const KIND: &'static str = "run";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn parent(&self) -> String {
        self.project.to_string()
    }

    fn state(&self) -> String {
        if self.is_completed() { "completed" } else { "active" }.to_owned()
    }
}

/// The workflow, unless it has errors; and what was found.
pub(crate) fn parse(file: &str, text: &str) -> (Option<Workflow>, Vec<Finding>) {
    let parsed = windlass_workflow::parse(file, text);
    let findings = parsed.diagnostics.iter().map(|d| Finding {
        severity: d.severity.as_str().to_owned(),
        file: None,
        line: d.span.start.line,
        column: d.span.start.column,
        message: d.help.as_ref().map_or_else(|| d.message.clone(), |help| format!("{} ({help})", d.message)),
    });
    (parsed.workflow, findings.collect())
}
