//! `windlass run` beside `act`: whole programs, from their start to their end, by turns, on the same repository.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use tokio::process::Command;
use tokio::time::Instant;

use super::engine::act;
use super::report::{Samples, Section};
use crate::demo::Repository;

/// The hidden name under which this program tells how much memory another took.
pub(crate) const PEAK: &str = "peak-inner";
/// How often what takes long is measured.
const FEW: usize = 7;

/// What is run.
struct Load {
    name: &'static str,
    file: &'static str,
    text: String,
    /// What is aimed at, against act: as plain processes, and in the sandbox.
    aims: [Option<f64>; 2],
}

/// Who runs it.
#[derive(Clone, Debug)]
struct Contender {
    name: &'static str,
    program: PathBuf,
    /// What comes after the workflow's file.
    arguments: Vec<&'static str>,
}

impl Contender {
    /// Whether it has a part in this: wrkflw stands beside act only where it is known for its speed.
    fn runs(&self, load: &Load) -> bool {
        self.name != WRKFLW || ["matrix.yml", "chain.yml"].contains(&load.file)
    }
}

/// wrkflw without containers, where there is one.
const WRKFLW: &str = "wrkflw, emulation";

fn loads() -> Vec<Load> {
    let job = |id: &str, more: &str, steps: &str| {
        format!("  {id}:\n    runs-on: ubuntu-latest\n{more}    steps:\n{steps}")
    };
    let step = "      - run: \"true\"\n";
    let load = |name, file, aims, jobs: String| {
        let text = format!("name: {name}\non: workflow_dispatch\njobs:\n{jobs}");
        Load { name, file, text, aims }
    };
    let legs: Vec<String> = (0..64).map(|n: u32| n.to_string()).collect();
    let matrix = format!("    strategy:\n      matrix:\n        n: [{}]\n", legs.join(", "));
    let chain = (0..50u32).map(|n| {
        let needs = if n == 0 { String::new() } else { format!("    needs: j{}\n", n - 1) };
        job(&format!("j{n}"), &needs, step)
    });
    let lines = "      - run: seq -f 'line %.0f of two hundred thousand' 200000\n";
    vec![
        load("1 step", "one.yml", [Some(0.25), Some(1.0)], job("a", "", step)),
        load("200 steps", "steps.yml", [Some(0.3), None], job("a", "", &step.repeat(200))),
        load("64 legs of a matrix", "matrix.yml", [Some(0.15), None], job("a", &matrix, step)),
        load("50 jobs in a chain", "chain.yml", [Some(0.08), None], chain.collect()),
        load("200,000 lines shown", "lines.yml", [Some(0.1), None], job("a", "", lines)),
    ]
}

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let how = "`windlass run` and act (`-P ubuntu-latest=-self-hosted`), each from the start of the program to its end, by turns, in one \
               repository, their output read through a pipe. Each step is `run: \"true\"` but where it says otherwise. Memory is the largest that any one \
               process of it had.";
    let headers = ["what", "median", "spread", "÷ act", "aim", "memory"];
    let mut section = Section::new("local", "Runs on one's own machine", how, &headers);
    rows(&mut section, count).await?;
    Ok(section)
}

async fn rows(section: &mut Section, count: usize) -> Result<()> {
    let own = std::env::current_exe()?;
    let mut contenders = vec![
        Contender {
            name: "windlass run, host",
            program: own.clone(),
            arguments: vec!["-P", "ubuntu-latest=host"],
        },
        Contender {
            name: "windlass run, sandbox",
            program: own,
            arguments: vec!["-P", "ubuntu-latest=sandbox"],
        },
    ];
    let act = act().await;
    match &act {
        Ok((program, _keep)) => contenders.push(Contender {
            name: "act, host",
            program: program.clone(),
            arguments: vec!["-P", "ubuntu-latest=-self-hosted"],
        }),
        Err(why) => section.note(format!("act: not measured: {why:#}.")),
    }
    match wrkflw().await {
        Ok(program) => {
            contenders.push(Contender { name: WRKFLW, program, arguments: vec!["--runtime", "emulation"] });
        }
        Err(why) => section.note(format!("wrkflw: not measured: {why:#}.")),
    }
    let place = tempfile::Builder::new().prefix("windlass-bench-").tempdir()?;
    let folder = place.path().join("work");
    std::fs::create_dir_all(folder.join(".github/workflows"))?;
    for load in loads() {
        std::fs::write(folder.join(".github/workflows").join(load.file), &load.text)?;
    }
    let header = windlass_kernel::Secret::new(String::new());
    let repository = Repository::make(&folder, "http://127.0.0.1:1/none.git", &header).await?;
    repository.commit("bench").await?;
    for load in loads() {
        let times = if load.file == "one.yml" { count } else { count.min(FEW) };
        let mut taken = vec![Vec::new(); contenders.len()];
        for turn in 0..=times {
            for (contender, taken) in contenders.iter().zip(&mut taken) {
                if !contender.runs(&load) {
                    continue;
                }
                let took = once(contender, &load, &folder).await?;
                // The first warms caches and is not counted.
                taken.extend((turn > 0).then_some(took));
            }
        }
        let samples: Vec<Samples> = taken.into_iter().map(Samples::new).collect();
        let base = contenders.iter().position(|contender| contender.name.starts_with("act")).unwrap_or(0);
        let base = samples[base].clone();
        for (nth, (contender, samples)) in contenders.iter().zip(&samples).enumerate() {
            if !contender.runs(&load) {
                continue;
            }
            let peak = peak(contender, &load, &folder).await?;
            let aim =
                load.aims.get(nth).copied().flatten().map_or_else(String::new, |aim| format!("≤ {aim}"));
            let what = format!("{}: {}", load.name, contender.name);
            section.compared_more(&what, samples, &base, [aim, format!("{} MB", peak / 1024)]);
        }
    }
    Ok(())
}

fn command(contender: &Contender, load: &Load, folder: &Path) -> Command {
    let mut command = Command::new(&contender.program);
    command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    // Their settings and caches go beside the repository, not into somebody's home.
    command
        .env("XDG_CACHE_HOME", folder.with_file_name("cache"))
        .env("XDG_CONFIG_HOME", folder.with_file_name("config"))
        .env_remove("WINDLASS_SANDBOX");
    let file = format!(".github/workflows/{}", load.file);
    if contender.name == WRKFLW {
        command.arg("run").args(&contender.arguments).arg(file);
        return command;
    }
    if contender.name.starts_with("windlass") {
        command.arg("run");
    }
    command.arg("workflow_dispatch").arg("-W").arg(file).args(&contender.arguments);
    command
}

/// `wrkflw`: `$WRKFLW`, or the one that is installed (`cargo install wrkflw`).
async fn wrkflw() -> Result<PathBuf> {
    let program = std::env::var_os("WRKFLW").map_or_else(|| PathBuf::from("wrkflw"), PathBuf::from);
    let done = Command::new(&program).arg("--version").stdin(Stdio::null()).output().await;
    match done {
        Ok(done) if done.status.success() => Ok(program),
        _ => bail!("it is not installed (`cargo install wrkflw`, or set WRKFLW to its path)"),
    }
}

async fn once(contender: &Contender, load: &Load, folder: &Path) -> Result<Duration> {
    let mut command = command(contender, load, folder);
    let begin = Instant::now();
    let done = command.output().await?;
    let took = begin.elapsed();
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{} failed at {}: {}", contender.name, load.name, said.trim());
    }
    Ok(took)
}

/// The most memory, in kilobytes: told by a process of its own, whose only child it is.
async fn peak(contender: &Contender, load: &Load, folder: &Path) -> Result<u64> {
    let mut wrapped = Command::new(std::env::current_exe()?);
    let plain = command(contender, load, folder);
    wrapped.args(["bench", PEAK, "--"]).stdin(Stdio::null()).kill_on_drop(true).current_dir(folder);
    wrapped.arg(plain.as_std().get_program()).args(plain.as_std().get_args());
    for (name, value) in plain.as_std().get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    let done = wrapped.output().await?;
    let text = String::from_utf8_lossy(&done.stdout);
    text.trim().parse().with_context(|| format!("memory of {}: `{}`", contender.name, text.trim()))
}

/// Runs a program to its end, and prints the most memory that a process of it had, in kilobytes.
pub(crate) async fn inner(words: &[String]) -> Result<()> {
    let (program, arguments) = words.split_first().context("a program is needed")?;
    let done =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status().await?;
    if !done.success() {
        bail!("it failed");
    }
    crate::show::print(&getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss().to_string())
}
