//! What keeps pushes and collections apart: a push holds the gate while it makes things needed, a collection closes it
//! while it removes some; and what a client asked about lately is not garbage, for it may be about to name it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use windlass_kernel::{Digest, Timestamp};

/// How many digests are remembered before old ones are forgotten.
const MOST: usize = 200_000;

#[derive(Debug, Default)]
pub(crate) struct Keeping {
    gate: RwLock<()>,
    wanted: Mutex<HashMap<Digest, Timestamp>>,
}

impl Keeping {
    /// While this is held, nothing is collected.
    pub(crate) async fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// While this is held, nobody makes anything needed.
    pub(crate) async fn close(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// Somebody was told that a blob is there.
    pub(crate) fn want(&self, digest: &Digest, now: Timestamp) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.len() >= MOST && !wanted.contains_key(digest) {
            let mut times: Vec<Timestamp> = wanted.values().copied().collect();
            let (_, median, _) = times.select_nth_unstable(MOST / 2);
            let median = *median;
            wanted.retain(|_, at| *at > median);
        }
        wanted.insert(digest.clone(), now);
    }

    /// Whether somebody asked about it since.
    pub(crate) fn wanted_since(&self, digest: &Digest, since: Timestamp) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.get(digest).is_some_and(|at| *at > since)
    }
}
