//! A shell where a step failed, and what is to follow it.

use std::process::Stdio;

use tokio::sync::Mutex;
use windlass_server::local::{AfterFailure, FailedStep};

use crate::{ask, show};

/// One at a time has the terminal.
static TERMINAL: Mutex<()> = Mutex::const_new(());

/// Opens a shell in the step's folder with its environment; when it ends, asks what is to follow.
pub(super) async fn ask(job: &str, step: FailedStep) -> AfterFailure {
    let _alone = TERMINAL.lock().await;
    let (name, why) = (show::clean(&step.name), show::clean(&step.why));
    eprintln!("\n{}", show::red_on_error(&format!("── {}: {name}: {why}", show::clean(job))));
    eprintln!("   a shell in {}; its script is {}", step.cwd.display(), step.script.display());
    eprintln!("   leave it (exit) to say how to go on");
    let program = std::env::var_os("SHELL").unwrap_or_else(|| "sh".into());
    let mut command = tokio::process::Command::new(&program);
    command.env_clear().envs(&step.env).current_dir(&step.cwd);
    for name in ["TERM", "COLORTERM", "LS_COLORS"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    if let Err(e) = command.status().await {
        eprintln!("windlass: {} cannot be started: {e}", program.to_string_lossy());
    }
    loop {
        let Ok(answer) = ask::line("run the step [a]gain, [g]o on as if it had succeeded, or [s]top? ").await
        else {
            return AfterFailure::Stop;
        };
        match answer.trim() {
            "a" | "again" => return AfterFailure::Again,
            "g" | "go" | "go on" => return AfterFailure::GoOn,
            "s" | "stop" | "" => return AfterFailure::Stop,
            _ => {}
        }
    }
}
