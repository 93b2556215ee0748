//! What every part of control shares: the ports, the clock, and the wake-up calls.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use tokio::sync::{Notify, watch};
use windlass_api::{ErrorCode, Problem};
use windlass_gateway::AdminClient;
use windlass_identity::{Action, Principal, Resource, authorize};
use windlass_kernel::{Batch, Clock, Entropy, Event, Ids, ProjectName, Store, StoreError, Timestamp};
use windlass_runtime::{Capabilities, Instances};
use windlass_secrets::Vault;
use windlass_source::Repositories;

use crate::data_dir::{DataDir, Endpoint};
use crate::images::Images;
use crate::observe::Telemetry;

/// The shared parts of control. Cheap to clone through its `Arc`.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) data: DataDir,
    pub(crate) endpoint: Endpoint,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) ids: Ids,
    pub(crate) instances: Arc<dyn Instances>,
    pub(crate) capabilities: Capabilities,
    pub(crate) gateway: AdminClient,
    pub(crate) vault: Arc<Vault>,
    /// Something about runs changed: decide again.
    pub(crate) runs_changed: Arc<Notify>,
    /// Something about environments changed: plan again.
    pub(crate) delivery_changed: Arc<Notify>,
    /// A push came in: look at the spool.
    pub(crate) pushed: Arc<Notify>,
    /// The ledger's last number, for those who follow it.
    pub(crate) ledger: Arc<watch::Sender<u64>>,
    pub(crate) started_at: Timestamp,
    pub(crate) repositories: Repositories,
    pub(crate) images: Arc<Images>,
    pub(crate) telemetry: Arc<Telemetry>,
    /// When the local runner last asked for work, in milliseconds since the Unix epoch.
    pub(crate) runner_seen: Arc<AtomicI64>,
}

impl Context {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Commits a batch and tells the ledger's readers.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<Vec<Event>, StoreError> {
        let events = self.store.commit(batch).await?;
        if let Some(last) = events.last() {
            self.ledger.send_if_modified(|seq| {
                let newer = last.seq > *seq;
                *seq = (*seq).max(last.seq);
                newer
            });
        }
        Ok(events)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("data", &self.data).finish_non_exhaustive()
    }
}

/// Turns a store's refusal into an answer. What is not the caller's fault is logged here, once.
pub(crate) fn stored(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict { .. } => Problem::conflict("it was changed meanwhile; look again and repeat"),
        StoreError::Full => Problem::new(ErrorCode::StorageFull, error.to_string()),
        StoreError::Corrupt { .. } | StoreError::Backend(_) => {
            tracing::error!(%error, "the store failed");
            Problem::new(
                ErrorCode::Internal,
                "the database failed; see logs/control.log in the data directory",
            )
        }
    }
}

/// A defect or a failing machine: logged here, once, and told without particulars.
pub(crate) fn internal(what: &str, error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "{what}");
    Problem::new(ErrorCode::Internal, format!("{what}: {error}"))
}

/// Whether the caller may; the answer says why not.
pub(crate) fn may(who: &Principal, action: Action, resource: &Resource) -> Result<(), Problem> {
    authorize(who, action, resource).map_err(|denied| Problem::forbidden(denied.why))
}

/// Whether the caller may do it to a project.
pub(crate) fn may_project(who: &Principal, action: Action, project: &ProjectName) -> Result<(), Problem> {
    may(who, action, &Resource::Project(project.clone()))
}

/// Parses a name or an id that came in from outside.
pub(crate) fn parse<T>(text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| Problem::invalid(e.to_string()))
}
