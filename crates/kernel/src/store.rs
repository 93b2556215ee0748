//! The port to what is kept. A document is one aggregate (a run, a deployment, a user), kept as JSON
//! with a version for optimistic concurrency and a few columns to find it by. A batch writes documents
//! and ledger events in one transaction: no transition is ever kept without its event.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ChainHead, Event, NewEvent};

/// A type that is kept as a document.
pub trait Document: Serialize + DeserializeOwned + Send + Sync {
    /// The kind's stable name, such as `run`.
    const KIND: &'static str;
    /// The key within the kind.
    fn id(&self) -> String;
    /// What it belongs to, to list by (a project's name, a run's id); empty if to nothing.
    fn parent(&self) -> String {
        String::new()
    }
    /// A short state to list by, such as `active`; empty if it has none.
    fn state(&self) -> String {
        String::new()
    }
}

/// A document with the version it was read at.
#[derive(Clone, Debug)]
pub struct Versioned<T> {
    /// The document.
    pub value: T,
    /// Its version: 1 when created, one more with each write.
    pub version: u64,
}

/// A document as the store sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDoc {
    /// [`Document::KIND`].
    pub kind: String,
    /// [`Document::id`].
    pub id: String,
    /// [`Document::parent`].
    pub parent: String,
    /// [`Document::state`].
    pub state: String,
    /// Its version.
    pub version: u64,
    /// Its JSON.
    pub body: String,
}

/// What to list. Documents come in the order of their ids (newest first if `newest_first`).
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only those with this parent.
    pub parent: Option<String>,
    /// Only those in one of these states; empty for all.
    pub states: Vec<String>,
    /// Only those whose id comes behind this one, in the order asked for.
    pub after: Option<String>,
    /// At most so many; 0 for all.
    pub limit: usize,
    /// Newest (greatest id) first.
    pub newest_first: bool,
}

/// One write.
#[derive(Clone, Debug)]
pub enum WriteOp {
    /// Creates (`expected` = 0) or replaces (`expected` = the version read) a document.
    Put {
        /// The new content; `version` is ignored.
        doc: RawDoc,
        /// The version that must stand now; `None` overwrites whatever stands.
        expected: Option<u64>,
    },
    /// Removes a document, if it is there.
    Delete {
        /// Its kind.
        kind: String,
        /// Its key.
        id: String,
    },
}

/// Writes and events that belong together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The writes.
    pub writes: Vec<WriteOp>,
    /// The events, in order.
    pub events: Vec<NewEvent>,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote first: read again, decide again.
    #[error("{kind} {id} was changed meanwhile")]
    Conflict {
        /// The document's kind.
        kind: String,
        /// The document's key.
        id: String,
    },
    /// A document could not be read as its type.
    #[error("{kind} {id} cannot be read: {why}")]
    Corrupt {
        /// The document's kind.
        kind: String,
        /// The document's key.
        id: String,
        /// What the decoder said.
        why: String,
    },
    /// There is no room left on the disk; nothing was written.
    #[error("the disk that holds the data directory is full; free some space, nothing was lost")]
    Full,
    /// The database failed.
    #[error("the database failed: {0}")]
    Backend(String),
}

/// What is kept: documents, the ledger, and its readers' cursors.
#[async_trait]
pub trait Store: Send + Sync {
    /// One document.
    async fn get_raw(&self, kind: &str, id: &str) -> Result<Option<RawDoc>, StoreError>;
    /// Documents of a kind.
    async fn list_raw(&self, kind: &str, query: &Query) -> Result<Vec<RawDoc>, StoreError>;
    /// Writes all of the batch or nothing; gives the events as they stand in the ledger. An event whose
    /// key is there already is left out (and not in the answer).
    async fn commit(&self, batch: Batch) -> Result<Vec<Event>, StoreError>;
    /// Ledger entries with `seq > after`, oldest first.
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError>;
    /// The newest entries before `before` (0 = the end), newest first; of one project and with a kind prefix, if given.
    async fn events_back(
        &self,
        before: u64,
        limit: usize,
        project: Option<&str>,
        kind_prefix: Option<&str>,
    ) -> Result<Vec<Event>, StoreError>;
    /// The end of the chain.
    async fn head(&self) -> Result<ChainHead, StoreError>;
    /// How far a reader has come; 0 for a new one.
    async fn cursor(&self, reader: &str) -> Result<u64, StoreError>;
    /// Keeps how far a reader has come. Never moves back.
    async fn set_cursor(&self, reader: &str, seq: u64) -> Result<(), StoreError>;
    /// The next number of a named counter (run numbers by project and workflow), from 1.
    async fn next_number(&self, counter: &str) -> Result<u64, StoreError>;
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a document; the commit fails with a conflict if it is there.
    pub fn create<T: Document>(self, value: &T) -> Self {
        self.write(value, Some(0))
    }

    /// Replaces a document read at `version`.
    pub fn update<T: Document>(self, value: &T, version: u64) -> Self {
        self.write(value, Some(version))
    }

    /// Writes a document whatever stands there.
    pub fn put<T: Document>(self, value: &T) -> Self {
        self.write(value, None)
    }

    fn write<T: Document>(mut self, value: &T, expected: Option<u64>) -> Self {
        let doc = RawDoc {
            kind: T::KIND.to_owned(),
            id: value.id(),
            parent: value.parent(),
            state: value.state(),
            version: 0,
            body: serde_json::to_string(value).expect("documents serialise to JSON"),
        };
        self.writes.push(WriteOp::Put { doc, expected });
        self
    }

    /// Removes a document.
    pub fn delete<T: Document>(mut self, id: impl ToString) -> Self {
        self.writes.push(WriteOp::Delete { kind: T::KIND.to_owned(), id: id.to_string() });
        self
    }

    /// Adds an event.
    pub fn event(mut self, event: NewEvent) -> Self {
        self.events.push(event);
        self
    }

    /// Adds events.
    pub fn events(mut self, events: impl IntoIterator<Item = NewEvent>) -> Self {
        self.events.extend(events);
        self
    }
}

/// Typed access over any [`Store`].
#[async_trait]
pub trait StoreExt: Store {
    /// One document.
    async fn get<T: Document>(&self, id: &str) -> Result<Option<Versioned<T>>, StoreError> {
        self.get_raw(T::KIND, id).await?.map(decode).transpose()
    }

    /// Documents of a kind.
    async fn list<T: Document>(&self, query: &Query) -> Result<Vec<Versioned<T>>, StoreError> {
        self.list_raw(T::KIND, query).await?.into_iter().map(decode).collect()
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

fn decode<T: Document>(raw: RawDoc) -> Result<Versioned<T>, StoreError> {
    match serde_json::from_str(&raw.body) {
        Ok(value) => Ok(Versioned { value, version: raw.version }),
        Err(e) => Err(StoreError::Corrupt { kind: raw.kind, id: raw.id, why: e.to_string() }),
    }
}
