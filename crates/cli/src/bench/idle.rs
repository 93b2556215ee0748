//! The memory of an idle platform: the proportional set size of every one of its processes.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use windlass_server::DataDir;

use super::processes::{pss, tree};
use super::report::Section;
use crate::up;

/// How long it is left alone before it is weighed.
const REST: Duration = Duration::from_secs(10);

/// Measures.
pub(crate) async fn measure() -> Result<Section> {
    let temp = tempfile::Builder::new().prefix("windlass-bench-").tempdir()?;
    let data = DataDir::open(&temp.path().join("data"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("up").arg("--data").arg(data.root());
    command.args(["--listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().context("cannot start windlass")?;
    let weighed = weigh(&data, child.id().context("windlass ended at once")?).await;
    if let Some(pid) = child.id() {
        kill(Pid::from_raw(pid as i32), Signal::SIGTERM)?;
    }
    child.wait().await?;
    let rows = weighed?;
    let how = format!(
        "A fresh `windlass up`, {} s after it answers: proportional set size (PSS) of each process.",
        REST.as_secs()
    );
    let mut section = Section::new("idle", "Idle memory", how, &["process", "PSS"]);
    for (name, kilobytes) in &rows {
        section.row([name.clone(), megabytes(*kilobytes)]);
    }
    let sum: u64 = rows.iter().map(|(_, kilobytes)| kilobytes).sum();
    section.row(["together (aim: below 50 MB)".into(), megabytes(sum)]);
    Ok(section)
}

fn megabytes(kilobytes: u64) -> String {
    format!("{:.1} MB", kilobytes as f64 * 1.024 / 1000.0)
}

async fn weigh(data: &DataDir, supervisor: u32) -> Result<Vec<(String, u64)>> {
    let mut endpoint = None;
    for _ in 0..600 {
        endpoint = data.endpoint().ok();
        if endpoint.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let Some(endpoint) = endpoint else { bail!("windlass did not start") };
    up::healthy(&endpoint.url, Duration::from_mins(1)).await?;
    tokio::time::sleep(REST).await;
    let weigh = |pid: u32| Ok((super::processes::name(pid), pss(pid)?));
    tree(supervisor).into_iter().map(weigh).collect()
}
