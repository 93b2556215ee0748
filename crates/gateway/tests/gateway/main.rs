//! The gateway in front of real servers, spoken to over real connections, byte by byte where bytes matter.

mod admin;
mod drain;
mod faults;
mod framing;
mod harness;
mod limits;
mod routing;
mod streaming;
