//! What every part of control shares: the ports, the clock, and the wake-up calls.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};
use windlass_api::{ErrorCode, Problem};
use windlass_delivery::Manifest;
use windlass_identity::{Action, Principal, Resource, authorize};
use windlass_kernel::{
    Batch, Clock, Entropy, Event, Ids, InstanceId, ProjectName, Store, StoreError, Timestamp,
};
use windlass_runtime::{Capabilities, Instances};
use windlass_secrets::Vault;
use windlass_source::Repositories;

use crate::data_dir::{DataDir, Endpoint};
use crate::evidence::Evidence;
use crate::gateway::Gateway;
use crate::images::Images;
use crate::observe::Telemetry;
use crate::results::Results;

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
    pub(crate) gateway: Arc<dyn Gateway>,
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
    pub(crate) results: Arc<Results>,
    pub(crate) evidence: Arc<Evidence>,
    /// When the local runner last asked for work, in milliseconds since the Unix epoch.
    pub(crate) runner_seen: Arc<AtomicI64>,
    pub(crate) locks: Arc<Locks>,
    /// Manifests that were read, by project and commit: a commit never changes.
    pub(crate) manifests: Arc<Mutex<Manifests>>,
}

/// Manifests by project and commit; none where the commit has none.
pub(crate) type Manifests = HashMap<(ProjectName, String), Option<Result<Manifest, String>>>;

/// What only one task may do at a time.
#[derive(Debug)]
pub(crate) struct Locks {
    /// Making the gateway's table; holds the version that was put in force last.
    pub(crate) routing: tokio::sync::Mutex<u64>,
    /// Choosing a port, until the instance that has it is kept.
    pub(crate) ports: tokio::sync::Mutex<()>,
    /// Taking in what was pushed: two at once would number runs with gaps.
    pub(crate) receiving: tokio::sync::Mutex<()>,
    /// Giving an artifact its name.
    pub(crate) naming: tokio::sync::Mutex<()>,
    /// Writing a piece of a job's log where its end is.
    pub(crate) logs: tokio::sync::Mutex<()>,
    /// Taking in instances' lines.
    pub(crate) lines: tokio::sync::Mutex<()>,
    /// Hashing passwords takes tens of megabytes each, and anybody may ask for it.
    pub(crate) hashing: Semaphore,
    /// Searching through a job's log.
    pub(crate) searching: Semaphore,
    /// The instances that are being ended.
    ending: Mutex<HashSet<InstanceId>>,
}

impl Default for Locks {
    fn default() -> Self {
        Self {
            routing: tokio::sync::Mutex::default(),
            ports: tokio::sync::Mutex::default(),
            receiving: tokio::sync::Mutex::default(),
            naming: tokio::sync::Mutex::default(),
            logs: tokio::sync::Mutex::default(),
            lines: tokio::sync::Mutex::default(),
            hashing: Semaphore::new(2),
            searching: Semaphore::new(1),
            ending: Mutex::default(),
        }
    }
}

impl Locks {
    /// The instances that are being ended.
    pub(crate) fn ending(&self) -> MutexGuard<'_, HashSet<InstanceId>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Commits a batch and tells the ledger's readers.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<Vec<Event>, StoreError> {
        let events = self.store.commit(batch).await?;
        if let Some(last) = events.last() {
            self.written_to(last.seq);
        }
        Ok(events)
    }

    /// Tells the ledger's readers that it goes up to `head` now.
    pub(crate) fn written_to(&self, head: u64) {
        self.ledger.send_if_modified(|seq| {
            let newer = head > *seq;
            *seq = (*seq).max(head);
            newer
        });
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
    Problem::new(ErrorCode::Internal, format!("{what}; see logs/control.log in the data directory"))
}

impl Context {
    /// As [`internal`]; a full disk, which explains whatever else went wrong, is said as such.
    pub(crate) fn failing(&self, what: &str, error: &dyn std::fmt::Display) -> Problem {
        const FULL: u64 = 1 << 20;
        let disk = nix::sys::statvfs::statvfs(self.data.root());
        let problem = internal(what, error);
        if disk.is_ok_and(|d| d.blocks_available() * d.fragment_size() < FULL) {
            let root = self.data.root().display();
            let told =
                format!("{what}: the disk that holds {root} is full; free some space on it and try again");
            return Problem::new(ErrorCode::StorageFull, told);
        }
        problem
    }
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
