//! A run with its graph, and a job with its log.

use askama::Template;
use axum::body::to_bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use windlass_api as wire;
use windlass_api::{Conclusion, ErrorCode, Problem, State as Progress};

use crate::log::{self, Piece, Position};
use crate::page::{Chrome, PageError, Posted, Shown, Visitor, only_changes, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view::Raw;
use crate::{graph, markdown, view};

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/runs/{run}", get(run))
        .route("/runs/{run}/cancel", post(cancel))
        .route("/runs/{run}/rerun", post(rerun))
        .route("/runs/{run}/jobs/{job}", get(job))
        .route("/runs/{run}/jobs/{job}/part", get(part))
}

/// How much of a log is read at once, and how much of it a page holds without a script asking for more.
const PIECE: u64 = 256 << 10;
const ON_PAGE: u64 = 1 << 20;

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    chrome: Chrome,
    run: wire::RunDetail,
    graph: Raw,
    summaries: Vec<(String, Raw)>,
    approvals: Vec<wire::ApprovalView>,
    deployments: Vec<wire::DeploymentView>,
    finished: bool,
    failed: bool,
    back: String,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    chrome: Chrome,
    run: wire::RunDetail,
    job: wire::JobView,
    steps: Vec<StepOnPage>,
    /// Lines before the first step.
    preamble: Raw,
    end: Position,
    more: bool,
    finished: bool,
}

struct StepOnPage {
    step: wire::StepView,
    lines: Raw,
    open: bool,
}

#[derive(Deserialize)]
struct LogFrom {
    offset: u64,
    line: u64,
    #[serde(default)]
    inside: bool,
}

/// More of a log, for the script that follows it.
#[derive(Serialize)]
struct Part {
    pieces: Vec<Piece>,
    next: Position,
    /// More is there already.
    more: bool,
    /// The job has ended, and with it the log.
    ended: bool,
}

async fn run(State(web): State<Web>, visitor: Visitor, Path(id): Path<String>) -> Shown {
    let run = web.platform.run(&visitor.who, &id).await?;
    let mut deployments = Vec::new();
    for deployment in &run.deployments {
        deployments.push(web.platform.deployment(&visitor.who, deployment).await?);
    }
    let with_summary = run.jobs.iter().filter(|j| !j.summary.trim().is_empty());
    let summaries = with_summary.map(|j| (j.name.clone(), markdown::render(&j.summary))).collect();
    let finished = run.summary.state == Progress::Completed;
    let every = if finished { 0 } else { 3 };
    let title = format!("{} #{} · {}", run.summary.workflow, run.summary.number, run.summary.project);
    let chrome =
        visitor.chrome(title, "projects").live(if finished { "" } else { &run.summary.project }, every);
    let graph = graph::draw(&run.summary.id, &run.jobs);
    let failed =
        !matches!(run.summary.conclusion, None | Some(Conclusion::Success | Conclusion::StartupFailure));
    let approvals = run.approvals.clone();
    let back = format!("/runs/{}", view::encode(&id));
    show(&RunPage { chrome, run, graph, summaries, approvals, deployments, finished, failed, back })
}

async fn job(
    State(web): State<Web>,
    visitor: Visitor,
    headers: HeaderMap,
    Path((run_id, job_id)): Path<(String, String)>,
) -> Shown {
    let run = web.platform.run(&visitor.who, &run_id).await?;
    let job = find(&run, &job_id)?.clone();
    let finished = job.state == Progress::Completed;
    let (mut pieces, mut end, mut more) = (Vec::new(), Position::START, true);
    while more && end.offset < ON_PAGE && !only_changes(&headers) {
        let part = read(&web, &visitor, &run_id, &job, end).await?;
        pieces.extend(part.pieces);
        (end, more) = (part.next, part.more);
    }
    let lines_of =
        |number: u32| Raw(pieces.iter().filter(|p| p.step == number).map(|p| p.html.as_str()).collect());
    let steps = job
        .steps
        .iter()
        .map(|step| StepOnPage {
            lines: lines_of(step.number),
            open: step.state == Progress::Running || step.outcome == Some(Conclusion::Failure),
            step: step.clone(),
        })
        .collect();
    let title = format!("{} · {} #{}", job.name, run.summary.workflow, run.summary.number);
    let (follows, every) = if finished { ("", 0) } else { (run.summary.project.as_str(), 3) };
    let chrome = visitor.chrome(title, "projects").live(follows, every);
    let preamble = lines_of(0);
    show(&JobPage { chrome, run, job, steps, preamble, end, more, finished })
}

async fn part(
    State(web): State<Web>,
    visitor: Visitor,
    Path((run_id, job_id)): Path<(String, String)>,
    Query(from): Query<LogFrom>,
) -> Result<Json<Part>, PageError> {
    let run = web.platform.run(&visitor.who, &run_id).await?;
    let job = find(&run, &job_id)?;
    let at = Position { offset: from.offset, line: from.line, inside: from.inside };
    Ok(Json(read(&web, &visitor, &run_id, job, at).await?))
}

fn find<'a>(run: &'a wire::RunDetail, job: &str) -> Result<&'a wire::JobView, Problem> {
    let found = run.jobs.iter().find(|j| j.id == job);
    found.ok_or_else(|| Problem::not_found("this run has no such job: it may be of an earlier attempt"))
}

/// Reads and renders the next piece of a job's log.
async fn read(
    web: &Web,
    visitor: &Visitor,
    run: &str,
    job: &wire::JobView,
    at: Position,
) -> Result<Part, PageError> {
    let ended = job.state == Progress::Completed;
    let log = match web.platform.job_log(&visitor.who, run, &job.id, at.offset, PIECE).await {
        Ok(log) => log,
        // A job that has not begun has no log yet.
        Err(problem) if problem.code == ErrorCode::NotFound => {
            return Ok(Part { pieces: Vec::new(), next: at, more: false, ended });
        }
        Err(problem) => return Err(problem.into()),
    };
    let bytes = to_bytes(log.body, 2 * PIECE as usize)
        .await
        .map_err(|e| Problem::new(ErrorCode::Internal, format!("the job's log cannot be read: {e}")))?;
    let full = bytes.len() as u64 >= PIECE;
    let (pieces, next) = log::render(&bytes, at, &job.steps, ended && !full);
    let more = full && next.offset > at.offset;
    Ok(Part { pieces, next, more, ended })
}

async fn cancel(State(web): State<Web>, Path(run): Path<String>, posted: Posted) -> Shown {
    web.platform.cancel_run(&posted.visitor.who, &run).await?;
    Ok(Redirect::to(&format!("/runs/{}", view::encode(&run))).into_response())
}

async fn rerun(State(web): State<Web>, Path(run): Path<String>, posted: Posted) -> Shown {
    let how = wire::Rerun { failed_only: posted.text("jobs") == "failed" };
    web.platform.rerun(&posted.visitor.who, &run, how).await?;
    Ok(Redirect::to(&format!("/runs/{}", view::encode(&run))).into_response())
}
