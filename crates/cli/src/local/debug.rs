//! A shell where a step failed, and what is to follow it.

use std::process::Stdio;

use console::Term;
use nix::pty::{Winsize, openpty};
use tokio::sync::Mutex;
use windlass_server::local::{AfterFailure, FailedStep, StepPlace, StepShell};

use super::relay::Relay;
use crate::{ask, show};

/// One at a time has the terminal.
static TERMINAL: Mutex<()> = Mutex::const_new(());

/// Opens a shell in the step's folder with its environment; when it ends, asks what is to follow.
pub(super) async fn ask(job: &str, step: FailedStep) -> AfterFailure {
    let _alone = TERMINAL.lock().await;
    let (name, why) = (show::clean(&step.name), show::clean(&step.why));
    eprintln!("\n{}", show::red_on_error(&format!("── {}: {name}: {why}", show::clean(job))));
    let opened = match &step.place {
        StepPlace::Container => {
            Err("a step of a container gets no shell here: run its image by hand".to_owned())
        }
        StepPlace::Plain => {
            announce(&step, "");
            beside(&step).await
        }
        StepPlace::Sandbox(shell) => {
            announce(&step, "in the job's sandbox, ");
            inside(shell).await
        }
    };
    if let Err(why) = opened {
        eprintln!("windlass: no shell: {}", show::clean(&why));
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

fn announce(step: &FailedStep, place: &str) {
    eprintln!(
        "   a shell {place}in {}, with the step's environment; its script is {}",
        step.exec.cwd.display(),
        step.script.display()
    );
    eprintln!("   leave it (exit, whatever its status) to say how to go on");
}

/// Among one's own processes.
async fn beside(step: &FailedStep) -> Result<(), String> {
    let program = std::env::var_os("SHELL").unwrap_or_else(|| "sh".into());
    let mut command = tokio::process::Command::new(&program);
    command.env_clear().envs(&step.exec.env).current_dir(&step.exec.cwd);
    for name in ["TERM", "COLORTERM", "LS_COLORS"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let ended = command.status().await;
    ended.map(drop).map_err(|e| format!("{} cannot be started: {e}", program.to_string_lossy()))
}

/// In a sandbox, at a terminal of its own that this one shows.
async fn inside(shell: &StepShell) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("a terminal for it cannot be made: {e}");
    let (rows, columns) = Term::stderr().size();
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).map_err(|e| failed(&e))?;
    let relay = Relay::start(pty.master).map_err(|e| failed(&e))?;
    let opened = shell.open(pty.slave).await;
    // In a thread that may block: it waits until all that was written is shown.
    let _ = tokio::task::spawn_blocking(move || relay.end()).await;
    opened
}
