//! Real builds in real sandboxes, over a base image that is made here.

mod cache;
mod context;
mod fixture;
mod hostile;
mod killed;
mod outputs;
mod platforms;
mod registry;
mod steps;
