//! From an accepted push to the first line of the run's first step, as somebody sees it who asks for the log.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;
use windlass_api::{EventView, RunSummary};
use windlass_kernel::{Clock as _, SystemClock, Timestamp};

use super::report::{Samples, Section};
use crate::demo::{Author, Place, Repository, Stage};
use crate::watch;

/// The longest that a line is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const WORKFLOW: &str = "on: push\njobs:\n  greet:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo \"it says $GITHUB_SHA\"\n";

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let stage = Stage::start(Place::new(None)?, 2).await?;
    let measured = on(&stage, count).await;
    stage.stop().await?;
    let samples = Samples::new(measured?);
    let how = "A repository with one workflow of one step, `echo`: from the moment at which the ledger has the push (`ref.updated`) until \
               the step's first line is in the log that a client asks for, every 5 ms. In the sandbox."
        .to_owned();
    let mut section =
        Section::new("first-line", "Push to the first line", how, &["what", "median", "spread"]);
    section.row([
        "accepted push → first step's first line".to_owned(),
        super::report::millis(samples.median()),
        samples.spread(),
    ]);
    section.note("Aim: below 150 ms.");
    Ok(section)
}

async fn on(stage: &Stage, count: usize) -> Result<Vec<Duration>> {
    let author = Author::new(stage, "greet").await?;
    let folder = stage.place().folder("work")?;
    std::fs::create_dir_all(folder.join(".github/workflows"))?;
    std::fs::write(folder.join(".github/workflows/greet.yml"), WORKFLOW)?;
    let repository = Repository::make(&folder, &stage.git_url("greet"), author.token()).await?;
    let mut all = Vec::new();
    for turn in 0..=count {
        std::fs::write(folder.join("turn.txt"), turn.to_string())?;
        let sha = repository.commit(&format!("Turn {turn}")).await?;
        let (pushed, seen) = tokio::join!(repository.push(), first_line(stage, sha.trim()));
        pushed?;
        // The first warms caches and is not counted.
        let took = seen?;
        all.extend((turn > 0).then_some(took));
        // The unit for the next job is started meanwhile, as it is between two people's pushes.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(all)
}

/// Waits for the line of the run of this commit; how long after the push it was there.
async fn first_line(stage: &Stage, sha: &str) -> Result<Duration> {
    let (owner, begin) = (stage.owner(), Instant::now());
    let wanted = format!("it says {sha}");
    let pause = || tokio::time::sleep(Duration::from_millis(5));
    let mut job: Option<(String, String)> = None;
    while begin.elapsed() < PATIENCE {
        pause().await;
        if job.is_none() {
            let runs: Vec<RunSummary> =
                owner.get("/api/v1/projects/greet/runs?limit=1").await.unwrap_or_default();
            let Some(run) = runs.into_iter().find(|run| run.sha == sha) else { continue };
            let view = watch::fetch(owner, &run.id).await?;
            job = view.jobs.first().map(|job| (run.id.clone(), job.id.clone()));
        }
        let Some((run, job)) = &job else { continue };
        // There is no log before the job is handed out.
        let Ok(log) = watch::job_log(owner, run, job, 0, 0).await else { continue };
        if String::from_utf8_lossy(&log).contains(&wanted) {
            let seen = SystemClock.now();
            return Ok(seen.since(accepted(stage, sha).await?));
        }
    }
    bail!("the first line was not there after {} s", PATIENCE.as_secs())
}

/// When the ledger got the push.
async fn accepted(stage: &Stage, sha: &str) -> Result<Timestamp> {
    let events: Vec<EventView> =
        stage.owner().get("/api/v1/events?project=greet&kind=ref.updated&limit=5").await?;
    let mut pushes = events.iter().filter(|event| event.kind == "ref.updated");
    let found = pushes.find(|event| event.data["new"].as_str() == Some(sha));
    Ok(found.context("the ledger does not show the push")?.at)
}
