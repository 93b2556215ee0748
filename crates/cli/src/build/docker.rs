//! `--docker`: the same command, done by the Docker of this machine.

use std::process::Command;

use anyhow::Result;

use crate::failure::{Exit, Failure};

/// Runs `docker build` with this process' arguments.
pub(super) fn run() -> Result<Exit> {
    let args: Vec<_> = std::env::args_os().skip_while(|arg| arg != "build").skip(1).collect();
    let args = args.into_iter().filter(|arg| arg != "--docker");
    let status = Command::new("docker").arg("build").args(args).status();
    let status = status.map_err(|e| {
        Failure::not_found(format!(
            "--docker: the program `docker` could not be started: {e}; without it Windlass builds by itself"
        ))
    })?;
    Ok(if status.success() { Exit::Done } else { Exit::Failed })
}
