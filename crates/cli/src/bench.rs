//! The hidden `windlass bench`: figures of the program that ships, each beside a peer where there is one, taken in one
//! run on one machine. `cargo xtask bench` calls it.

mod build;
mod contained;
mod delivered;
mod engine;
mod first_line;
mod idle;
mod lint;
mod local;
mod log;
mod processes;
mod push;
mod registry;
mod report;
mod runs;
mod sandbox;
mod sbom;
mod switch;
mod tasks;

use anyhow::Result;
use clap::Args;

use crate::failure::{Exit, Failure};
use crate::show;
use report::Section;

/// Measure
#[derive(Args, Clone, Debug)]
pub(crate) struct Bench {
    /// sandbox, build, engine, first-line, local, contained, lint, log, runs, registry, sbom, idle, switch, push-to-live, tasks, or all
    name: String,
    #[arg(hide = true, last = true)]
    words: Vec<String>,
    /// Put the tables into docs/benchmarks.md
    #[arg(long)]
    write: bool,
    /// How often to measure, where it is repeated
    #[arg(long, default_value_t = 20)]
    count: usize,
}

const ALL: [&str; 15] = [
    "sbom",
    "sandbox",
    "build",
    "engine",
    "first-line",
    "local",
    "contained",
    "lint",
    "log",
    "runs",
    "registry",
    "idle",
    "switch",
    "push-to-live",
    "tasks",
];

/// Measures.
pub(crate) async fn run(bench: Bench) -> Result<Exit> {
    if bench.name == engine::INNER {
        engine::inner(bench.count).await?;
        return Ok(Exit::Done);
    }
    if bench.name == sbom::INNER {
        sbom::inner(&bench.words)?;
        return Ok(Exit::Done);
    }
    if bench.name == local::PEAK {
        local::inner(&bench.words).await?;
        return Ok(Exit::Done);
    }
    let names: Vec<&str> = match bench.name.as_str() {
        "all" => ALL.to_vec(),
        name if ALL.contains(&name) => vec![name],
        name => {
            return Err(
                Failure::usage(format!("there is no measurement `{name}`: {}, all", ALL.join(", "))).into()
            );
        }
    };
    crate::up::tell_warnings();
    for name in names {
        eprintln!("measuring {name} …");
        let section = one(name, bench.count).await?;
        show::print(&section.text())?;
        if bench.write {
            section.write()?;
        }
    }
    Ok(Exit::Done)
}

async fn one(name: &str, count: usize) -> Result<Section> {
    match name {
        "sandbox" => sandbox::measure(count).await,
        "build" => build::measure(count).await,
        "engine" => engine::measure(count).await,
        "first-line" => first_line::measure(count).await,
        "local" => local::measure(count).await,
        "contained" => contained::measure(count).await,
        "lint" => lint::measure(count).await,
        "log" => log::measure().await,
        "registry" => registry::measure(count).await,
        "runs" => runs::measure(count).await,
        "sbom" => sbom::measure(count).await,
        "idle" => idle::measure().await,
        "switch" => switch::measure().await,
        "push-to-live" => push::measure().await,
        _ => tasks::measure().await,
    }
}
