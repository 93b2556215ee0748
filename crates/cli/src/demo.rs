//! `windlass demo`: the whole way, on an empty directory: a platform, a repository, a push, production; then, under
//! steady traffic, a version that is not well and one that is.

mod act;
mod app;
mod git;
mod stage;
mod summary;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::ask;
use crate::connection::Global;
use crate::failure::{Exit, Failure};
use crate::load::{Target, Traffic};
use crate::show::{self, Tone};

pub(crate) use act::{Author, Shipped, ship};
pub(crate) use app::App;
pub(crate) use git::Repository;
pub(crate) use stage::{Place, Stage};
use summary::Summary;

/// See the whole way: a push becomes a release in production, a bad version goes back, no request is lost
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass demo                   asks before production; serves until Ctrl-C
  windlass demo --yes --exit      asks nothing, and ends with everything stopped and removed
  windlass demo --data ./w        keeps the data directory")]
pub(crate) struct Demo {
    /// Answer every approval with yes
    #[arg(long, short)]
    yes: bool,
    /// End after the summary, instead of serving until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// The application's folder [default: apps/tasks of the repository that this program was built in]
    #[arg(long, value_name = "FOLDER")]
    app: Option<PathBuf>,
}

/// Requests per second of the second act.
const RATE: u32 = 50;
/// Connections that carry them.
const LANES: u32 = 4;

/// Plays the demo.
pub(crate) async fn run(global: &Global, demo: Demo) -> Result<Exit> {
    if !demo.yes && !ask::possible() {
        return Err(
            Failure::usage("nobody can be asked for the approval here: add --yes, which answers it").into()
        );
    }
    crate::up::tell_warnings();
    let app = App::find(demo.app.as_deref())?;
    git::check().await?;
    let place = Place::new(global.data.as_deref())?;
    heading("Windlass demo")?;
    show::print(&format!("application {}; data in {}", app.folder().display(), place.data().display()))?;
    tell_machine(&place).await?;
    let stage = Stage::start(place, crate::up::default_slots()).await?;
    let played = tokio::select! {
        played = play(&stage, &app, &demo) => played,
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    let exit = match played {
        Ok(summary) => conclude(&stage, &demo, &summary).await,
        Err(error) => {
            show::print("")?;
            eprintln!("{} {error:#}", show::red_on_error("the demo did not go as it should:"));
            tell_where_to_look(&stage)?;
            Ok(Exit::Failed)
        }
    };
    show::print("\nstopping everything that was started …")?;
    let left = stage.stop().await?;
    show::print(&left)?;
    exit
}

async fn conclude(stage: &Stage, demo: &Demo, summary: &Summary) -> Result<Exit> {
    heading("Summary")?;
    let problems = summary.tell(stage)?;
    if !demo.exit {
        show::print(&format!("\n{}", Tone::Good.paint("still serving; Ctrl-C ends it")))?;
        interrupted().await;
    }
    Ok(if problems == 0 { Exit::Done } else { Exit::Failed })
}

/// Resolves when this process is asked to end.
async fn interrupted() {
    let [Ok(mut int), Ok(mut term), Ok(mut hangup)] =
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal)
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
        _ = hangup.recv() => {}
    }
}

fn heading(text: &str) -> Result<()> {
    show::print(&format!("\n{}", console::style(format!("━━ {text} ━━")).bold()))
}

/// What the machine lacks, and what is done instead.
async fn tell_machine(place: &Place) -> Result<()> {
    for (topic, what) in windlass_server::doctor(place.data()).await {
        let first = what.lines().next().unwrap_or_default();
        show::print(&Tone::Dim.paint(format!("  {topic}: {first}")))?;
    }
    Ok(())
}

fn tell_where_to_look(stage: &Stage) -> Result<()> {
    for role in ["control", "gateway", "runner"] {
        let path = stage.data().path(&format!("logs/{role}.log"));
        let text = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|l| l.contains("ERROR") || l.contains("WARN")).collect();
        for line in lines.iter().rev().take(5).rev() {
            eprintln!("  {role}: {}", show::clean(&console::strip_ansi_codes(line)));
        }
    }
    Ok(())
}

/// Everything from the first push to the last answer.
async fn play(stage: &Stage, app: &App, demo: &Demo) -> Result<Summary> {
    let author = Author::new(stage, "tasks").await?;
    let folder = stage.place().folder("work")?;
    app.copy_to(&folder)?;
    let repository = Repository::make(&folder, &stage.git_url("tasks"), author.token()).await?;
    let ask = !demo.yes;

    heading("1. The first version, to production")?;
    show::print(&format!("pages: {}", stage.page("/projects/tasks")))?;
    let first = ship(stage, &repository, "first version", "Tasks: the first version", ask).await?;
    if !first.live() {
        bail!("the first version did not reach production: {}", first.outcome());
    }

    let url = stage
        .service_url("tasks", "production")
        .await?
        .context("production has no address: windlass.yml gives it no route")?;
    let target = Target::of(&url, stage.gateway())?;
    heading(&format!("2. Under {RATE} requests a second: a version that is not well in production"))?;
    let traffic = Traffic::start(&target, RATE, LANES);
    App::break_health(&folder)?;
    let bad =
        ship(stage, &repository, "bad version", "Tasks: a health check that fails in production", ask).await;
    let bad = match bad {
        Ok(bad) => bad,
        Err(e) => {
            traffic.stop().await?;
            return Err(e);
        }
    };
    show::print(&format!("{}; requests so far: {}", bad.outcome(), traffic.sent()))?;

    heading("3. Still under traffic: a good version")?;
    app.mend_and_mark(&folder)?;
    let good =
        ship(stage, &repository, "good version", "Tasks: mended, and with a mark in its version", ask).await;
    // A little more, so that what the switch would have done to requests is seen.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let tally = traffic.stop().await?;
    let good = good?;
    show::print(&format!("{}; requests: {}", good.outcome(), tally.sent))?;
    Summary::gather(stage, &target, [first, bad, good], tally).await
}
