//! The registry: repositories, images, and its care.

use axum::extract::State;
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
        .routes(routes!(repositories))
        .routes(routes!(repository))
        .routes(routes!(image))
        .routes(routes!(rules))
        .routes(routes!(set_rule, remove_rule))
        .routes(routes!(mirrors))
        .routes(routes!(set_mirror, remove_mirror))
        .routes(routes!(collect))
        .routes(routes!(scrub))
}

/// Which repository or image.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Named {
    /// A repository's name, or an image: `NAME`, `NAME:TAG` or `NAME@sha256:…`.
    name: String,
}

/// A project's repositories.
#[utoipa::path(get, path = "/api/v1/projects/{project}/repositories", tag = "registry", responses((status = 200, body = Vec<wire::RepositoryView>)))]
async fn repositories(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
) -> Reply<Json<Vec<wire::RepositoryView>>> {
    Ok(Json(web.platform.image_repositories(&caller.who, &project).await?))
}

/// What a repository holds, newest first.
#[utoipa::path(get, path = "/api/v1/registry/repository", tag = "registry", params(Named), responses((status = 200, body = wire::RepositoryDetail)))]
async fn repository(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<Named>,
) -> Reply<Json<wire::RepositoryDetail>> {
    Ok(Json(web.platform.image_repository(&caller.who, &of.name).await?))
}

/// An image in all its parts.
#[utoipa::path(get, path = "/api/v1/registry/image", tag = "registry", params(Named), responses((status = 200, body = wire::ImageDetail)))]
async fn image(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<Named>,
) -> Reply<Json<wire::ImageDetail>> {
    Ok(Json(web.platform.image_detail(&caller.who, &of.name).await?))
}

/// The registry's rules.
#[utoipa::path(get, path = "/api/v1/registry/rules", tag = "registry", responses((status = 200, body = Vec<wire::RegistryRuleView>)))]
async fn rules(State(web): State<Web>, caller: Caller) -> Reply<Json<Vec<wire::RegistryRuleView>>> {
    Ok(Json(web.platform.registry_rules(&caller.who).await?))
}

/// Sets a rule.
#[utoipa::path(put, path = "/api/v1/registry/rules/{name}", tag = "registry", request_body = wire::SetRegistryRule, responses((status = 200, body = wire::RegistryRuleView)))]
async fn set_rule(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
    Json(rule): Json<wire::SetRegistryRule>,
) -> Reply<Json<wire::RegistryRuleView>> {
    Ok(Json(web.platform.set_registry_rule(&caller.who, &name, rule).await?))
}

/// Removes a rule.
#[utoipa::path(delete, path = "/api/v1/registry/rules/{name}", tag = "registry", responses((status = 200)))]
async fn remove_rule(State(web): State<Web>, caller: Caller, Path(name): Path<String>) -> Reply<Json<()>> {
    Ok(Json(web.platform.remove_registry_rule(&caller.who, &name).await?))
}

/// The registries that are mirrored.
#[utoipa::path(get, path = "/api/v1/registry/mirrors", tag = "registry", responses((status = 200, body = Vec<wire::MirrorView>)))]
async fn mirrors(State(web): State<Web>, caller: Caller) -> Reply<Json<Vec<wire::MirrorView>>> {
    Ok(Json(web.platform.mirrors(&caller.who).await?))
}

/// Mirrors a registry, or changes how.
#[utoipa::path(put, path = "/api/v1/registry/mirrors/{name}", tag = "registry", request_body = wire::SetMirror, responses((status = 200, body = wire::MirrorView)))]
async fn set_mirror(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
    Json(how): Json<wire::SetMirror>,
) -> Reply<Json<wire::MirrorView>> {
    Ok(Json(web.platform.set_mirror(&caller.who, &name, how).await?))
}

/// No longer mirrors a registry; what was fetched stays until it is collected.
#[utoipa::path(delete, path = "/api/v1/registry/mirrors/{name}", tag = "registry", responses((status = 200)))]
async fn remove_mirror(State(web): State<Web>, caller: Caller, Path(name): Path<String>) -> Reply<Json<()>> {
    Ok(Json(web.platform.remove_mirror(&caller.who, &name).await?))
}

/// Removes what the rules let go and nobody needs.
#[utoipa::path(post, path = "/api/v1/registry/gc", tag = "registry", request_body = wire::CollectRegistry, responses((status = 200, body = wire::CollectedView)))]
async fn collect(
    State(web): State<Web>,
    caller: Caller,
    Json(how): Json<wire::CollectRegistry>,
) -> Reply<Json<wire::CollectedView>> {
    Ok(Json(web.platform.collect_registry(&caller.who, how).await?))
}

/// Reads every blob and looks whether it is what it was.
#[utoipa::path(post, path = "/api/v1/registry/scrub", tag = "registry", responses((status = 200, body = wire::ScrubView)))]
async fn scrub(State(web): State<Web>, caller: Caller) -> Reply<Json<wire::ScrubView>> {
    Ok(Json(web.platform.scrub_registry(&caller.who).await?))
}
