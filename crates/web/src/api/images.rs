//! Images looked at closely: tags, packages, files, what differs, what is lost.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;

use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(all_repositories))
        .routes(routes!(image_tags))
        .routes(routes!(image_packages))
        .routes(routes!(layer_tree))
        .routes(routes!(files_diff))
        .routes(routes!(image_deletion, delete_image))
        .routes(routes!(registry_state))
}

/// Which image.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Image {
    /// `NAME`, `NAME:TAG` or `NAME@sha256:…`.
    name: String,
}

/// Which tags.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Tags {
    /// The repository's name.
    name: String,
    /// Only tags whose name or digest holds this.
    #[serde(default)]
    q: String,
    /// The place from which on tags are told.
    #[serde(default)]
    from: u64,
}

/// Which folder of a layer.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct InLayer {
    /// The image: `NAME`, `NAME:TAG` or `NAME@sha256:…`.
    name: String,
    /// The layer's digest.
    layer: String,
    /// The folder; the uppermost when it is left out.
    #[serde(default)]
    folder: String,
    /// The place from which on its entries are told.
    #[serde(default)]
    from: u64,
}

/// Which two images.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Two {
    /// The one: `NAME`, `NAME:TAG` or `NAME@sha256:…`.
    name: String,
    /// The other.
    to: String,
    /// The place from which on files are told.
    #[serde(default)]
    from: u64,
}

/// All repositories that the caller may pull from, shared and mirrored ones too.
#[utoipa::path(get, path = "/api/v1/registry/repositories", tag = "registry", responses((status = 200, body = Vec<wire::RepositoryView>)))]
async fn all_repositories(State(web): State<Web>, caller: Caller) -> Reply<Json<Vec<wire::RepositoryView>>> {
    Ok(Json(web.platform.all_repositories(&caller.who).await?))
}

/// A repository's tags, those that moved last first; at most 100 at a time.
#[utoipa::path(get, path = "/api/v1/registry/tags", tag = "registry", params(Tags), responses((status = 200, body = wire::TagPage)))]
async fn image_tags(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<Tags>,
) -> Reply<Json<wire::TagPage>> {
    Ok(Json(web.platform.image_tags(&caller.who, &of.name, &of.q, of.from).await?))
}

/// An image's packages.
#[utoipa::path(get, path = "/api/v1/registry/packages", tag = "registry", params(Image), responses((status = 200, body = wire::PackageList)))]
async fn image_packages(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<Image>,
) -> Reply<Json<wire::PackageList>> {
    Ok(Json(web.platform.image_packages(&caller.who, &of.name).await?))
}

/// A folder of what one of an image's layers does to those below it: what it adds, changes and removes.
#[utoipa::path(get, path = "/api/v1/registry/tree", tag = "registry", params(InLayer), responses((status = 200, body = wire::LayerTree)))]
async fn layer_tree(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<InLayer>,
) -> Reply<Json<wire::LayerTree>> {
    Ok(Json(web.platform.layer_tree(&caller.who, &of.name, &of.layer, &of.folder, of.from).await?))
}

/// What differs between the files of two images.
#[utoipa::path(get, path = "/api/v1/registry/files-diff", tag = "registry", params(Two), responses((status = 200, body = wire::FilesDiff)))]
async fn files_diff(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<Two>,
) -> Reply<Json<wire::FilesDiff>> {
    Ok(Json(web.platform.files_diff(&caller.who, &of.name, &of.to, of.from).await?))
}

/// What would be lost with a tag (`NAME:TAG`) or an image (`NAME@DIGEST`).
#[utoipa::path(get, path = "/api/v1/registry/deletion", tag = "registry", params(Image), responses((status = 200, body = wire::DeletionView)))]
async fn image_deletion(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<Image>,
) -> Reply<Json<wire::DeletionView>> {
    Ok(Json(web.platform.image_deletion(&caller.who, &of.name).await?))
}

/// Deletes a tag, or an image with its tags and what is said of it.
#[utoipa::path(delete, path = "/api/v1/registry/deletion", tag = "registry", params(Image), responses((status = 200, body = wire::DeletionView)))]
async fn delete_image(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<Image>,
) -> Reply<Json<wire::DeletionView>> {
    Ok(Json(web.platform.delete_image(&caller.who, &of.name).await?))
}

/// How the registry is: its disk, what was cared for lately, the advisories.
#[utoipa::path(get, path = "/api/v1/registry/state", tag = "registry", responses((status = 200, body = wire::RegistryState)))]
async fn registry_state(State(web): State<Web>, caller: Caller) -> Reply<Json<wire::RegistryState>> {
    Ok(Json(web.platform.registry_state(&caller.who).await?))
}
