//! A project's repositories, the tags of one, and what is lost with what somebody deletes.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use serde::Deserialize;
use windlass_api as wire;

use crate::page::{Chrome, Posted, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::{tree, view};

/// Repositories whose first part is one of these belong to no project.
const NO_PROJECTS: [&str; 2] = ["shared", "mirror"];

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/projects/{project}/images", get(repositories))
        .route("/projects/{project}/repository", get(repository))
        .route("/projects/{project}/image/delete", get(deletion).post(delete))
}

/// Whether images of that name are a project's.
pub(super) fn is_project(name: &str) -> bool {
    !NO_PROJECTS.contains(&name)
}

/// The part of the navigation that they belong to.
pub(super) fn section(name: &str) -> &'static str {
    if is_project(name) { "projects" } else { "registry" }
}

/// The page of an image.
pub(super) fn image_page(project: &str, image: &str) -> String {
    format!("/projects/{}/image?name={}", view::encode(project), view::encode(image))
}

#[derive(Template)]
#[template(path = "repositories.html")]
struct RepositoriesPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    repositories: Vec<wire::RepositoryView>,
    host: String,
}

#[derive(Template)]
#[template(path = "repository.html")]
struct RepositoryPage {
    chrome: Chrome,
    project: String,
    own: bool,
    repository: wire::RepositoryDetail,
    tags: wire::TagPage,
    wanted: String,
    untagged: Vec<wire::ManifestView>,
    said: Vec<wire::ManifestView>,
    /// Whether the visitor may delete anything.
    may: bool,
    pager: view::Raw,
}

#[derive(Template)]
#[template(path = "image_delete.html")]
struct DeletionPage {
    chrome: Chrome,
    project: String,
    own: bool,
    name: String,
    lost: wire::DeletionView,
}

#[derive(Deserialize)]
struct Which {
    name: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    from: u64,
}

async fn repositories(State(web): State<Web>, visitor: Visitor, Path(project): Path<String>) -> Shown {
    if !is_project(&project) {
        return Ok(Redirect::to("/registry#repositories").into_response());
    }
    let repositories = web.platform.image_repositories(&visitor.who, &project).await?;
    let view = web.platform.project(&visitor.who, &project).await?;
    let url = web.platform.status(&visitor.who).await.map(|status| status.url).unwrap_or_default();
    let host = url.split("://").nth(1).unwrap_or(&url).to_owned();
    let chrome = visitor.chrome(format!("Images · {project}"), "projects").live(&project, 30);
    show(&RepositoriesPage { chrome, project: view, tab: "images", repositories, host })
}

async fn repository(
    State(web): State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let repository = web.platform.image_repository(&visitor.who, &which.name).await?;
    let tags = web.platform.image_tags(&visitor.who, &which.name, &which.q, which.from).await?;
    let (said, others): (Vec<_>, Vec<_>) =
        repository.manifests.iter().cloned().partition(|m| m.subject.is_some());
    let untagged = others.into_iter().filter(|m| m.tags.is_empty()).collect();
    let address = |from: u64| {
        let (project, name, q) = (view::encode(&project), view::encode(&which.name), view::encode(&which.q));
        format!("/projects/{project}/repository?name={name}&q={q}&from={from}#tags")
    };
    let pager = tree::pager("tags", (tags.from, tags.tags.len(), wire::TAGS_AT_A_TIME), tags.total, address);
    let chrome = visitor.chrome(format!("{} · images", repository.name), section(&project));
    let (own, wanted) = (is_project(&project), which.q);
    let may = visitor.me.role == "admin";
    show(&RepositoryPage { chrome, project, own, repository, tags, wanted, untagged, said, may, pager })
}

async fn deletion(
    State(web): State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let lost = web.platform.image_deletion(&visitor.who, &which.name).await?;
    let chrome = visitor.chrome(format!("Delete from {}", lost.repository), section(&project));
    let own = is_project(&project);
    show(&DeletionPage { chrome, project, own, name: which.name, lost })
}

async fn delete(State(web): State<Web>, Path(project): Path<String>, posted: Posted) -> Shown {
    let who = &posted.visitor.who;
    let lost = web.platform.delete_image(who, posted.text("name")).await?;
    let project_name = view::encode(&project);
    // With its last image a repository is gone.
    let there = match web.platform.image_repository(who, &lost.repository).await {
        Ok(_) => {
            format!("/projects/{project_name}/repository?name={}", view::encode(&lost.repository))
        }
        Err(_) => format!("/projects/{project_name}/images"),
    };
    Ok(Redirect::to(&there).into_response())
}
