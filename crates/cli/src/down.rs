//! `windlass down`: stops the platform of a data directory, and what it keeps running.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use windlass_server::DataDir;

use crate::connection::Global;
use crate::failure::Exit;
use crate::show;

/// Stop the platform, and the services and jobs that it runs
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass down                      stop everything of the default data directory
  windlass down --keep-instances     stop Windlass; services go on, and are found again by the next `up`")]
pub(crate) struct Down {
    /// Let the services and jobs run on
    #[arg(long)]
    keep_instances: bool,
}

/// How long the supervisor may take to stop its roles.
const PATIENCE: Duration = Duration::from_mins(1);

/// Stops the platform; nothing running is no failure.
pub(crate) async fn run(global: &Global, down: Down) -> Result<Exit> {
    let path = global.data_path();
    if !path.join("run").is_dir() {
        return tell(global, None, 0, &format!("nothing runs on {}", path.display()));
    }
    let data = DataDir::open(&path)?;
    let stopped = stop_supervisor(&data).await?;
    let (jobs, instances) = if down.keep_instances {
        (0, 0)
    } else {
        (windlass_server::end_jobs(&data).await?, windlass_server::stop_instances(&data).await?)
    };
    let shown = data.root().display();
    let services = match instances {
        0 if down.keep_instances => "services and jobs go on".to_owned(),
        0 => "no service was running".to_owned(),
        1 => "stopped 1 service instance".to_owned(),
        n => format!("stopped {n} service instances"),
    };
    let services = match jobs {
        0 => services,
        1 => format!("{services}; ended 1 job, which is queued again by the next `up`"),
        n => format!("{services}; ended {n} jobs, which are queued again by the next `up`"),
    };
    let text = match stopped {
        Some(pid) => format!("stopped Windlass on {shown} (process {pid}); {services}"),
        None if instances + jobs == 0 => format!("nothing runs on {shown}"),
        None => format!("Windlass was not running on {shown}; {services} that it had left"),
    };
    tell(global, stopped, instances, &text)
}

fn tell(global: &Global, pid: Option<u32>, instances: usize, text: &str) -> Result<Exit> {
    if global.json {
        show::json(&json!({"supervisor": pid, "instances": instances}))?;
    } else {
        show::print(text)?;
    }
    Ok(Exit::Done)
}

/// Asks the supervisor to end, and waits for it.
async fn stop_supervisor(data: &DataDir) -> Result<Option<u32>> {
    if !data.owned() {
        return Ok(None);
    }
    // The lock says that somebody is there, so the process id is not of a time before.
    let pid = data.endpoint().context("a Windlass is starting just now; try again in a moment")?.pid;
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).with_context(|| format!("cannot stop process {pid}"))?;
    let begin = tokio::time::Instant::now();
    while data.owned() {
        if begin.elapsed() > PATIENCE {
            bail!(
                "process {pid} was asked to stop {} s ago and still runs; look into {}",
                PATIENCE.as_secs(),
                data.path("logs").display()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Some(pid))
}
