//! `windlass run` as a person calls it: a repository with workflows, and what comes out.

#[path = "local/choosing.rs"]
mod choosing;
#[path = "local/contained.rs"]
mod contained;
#[path = "local/fixture.rs"]
mod fixture;
#[path = "local/giving.rs"]
mod giving;
#[path = "local/running.rs"]
mod running;
#[path = "local/terminal.rs"]
mod terminal;
