//! What crosses a wire: the types of the REST API under `/api/v1`, the runner protocol, and the typed
//! client that the command line and the runner use.
//!
//! Wire types are not domain types: ids and names travel as text and are parsed at the edge, states are
//! closed sets with stable spellings. Times are milliseconds since the Unix epoch, durations milliseconds,
//! sizes bytes, unless a field says otherwise.

mod admin;
mod client;
mod delivery;
mod error;
mod evidence;
mod image;
mod log;
mod observe;
mod project;
mod registry;
mod report;
mod run;
/// The protocol between control and runners: leases, job updates, logs, artifacts, caches, images.
pub mod runner;

pub use admin::*;
pub use client::{Body as RequestBody, Client, ClientError};
pub use delivery::*;
pub use error::{ErrorCode, Problem};
pub use evidence::*;
pub use image::*;
pub use log::*;
pub use observe::*;
pub use project::*;
pub use registry::*;
pub use report::*;
pub use run::*;
