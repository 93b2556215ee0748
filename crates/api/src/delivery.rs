use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_kernel::Timestamp;

/// Where a deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// Another deployment to the same environment comes first.
    Queued,
    /// Instances are being started, checked, switched to or drained.
    Running,
    /// Going back to the previous release.
    RollingBack,
    /// It is live.
    Succeeded,
    /// It failed; what ran before still runs.
    Failed,
    /// It failed and the previous release serves again.
    RolledBack,
    /// It was stopped before its end.
    Cancelled,
}

/// A release: immutable.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReleaseView {
    /// Its id.
    pub id: String,
    /// Its number within the project, from 1.
    pub number: u64,
    /// The project.
    pub project: String,
    /// The commit that it was built from.
    pub sha: String,
    /// The commit's subject.
    pub title: String,
    /// The run that made it.
    pub run: Option<String>,
    /// The image digest of each service.
    pub images: BTreeMap<String, String>,
    /// When it was made.
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

/// A deployment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeploymentView {
    /// Its id.
    pub id: String,
    /// The project.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// The release.
    pub release: ReleaseView,
    /// `rolling` or `blue_green`.
    pub strategy: String,
    /// Why it was made: `deploy`, `rollback` or `redeploy`.
    pub cause: String,
    /// Where it stands.
    pub state: DeploymentState,
    /// Why it stands there, in a sentence.
    pub reason: String,
    /// What was done, in order.
    pub log: Vec<DeploymentStep>,
    /// The last answer of a failed health check.
    pub last_health: Option<String>,
    /// The last lines that the failing instance wrote.
    pub last_lines: Vec<String>,
    /// When it was made.
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<i64>)]
    pub finished_at: Option<Timestamp>,
    /// By whom.
    pub created_by: String,
    /// The addresses of the services with a route.
    pub urls: BTreeMap<String, String>,
}

/// A line of a deployment's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentStep {
    /// When.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// What was done or seen.
    pub text: String,
}

/// Deploys a release that exists to an environment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreateDeployment {
    /// The environment.
    pub environment: String,
    /// The release: its id or its number.
    pub release: String,
}

/// Goes back.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Rollback {
    /// To this release (id or number); none: the one that was live before.
    pub release: Option<String>,
}

/// An approval that a job of a run waits for, or that was given.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// Its id: `RUN:ENVIRONMENT`; just `RUN` where the whole run waits.
    pub id: String,
    /// The run.
    pub run: String,
    /// The project.
    pub project: String,
    /// The environment; empty where the whole run waits, being of a change from outside.
    pub environment: String,
    /// The change from outside whose run waits, if it is one.
    #[serde(default)]
    pub change: Option<crate::ProposedChange>,
    /// `pending`, `approved` or `rejected`.
    pub state: String,
    /// Who may decide.
    pub reviewers: Vec<String>,
    /// How many approvals are still wanted.
    pub wanted: u32,
    /// Who decided, when they have.
    pub decided_by: Vec<String>,
    /// What was said.
    pub comment: String,
    /// The image digests that it would let through: those that this run deployed to the environment before.
    pub digests: BTreeMap<String, String>,
    /// Whether the caller may decide, and if not, why not.
    pub caller_may: bool,
    /// Why the caller may not.
    pub caller_note: String,
    /// Since when it is asked.
    #[schema(value_type = i64)]
    pub requested_at: Timestamp,
}

/// Decides an approval.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Decide {
    /// Yes or no.
    pub approve: bool,
    /// Anything to say.
    #[serde(default)]
    pub comment: String,
}

/// An environment of a project: one column of the board.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentView {
    /// Its name.
    pub name: String,
    /// The environment that a digest must have passed first.
    pub after: Option<String>,
    /// Who must agree.
    pub reviewers: Vec<String>,
    /// The branches that may deploy; empty for all.
    pub branches: Vec<String>,
    /// The release that is live.
    pub live: Option<ReleaseView>,
    /// Since when.
    #[schema(value_type = Option<i64>)]
    pub live_since: Option<Timestamp>,
    /// The release kept warm to go back to.
    pub warm: Option<ReleaseView>,
    /// A deployment under way.
    pub active: Option<DeploymentView>,
    /// The newest deployments, newest first, at most 10.
    pub recent: Vec<DeploymentView>,
    /// What waits for an approval.
    pub approvals: Vec<ApprovalView>,
    /// Its services.
    pub services: Vec<ServiceSummary>,
    /// The evidence that it asks of images, in words.
    #[serde(default)]
    pub requires: Vec<String>,
}

/// A service in an environment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceSummary {
    /// The project.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// Its name.
    pub name: String,
    /// Its address through the gateway, if it has a route.
    pub url: Option<String>,
    /// The image that is live.
    pub image: Option<String>,
    /// Healthy instances that traffic goes to.
    pub healthy: u32,
    /// Instances wanted.
    pub wanted: u32,
}

/// A service, whole.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceView {
    /// As in a list.
    #[serde(flatten)]
    pub summary: ServiceSummary,
    /// Its instances, warm ones too.
    pub instances: Vec<InstanceView>,
    /// The health check in words.
    pub health: String,
    /// The release that is live.
    pub release: Option<ReleaseView>,
}

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct InstanceView {
    /// Its id.
    pub id: String,
    /// The release it belongs to.
    pub release: String,
    /// `starting`, `healthy`, `unhealthy`, `draining`, `warm`, `exited`.
    pub state: String,
    /// Whether traffic goes to it.
    pub routed: bool,
    /// Its address on this machine.
    pub address: String,
    /// When it was started.
    #[schema(value_type = i64)]
    pub started_at: Timestamp,
    /// How often it was started again after it ended by itself.
    pub restarts: u32,
    /// The last health answer.
    pub last_health: Option<String>,
    /// CPU time in use, in thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Memory in use.
    pub memory_bytes: Option<u64>,
    /// The sandbox level that it runs in.
    pub sandbox: String,
}
