//! The memory of an idle platform: the proportional set size of every one of its processes.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use windlass_server::DataDir;

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
    let mut rows = Vec::new();
    for pid in tree(supervisor) {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
        let name = match words.get(1).map(AsRef::as_ref) {
            Some("up") => "supervisor".to_owned(),
            Some("role") => words.get(2).map(ToString::to_string).unwrap_or_default(),
            other => other.unwrap_or("?").to_owned(),
        };
        rows.push((name, pss(pid)?));
    }
    Ok(rows)
}

/// A process and all below it.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        let path = format!("/proc/{pid}/task");
        for task in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
        }
        at += 1;
    }
    found
}

/// In kilobytes (of 1024 bytes), as the kernel tells it.
fn pss(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|l| l.strip_prefix("Pss:")).context("the kernel tells no PSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_weighs_something_and_its_children_are_found() {
        let own = std::process::id();
        assert!(pss(own).unwrap() > 100);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(tree(own).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
