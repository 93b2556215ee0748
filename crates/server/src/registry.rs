//! The registry's care: its rules and mirrors, what is collected and when, what has rotted, and what the pages show of it.

mod blobs;
mod care;
mod changes;
mod mirrors;
mod needed;
mod places;
mod rules;
mod state;
mod tags;
mod tree;
mod trees;
mod views;

pub use blobs::blob_place;
pub(crate) use blobs::{BLOBS, open_blobs};
pub(crate) use care::mind_the_disk;
