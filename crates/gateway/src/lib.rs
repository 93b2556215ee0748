//! The data plane: takes requests by host and path to a service's healthy instances.
//!
//! It knows nothing of projects or releases but their names as labels; it is fed whole snapshots of its route table
//! over a Unix socket, keeps the last one on disk, and starts from that. It decides nothing about health: who is in
//! the table gets traffic.
//!
//! A request's way: `serve` accepts and admits; `gate` lets through what `framing` found to have one meaning only; the
//! HTTP library parses; `proxy` finds the service in the `switchboard` and takes a place at one `backend`; `forward`
//! rewrites fields; `exchange` carries the bodies, and when the last byte has gone, counts and logs. Requests are
//! parsed and written anew on both sides, so what one side means by a message's length the other side means too
//! (RFC 9112, section 11.2).

mod access;
mod admin;
mod admission;
mod backend;
mod exchange;
mod forward;
mod framing;
mod gate;
mod metrics;
mod page;
mod proxy;
mod serve;
mod switchboard;
mod table;

pub use admin::{AdminClient, AdminError, BackendLoad};
pub use admission::Limits;
pub use serve::{GatewayConfig, run, run_limited};
pub use table::{Backend as BackendSpec, Label, Route, RouteTable, TableError};
