//! A run with its graph, its jobs and what it left.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use windlass_api as wire;
use windlass_api::{Conclusion, State as Progress};

use crate::page::{Chrome, Posted, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view::Raw;
use crate::{graph, markdown, view};

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/runs/{run}", get(run))
        .route("/runs/{run}/attempts/{attempt}", get(attempt))
        .route("/runs/{run}/cancel", post(cancel))
        .route("/runs/{run}/rerun", post(rerun))
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    chrome: Chrome,
    run: wire::RunDetail,
    graph: Raw,
    families: Vec<JobsOnPage>,
    pending: Vec<wire::ApprovalView>,
    /// All attempts, newest first; none if there is only one.
    attempts: Vec<wire::RunSummary>,
    /// It is not an earlier attempt.
    latest: bool,
    reports: wire::RunReports,
    /// Test reports of which there is nothing to say but that all passed.
    passed: Vec<wire::TestReport>,
    summaries: Vec<(String, Raw)>,
    approvals: Vec<wire::ApprovalView>,
    deployments: Vec<wire::DeploymentView>,
    finished: bool,
    failed: bool,
    back: String,
}

/// The jobs of one key, in the list.
struct JobsOnPage {
    /// The list's anchor, if it is folded.
    id: String,
    folded: bool,
    title: String,
    counts: String,
    look: view::Look,
    jobs: Vec<(wire::JobView, usize)>,
}

async fn run(State(web): State<Web>, visitor: Visitor, Path(id): Path<String>) -> Shown {
    let run = web.platform.run(&visitor.who, &id).await?;
    page(&web, visitor, run, true).await
}

async fn attempt(State(web): State<Web>, visitor: Visitor, Path((id, number)): Path<(String, u32)>) -> Shown {
    let latest = web.platform.run(&visitor.who, &id).await?;
    if latest.summary.attempt == number {
        return page(&web, visitor, latest, true).await;
    }
    let run = web.platform.attempt(&visitor.who, &id, number).await?;
    page(&web, visitor, run, false).await
}

/// A run's page, or that of an earlier attempt, of which nothing can be asked any more.
async fn page(web: &Web, visitor: Visitor, run: wire::RunDetail, latest: bool) -> Shown {
    let id = run.summary.id.clone();
    let attempts = match run.summary.attempt {
        1 if latest => Vec::new(),
        _ => web.platform.attempts(&visitor.who, &id).await?,
    };
    let mut reports = web.platform.run_reports(&visitor.who, &id).await?;
    reports.tests.sort_by(|a, b| (a.failed == 0, &a.name).cmp(&(b.failed == 0, &b.name)));
    // One report that is all well is shown whole; of many only those that are not.
    let at = if reports.tests.len() > 1 { reports.tests.partition_point(|t| t.failed > 0) } else { 1 };
    let passed = reports.tests.split_off(at.min(reports.tests.len()));
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
    let families = graph::families(&run.jobs)
        .iter()
        .map(|family| JobsOnPage {
            id: view::encode(family.key),
            folded: family.folded(),
            title: family.title(),
            counts: family.counts(),
            look: family.look(),
            jobs: family.jobs.iter().map(|(job, depth)| ((*job).clone(), *depth)).collect(),
        })
        .collect();
    let failed =
        !matches!(run.summary.conclusion, None | Some(Conclusion::Success | Conclusion::StartupFailure));
    let (pending, approvals) = run.approvals.iter().cloned().partition(|a| a.state == "pending");
    let back = format!("/runs/{}", view::encode(&id));
    show(&RunPage {
        chrome,
        run,
        graph,
        families,
        pending,
        attempts,
        latest,
        reports,
        passed,
        summaries,
        approvals,
        deployments,
        finished,
        failed,
        back,
    })
}

async fn cancel(State(web): State<Web>, Path(run): Path<String>, posted: Posted) -> Shown {
    web.platform.cancel_run(&posted.visitor.who, &run).await?;
    Ok(Redirect::to(&format!("/runs/{}", view::encode(&run))).into_response())
}

async fn rerun(State(web): State<Web>, Path(run): Path<String>, posted: Posted) -> Shown {
    let how = match posted.text("jobs") {
        "all" => wire::Rerun { failed_only: false, job: None },
        "failed" => wire::Rerun { failed_only: true, job: None },
        job => wire::Rerun { failed_only: false, job: Some(job.to_owned()) },
    };
    web.platform.rerun(&posted.visitor.who, &run, how).await?;
    Ok(Redirect::to(&format!("/runs/{}", view::encode(&run))).into_response())
}
