//! Calls as GitHub's REST API has them, for programs that start and stop runs there: the same paths and bodies below
//! `/api/v3`, answered by the same calls of [`Platform`](crate::Platform) as our own. The owner is a name only: a
//! repository is a project of this server.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{any, post};
use serde::Deserialize;
use serde_json::Value;
use windlass_api as wire;

use super::transfer;
use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/api/v3/repos/{owner}/{repo}/dispatches", post(repository_dispatch))
        .route("/api/v3/repos/{owner}/{repo}/actions/workflows/{workflow}/dispatches", post(dispatch))
        .route("/api/v3/repos/{owner}/{repo}/actions/runs/{run}/cancel", post(cancel))
        .route("/api/v3/repos/{owner}/{repo}/actions/runs/{run}/rerun", post(rerun))
        .route("/api/v3/repos/{owner}/{repo}/actions/runs/{run}/rerun-failed-jobs", post(rerun_failed))
        .route("/api/v3/{*rest}", any(transfer::no_such_call))
}

async fn repository_dispatch(
    State(web): State<Web>,
    caller: Caller,
    Path((_, repo)): Path<(String, String)>,
    Json(event): Json<wire::RepositoryDispatch>,
) -> Reply<StatusCode> {
    web.platform.repository_dispatch(&caller.who, &repo, event).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What starts a workflow by hand.
#[derive(Deserialize)]
struct Dispatch {
    r#ref: String,
    #[serde(default)]
    inputs: BTreeMap<String, Value>,
}

async fn dispatch(
    State(web): State<Web>,
    caller: Caller,
    Path((_, repo, workflow)): Path<(String, String, String)>,
    Json(how): Json<Dispatch>,
) -> Reply<StatusCode> {
    let how = wire::Dispatch { git_ref: how.r#ref, inputs: how.inputs };
    web.platform.dispatch(&caller.who, &repo, &workflow, how).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn cancel(
    State(web): State<Web>,
    caller: Caller,
    Path((_, _, run)): Path<(String, String, String)>,
) -> Reply<(StatusCode, Json<Value>)> {
    web.platform.cancel_run(&caller.who, &run).await?;
    Ok((StatusCode::ACCEPTED, Json(Value::Object(serde_json::Map::new()))))
}

async fn rerun(
    State(web): State<Web>,
    caller: Caller,
    Path((_, _, run)): Path<(String, String, String)>,
) -> Reply<(StatusCode, Json<Value>)> {
    web.platform.rerun(&caller.who, &run, wire::Rerun::default()).await?;
    Ok((StatusCode::CREATED, Json(Value::Object(serde_json::Map::new()))))
}

async fn rerun_failed(
    State(web): State<Web>,
    caller: Caller,
    Path((_, _, run)): Path<(String, String, String)>,
) -> Reply<(StatusCode, Json<Value>)> {
    let how = wire::Rerun { failed_only: true, ..wire::Rerun::default() };
    web.platform.rerun(&caller.who, &run, how).await?;
    Ok((StatusCode::CREATED, Json(Value::Object(serde_json::Map::new()))))
}
