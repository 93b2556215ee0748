//! The registry as its clients see it: over HTTP, from files, onto disk.

mod assembling;
mod bench;
mod blobs;
mod clients;
mod http;
mod store;
mod unpacking;
