//! What more than one domain of Windlass speaks of: typed ids and names, time and entropy as
//! things that are passed in, digests, actors, the ledger's event and its hash chain, the
//! document port, findings in a text with their places, and `Secret<T>`.
//!
//! A type comes here only when two domains expose it. There is no I/O here, and no async
//! runtime: the ports are traits that other crates implement.

mod actor;
mod clock;
pub mod diagnostic;
mod digest;
mod event;
mod id;
mod name;
mod secret;
mod store;

pub use actor::Actor;
pub use clock::{Clock, Entropy, OsEntropy, SystemClock, Timestamp};
pub use diagnostic::{Diagnostic, Position, Severity, Span};
pub use digest::{Algorithm, Digest, DigestError};
pub use event::{ChainError, ChainHead, Event, NewEvent, verify_link};
pub use id::{
    ArtifactId, DeploymentId, IdError, Ids, InstanceId, JobId, ReleaseId, RunId, RunnerId, SessionId,
    TokenId, UserId,
};
pub use name::{EnvironmentName, NameError, ProjectName, ServiceName, UserName};
pub use secret::Secret;
pub use store::{Batch, Document, Query, RawDoc, Store, StoreError, StoreExt, Versioned, WriteOp};
