//! What a project's environments ask of images, and which vulnerabilities are let through there.

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
use crate::view;

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/projects/{project}/exceptions", get(exceptions).post(grant))
}

#[derive(Template)]
#[template(path = "exceptions.html")]
struct ExceptionsPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    environments: Vec<Asking>,
    /// The vulnerability to let through, where a link says it.
    id: String,
}

/// An environment, what it asks for, and what it lets through.
struct Asking {
    environment: wire::EnvironmentView,
    exceptions: Vec<wire::VulnerabilityException>,
    /// Whether it asks about vulnerabilities at all.
    vulns: bool,
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    id: String,
}

async fn exceptions(
    State(web): State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let view = web.platform.project(&visitor.who, &project).await?;
    let mut environments = Vec::new();
    for environment in web.platform.environments(&visitor.who, &project).await? {
        let mut exceptions = web.platform.exceptions(&visitor.who, &project, &environment.name).await?;
        exceptions.sort_by_key(|exception| std::cmp::Reverse(exception.at));
        let vulns = environment.requires.iter().any(|word| word.starts_with("vulns"));
        environments.push(Asking { environment, exceptions, vulns });
    }
    let chrome = visitor.chrome(format!("Evidence and exceptions · {project}"), "projects");
    show(&ExceptionsPage { chrome, project: view, tab: "environments", environments, id: which.id })
}

async fn grant(State(web): State<Web>, Path(project): Path<String>, posted: Posted) -> Shown {
    let days = match posted.optional("days") {
        None => None,
        Some(text) => Some(text.parse::<u32>().map_err(|_| {
            wire::Problem::invalid(format!("`{text}` is no number of days: write one from 1 to 90"))
        })?),
    };
    let (id, reason) = (posted.text("id").to_owned(), posted.text("reason").to_owned());
    let how = wire::GrantException { id, reason, days };
    web.platform.except(&posted.visitor.who, &project, posted.text("environment"), how).await?;
    Ok(Redirect::to(&format!("/projects/{}/exceptions", view::encode(&project))).into_response())
}
