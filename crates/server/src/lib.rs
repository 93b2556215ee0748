//! The composition root: configuration, wiring, reconcilers, and the three roles.
//!
//! `pipeline` and `delivery` decide; this crate gathers the facts that they decide by, carries out what they say, and
//! keeps state and ledger in one transaction. Nothing else knows all crates.

mod accounts;
mod context;
mod control;
mod data_dir;
mod delivery;
mod evidence;
mod figures;
mod gateway;
mod images;
mod ledger;
pub mod local;
mod loopback;
mod observe;
mod platform;
mod registry;
mod reports;
mod results;
mod roles;
mod runs;
mod serve;
mod settings;
mod source;
mod supervisor;
#[cfg(test)]
mod tests;

pub use control::{doctor, end_jobs, stop_instances};
pub use data_dir::{DataDir, Endpoint, Owner, write_private};
pub use evidence::{difference, leak_told, vulnerabilities_told};
pub use registry::blob_place;
pub use roles::internal_main;
pub use supervisor::{Supervisor, UpOptions};
pub use windlass_runtime as runtime;
