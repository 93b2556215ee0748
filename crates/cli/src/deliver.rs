//! `windlass deploy`, `rollback`, `release` and `env`: what is live where, and changing it.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use windlass_api::{
    Client, CreateDeployment, DeploymentState, DeploymentView, EnvironmentView, ReleaseView, Rollback as Back,
};

use crate::connection::{Global, part};
use crate::failure::Exit;
use crate::live::Live;
use crate::show::{self, Field, Tone};

/// Deploy a release that exists to an environment, and wait for the outcome
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass deploy tasks 12 --to production
  windlass release list tasks              the releases' numbers")]
pub(crate) struct Deploy {
    /// The project
    project: String,
    /// The release: its number or id
    release: String,
    /// The environment
    #[arg(long, value_name = "ENVIRONMENT")]
    to: String,
}

/// Go back to the release before (or to a named one), and wait for the outcome
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass rollback tasks production
  windlass rollback tasks production --to 11")]
pub(crate) struct Rollback {
    /// The project
    project: String,
    /// The environment
    environment: String,
    /// The release to go back to [default: the one that was live before]
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
}

/// Releases: what was built and can be deployed
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Release {
    /// The newest releases of a project
    #[command(after_help = "Example:\n  windlass release list tasks")]
    List {
        /// The project
        project: String,
    },
}

/// Environments: what is live where
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Env {
    /// The environments of a project in their order: the board
    #[command(after_help = "Example:\n  windlass env list tasks")]
    List {
        /// The project
        project: String,
    },
}

/// Deploys a release.
pub(crate) async fn deploy(global: &Global, deploy: Deploy) -> Result<Exit> {
    let client = global.client()?;
    let how = CreateDeployment { environment: deploy.to, release: deploy.release };
    let view = client.post(&format!("/api/v1/projects/{}/deployments", part(&deploy.project)), &how).await?;
    outcome(global, &client, view).await
}

/// Goes back.
pub(crate) async fn rollback(global: &Global, back: Rollback) -> Result<Exit> {
    let client = global.client()?;
    let path =
        format!("/api/v1/projects/{}/environments/{}/rollback", part(&back.project), part(&back.environment));
    let view = client.post(&path, &Back { release: back.to }).await?;
    outcome(global, &client, view).await
}

async fn outcome(global: &Global, client: &Client, started: DeploymentView) -> Result<Exit> {
    let ended = follow(client, started, !global.json).await?;
    if global.json {
        show::json(&ended)?;
    } else {
        tell(&ended)?;
    }
    Ok(if ended.state == DeploymentState::Succeeded { Exit::Done } else { Exit::Failed })
}

/// Waits for a deployment's end; its steps are shown as they come.
pub(crate) async fn follow(client: &Client, mut view: DeploymentView, shown: bool) -> Result<DeploymentView> {
    let mut told = 0;
    let mut live = Live::new();
    loop {
        if shown {
            for step in view.log.iter().skip(told) {
                live.say(&format!("  {}", show::clean(&step.text)))?;
            }
            told = view.log.len();
        }
        if show::ended(view.state) {
            live.draw(&[])?;
            return Ok(view);
        }
        if shown {
            let took = show::now().since(view.created_at).as_secs();
            live.draw(&[format!(
                "  {} {}",
                Tone::Busy.paint(format!("● {}", show::deployment(view.state).0)),
                Tone::Dim.paint(format!("{took} s"))
            )])?;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        view = client.get(&format!("/api/v1/deployments/{}", part(&view.id))).await?;
    }
}

/// How a deployment ended, with what explains it.
fn tell(view: &DeploymentView) -> Result<()> {
    let (word, tone) = show::deployment(view.state);
    let took = view
        .finished_at
        .map(|end| format!(" after {}", show::lasting(end.since(view.created_at))))
        .unwrap_or_default();
    let what = format!("release {} ({})", view.release.number, show::short(&view.release.sha));
    show::print(&format!(
        "{} {what} in {}{took}: {}",
        tone.paint(word),
        view.environment,
        show::clean(&view.reason)
    ))?;
    for (service, url) in &view.urls {
        show::print(&format!("  {service}: {url}"))?;
    }
    explain(view)
}

/// The last health answer and the failing instance's last lines.
pub(crate) fn explain(view: &DeploymentView) -> Result<()> {
    if let Some(health) = &view.last_health {
        show::print(&format!("  last health answer: {}", show::clean(health.trim())))?;
    }
    if !view.last_lines.is_empty() {
        show::print("  last lines of the instance:")?;
        for line in view.last_lines.iter().rev().take(5).rev() {
            show::print(&format!("    {}", show::clean(line)))?;
        }
    }
    Ok(())
}

/// Carries a release command out.
pub(crate) async fn release(global: &Global, command: Release) -> Result<Exit> {
    let Release::List { project } = command;
    let list: Vec<ReleaseView> =
        global.client()?.get(&format!("/api/v1/projects/{}/releases", part(&project))).await?;
    if global.json {
        show::json(&list)?;
        return Ok(Exit::Done);
    }
    let rows = list.into_iter().map(|r| {
        let images: Vec<String> = r.images.values().map(|d| show::short_digest(d)).collect();
        [
            r.number.to_string().into(),
            show::short(&r.sha).to_owned().into(),
            r.title.into(),
            images.join(", ").into(),
            r.created_by.into(),
            Field::dim(show::ago(r.created_at)),
        ]
    });
    show::table(
        ["release", "commit", "title", "images", "by", "when"],
        rows.collect(),
        "no release yet: a job with `uses: windlass/deploy@v1` makes one",
    )?;
    Ok(Exit::Done)
}

/// Carries an environment command out.
pub(crate) async fn env(global: &Global, command: Env) -> Result<Exit> {
    let Env::List { project } = command;
    let list: Vec<EnvironmentView> =
        global.client()?.get(&format!("/api/v1/projects/{}/environments", part(&project))).await?;
    if global.json {
        show::json(&list)?;
        return Ok(Exit::Done);
    }
    let rows =
        list.iter().map(|e| [e.name.clone().into(), live(e), warm(e), now(e), well(e), addresses(e).into()]);
    show::table(
        ["environment", "live", "warm", "now", "healthy", "addresses"],
        rows.collect(),
        "this project has no environment: name them in windlass.yml",
    )?;
    Ok(Exit::Done)
}

fn live(e: &EnvironmentView) -> Field {
    match (&e.live, e.live_since) {
        (Some(r), Some(since)) => {
            format!("release {} ({}), {}", r.number, show::short(&r.sha), show::ago(since)).into()
        }
        (Some(r), None) => format!("release {} ({})", r.number, show::short(&r.sha)).into(),
        (None, _) => Field::dim("nothing yet"),
    }
}

fn warm(e: &EnvironmentView) -> Field {
    Field::dim(e.warm.as_ref().map(|r| format!("release {}", r.number)).unwrap_or_default())
}

fn now(e: &EnvironmentView) -> Field {
    if let Some(active) = &e.active {
        let (word, tone) = show::deployment(active.state);
        return Field::toned(format!("{word}: release {}", active.release.number), tone);
    }
    if let Some(waiting) = e.approvals.iter().find(|a| a.state == "pending") {
        return Field::toned(format!("waits for an approval ({})", waiting.id), Tone::Busy);
    }
    match e.recent.first() {
        Some(last) if last.state != DeploymentState::Succeeded => {
            let (word, tone) = show::deployment(last.state);
            Field::toned(format!("release {} {word}", last.release.number), tone)
        }
        _ => "".into(),
    }
}

fn well(e: &EnvironmentView) -> Field {
    let (healthy, wanted) = e.services.iter().fold((0, 0), |sum, s| (sum.0 + s.healthy, sum.1 + s.wanted));
    let tone = if healthy >= wanted { Tone::Good } else { Tone::Bad };
    Field::toned(format!("{healthy}/{wanted}"), tone)
}

fn addresses(e: &EnvironmentView) -> String {
    e.services.iter().filter_map(|s| s.url.clone()).collect::<Vec<_>>().join(" ")
}
