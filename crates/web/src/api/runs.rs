//! Workflows, runs, jobs, logs, artifacts.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;

use super::transfer;
use crate::Page;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(all_runs))
        .routes(routes!(runs))
        .routes(routes!(run))
        .routes(routes!(cancel))
        .routes(routes!(rerun))
        .routes(routes!(job_log))
        .routes(routes!(log_outline))
        .routes(routes!(log_window))
        .routes(routes!(log_search))
        .routes(routes!(artifact))
        .routes(routes!(workflows))
        .routes(routes!(dispatch))
        .routes(routes!(repository_dispatch))
        .routes(routes!(attempts))
        .routes(routes!(attempt))
}

/// A list's window.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Window {
    /// At most so many; 0 for the default.
    #[serde(default)]
    pub(super) limit: usize,
    /// Only those older than this one.
    pub(super) before: Option<String>,
}

impl From<Window> for Page {
    fn from(window: Window) -> Self {
        Self { limit: window.limit, before: window.before }
    }
}

/// Which part of a log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogPart {
    /// From this byte on.
    #[serde(default)]
    offset: u64,
    /// At most so many bytes; 0 for all.
    #[serde(default)]
    limit: u64,
}

/// Which lines of a log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogLines {
    /// From this line on; the first is 1.
    #[serde(default)]
    from: u64,
    /// At most so many; 0 for 200, never more than 2000 or 2 MiB.
    #[serde(default)]
    count: usize,
}

/// What to look for in a log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogSearch {
    /// The text, of 1 to 200 characters; case does not matter.
    q: String,
    /// From this line on; the first is 1.
    #[serde(default)]
    from: u64,
    /// At most so many hits; 0 for 100, never more than 500.
    #[serde(default)]
    limit: usize,
}

/// Which workflow.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WorkflowFile {
    /// The workflow's file, such as `.github/workflows/ci.yml`.
    file: String,
}

/// Runs of all projects, newest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(Window), responses((status = 200, body = Vec<wire::RunSummary>)))]
async fn all_runs(
    State(web): State<Web>,
    caller: Caller,
    Query(window): Query<Window>,
) -> Reply<Json<Vec<wire::RunSummary>>> {
    Ok(Json(web.platform.runs(&caller.who, None, &window.into()).await?))
}

/// Runs of a project, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs", tag = "runs", params(Window), responses((status = 200, body = Vec<wire::RunSummary>)))]
async fn runs(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(window): Query<Window>,
) -> Reply<Json<Vec<wire::RunSummary>>> {
    Ok(Json(web.platform.runs(&caller.who, Some(&project), &window.into()).await?))
}

/// One run, with its jobs and steps.
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs", responses((status = 200, body = wire::RunDetail)))]
async fn run(
    State(web): State<Web>,
    caller: Caller,
    Path(run): Path<String>,
) -> Reply<Json<wire::RunDetail>> {
    Ok(Json(web.platform.run(&caller.who, &run).await?))
}

/// Stops a run.
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", tag = "runs", responses((status = 204, description = "It is being stopped")))]
async fn cancel(State(web): State<Web>, caller: Caller, Path(run): Path<String>) -> Reply<StatusCode> {
    web.platform.cancel_run(&caller.who, &run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs again: a new attempt.
#[utoipa::path(post, path = "/api/v1/runs/{run}/rerun", tag = "runs", responses((status = 204, description = "A new attempt was made")))]
async fn rerun(
    State(web): State<Web>,
    caller: Caller,
    Path(run): Path<String>,
    Json(how): Json<wire::Rerun>,
) -> Reply<StatusCode> {
    web.platform.rerun(&caller.who, &run, how).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A job's log from a byte on. Ask again to follow it.
#[utoipa::path(get, path = "/api/v1/runs/{run}/jobs/{job}/log", tag = "runs", params(LogPart), responses((status = 200, body = String, content_type = "text/plain")))]
async fn job_log(
    State(web): State<Web>,
    caller: Caller,
    Path((run, job)): Path<(String, String)>,
    Query(part): Query<LogPart>,
) -> Reply<Response> {
    let log = web.platform.job_log(&caller.who, &run, &job, part.offset, part.limit).await?;
    Ok(transfer::answer(log, "text/plain; charset=utf-8", true))
}

/// How long a job's log is, where its steps stand in it, and its groups.
#[utoipa::path(get, path = "/api/v1/runs/{run}/jobs/{job}/log/outline", tag = "runs", responses((status = 200, body = wire::LogOutline)))]
async fn log_outline(
    State(web): State<Web>,
    caller: Caller,
    Path((run, job)): Path<(String, String)>,
) -> Reply<Json<wire::LogOutline>> {
    Ok(Json(web.platform.log_outline(&caller.who, &run, &job).await?))
}

/// Lines of a job's log.
#[utoipa::path(get, path = "/api/v1/runs/{run}/jobs/{job}/log/lines", tag = "runs", params(LogLines), responses((status = 200, body = wire::LogWindow)))]
async fn log_window(
    State(web): State<Web>,
    caller: Caller,
    Path((run, job)): Path<(String, String)>,
    Query(lines): Query<LogLines>,
) -> Reply<Json<wire::LogWindow>> {
    let count = if lines.count == 0 { 200 } else { lines.count };
    Ok(Json(web.platform.log_window(&caller.who, &run, &job, lines.from, count).await?))
}

/// The lines of a job's log that hold a text. Looks at 256 MiB at a time: `next` says where to go on.
#[utoipa::path(get, path = "/api/v1/runs/{run}/jobs/{job}/log/search", tag = "runs", params(LogSearch), responses((status = 200, body = wire::LogHits)))]
async fn log_search(
    State(web): State<Web>,
    caller: Caller,
    Path((run, job)): Path<(String, String)>,
    Query(search): Query<LogSearch>,
) -> Reply<Json<wire::LogHits>> {
    let limit = if search.limit == 0 { 100 } else { search.limit };
    let found = web.platform.log_search(&caller.who, &run, &job, &search.q, search.from, limit).await?;
    Ok(Json(found))
}

/// An artifact's archive.
#[utoipa::path(get, path = "/api/v1/artifacts/{artifact}", tag = "runs", responses((status = 200, body = Vec<u8>, content_type = "application/zip")))]
async fn artifact(State(web): State<Web>, caller: Caller, Path(artifact): Path<String>) -> Reply<Response> {
    let archive = web.platform.artifact(&caller.who, &artifact).await?;
    let media_type = transfer::artifact_type(&archive);
    Ok(transfer::answer(archive, media_type, false))
}

/// The workflows of the default branch.
#[utoipa::path(get, path = "/api/v1/projects/{project}/workflows", tag = "runs", responses((status = 200, body = Vec<wire::WorkflowView>)))]
async fn workflows(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
) -> Reply<Json<Vec<wire::WorkflowView>>> {
    Ok(Json(web.platform.workflows(&caller.who, &project).await?))
}

/// Starts a workflow by hand.
#[utoipa::path(post, path = "/api/v1/projects/{project}/workflows/dispatch", tag = "runs", params(WorkflowFile), responses((status = 201, body = wire::RunSummary)))]
async fn dispatch(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(which): Query<WorkflowFile>,
    Json(how): Json<wire::Dispatch>,
) -> Reply<(StatusCode, Json<wire::RunSummary>)> {
    Ok((StatusCode::CREATED, Json(web.platform.dispatch(&caller.who, &project, &which.file, how).await?)))
}

/// Sends an event of the sender's own: starts the workflows of the default branch that run on `repository_dispatch`.
#[utoipa::path(post, path = "/api/v1/projects/{project}/dispatches", tag = "runs", responses((status = 201, body = Vec<wire::RunSummary>)))]
async fn repository_dispatch(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Json(event): Json<wire::RepositoryDispatch>,
) -> Reply<(StatusCode, Json<Vec<wire::RunSummary>>)> {
    Ok((StatusCode::CREATED, Json(web.platform.repository_dispatch(&caller.who, &project, event).await?)))
}

/// The attempts of a run, newest first.
#[utoipa::path(get, path = "/api/v1/runs/{run}/attempts", tag = "runs", responses((status = 200, body = Vec<wire::RunSummary>)))]
async fn attempts(
    State(web): State<Web>,
    caller: Caller,
    Path(run): Path<String>,
) -> Reply<Json<Vec<wire::RunSummary>>> {
    Ok(Json(web.platform.attempts(&caller.who, &run).await?))
}

/// One attempt of a run, as it ended.
#[utoipa::path(get, path = "/api/v1/runs/{run}/attempts/{attempt}", tag = "runs", responses((status = 200, body = wire::RunDetail)))]
async fn attempt(
    State(web): State<Web>,
    caller: Caller,
    Path((run, attempt)): Path<(String, u32)>,
) -> Reply<Json<wire::RunDetail>> {
    Ok(Json(web.platform.attempt(&caller.who, &run, attempt).await?))
}
