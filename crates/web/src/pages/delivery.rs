//! The board of a project's environments, and a deployment.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use windlass_api as wire;
use windlass_api::DeploymentState;

use crate::page::{Chrome, Posted, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::{Page, view};

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/projects/{project}/environments", get(board))
        .route("/projects/{project}/environments/{environment}/deploy", post(deploy))
        .route("/projects/{project}/environments/{environment}/rollback", post(rollback))
        .route("/deployments/{deployment}", get(deployment))
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    environments: Vec<wire::EnvironmentView>,
    releases: Vec<wire::ReleaseView>,
    deployments: Vec<wire::DeploymentView>,
    back: String,
}

#[derive(Template)]
#[template(path = "deployment.html")]
struct DeploymentPage {
    chrome: Chrome,
    deployment: wire::DeploymentView,
    ended: bool,
    failed: bool,
}

async fn board(State(web): State<Web>, visitor: Visitor, Path(name): Path<String>) -> Shown {
    let who = &visitor.who;
    let project = web.platform.project(who, &name).await?;
    let environments = match web.platform.environments(who, &name).await {
        // What is wrong with the manifest stands on the page already.
        Err(_) if project.manifest_problem.is_some() => Vec::new(),
        found => found?,
    };
    let releases = web.platform.releases(who, &name, &Page { limit: 20, before: None }).await?;
    let deployments = web.platform.deployments(who, &name, None, &Page { limit: 20, before: None }).await?;
    let chrome = visitor.chrome(format!("{name}: environments"), "projects").live(&name, 5);
    let back = format!("/projects/{}/environments", view::encode(&name));
    show(&BoardPage { chrome, project, tab: "environments", environments, releases, deployments, back })
}

async fn deployment(State(web): State<Web>, visitor: Visitor, Path(id): Path<String>) -> Shown {
    let deployment = web.platform.deployment(&visitor.who, &id).await?;
    let ended = deployment.finished_at.is_some();
    let failed = matches!(deployment.state, DeploymentState::Failed | DeploymentState::RolledBack);
    let title = format!(
        "Release {} to {} · {}",
        deployment.release.number, deployment.environment, deployment.project
    );
    let (follows, every) = if ended { ("", 0) } else { (deployment.project.as_str(), 2) };
    let chrome = visitor.chrome(title, "projects").live(follows, every);
    show(&DeploymentPage { chrome, deployment, ended, failed })
}

async fn deploy(
    State(web): State<Web>,
    Path((project, environment)): Path<(String, String)>,
    posted: Posted,
) -> Shown {
    let how = wire::CreateDeployment { environment, release: posted.text("release").to_owned() };
    let made = web.platform.deploy(&posted.visitor.who, &project, how).await?;
    Ok(Redirect::to(&format!("/deployments/{}", view::encode(&made.id))).into_response())
}

async fn rollback(
    State(web): State<Web>,
    Path((project, environment)): Path<(String, String)>,
    posted: Posted,
) -> Shown {
    let how = wire::Rollback { release: posted.optional("release") };
    let made = web.platform.rollback(&posted.visitor.who, &project, &environment, how).await?;
    Ok(Redirect::to(&format!("/deployments/{}", view::encode(&made.id))).into_response())
}
