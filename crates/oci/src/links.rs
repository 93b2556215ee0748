//! Many clients push blobs at a time, and each blob is a document of its own: those that come while one commit is on
//! its way go together into the next, so that a thousand blobs do not cost a thousand of them.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot::{self, error::TryRecvError};
use windlass_kernel::{Batch, Store, StoreError};

use crate::repository::BlobLink;

/// The most documents of one commit.
const MOST: usize = 500;

type Waiting = (Vec<BlobLink>, oneshot::Sender<Result<(), Fault>>);

/// A failure that all of a commit's callers are told.
#[derive(Clone, Debug)]
enum Fault {
    Full,
    Other(String),
}

/// Links on their way to the store.
#[derive(Debug, Default)]
pub(crate) struct LinkQueue {
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

impl LinkQueue {
    /// Writes links; when this returns, they are kept.
    pub(crate) async fn write(&self, store: &dyn Store, links: Vec<BlobLink>) -> Result<(), StoreError> {
        let mut outcome = self.queue(links.clone());
        loop {
            let _turn = self.turn.lock().await;
            // Whoever had the turn before may have taken these along.
            match outcome.try_recv() {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Fault::Full)) => return Err(StoreError::Full),
                Ok(Err(Fault::Other(why))) => return Err(StoreError::Backend(why)),
                // Whoever took them along went away half-way: once more, which changes nothing if they were kept.
                Err(TryRecvError::Closed) => outcome = self.queue(links.clone()),
                Err(TryRecvError::Empty) => {}
            }
            self.commit(store).await;
        }
    }

    fn queue(&self, links: Vec<BlobLink>) -> oneshot::Receiver<Result<(), Fault>> {
        let (done, outcome) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((links, done));
        outcome
    }

    async fn commit(&self, store: &dyn Store) {
        let taken: Vec<Waiting> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let mut count = 0;
            let fitting = |w: &&Waiting| {
                count += w.0.len();
                count <= MOST
            };
            // One that is larger than a commit should be goes alone.
            let number = waiting.iter().take_while(fitting).count().max(1).min(waiting.len());
            waiting.drain(..number).collect()
        };
        let batch = taken.iter().flat_map(|w| &w.0).fold(Batch::new(), |batch, link| batch.put(link));
        let outcome = store.commit(batch).await.map(|_| ()).map_err(|error| match error {
            StoreError::Full => Fault::Full,
            other => Fault::Other(other.to_string()),
        });
        for (_, done) in taken {
            // Nobody waits any more for one whose client went away.
            let _ = done.send(outcome.clone());
        }
    }
}
