//! Projects, branches, commits, files.

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
        .routes(routes!(projects, create_project))
        .routes(routes!(project))
        .routes(routes!(refs))
        .routes(routes!(commits))
        .routes(routes!(commit))
        .routes(routes!(files))
        .routes(routes!(compare))
        .routes(routes!(changes))
        .routes(routes!(close_change))
}

/// Which commits.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CommitFilter {
    /// A branch, tag or commit; the default branch if not given.
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// At most so many; 0 for the default.
    #[serde(default)]
    limit: usize,
    /// Only those behind this commit.
    before: Option<String>,
}

/// Which file.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FileFilter {
    /// A branch, tag or commit; the default branch if not given.
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// The path from the repository's root; the root if not given.
    #[serde(default)]
    path: String,
}

/// What to compare.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CompareFilter {
    /// The branch that it would go to; the default branch if not given.
    base: Option<String>,
    /// The branch that it comes from.
    head: String,
}

/// All projects that the caller may see.
#[utoipa::path(get, path = "/api/v1/projects", tag = "source", responses((status = 200, body = Vec<wire::ProjectView>)))]
async fn projects(State(web): State<Web>, caller: Caller) -> Reply<Json<Vec<wire::ProjectView>>> {
    Ok(Json(web.platform.projects(&caller.who).await?))
}

/// Makes a project with an empty repository. (A first push makes one too.)
#[utoipa::path(post, path = "/api/v1/projects", tag = "source", responses((status = 201, body = wire::ProjectView)))]
async fn create_project(
    State(web): State<Web>,
    caller: Caller,
    Json(project): Json<wire::CreateProject>,
) -> Reply<(StatusCode, Json<wire::ProjectView>)> {
    Ok((StatusCode::CREATED, Json(web.platform.create_project(&caller.who, project).await?)))
}

/// One project.
#[utoipa::path(get, path = "/api/v1/projects/{project}", tag = "source", responses((status = 200, body = wire::ProjectView)))]
async fn project(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
) -> Reply<Json<wire::ProjectView>> {
    Ok(Json(web.platform.project(&caller.who, &project).await?))
}

/// Branches and tags.
#[utoipa::path(get, path = "/api/v1/projects/{project}/refs", tag = "source", responses((status = 200, body = Vec<wire::RefView>)))]
async fn refs(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
) -> Reply<Json<Vec<wire::RefView>>> {
    Ok(Json(web.platform.refs(&caller.who, &project).await?))
}

/// Commits of a ref, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/commits", tag = "source", params(CommitFilter), responses((status = 200, body = Vec<wire::CommitView>)))]
async fn commits(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(filter): Query<CommitFilter>,
) -> Reply<Json<Vec<wire::CommitView>>> {
    let reference = or_default(&web, &caller, &project, filter.reference).await?;
    let page = Page { limit: filter.limit, before: filter.before };
    Ok(Json(web.platform.commits(&caller.who, &project, &reference, &page).await?))
}

/// A commit with its diff.
#[utoipa::path(get, path = "/api/v1/projects/{project}/commits/{sha}", tag = "source", responses((status = 200, body = wire::CommitDetail)))]
async fn commit(
    State(web): State<Web>,
    caller: Caller,
    Path((project, sha)): Path<(String, String)>,
) -> Reply<Json<wire::CommitDetail>> {
    Ok(Json(web.platform.commit(&caller.who, &project, &sha).await?))
}

/// A file or folder at a ref.
#[utoipa::path(get, path = "/api/v1/projects/{project}/files", tag = "source", params(FileFilter), responses((status = 200, body = wire::FileView)))]
async fn files(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(filter): Query<FileFilter>,
) -> Reply<Json<wire::FileView>> {
    let reference = or_default(&web, &caller, &project, filter.reference).await?;
    Ok(Json(web.platform.file(&caller.who, &project, &reference, &filter.path).await?))
}

/// How a branch differs from another: its commits and files.
#[utoipa::path(get, path = "/api/v1/projects/{project}/compare", tag = "source", params(CompareFilter), responses((status = 200, body = wire::Comparison)))]
async fn compare(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(filter): Query<CompareFilter>,
) -> Reply<Json<wire::Comparison>> {
    let base = or_default(&web, &caller, &project, filter.base).await?;
    let (commits, files) = web.platform.compare(&caller.who, &project, &base, &filter.head).await?;
    Ok(Json(wire::Comparison { commits, files }))
}

/// The ref asked for, or the project's default branch.
async fn or_default(web: &Web, caller: &Caller, project: &str, reference: Option<String>) -> Reply<String> {
    match reference.filter(|r| !r.is_empty()) {
        Some(reference) => Ok(reference),
        None => Ok(web.platform.project(&caller.who, project).await?.default_branch),
    }
}

/// The changes of a project, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/changes", tag = "source", params(Window), responses((status = 200, body = Vec<wire::ChangeView>)))]
async fn changes(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(window): Query<Window>,
) -> Reply<Json<Vec<wire::ChangeView>>> {
    Ok(Json(web.platform.changes(&caller.who, &project, &window.into()).await?))
}

/// Closes a change that is not to be merged.
#[utoipa::path(post, path = "/api/v1/projects/{project}/changes/{number}/close", tag = "source", responses((status = 200, body = wire::ChangeView)))]
async fn close_change(
    State(web): State<Web>,
    caller: Caller,
    Path((project, number)): Path<(String, u64)>,
) -> Reply<Json<wire::ChangeView>> {
    Ok(Json(web.platform.close_change(&caller.who, &project, number).await?))
}
