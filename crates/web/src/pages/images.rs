//! A project's repositories, what each holds, and an image in all its parts.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use serde::Deserialize;
use windlass_api as wire;

use crate::page::{Chrome, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/projects/{project}/images", get(repositories))
        .route("/projects/{project}/repository", get(repository))
        .route("/projects/{project}/image", get(image))
        .route("/projects/{project}/layer", get(layer))
}

#[derive(Template)]
#[template(path = "repositories.html")]
struct RepositoriesPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    repositories: Vec<wire::RepositoryView>,
}

#[derive(Template)]
#[template(path = "repository.html")]
struct RepositoryPage {
    chrome: Chrome,
    project: String,
    repository: wire::RepositoryDetail,
}

#[derive(Template)]
#[template(path = "image.html")]
struct ImagePage {
    chrome: Chrome,
    project: String,
    name: String,
    image: wire::ImageDetail,
}

#[derive(Template)]
#[template(path = "layer.html")]
struct LayerPage {
    chrome: Chrome,
    project: String,
    name: String,
    layer: String,
    listing: wire::LayerListing,
}

#[derive(Deserialize)]
struct Which {
    name: String,
    #[serde(default)]
    layer: String,
}

async fn repositories(State(web): State<Web>, visitor: Visitor, Path(project): Path<String>) -> Shown {
    let repositories = web.platform.image_repositories(&visitor.who, &project).await?;
    let view = web.platform.project(&visitor.who, &project).await?;
    let chrome = visitor.chrome(format!("Images · {project}"), "projects").live(&project, 30);
    show(&RepositoriesPage { chrome, project: view, tab: "images", repositories })
}

async fn repository(
    State(web): State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let repository = web.platform.image_repository(&visitor.who, &which.name).await?;
    let chrome = visitor.chrome(format!("{} · images", repository.name), "projects");
    show(&RepositoryPage { chrome, project, repository })
}

async fn image(
    State(web): State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let image = web.platform.image_detail(&visitor.who, &which.name).await?;
    let name = format!("{}@{}", image.repository, image.manifest.digest);
    let short = view::digest(&image.manifest.digest);
    let chrome = visitor.chrome(format!("{} {short} · image", image.repository), "projects");
    show(&ImagePage { chrome, project, name, image })
}

async fn layer(
    State(web): State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let listing = web.platform.layer_listing(&visitor.who, &which.name, &which.layer).await?;
    let short = view::digest(&which.layer);
    let chrome = visitor.chrome(format!("Layer {short} · {}", which.name), "projects");
    show(&LayerPage { chrome, project, name: which.name, layer: which.layer, listing })
}
