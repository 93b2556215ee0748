//! What runners and job units call, as [`windlass_api::runner`] describes it.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as api;
use windlass_api::Problem;
use windlass_api::runner as wire;

use super::transfer;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::{Refusal, Reply};
use crate::state::Web;

/// The largest report of a job: a step's summary alone may be 1 MiB.
const LARGEST_REPORT: usize = 16 << 20;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(lease))
        .routes(routes!(lost))
        .routes(routes!(updates))
        .routes(routes!(append_log))
        .routes(routes!(list_artifacts))
        .routes(routes!(get_artifact, put_artifact))
        .routes(routes!(get_cache, put_cache))
        .routes(routes!(build_image))
        .routes(routes!(start_deployment))
        .routes(routes!(get_deployment))
        .layer(DefaultBodyLimit::max(LARGEST_REPORT))
}

/// Where a piece of a log begins.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogOffset {
    /// The piece's first byte.
    offset: u64,
}

/// How an artifact is kept.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Keep {
    /// Days; the platform's default if not given.
    retention_days: Option<u32>,
    /// Takes the place of an artifact of the same name.
    #[serde(default)]
    overwrite: bool,
}

/// Which cache entry is looked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CacheLookup {
    /// A digest of the paths and the way of packing.
    version: String,
    /// The key, then the prefixes to fall back to, separated by commas.
    keys: String,
}

/// Which cache entry is stored.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CacheEntry {
    /// A digest of the paths and the way of packing.
    version: String,
    /// The key.
    key: String,
}

/// Asks for a job; 204 when there was none within the wait.
#[utoipa::path(post, path = "/api/v1/runner/lease", tag = "runner", responses((status = 200, body = wire::Assignment), (status = 204, description = "No job now")))]
async fn lease(
    State(web): State<Web>,
    caller: Caller,
    Json(request): Json<wire::LeaseRequest>,
) -> Reply<Response> {
    Ok(match web.runner.lease(&caller.who, request).await? {
        Some(assignment) => Json(assignment).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// A job's unit died without a report.
#[utoipa::path(post, path = "/api/v1/runner/jobs/{job}/lost", tag = "runner", responses((status = 204, description = "Noted")))]
async fn lost(
    State(web): State<Web>,
    caller: Caller,
    Path(job): Path<String>,
    Json(lost): Json<wire::Lost>,
) -> Reply<StatusCode> {
    web.runner.lost(&caller.who, &job, lost).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What happened in a job, in order.
#[utoipa::path(post, path = "/api/v1/runner/jobs/{job}/updates", tag = "runner", responses((status = 200, body = wire::UpdateReply)))]
async fn updates(
    State(web): State<Web>,
    caller: Caller,
    Path(job): Path<String>,
    Json(updates): Json<wire::JobUpdates>,
) -> Reply<Json<wire::UpdateReply>> {
    Ok(Json(web.runner.updates(&caller.who, &job, updates).await?))
}

/// More of a job's log, from a byte on.
#[utoipa::path(post, path = "/api/v1/runner/jobs/{job}/log", tag = "runner", params(LogOffset), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 200, body = wire::LogReply)))]
async fn append_log(
    State(web): State<Web>,
    caller: Caller,
    Path(job): Path<String>,
    Query(from): Query<LogOffset>,
    headers: HeaderMap,
    body: Body,
) -> Reply<Json<wire::LogReply>> {
    let body = transfer::limited(&headers, body, transfer::LARGEST_LOG_PIECE)?;
    Ok(Json(web.runner.append_log(&caller.who, &job, from.offset, body).await?))
}

/// The run's artifacts.
#[utoipa::path(get, path = "/api/v1/runner/jobs/{job}/artifacts", tag = "runner", responses((status = 200, body = Vec<api::ArtifactView>)))]
async fn list_artifacts(
    State(web): State<Web>,
    caller: Caller,
    Path(job): Path<String>,
) -> Reply<Json<Vec<api::ArtifactView>>> {
    Ok(Json(web.runner.list_artifacts(&caller.who, &job).await?))
}

/// An artifact of the run.
#[utoipa::path(get, path = "/api/v1/runner/jobs/{job}/artifacts/{name}", tag = "runner", responses((status = 200, body = Vec<u8>, content_type = "application/zip")))]
async fn get_artifact(
    State(web): State<Web>,
    caller: Caller,
    Path((job, name)): Path<(String, String)>,
) -> Reply<Response> {
    let archive = web.runner.get_artifact(&caller.who, &job, &name).await?;
    let media_type = transfer::artifact_type(&archive);
    Ok(transfer::answer(archive, media_type, false))
}

/// Stores an artifact of the run; 409 when the name is taken and `overwrite` is not set.
#[utoipa::path(put, path = "/api/v1/runner/jobs/{job}/artifacts/{name}", tag = "runner", params(Keep), request_body(content = Vec<u8>, content_type = "application/zip"), responses((status = 201, body = api::ArtifactView)))]
async fn put_artifact(
    State(web): State<Web>,
    caller: Caller,
    Path((job, name)): Path<(String, String)>,
    Query(keep): Query<Keep>,
    headers: HeaderMap,
    body: Body,
) -> Reply<(StatusCode, Json<api::ArtifactView>)> {
    let body = transfer::limited(&headers, body, transfer::LARGEST_UPLOAD)?;
    let (who, days) = (&caller.who, keep.retention_days);
    let view = if keep.overwrite {
        web.runner.replace_artifact(who, &job, &name, days, body).await?
    } else {
        web.runner.put_artifact(who, &job, &name, days, body).await?
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// A cache entry: 204 for a miss.
#[utoipa::path(get, path = "/api/v1/runner/jobs/{job}/cache", tag = "runner", params(CacheLookup), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", headers(("x-windlass-cache-key" = String, description = "The key that matched"))), (status = 204, description = "Nothing matches")))]
async fn get_cache(
    State(web): State<Web>,
    caller: Caller,
    Path(job): Path<String>,
    Query(lookup): Query<CacheLookup>,
) -> Reply<Response> {
    let keys: Vec<String> = lookup.keys.split(',').filter(|k| !k.is_empty()).map(str::to_owned).collect();
    let found = web.runner.get_cache(&caller.who, &job, &lookup.version, &keys).await?;
    let Some((key, archive)) = found else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let response = transfer::answer(archive, "application/octet-stream", false);
    Ok(transfer::with_header(response, wire::CACHE_KEY_HEADER, &key))
}

/// Stores a cache entry; 409 when the key is there.
#[utoipa::path(put, path = "/api/v1/runner/jobs/{job}/cache", tag = "runner", params(CacheEntry), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 204, description = "Stored")))]
async fn put_cache(
    State(web): State<Web>,
    caller: Caller,
    Path(job): Path<String>,
    Query(entry): Query<CacheEntry>,
    headers: HeaderMap,
    body: Body,
) -> Reply<StatusCode> {
    let body = transfer::limited(&headers, body, transfer::LARGEST_UPLOAD)?;
    web.runner.put_cache(&caller.who, &job, &entry.version, &entry.key, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Builds an image from a tar of its files. The header `x-windlass-build` holds a `BuildImage` as JSON.
#[utoipa::path(post, path = "/api/v1/runner/jobs/{job}/images", tag = "runner", request_body(content = Vec<u8>, content_type = "application/x-tar"), responses((status = 201, body = wire::BuiltImage)))]
async fn build_image(
    State(web): State<Web>,
    caller: Caller,
    Path(job): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Reply<(StatusCode, Json<wire::BuiltImage>)> {
    let missing = || Refusal(Problem::invalid(format!("the header {} is missing", wire::BUILD_HEADER)));
    let header = headers.get(wire::BUILD_HEADER).ok_or_else(missing)?;
    let spec = serde_json::from_slice(header.as_bytes())
        .map_err(|e| Problem::invalid(format!("the header {} cannot be read: {e}", wire::BUILD_HEADER)))?;
    let body = transfer::limited(&headers, body, transfer::LARGEST_UPLOAD)?;
    Ok((StatusCode::CREATED, Json(web.runner.build_image(&caller.who, &job, spec, body).await?)))
}

/// Deploys to the job's environment.
#[utoipa::path(post, path = "/api/v1/runner/jobs/{job}/deployments", tag = "runner", responses((status = 201, body = api::DeploymentView)))]
async fn start_deployment(
    State(web): State<Web>,
    caller: Caller,
    Path(job): Path<String>,
    Json(how): Json<wire::StartDeployment>,
) -> Reply<(StatusCode, Json<api::DeploymentView>)> {
    Ok((StatusCode::CREATED, Json(web.runner.start_deployment(&caller.who, &job, how).await?)))
}

/// How that deployment stands.
#[utoipa::path(get, path = "/api/v1/runner/jobs/{job}/deployments/{deployment}", tag = "runner", responses((status = 200, body = api::DeploymentView)))]
async fn get_deployment(
    State(web): State<Web>,
    caller: Caller,
    Path((job, deployment)): Path<(String, String)>,
) -> Reply<Json<api::DeploymentView>> {
    Ok(Json(web.runner.get_deployment(&caller.who, &job, &deployment).await?))
}
