//! Many clients push blobs at a time, and each blob is a document of its own: those that come while one commit is on
//! its way go together into the next, so that a thousand blobs do not cost a thousand of them. A link that only a
//! manifest will need is written behind the client's back; whoever accepts the manifest waits for it.
//!
//! What was seen to be linked is remembered for a while, for a client asks for each blob of an image in turn.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windlass_kernel::{Batch, Document as _, Store, StoreError};

use crate::repository::BlobLink;

/// The most documents of one commit.
const MOST: usize = 500;
/// How many links may be on their way before a client has to wait.
const MOST_WAITING: usize = 2000;
/// How many are remembered.
const MOST_KNOWN: usize = 20_000;
/// How long others may still come along.
const PAUSE: Duration = Duration::from_millis(20);

/// Links on their way to the store.
#[derive(Debug, Default)]
pub(crate) struct LinkQueue {
    links: Mutex<Links>,
    turn: tokio::sync::Mutex<()>,
    /// Somebody will write them shortly.
    planned: AtomicBool,
}

#[derive(Debug, Default)]
struct Links {
    /// By their documents' ids.
    waiting: HashMap<String, BlobLink>,
    known: HashSet<String>,
    /// How often something was forgotten: what was read before that is not remembered after it.
    age: u64,
}

impl LinkQueue {
    /// Writes links; when this returns, they are kept.
    pub(crate) async fn write(&self, store: &dyn Store, links: Vec<BlobLink>) -> Result<(), StoreError> {
        self.add(links);
        self.flush(store).await
    }

    /// Writes links before long. They count at once.
    pub(crate) async fn write_soon(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        links: Vec<BlobLink>,
    ) -> Result<(), StoreError> {
        if self.add(links) >= MOST_WAITING {
            return self.flush(&**store).await;
        }
        if !self.planned.swap(true, Ordering::AcqRel) {
            let (queue, store) = (self.clone(), store.clone());
            tokio::spawn(async move {
                tokio::time::sleep(PAUSE).await;
                queue.planned.store(false, Ordering::Release);
                if let Err(error) = queue.flush(&*store).await {
                    // They wait on: whoever needs them tries again, and is told.
                    tracing::warn!(%error, "which blobs repositories hold could not be written");
                }
            });
        }
        Ok(())
    }

    /// Writes what waits; when this returns, all that waited when it was called is kept.
    pub(crate) async fn flush(&self, store: &dyn Store) -> Result<(), StoreError> {
        loop {
            if self.lock().waiting.is_empty() {
                return Ok(());
            }
            // Whoever had the turn before may have taken these along.
            let _turn = self.turn.lock().await;
            let some: Vec<BlobLink> = self.lock().waiting.values().take(MOST).cloned().collect();
            if some.is_empty() {
                return Ok(());
            }
            store.commit(some.iter().fold(Batch::new(), |batch, link| batch.put(link))).await?;
            let mut links = self.lock();
            for link in some {
                let id = link.id();
                // One that was pushed once more meanwhile has a later time, which is still to be written.
                if links.waiting.get(&id) == Some(&link) {
                    links.waiting.remove(&id);
                }
                links.remember(id);
            }
        }
    }

    /// Whether a link is known; the age that an answer of the store is [remembered](Self::remember) with, if not.
    pub(crate) fn knows(&self, id: &str) -> Result<(), u64> {
        let links = self.lock();
        if links.waiting.contains_key(id) || links.known.contains(id) { Ok(()) } else { Err(links.age) }
    }

    /// The store has this link.
    pub(crate) fn remember(&self, id: String, age: u64) {
        let mut links = self.lock();
        if links.age == age {
            links.remember(id);
        }
    }

    /// Links were removed from the store.
    pub(crate) fn forget(&self, ids: impl IntoIterator<Item = String>) {
        let mut links = self.lock();
        links.age += 1;
        for id in ids {
            links.known.remove(&id);
        }
    }

    fn add(&self, links: Vec<BlobLink>) -> usize {
        let mut state = self.lock();
        state.waiting.extend(links.into_iter().map(|link| (link.id(), link)));
        state.waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    fn remember(&mut self, id: String) {
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(id);
    }
}
