//! End-to-end tests: the real `windlass` program, real `git`, real processes, on a data directory of each test's own.
//!
//! One module per domain; `cargo test -p windlass-cli --test e2e faults::` runs one. `WINDLASS_SKIP_E2E=1` skips all.

mod command_line;
mod containers;
mod delivery;
mod dockerfile;
mod evidence;
mod faults;
mod limits;
mod pages;
mod pipeline;
mod platform;
mod registry;
mod reports;
mod sandbox;
mod secrets;
mod services;
mod source;
mod trust;
