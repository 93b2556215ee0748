//! Runs followed at the terminal, and the end of the log of what failed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use http_body_util::BodyExt as _;
use windlass_api::{Client, Conclusion, JobView, RunDetail, State};

use crate::connection::part;
use crate::live::Live;
use crate::show::{self, Tone};
use crate::tree;

/// How often is looked.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);

/// How much of a failed step's log is read for its end.
const TAIL_BYTES: u64 = 16 << 10;
/// How many lines of it are shown.
const TAIL_LINES: usize = 25;

/// Runs that are being followed.
#[derive(Debug)]
pub(crate) struct Watch {
    client: Client,
    live: Live,
    seen: BTreeMap<String, RunDetail>,
}

impl Watch {
    /// Follows by these eyes.
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), live: Live::new(), seen: BTreeMap::new() }
    }

    /// Looks once at these runs, shows them, and gives what was seen.
    pub(crate) async fn look(&mut self, runs: &[String]) -> Result<Vec<RunDetail>> {
        let mut views = Vec::with_capacity(runs.len());
        for id in runs {
            views.push(fetch(&self.client, id).await?);
        }
        if self.live.moving() {
            let now = show::now();
            let lines: Vec<String> = views.iter().flat_map(|run| tree::lines(run, now)).collect();
            self.live.draw(&lines)?;
        } else {
            for view in &views {
                for line in tree::changes(self.seen.get(&view.summary.id), view) {
                    show::print(&line)?;
                }
            }
        }
        for view in &views {
            self.seen.insert(view.summary.id.clone(), view.clone());
        }
        Ok(views)
    }

    /// Says something above the tree.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        self.live.say(text)
    }

    /// Lets the tree stand, so that something else may be written below it.
    pub(crate) fn leave(&mut self) {
        self.live.leave();
    }
}

/// One run.
pub(crate) async fn fetch(client: &Client, id: &str) -> Result<RunDetail> {
    Ok(client.get(&format!("/api/v1/runs/{}", part(id))).await?)
}

/// Whether a run has come to its end.
pub(crate) fn ended(run: &RunDetail) -> bool {
    run.summary.state == State::Completed
}

/// Follows one run to its end.
pub(crate) async fn follow(client: &Client, id: &str) -> Result<RunDetail> {
    let mut watch = Watch::new(client);
    let mut asked = Vec::new();
    loop {
        let run = watch.look(&[id.to_owned()]).await?.pop().context("a run was asked for and none came")?;
        for approval in run.approvals.iter().filter(|a| a.state == "pending") {
            if !asked.contains(&approval.id) {
                watch.say(&Tone::Busy.paint(format!(
                    "{} waits for an approval: windlass approve {}",
                    crate::approve::what(approval),
                    approval.id
                )))?;
                asked.push(approval.id.clone());
            }
        }
        if ended(&run) {
            watch.leave();
            return Ok(run);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Shows the end of the log of every job that failed.
pub(crate) async fn tell_failures(client: &Client, run: &RunDetail) -> Result<()> {
    for job in run.jobs.iter().filter(|j| failed(j)) {
        let step = job.steps.iter().rev().find(|s| s.conclusion == Some(Conclusion::Failure));
        let at = step.map(|s| format!(", step {} ({})", s.number, show::clean(&s.name))).unwrap_or_default();
        show::print(&format!("\n{}", Tone::Bad.paint(format!("── {}{at} ──", show::clean(&job.name)))))?;
        let (start, end) = step.map_or((0, None), |s| (s.log_start, s.log_end));
        // A log that cannot be read must not hide that the job failed.
        let mut shown = Vec::new();
        match tail(client, &run.summary.id, &job.id, start, end).await {
            Ok(lines) if !lines.is_empty() => {
                lines.iter().try_for_each(|line| show::print(&format!("  {line}")))?;
                shown = lines;
            }
            Ok(_) => show::print(&format!("  {}", job.reason.as_deref().unwrap_or("it wrote nothing")))?,
            Err(e) => show::print(&format!("  (its log cannot be read: {e:#})"))?,
        }
        let fresh = |message: &str| !shown.iter().any(|line| line.contains(message));
        for note in job.annotations.iter().filter(|a| a.level == "error" && fresh(&a.message)).take(5) {
            show::print(&format!("  {} {}", Tone::Bad.paint("error:"), show::clean(&note.message)))?;
        }
    }
    Ok(())
}

fn failed(job: &JobView) -> bool {
    job.conclusion == Some(Conclusion::Failure)
        || (job.conclusion == Some(Conclusion::Cancelled) && job.started_at.is_some())
}

async fn tail(client: &Client, run: &str, job: &str, start: u64, end: Option<u64>) -> Result<Vec<String>> {
    let from = end.map_or(start, |end| end.saturating_sub(TAIL_BYTES).max(start));
    let limit = end.map_or(0, |end| end.saturating_sub(from));
    let text = job_log(client, run, job, from, limit).await?;
    Ok(last_lines(&String::from_utf8_lossy(&text), TAIL_LINES, from > start))
}

/// A part of a job's log; `limit` 0 is to the end.
pub(crate) async fn job_log(
    client: &Client,
    run: &str,
    job: &str,
    offset: u64,
    limit: u64,
) -> Result<bytes::Bytes> {
    let path = format!("/api/v1/runs/{}/jobs/{}/log?offset={offset}&limit={limit}", part(run), part(job));
    let answer = client.send(Method::GET, &path, &[], windlass_api::RequestBody::default()).await?;
    Ok(answer.into_body().collect().await.context("the log broke off")?.to_bytes())
}

/// The last lines, without their stamps; the first may be a piece of a line and is then left out.
fn last_lines(text: &str, count: usize, cut: bool) -> Vec<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    if cut && lines.len() > 1 {
        lines.remove(0);
    }
    let from = lines.len().saturating_sub(count);
    lines[from..].iter().map(|line| readable(line)).collect()
}

/// A log line without its stamp and without what steers the terminal.
pub(crate) fn readable(line: &str) -> String {
    show::clean(&console::strip_ansi_codes(unstamped(line)))
        .replace("##[group]", "▸ ")
        .replace("##[endgroup]", "")
        .replace("##[error]", "error: ")
}

/// A log line without the time at its head (RFC 3339, as job logs carry it).
pub(crate) fn unstamped(line: &str) -> &str {
    match line.split_once(' ') {
        Some((stamp, rest)) if stamp.len() > 19 && stamp.ends_with('Z') && stamp.as_bytes()[10] == b'T' => {
            rest
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_go_and_the_rest_stays() {
        assert_eq!(unstamped("2023-11-14T22:13:20.1230000Z one two"), "one two");
        for line in ["one two", "2023 x", "", "xxxxxxxxxxxxxxxxxxxxxxxxxZ a"] {
            assert_eq!(unstamped(line), line);
        }
        assert_eq!(readable("2023-11-14T22:13:20.1230000Z \u{1b}[31mred\u{1b}[0m\u{7}"), "red\u{fffd}");
    }

    #[test]
    fn only_whole_lines_are_shown() {
        assert_eq!(last_lines("ece\nb\nc\n", 5, true), ["b", "c"]);
        assert_eq!(last_lines("a\nb\nc\n", 2, false), ["b", "c"]);
        assert!(last_lines("", 2, true).is_empty());
    }
}
