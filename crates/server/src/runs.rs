//! Runs: `pipeline` decides, this carries out. Every change of a run goes through [`engine`]; what a change asks for
//! is found again from the documents by [`rounds`], so that nothing hangs on a message that a crash could lose.

pub(crate) mod approvals;
mod artifacts;
mod attempts;
mod caches;
mod called;
mod calls;
mod changes;
mod engine;
mod events;
mod follow;
mod gates;
mod lease;
mod log;
mod payload;
mod proposal;
mod rounds;
mod schedule;
mod secrets;
mod start;
mod trust;
mod view;

pub(crate) use approvals::{ApprovalDoc as Approved, approved};
pub(crate) use artifacts::{ArtifactDoc, Recorded, artifact_expiry, artifact_name};
pub(crate) use caches::{CacheDoc, cache_key};
pub(crate) use changes::Changes;
#[cfg(test)]
pub(crate) use follow::Follower;
pub(crate) use gates::{admits, manifest_at, reviewers};
pub(crate) use lease::{Bearer, report};
#[cfg(test)]
pub(crate) use rounds::look;
pub(crate) use rounds::run;
#[cfg(test)]
pub(crate) use schedule::Clockwork;
pub(crate) use start::{OWNER, Pushed, WorkflowFile, start_for_push, workflows};
pub(crate) use trust::NO_IDENTITY;
pub(crate) use view::{detail, job as job_view, summary};
