use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{Actor, ProjectName, Timestamp};

/// Something that happened, before the ledger has numbered and chained it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// When, by the clock of whoever decided it.
    pub at: Timestamp,
    /// By whom.
    pub actor: Actor,
    /// What: `noun.verb` in the past tense, such as `run.started` or `ref.updated`.
    pub kind: String,
    /// The project that it belongs to, if to one.
    pub project: Option<ProjectName>,
    /// The thing that it is about: a typed id or a name.
    pub subject: String,
    /// At most one event with a given key enters the ledger: makes at-least-once writers idempotent.
    pub key: Option<String>,
    /// The particulars. Never a secret.
    pub data: Value,
}

/// A ledger entry: numbered without gaps from 1 and chained to the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the ledger, from 1, without gaps.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: NewEvent,
    /// Hexadecimal SHA-256 over the previous entry's hash, `seq` and the canonical body.
    pub hash: String,
}

/// The end of the chain that the next entry hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The last entry's number; 0 for an empty ledger.
    pub seq: u64,
    /// The last entry's hash; 64 zeros for an empty ledger.
    pub hash: String,
}

/// Where and how a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An entry is missing, or stands twice.
    #[error("entry {found} follows entry {after}: an entry is missing or stands twice")]
    Gap {
        /// The last good entry.
        after: u64,
        /// The entry found behind it.
        found: u64,
    },
    /// An entry's content is not what was hashed when it was written.
    #[error("entry {seq} was altered: its hash is {found}, its content gives {expected}")]
    Altered {
        /// The entry.
        seq: u64,
        /// The hash computed from its content.
        expected: String,
        /// The hash stored beside it.
        found: String,
    },
}

impl NewEvent {
    /// An event without project, key or data.
    pub fn new(at: Timestamp, actor: Actor, kind: &str, subject: impl ToString) -> Self {
        Self {
            at,
            actor,
            kind: kind.into(),
            project: None,
            subject: subject.to_string(),
            key: None,
            data: Value::Null,
        }
    }

    /// Adds the project.
    pub fn project(mut self, project: &ProjectName) -> Self {
        self.project = Some(project.clone());
        self
    }

    /// Adds the particulars.
    pub fn data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    /// Adds the idempotency key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl ChainHead {
    /// The head of an empty ledger.
    pub fn empty() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }

    /// Numbers and chains `body` behind this head.
    pub fn append(&self, body: NewEvent) -> Event {
        let seq = self.seq + 1;
        let hash = hash(&self.hash, seq, &body);
        Event { seq, body, hash }
    }

    /// The head once `event` is the last entry.
    pub fn after(event: &Event) -> Self {
        Self { seq: event.seq, hash: event.hash.clone() }
    }
}

/// Checks that `event` follows `head` unaltered, and gives the new head.
pub fn verify_link(head: &ChainHead, event: &Event) -> Result<ChainHead, ChainError> {
    if event.seq != head.seq + 1 {
        return Err(ChainError::Gap { after: head.seq, found: event.seq });
    }
    let expected = hash(&head.hash, event.seq, &event.body);
    if expected != event.hash {
        return Err(ChainError::Altered { seq: event.seq, expected, found: event.hash.clone() });
    }
    Ok(ChainHead::after(event))
}

/// Length-prefixed fields, so that no two different events feed the hash the same bytes.
fn hash(previous: &str, seq: u64, body: &NewEvent) -> String {
    let mut h = Sha256::new();
    let mut field = |bytes: &[u8]| {
        h.update((bytes.len() as u64).to_be_bytes());
        h.update(bytes);
    };
    field(previous.as_bytes());
    field(&seq.to_be_bytes());
    field(&body.at.as_millis().to_be_bytes());
    field(body.actor.to_string().as_bytes());
    field(body.kind.as_bytes());
    field(body.project.as_ref().map_or("", |p| p.as_str()).as_bytes());
    field(body.subject.as_bytes());
    field(body.key.as_deref().unwrap_or("").as_bytes());
    field(body.data.to_string().as_bytes());
    hex::encode(h.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: i64) -> NewEvent {
        NewEvent::new(Timestamp::from_millis(n), Actor::System, "test.happened", n)
    }

    #[test]
    fn a_chain_verifies_and_every_alteration_is_found() {
        let one = ChainHead::empty().append(event(1));
        let two = ChainHead::after(&one).append(event(2));
        let head = verify_link(&ChainHead::empty(), &one).unwrap();
        verify_link(&head, &two).unwrap();

        let mut altered = two.clone();
        altered.body.subject = "3".into();
        assert!(matches!(verify_link(&head, &altered), Err(ChainError::Altered { seq: 2, .. })));
        assert!(matches!(
            verify_link(&ChainHead::empty(), &two),
            Err(ChainError::Gap { after: 0, found: 2 })
        ));
    }
}
