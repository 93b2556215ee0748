//! Running cargo, and the order of `ci`.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{deny, root, tests, tidy};

/// A cargo command in the workspace's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end; an error if it did not succeed.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    println!("\n$ {shown}");
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Everything that must hold before a change lands.
pub(crate) fn ci() -> Result<()> {
    check(&mut cargo(&["fmt", "--all", "--check"]))?;
    tidy::run()?;
    deny::run()?;
    check(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    tests::all(&[])
}

/// Regenerates what is generated and committed.
pub(crate) fn update() -> Result<()> {
    let mut command = cargo(&["test", "--workspace", "--lib", "--tests"]);
    command.env("UPDATE_EXPECT", "1").env("INSTA_UPDATE", "always").env("WINDLASS_SKIP_E2E", "1");
    check(&mut command)
}
