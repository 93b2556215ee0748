//! A job with its log, which the script reads window by window; without a script there is a page for each window.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use windlass_api as wire;
use windlass_api::{Conclusion, Problem, State as Progress};

use crate::log::{self, Line};
use crate::page::{Chrome, PageError, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/runs/{run}/jobs/{job}", get(job))
        .route("/runs/{run}/jobs/{job}/log/shape", get(shape))
        .route("/runs/{run}/jobs/{job}/log/lines", get(lines))
        .route("/runs/{run}/jobs/{job}/log", get(plain))
}

/// The lines of a page without a script.
const ON_PAGE: usize = 1000;

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    chrome: Chrome,
    run: wire::RunDetail,
    job: wire::JobView,
    /// It is of the run's newest attempt.
    latest: bool,
    finished: bool,
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    chrome: Chrome,
    run: wire::RunDetail,
    job: wire::JobView,
    lines: Vec<(u64, Line)>,
    total: u64,
    older: Option<u64>,
    newer: Option<u64>,
}

/// Which lines.
#[derive(Deserialize)]
struct From {
    #[serde(default)]
    from: u64,
    #[serde(default)]
    count: usize,
}

/// A log without its text, for the script.
#[derive(Serialize)]
struct Shape {
    lines: u64,
    ended: bool,
    steps: Vec<StepShape>,
    groups: Vec<wire::LogGroup>,
}

#[derive(Serialize)]
struct StepShape {
    number: u32,
    name: String,
    mark: String,
    took: String,
    first: u64,
    last: u64,
    open: bool,
    running: bool,
}

/// Lines, for the script.
#[derive(Serialize)]
struct Window {
    first: u64,
    lines: Vec<Line>,
}

async fn job(
    State(web): State<Web>,
    visitor: Visitor,
    Path((run_id, job_id)): Path<(String, String)>,
) -> Shown {
    let (run, job, latest) = find(&web, &visitor, &run_id, &job_id).await?;
    let finished = job.state == Progress::Completed;
    let title = format!("{} · {} #{}", job.name, run.summary.workflow, run.summary.number);
    let (follows, every) = if finished { ("", 0) } else { (run.summary.project.as_str(), 3) };
    let chrome = visitor.chrome(title, "projects").live(follows, every);
    show(&JobPage { chrome, run, job, latest, finished })
}

/// A job with its run, as the attempt stands or stood that it is of; and whether that is the newest.
async fn find(
    web: &Web,
    visitor: &Visitor,
    run_id: &str,
    job_id: &str,
) -> Result<(wire::RunDetail, wire::JobView, bool), Problem> {
    let of = |run: &wire::RunDetail| run.jobs.iter().find(|j| j.id == job_id).cloned();
    let run = web.platform.run(&visitor.who, run_id).await?;
    if let Some(job) = of(&run) {
        return Ok((run, job, true));
    }
    for number in (1..run.summary.attempt).rev() {
        // Those before a certain attempt may be forgotten.
        let Ok(earlier) = web.platform.attempt(&visitor.who, run_id, number).await else { continue };
        if let Some(job) = of(&earlier) {
            return Ok((earlier, job, false));
        }
    }
    Err(Problem::not_found("this run has no such job, in none of its attempts"))
}

async fn shape(
    State(web): State<Web>,
    visitor: Visitor,
    Path((run_id, job_id)): Path<(String, String)>,
) -> Result<Json<Shape>, PageError> {
    let (_, job, _) = find(&web, &visitor, &run_id, &job_id).await?;
    let outline = web.platform.log_outline(&visitor.who, &run_id, &job_id).await?;
    let step = |step: &wire::StepView| {
        let place = outline.steps.iter().find(|s| s.number == step.number);
        StepShape {
            number: step.number,
            name: step.name.clone(),
            mark: view::step_look(step).mark().0,
            took: view::took(&visitor.now, &step.started_at, &step.finished_at).0,
            first: place.map_or(0, |p| p.first),
            last: place.map_or(0, |p| p.last),
            open: step.outcome == Some(Conclusion::Failure),
            running: step.state == Progress::Running,
        }
    };
    let steps = job.steps.iter().map(step).collect();
    Ok(Json(Shape { lines: outline.lines, ended: outline.ended, steps, groups: outline.groups }))
}

async fn lines(
    State(web): State<Web>,
    visitor: Visitor,
    Path((run, job)): Path<(String, String)>,
    Query(which): Query<From>,
) -> Result<Json<Window>, PageError> {
    let window = web.platform.log_window(&visitor.who, &run, &job, which.from, which.count.max(1)).await?;
    let lines = window.lines.iter().map(|text| log::line(text)).collect();
    Ok(Json(Window { first: window.first, lines }))
}

async fn plain(
    State(web): State<Web>,
    visitor: Visitor,
    Path((run_id, job_id)): Path<(String, String)>,
    Query(which): Query<From>,
) -> Shown {
    let (run, job, _) = find(&web, &visitor, &run_id, &job_id).await?;
    let outline = web.platform.log_outline(&visitor.who, &run_id, &job_id).await?;
    let window = web.platform.log_window(&visitor.who, &run_id, &job_id, which.from, ON_PAGE).await?;
    let lines: Vec<(u64, Line)> =
        (window.first..).zip(window.lines.iter().map(|text| log::line(text))).collect();
    let end = window.first + lines.len() as u64;
    let older = (window.first > 1).then(|| window.first.saturating_sub(ON_PAGE as u64).max(1));
    let newer = (!lines.is_empty() && end <= outline.lines).then_some(end);
    let chrome = visitor.chrome(format!("Log of {}", job.name), "projects");
    show(&LogPage { chrome, run, job, lines, total: outline.lines, older, newer })
}
