//! How long a push takes to be live in production, with a warm cache, and how much of it is Windlass' own.

use std::time::Duration;

use anyhow::Result;
use windlass_api::JobView;

use super::delivered::Delivered;
use super::report::{Samples, Section, millis};
use crate::demo::Shipped;

/// How many pushes are measured.
const PUSHES: usize = 3;
/// The steps in which the application compiles and tests itself.
const OWN: [&str; 4] = ["Format", "Lint", "Tests", "Program"];

/// Measures.
pub(crate) async fn measure() -> Result<Section> {
    let delivered = Delivered::new().await?;
    let pushed = pushes(&delivered).await;
    delivered.stage.stop().await?;
    let times = pushed?;
    let how = "`apps/tasks` with one line changed and a warm cache: from before `git push` to the end of the production deployment, \
               approval answered at once. Its own part: the time of the longest job's compiling and testing steps.";
    let mut section = Section::new(
        "push-to-live",
        "Push to live",
        how,
        &["push", "whole", "its own compiling and testing", "the rest"],
    );
    for (number, (whole, own)) in times.iter().enumerate() {
        section.row([
            (number + 1).to_string(),
            millis(*whole),
            millis(*own),
            millis(whole.saturating_sub(*own)),
        ]);
    }
    let rest = Samples::new(times.iter().map(|(whole, own)| whole.saturating_sub(*own)).collect());
    section.note(format!(
        "Beyond the application's own time: {} in the middle; aim: below 10 s.",
        millis(rest.median())
    ));
    Ok(section)
}

async fn pushes(delivered: &Delivered) -> Result<Vec<(Duration, Duration)>> {
    let mut times = Vec::new();
    for number in 0..PUSHES {
        delivered.app.mend_and_mark(&delivered.folder)?;
        // Another text each time, so that something is to be compiled.
        let path = delivered.folder.join("src/api.rs");
        let source = std::fs::read_to_string(&path)?;
        std::fs::write(&path, source.replace("+second", &format!("+push{number}")))?;
        let shipped = delivered.deliver(&format!("push {number}")).await?;
        times.push((shipped.push_to_live().unwrap_or_default(), own(&shipped)));
    }
    Ok(times)
}

/// The own steps of that job of the first stage in which they took longest: the others ran beside it.
fn own(shipped: &Shipped) -> Duration {
    let jobs = shipped.runs.iter().flat_map(|r| &r.jobs).filter(|j| j.needs.is_empty());
    jobs.map(of_job).max().unwrap_or_default()
}

fn of_job(job: &JobView) -> Duration {
    let own = job.steps.iter().filter(|s| OWN.contains(&s.name.as_str()));
    own.filter_map(|s| Some(s.finished_at?.since(s.started_at?))).sum()
}
