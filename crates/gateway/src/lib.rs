//! The data plane: takes requests by host and path to a service's healthy instances.
//!
//! It knows nothing of projects or releases but their names as labels; it is fed whole snapshots of its route table
//! over a Unix socket, keeps the last one on disk, and starts from that. It decides nothing about health: who is in
//! the table gets traffic. Requests are parsed and written anew on both sides, so what one side means by a message's
//! length the other side means too (RFC 9112, section 11.2).

mod access;
mod admin;
mod backend;
mod forward;
mod metrics;
mod page;
mod proxy;
mod serve;
mod table;

pub use admin::{AdminClient, AdminError, BackendLoad};
pub use serve::{GatewayConfig, run};
pub use table::{Backend as BackendSpec, Label, Route, RouteTable, TableError};
