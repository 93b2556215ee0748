//! What runs: services, their instances, figures and logs.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;
use windlass_kernel::Timestamp;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(all_services))
        .routes(routes!(services))
        .routes(routes!(service))
        .routes(routes!(service_metrics))
        .routes(routes!(service_series))
        .routes(routes!(service_logs))
}

/// How far back.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Span {
    /// The last so many minutes; 60 if not given.
    minutes: Option<u32>,
}

/// Which metric, and how far back.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SeriesFilter {
    /// The metric's name, with labels if wanted: `http_requests_total{status="500"}`.
    metric: String,
    /// The last so many minutes; 60 if not given.
    minutes: Option<u32>,
}

/// Which log lines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogFilter {
    /// Only lines that contain this text, upper and lower case alike.
    #[serde(default)]
    q: String,
    /// Only this instance's.
    instance: Option<String>,
    /// Only lines at or after this time.
    since: Option<i64>,
    /// Only lines after this position (a line's `cursor`), oldest first: to follow.
    after: Option<String>,
    /// At most so many, the newest; 200 if not given, 5,000 at most.
    limit: Option<u32>,
}

/// The services of all projects.
#[utoipa::path(get, path = "/api/v1/services", tag = "services", responses((status = 200, body = Vec<wire::ServiceSummary>)))]
async fn all_services(State(web): State<Web>, caller: Caller) -> Reply<Json<Vec<wire::ServiceSummary>>> {
    Ok(Json(web.platform.services(&caller.who, None).await?))
}

/// The services of a project, in all environments.
#[utoipa::path(get, path = "/api/v1/projects/{project}/services", tag = "services", responses((status = 200, body = Vec<wire::ServiceSummary>)))]
async fn services(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
) -> Reply<Json<Vec<wire::ServiceSummary>>> {
    Ok(Json(web.platform.services(&caller.who, Some(&project)).await?))
}

/// One service in one environment.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/services/{service}", tag = "services", responses((status = 200, body = wire::ServiceView)))]
async fn service(
    State(web): State<Web>,
    caller: Caller,
    Path((project, environment, service)): Path<(String, String, String)>,
) -> Reply<Json<wire::ServiceView>> {
    Ok(Json(web.platform.service(&caller.who, &project, &environment, &service).await?))
}

/// Its requests, errors, latency, CPU and memory.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/services/{service}/metrics", tag = "services", params(Span), responses((status = 200, body = wire::ServiceMetrics)))]
async fn service_metrics(
    State(web): State<Web>,
    caller: Caller,
    Path((project, environment, service)): Path<(String, String, String)>,
    Query(span): Query<Span>,
) -> Reply<Json<wire::ServiceMetrics>> {
    let minutes = span.minutes.unwrap_or(60);
    Ok(Json(web.platform.service_metrics(&caller.who, &project, &environment, &service, minutes).await?))
}

/// The series of one metric that the service exposes.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/services/{service}/series", tag = "services", params(SeriesFilter), responses((status = 200, body = Vec<wire::Series>)))]
async fn service_series(
    State(web): State<Web>,
    caller: Caller,
    Path((project, environment, service)): Path<(String, String, String)>,
    Query(filter): Query<SeriesFilter>,
) -> Reply<Json<Vec<wire::Series>>> {
    let minutes = filter.minutes.unwrap_or(60);
    let series =
        web.platform.series(&caller.who, &project, &environment, &service, &filter.metric, minutes).await?;
    Ok(Json(series))
}

/// Its log lines.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/services/{service}/logs", tag = "services", params(LogFilter), responses((status = 200, body = Vec<wire::LogLine>)))]
async fn service_logs(
    State(web): State<Web>,
    caller: Caller,
    Path((project, environment, service)): Path<(String, String, String)>,
    Query(filter): Query<LogFilter>,
) -> Reply<Json<Vec<wire::LogLine>>> {
    let query = wire::LogQuery {
        q: filter.q,
        instance: filter.instance.filter(|i| !i.is_empty()),
        since: filter.since.map(Timestamp::from_millis),
        after: filter.after.filter(|a| !a.is_empty()),
        limit: filter.limit,
    };
    Ok(Json(web.platform.service_logs(&caller.who, &project, &environment, &service, query).await?))
}
