//! Projects, and a project's own page.

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
use crate::{Page, view};

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/projects", get(projects).post(create)).route("/projects/{project}", get(project))
}

/// How many runs a page lists.
const RUNS: usize = 30;

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    chrome: Chrome,
    projects: Vec<wire::ProjectView>,
    q: String,
    url: String,
}

#[derive(Template)]
#[template(path = "project.html")]
struct ProjectPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    runs: Vec<wire::RunSummary>,
    environments: Vec<wire::EnvironmentView>,
    empty: bool,
    older: Option<String>,
    with_project: bool,
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

#[derive(Deserialize)]
pub(super) struct Older {
    pub(super) before: Option<String>,
}

async fn projects(State(web): State<Web>, visitor: Visitor, Query(search): Query<Search>) -> Shown {
    let mut projects = web.platform.projects(&visitor.who).await?;
    let wanted = search.q.trim().to_lowercase();
    projects.retain(|p| p.name.contains(&wanted));
    if let [only] = projects.as_slice()
        && only.name == wanted
    {
        return Ok(Redirect::to(&format!("/projects/{}", view::encode(&only.name))).into_response());
    }
    let url = web.platform.status(&visitor.who).await?.url;
    let chrome = visitor.chrome("Projects", "projects").live("*", 15);
    show(&ProjectsPage { chrome, projects, q: search.q, url })
}

async fn create(State(web): State<Web>, posted: Posted) -> Shown {
    let project = wire::CreateProject { name: posted.text("name").to_owned() };
    let made = web.platform.create_project(&posted.visitor.who, project).await?;
    Ok(Redirect::to(&format!("/projects/{}", view::encode(&made.name))).into_response())
}

async fn project(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(window): Query<Older>,
) -> Shown {
    let who = &visitor.who;
    let project = web.platform.project(who, &name).await?;
    let page = Page { limit: RUNS + 1, before: window.before };
    let mut runs = web.platform.runs(who, Some(&name), &page).await?;
    let older = (runs.len() > RUNS).then(|| runs[RUNS - 1].id.clone());
    runs.truncate(RUNS);
    let environments = match web.platform.environments(who, &name).await {
        // What is wrong with the manifest stands on the page already.
        Err(_) if project.manifest_problem.is_some() => Vec::new(),
        found => found?,
    };
    let empty = runs.is_empty() && web.platform.refs(who, &name).await?.is_empty();
    let chrome = visitor.chrome(name.as_str(), "projects").live(&name, 10);
    show(&ProjectPage { chrome, project, tab: "runs", runs, environments, empty, older, with_project: false })
}
