//! A hundred switches from one release to another under load: how long each takes, and what it costs in requests.

use std::time::Duration;

use anyhow::{Result, bail};
use windlass_api::{DeploymentState, DeploymentView, Rollback};

use super::delivered::Delivered;
use super::report::{Samples, Section, millis};
use crate::load::{Tally, Traffic};
use crate::show;

const SWITCHES: usize = 100;
const RATE: u32 = 200;
const LANES: u32 = 8;

/// Measures.
pub(crate) async fn measure() -> Result<Section> {
    let delivered = Delivered::new().await?;
    let measured = switches(&delivered).await;
    delivered.stage.stop().await?;
    let (times, tally) = measured?;
    let how = format!(
        "Production of `apps/tasks` goes back and forth between two releases, {SWITCHES} times, at {RATE} requests a second over {LANES} \
         connections that are kept."
    );
    let mut section = Section::new("switch", "Switching under load", how, &["what", "value"]);
    let samples = Samples::new(times);
    section.row(["switches".into(), SWITCHES.to_string()]);
    section.row(["requests sent".into(), tally.sent.to_string()]);
    section.row(["requests failed (aim: 0)".into(), tally.failed.to_string()]);
    section.row(["one switch, median".into(), millis(samples.median())]);
    section.row(["one switch, spread".into(), samples.spread()]);
    section.row(["answer, median".into(), millis(tally.percentile(50.0))]);
    section.row(["answer, 99th percentile".into(), millis(tally.percentile(99.0))]);
    for failure in &tally.failures {
        section.note(format!("failed: {failure}"));
    }
    Ok(section)
}

async fn switches(delivered: &Delivered) -> Result<(Vec<Duration>, Tally)> {
    delivered.app.mend_and_mark(&delivered.folder)?;
    delivered.deliver("second version").await?;
    let traffic = Traffic::start(&delivered.target().await?, RATE, LANES);
    let mut times = Vec::new();
    let mut wrong = None;
    for number in 0..SWITCHES {
        match once(delivered).await {
            Ok(took) => times.push(took),
            Err(error) => {
                wrong = Some(error.context(format!("switch {number}")));
                break;
            }
        }
    }
    let tally = traffic.stop().await?;
    wrong.map_or(Ok((times, tally)), Err)
}

async fn once(delivered: &Delivered) -> Result<Duration> {
    let owner = delivered.stage.owner();
    let path = "/api/v1/projects/tasks/environments/production/rollback";
    let mut view: DeploymentView = owner.post(path, &Rollback::default()).await?;
    while !show::ended(view.state) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        view = owner.get(&format!("/api/v1/deployments/{}", view.id)).await?;
    }
    match (view.state, view.finished_at) {
        (DeploymentState::Succeeded, Some(end)) => Ok(end.since(view.created_at)),
        _ => bail!("{}", view.reason),
    }
}
