use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use windlass_kernel::Timestamp;

/// Where a run, a job or a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for other jobs (`needs`), a concurrency group, or an environment's rules.
    Waiting,
    /// Ready; waiting for a runner.
    Queued,
    /// Running.
    Running,
    /// Finished.
    Completed,
}

/// How a run, a job or a step ended, as GitHub spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// It did what it should.
    Success,
    /// It failed.
    Failure,
    /// It was cancelled (for a job also: its time limit).
    Cancelled,
    /// Its condition was not met, or what it needs was skipped or failed.
    Skipped,
    /// The workflow file is not valid: nothing ran.
    StartupFailure,
}

/// A run, in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// Its id.
    pub id: String,
    /// The project.
    pub project: String,
    /// Its number within the workflow, from 1.
    pub number: u64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The workflow's name.
    pub workflow: String,
    /// The workflow's file, such as `.github/workflows/ci.yml`.
    pub workflow_file: String,
    /// The run's title: `run-name`, or the commit's subject.
    pub title: String,
    /// What the whole run waits for before any of its jobs begins, if it does: somebody's approval.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// Whether it is of a change that somebody proposed who may not write: it gets no secrets and writes nothing.
    #[serde(default)]
    pub untrusted: bool,
    /// What started it: `push`, `pull_request`, `workflow_dispatch`, `schedule`.
    pub event: String,
    /// The full ref, such as `refs/heads/main`.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// Who started it.
    pub actor: String,
    /// Where it stands.
    pub state: State,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
    /// When it was made.
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
    /// When its first job started.
    #[schema(value_type = Option<i64>)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<i64>)]
    pub finished_at: Option<Timestamp>,
}

/// A run, whole.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    /// As in a list.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Its jobs, in the file's order, matrix legs in theirs.
    pub jobs: Vec<JobView>,
    /// What is wrong with (or worth knowing of) the workflow file.
    pub diagnostics: Vec<DiagnosticView>,
    /// What it left.
    pub artifacts: Vec<ArtifactView>,
    /// The deployments that it made.
    pub deployments: Vec<String>,
    /// The approvals that it waits for.
    pub approvals: Vec<crate::ApprovalView>,
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// Its key in the workflow file.
    pub key: String,
    /// Its name, with the matrix leg's values.
    pub name: String,
    /// The job that called the workflow which this one is of; none for the jobs of the run's own workflow.
    #[serde(default)]
    pub parent: Option<String>,
    /// The keys of the jobs that it needs.
    pub needs: Vec<String>,
    /// The environment that it deploys to.
    pub environment: Option<String>,
    /// The environment's URL, once known.
    pub environment_url: Option<String>,
    /// Where it stands.
    pub state: State,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
    /// Why it waits, was skipped, failed, was cancelled or queued again, in words.
    pub reason: Option<String>,
    /// How often it was handed to a runner.
    pub tries: u32,
    /// When it was queued.
    #[schema(value_type = Option<i64>)]
    pub queued_at: Option<Timestamp>,
    /// When it started.
    #[schema(value_type = Option<i64>)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<i64>)]
    pub finished_at: Option<Timestamp>,
    /// Its steps, as far as they are known.
    pub steps: Vec<StepView>,
    /// Its annotations.
    pub annotations: Vec<AnnotationView>,
    /// Its summary, Markdown.
    pub summary: String,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its number within the job, from 1; `Set up job` is 1.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// How it ended, before `continue-on-error`.
    pub outcome: Option<Conclusion>,
    /// How it counts, after `continue-on-error`.
    pub conclusion: Option<Conclusion>,
    /// When it started.
    #[schema(value_type = Option<i64>)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<i64>)]
    pub finished_at: Option<Timestamp>,
    /// Where its part of the job's log begins, in bytes.
    pub log_start: u64,
    /// Where its part of the job's log ends, in bytes, once it has ended.
    pub log_end: Option<u64>,
}

/// A message on a line of a file, from `::error …::` and its kin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnnotationView {
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

/// A finding in a workflow file or a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiagnosticView {
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// What is wrong and what to do.
    pub message: String,
}

/// An artifact.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ArtifactView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The size of its archive.
    pub size: u64,
    /// Its archive's digest.
    pub digest: String,
    /// When it was made.
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
    /// When it will be removed.
    #[schema(value_type = i64)]
    pub expires_at: Timestamp,
    /// Whether it is one file as it is, and no zip archive.
    #[serde(default)]
    pub raw: bool,
    /// Whether a run of an untrusted change made it: what is in it may be anybody's.
    #[serde(default)]
    pub untrusted: bool,
}

/// Starts a workflow by hand.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Dispatch {
    /// The branch or tag, such as `main`.
    pub git_ref: String,
    /// The inputs, by name.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub inputs: BTreeMap<String, Value>,
}

/// Runs again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Rerun {
    /// Only the jobs that did not succeed, and those that depend on them.
    #[serde(default)]
    pub failed_only: bool,
    /// Only this job, and those that depend on it.
    #[serde(default)]
    pub job: Option<String>,
}

/// Starts what runs on `repository_dispatch`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RepositoryDispatch {
    /// The event's type, as the sender names it; at most 100 characters.
    pub event_type: String,
    /// `github.event.client_payload`: at most 10 keys, and 65,535 characters as JSON.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub client_payload: serde_json::Map<String, Value>,
}

/// A workflow file of a project's default branch.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkflowView {
    /// Its file, such as `.github/workflows/ci.yml`.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Whether it can be started by hand.
    pub dispatchable: bool,
    /// What it asks for when it is started by hand.
    #[serde(default)]
    pub inputs: Vec<DispatchInput>,
    /// What is wrong with it.
    pub diagnostics: Vec<DiagnosticView>,
}

/// An input of a workflow that is started by hand (`on.workflow_dispatch.inputs`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DispatchInput {
    /// Its name.
    pub name: String,
    /// `string`, `boolean`, `number`, `choice` or `environment`.
    pub kind: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it must be given.
    pub required: bool,
    /// What it is unless it is given, as text.
    pub default: Option<String>,
    /// What can be chosen, of a `choice` or an `environment`.
    pub options: Vec<String>,
}
