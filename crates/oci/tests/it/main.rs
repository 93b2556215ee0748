//! The registry as its clients see it: over HTTP, from files, onto disk.

mod assembling;
mod bench;
mod blobs;
mod clients;
mod collecting;
#[path = "../conformance/sections.rs"]
mod conformance;
mod contract;
mod http;
mod mirroring;
mod scrubbing;
mod store;
mod streaming;
mod unpacking;
