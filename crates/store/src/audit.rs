//! Checking the ledger's chain, as `windlass audit verify` does.

use windlass_kernel::{ChainError, ChainHead, Store, StoreError, verify_link};

const PAGE: usize = 1000;

/// What checking the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// Entries that were checked and are good.
    pub entries: u64,
    /// Where and how the chain is broken, if it is.
    pub problem: Option<ChainError>,
    /// The last good entry. Note its hash elsewhere now and then: a ledger whose end was cut off still verifies,
    /// but no longer holds that hash.
    pub head: ChainHead,
}

impl ChainReport {
    /// Whether the chain holds from the first entry to the last.
    pub fn intact(&self) -> bool {
        self.problem.is_none()
    }
}

/// Follows the chain from the first entry to the last.
pub async fn verify_chain(store: &dyn Store) -> Result<ChainReport, StoreError> {
    let mut head = ChainHead::empty();
    loop {
        let events = store.events(head.seq, PAGE).await?;
        if events.is_empty() {
            return Ok(ChainReport { entries: head.seq, problem: None, head });
        }
        for event in &events {
            match verify_link(&head, event) {
                Ok(next) => head = next,
                Err(problem) => return Ok(ChainReport { entries: head.seq, problem: Some(problem), head }),
            }
        }
    }
}
