//! Environments, releases, deployments, approvals.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;

use super::runs::Window;
use crate::Page;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(environments))
        .routes(routes!(releases))
        .routes(routes!(deployments, deploy))
        .routes(routes!(deployment))
        .routes(routes!(rollback))
        .routes(routes!(approvals))
        .routes(routes!(decide))
}

/// Which deployments.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DeploymentFilter {
    /// Only those to this environment.
    environment: Option<String>,
    /// At most so many; 0 for the default.
    #[serde(default)]
    limit: usize,
    /// Only those older than this one.
    before: Option<String>,
}

/// Which approvals.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ApprovalFilter {
    /// Only those of this project.
    project: Option<String>,
}

/// The environments of a project, in their order.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments", tag = "delivery", responses((status = 200, body = Vec<wire::EnvironmentView>)))]
async fn environments(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
) -> Reply<Json<Vec<wire::EnvironmentView>>> {
    Ok(Json(web.platform.environments(&caller.who, &project).await?))
}

/// Releases, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/releases", tag = "delivery", params(Window), responses((status = 200, body = Vec<wire::ReleaseView>)))]
async fn releases(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(window): Query<Window>,
) -> Reply<Json<Vec<wire::ReleaseView>>> {
    Ok(Json(web.platform.releases(&caller.who, &project, &window.into()).await?))
}

/// Deployments, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/deployments", tag = "delivery", params(DeploymentFilter), responses((status = 200, body = Vec<wire::DeploymentView>)))]
async fn deployments(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(filter): Query<DeploymentFilter>,
) -> Reply<Json<Vec<wire::DeploymentView>>> {
    let page = Page { limit: filter.limit, before: filter.before };
    let environment = filter.environment.as_deref();
    Ok(Json(web.platform.deployments(&caller.who, &project, environment, &page).await?))
}

/// Deploys a release that exists.
#[utoipa::path(post, path = "/api/v1/projects/{project}/deployments", tag = "delivery", responses((status = 201, body = wire::DeploymentView)))]
async fn deploy(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Json(how): Json<wire::CreateDeployment>,
) -> Reply<(StatusCode, Json<wire::DeploymentView>)> {
    Ok((StatusCode::CREATED, Json(web.platform.deploy(&caller.who, &project, how).await?)))
}

/// One deployment.
#[utoipa::path(get, path = "/api/v1/deployments/{deployment}", tag = "delivery", responses((status = 200, body = wire::DeploymentView)))]
async fn deployment(
    State(web): State<Web>,
    caller: Caller,
    Path(deployment): Path<String>,
) -> Reply<Json<wire::DeploymentView>> {
    Ok(Json(web.platform.deployment(&caller.who, &deployment).await?))
}

/// Goes back to the release before, or to a named one.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/rollback", tag = "delivery", responses((status = 201, body = wire::DeploymentView)))]
async fn rollback(
    State(web): State<Web>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
    Json(how): Json<wire::Rollback>,
) -> Reply<(StatusCode, Json<wire::DeploymentView>)> {
    Ok((StatusCode::CREATED, Json(web.platform.rollback(&caller.who, &project, &environment, how).await?)))
}

/// Approvals that are asked for.
#[utoipa::path(get, path = "/api/v1/approvals", tag = "delivery", params(ApprovalFilter), responses((status = 200, body = Vec<wire::ApprovalView>)))]
async fn approvals(
    State(web): State<Web>,
    caller: Caller,
    Query(filter): Query<ApprovalFilter>,
) -> Reply<Json<Vec<wire::ApprovalView>>> {
    Ok(Json(web.platform.approvals(&caller.who, filter.project.as_deref()).await?))
}

/// Decides an approval. Its id is `RUN:ENVIRONMENT`.
#[utoipa::path(post, path = "/api/v1/approvals/{approval}", tag = "delivery", responses((status = 200, body = wire::ApprovalView)))]
async fn decide(
    State(web): State<Web>,
    caller: Caller,
    Path(approval): Path<String>,
    Json(how): Json<wire::Decide>,
) -> Reply<Json<wire::ApprovalView>> {
    Ok(Json(web.platform.decide(&caller.who, &approval, how).await?))
}
