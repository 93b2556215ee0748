//! The store in memory: the same contract as the one in SQL, for tests that need no file.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use windlass_kernel::{Batch, ChainHead, Event, Query, RawDoc, Store, StoreError, WriteOp};

/// Documents, ledger, cursors and counters in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    /// By kind and id.
    documents: BTreeMap<(String, String), RawDoc>,
    events: Vec<Event>,
    cursors: HashMap<String, u64>,
    counters: HashMap<String, u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn head(&self) -> ChainHead {
        self.events.last().map_or_else(ChainHead::empty, ChainHead::after)
    }

    fn write(documents: &mut BTreeMap<(String, String), RawDoc>, op: WriteOp) -> Result<(), StoreError> {
        match op {
            WriteOp::Put { doc, expected } => {
                let key = (doc.kind.clone(), doc.id.clone());
                let stands = documents.get(&key).map_or(0, |d| d.version);
                if expected.is_some_and(|e| e != stands) {
                    return Err(StoreError::Conflict { kind: doc.kind, id: doc.id });
                }
                documents.insert(key, RawDoc { version: stands + 1, ..doc });
            }
            WriteOp::Delete { kind, id } => {
                documents.remove(&(kind, id));
            }
        }
        Ok(())
    }
}

fn at_most<T>(limit: usize, all: impl Iterator<Item = T>) -> Vec<T> {
    all.take(if limit == 0 { usize::MAX } else { limit }).collect()
}

#[async_trait]
impl Store for MemoryStore {
    async fn get_raw(&self, kind: &str, id: &str) -> Result<Option<RawDoc>, StoreError> {
        Ok(self.content().documents.get(&(kind.to_owned(), id.to_owned())).cloned())
    }

    async fn list_raw(&self, kind: &str, query: &Query) -> Result<Vec<RawDoc>, StoreError> {
        let content = self.content();
        let mut all: Vec<&RawDoc> = content.documents.values().filter(|d| d.kind == kind).collect();
        if query.newest_first {
            all.reverse();
        }
        let wanted = |d: &&RawDoc| {
            let behind = |after: &String| if query.newest_first { d.id < *after } else { d.id > *after };
            query.parent.as_ref().is_none_or(|p| *p == d.parent)
                && (query.states.is_empty() || query.states.contains(&d.state))
                && query.after.as_ref().is_none_or(behind)
        };
        Ok(at_most(query.limit, all.into_iter().filter(wanted).cloned()))
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Event>, StoreError> {
        let mut content = self.content();
        let mut documents = content.documents.clone();
        for op in batch.writes {
            Content::write(&mut documents, op)?;
        }
        content.documents = documents;
        let mut appended = Vec::new();
        for event in batch.events {
            let known = event.key.is_some() && content.events.iter().any(|e| e.body.key == event.key);
            if !known {
                let event = content.head().append(event);
                content.events.push(event.clone());
                appended.push(event);
            }
        }
        Ok(appended)
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        Ok(at_most(limit, self.content().events.iter().filter(|e| e.seq > after).cloned()))
    }

    async fn events_back(
        &self,
        before: u64,
        limit: usize,
        project: Option<&str>,
        kind_prefix: Option<&str>,
    ) -> Result<Vec<Event>, StoreError> {
        let wanted = |e: &&Event| {
            (before == 0 || e.seq < before)
                && project.is_none_or(|p| e.body.project.as_ref().is_some_and(|of| of.as_str() == p))
                && kind_prefix.is_none_or(|prefix| e.body.kind.starts_with(prefix))
        };
        Ok(at_most(limit, self.content().events.iter().rev().filter(wanted).cloned()))
    }

    async fn head(&self) -> Result<ChainHead, StoreError> {
        Ok(self.content().head())
    }

    async fn cursor(&self, reader: &str) -> Result<u64, StoreError> {
        Ok(self.content().cursors.get(reader).copied().unwrap_or(0))
    }

    async fn set_cursor(&self, reader: &str, seq: u64) -> Result<(), StoreError> {
        let mut content = self.content();
        let cursor = content.cursors.entry(reader.to_owned()).or_default();
        *cursor = seq.max(*cursor);
        Ok(())
    }

    async fn next_number(&self, counter: &str) -> Result<u64, StoreError> {
        let mut content = self.content();
        let number = content.counters.entry(counter.to_owned()).or_default();
        *number += 1;
        Ok(*number)
    }
}
