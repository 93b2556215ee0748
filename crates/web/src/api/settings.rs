//! Secrets and variables. A secret's value goes in and never comes out.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(secrets))
        .routes(routes!(set_secret, delete_secret))
        .routes(routes!(variables))
        .routes(routes!(set_variable, delete_variable))
}

/// Which environment's.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Scope {
    /// The environment that it belongs to; none: the whole project.
    environment: Option<String>,
}

type List = Reply<Json<Vec<wire::SettingView>>>;

/// The names of a project's secrets.
#[utoipa::path(get, path = "/api/v1/projects/{project}/secrets", tag = "settings", responses((status = 200, body = Vec<wire::SettingView>)))]
async fn secrets(State(web): State<Web>, caller: Caller, Path(project): Path<String>) -> List {
    Ok(Json(web.platform.settings(&caller.who, &project, true).await?))
}

/// Sets a secret: a new version of it.
#[utoipa::path(put, path = "/api/v1/projects/{project}/secrets/{name}", tag = "settings", responses((status = 200, body = wire::SettingView)))]
async fn set_secret(
    State(web): State<Web>,
    caller: Caller,
    Path((project, name)): Path<(String, String)>,
    Json(how): Json<wire::SetSetting>,
) -> Reply<Json<wire::SettingView>> {
    Ok(Json(web.platform.set_setting(&caller.who, &project, true, &name, how).await?))
}

/// Removes a secret.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/secrets/{name}", tag = "settings", params(Scope), responses((status = 204, description = "It is gone")))]
async fn delete_secret(
    State(web): State<Web>,
    caller: Caller,
    Path((project, name)): Path<(String, String)>,
    Query(scope): Query<Scope>,
) -> Reply<StatusCode> {
    delete(&web, &caller, &project, true, scope, &name).await
}

/// A project's variables.
#[utoipa::path(get, path = "/api/v1/projects/{project}/variables", tag = "settings", responses((status = 200, body = Vec<wire::SettingView>)))]
async fn variables(State(web): State<Web>, caller: Caller, Path(project): Path<String>) -> List {
    Ok(Json(web.platform.settings(&caller.who, &project, false).await?))
}

/// Sets a variable: a new version of it.
#[utoipa::path(put, path = "/api/v1/projects/{project}/variables/{name}", tag = "settings", responses((status = 200, body = wire::SettingView)))]
async fn set_variable(
    State(web): State<Web>,
    caller: Caller,
    Path((project, name)): Path<(String, String)>,
    Json(how): Json<wire::SetSetting>,
) -> Reply<Json<wire::SettingView>> {
    Ok(Json(web.platform.set_setting(&caller.who, &project, false, &name, how).await?))
}

/// Removes a variable.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/variables/{name}", tag = "settings", params(Scope), responses((status = 204, description = "It is gone")))]
async fn delete_variable(
    State(web): State<Web>,
    caller: Caller,
    Path((project, name)): Path<(String, String)>,
    Query(scope): Query<Scope>,
) -> Reply<StatusCode> {
    delete(&web, &caller, &project, false, scope, &name).await
}

async fn delete(
    web: &Web,
    caller: &Caller,
    project: &str,
    secret: bool,
    scope: Scope,
    name: &str,
) -> Reply<StatusCode> {
    let environment = scope.environment.as_deref().filter(|e| !e.is_empty());
    web.platform.delete_setting(&caller.who, project, secret, environment, name).await?;
    Ok(StatusCode::NO_CONTENT)
}
