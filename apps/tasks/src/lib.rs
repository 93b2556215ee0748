//! A task manager behind a small HTTP API, over SQLite.
//!
//! [`router`] is the whole API, [`Store`] the database; `main` adds the socket, the signals and the environment.

mod answer;
mod api;
mod clock;
mod log;
mod metrics;
mod observe;
mod store;
mod task;

pub use api::{LARGEST_BODY, ROUTES, router};
pub use clock::timestamp;
pub use log::{event, log_to_stdout};
pub use store::{Store, StoreError};
pub use task::{Change, Filter, NewTask, STATUSES, Task};

/// The API's description, as it is served at `/openapi.yaml`.
pub const OPENAPI: &str = include_str!("../openapi.yaml");
