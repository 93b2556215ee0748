//! `cargo xtask bench NAME`: measures beside the peer, in one run, and prints a table with ratios.
//! The measuring itself lives in the binary's hidden `bench` command, so that it measures what ships.

use anyhow::Result;

use crate::root;
use crate::steps::{cargo, check};

/// Builds the release binary and runs its bench command.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut command = cargo(&["run", "--release", "--quiet", "--package", "windlass-cli", "--", "bench"]);
    command.args(args).env("WINDLASS_REPOSITORY", root());
    check(&mut command)
}
