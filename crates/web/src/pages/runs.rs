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
        .route("/runs/{run}/cancel", post(cancel))
        .route("/runs/{run}/rerun", post(rerun))
}

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

async fn cancel(State(web): State<Web>, Path(run): Path<String>, posted: Posted) -> Shown {
    web.platform.cancel_run(&posted.visitor.who, &run).await?;
    Ok(Redirect::to(&format!("/runs/{}", view::encode(&run))).into_response())
}

async fn rerun(State(web): State<Web>, Path(run): Path<String>, posted: Posted) -> Shown {
    let how = wire::Rerun { failed_only: posted.text("jobs") == "failed" };
    web.platform.rerun(&posted.visitor.who, &run, how).await?;
    Ok(Redirect::to(&format!("/runs/{}", view::encode(&run))).into_response())
}
