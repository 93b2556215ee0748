//! Real builds in real sandboxes, over a base image that is made here.

mod cache;
mod context;
mod fixture;
mod full;
mod hostile;
mod hostile_archives;
mod killed;
mod outputs;
mod overlap;
mod platforms;
mod registry;
mod steps;
