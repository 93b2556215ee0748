//! A store in memory, enough for the index: documents, and the events that came with them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use windlass_kernel::{Batch, ChainHead, Event, Query, RawDoc, Store, StoreError, WriteOp};

#[derive(Debug, Default)]
pub(crate) struct MemoryStore(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    docs: BTreeMap<(String, String), RawDoc>,
    events: Vec<Event>,
}

impl MemoryStore {
    /// What happened so far, by kind and subject.
    pub(crate) fn happened(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().events.iter().map(|e| (e.body.kind.clone(), e.body.subject.clone())).collect()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get_raw(&self, kind: &str, id: &str) -> Result<Option<RawDoc>, StoreError> {
        Ok(self.0.lock().unwrap().docs.get(&(kind.to_owned(), id.to_owned())).cloned())
    }

    async fn list_raw(&self, kind: &str, query: &Query) -> Result<Vec<RawDoc>, StoreError> {
        let inner = self.0.lock().unwrap();
        let fits = |doc: &&RawDoc| {
            doc.kind == kind
                && query.parent.as_ref().is_none_or(|p| *p == doc.parent)
                && (query.states.is_empty() || query.states.contains(&doc.state))
                && query.after.as_ref().is_none_or(|after| doc.id > *after)
        };
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        Ok(inner.docs.values().filter(fits).take(limit).cloned().collect())
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Event>, StoreError> {
        let mut inner = self.0.lock().unwrap();
        for op in batch.writes {
            match op {
                WriteOp::Put { doc, .. } => inner.docs.insert((doc.kind.clone(), doc.id.clone()), doc),
                WriteOp::Delete { kind, id } => inner.docs.remove(&(kind, id)),
            };
        }
        let mut written = Vec::new();
        for event in batch.events {
            let head = inner.events.last().map_or_else(ChainHead::empty, ChainHead::after);
            written.push(head.append(event));
            inner.events.push(written[written.len() - 1].clone());
        }
        Ok(written)
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        Ok(self.0.lock().unwrap().events.iter().filter(|e| e.seq > after).take(limit).cloned().collect())
    }

    async fn events_back(
        &self,
        _before: u64,
        _limit: usize,
        _project: Option<&str>,
        _kind_prefix: Option<&str>,
    ) -> Result<Vec<Event>, StoreError> {
        Err(StoreError::Backend("the index does not read the ledger".into()))
    }

    async fn head(&self) -> Result<ChainHead, StoreError> {
        Ok(self.0.lock().unwrap().events.last().map_or_else(ChainHead::empty, ChainHead::after))
    }

    async fn cursor(&self, _reader: &str) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn set_cursor(&self, _reader: &str, _seq: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn next_number(&self, _counter: &str) -> Result<u64, StoreError> {
        Ok(1)
    }
}
