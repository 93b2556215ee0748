//! Real builds in real sandboxes, over a base image that is made here.

mod cache;
mod context;
mod fixture;
mod full;
mod guarded;
mod hostile;
mod hostile_archives;
mod killed;
mod lost;
mod outputs;
mod overlap;
mod platforms;
mod registry;
mod repositories;
mod steps;
mod urls;
mod web_server;
