//! The registry's care: its rules and mirrors, what is collected and when, what has rotted, and what the pages show of it.

mod blobs;
mod care;
mod listener;
mod mirrors;
mod needed;
mod rules;
mod views;

pub(crate) use blobs::open_blobs;
pub(crate) use care::mind_the_disk;
pub(crate) use listener::patient;
