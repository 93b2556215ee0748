//! A project's workflows, and starting one by hand.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use windlass_api as wire;

use crate::page::{Chrome, Posted, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/projects/{project}/workflows", get(workflows))
        .route("/projects/{project}/workflows/dispatch", post(dispatch))
}

#[derive(Template)]
#[template(path = "workflows.html")]
struct WorkflowsPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    workflows: Vec<wire::WorkflowView>,
    refs: Vec<wire::RefView>,
}

async fn workflows(State(web): State<Web>, visitor: Visitor, Path(name): Path<String>) -> Shown {
    let project = web.platform.project(&visitor.who, &name).await?;
    let workflows = web.platform.workflows(&visitor.who, &name).await?;
    let refs = web.platform.refs(&visitor.who, &name).await?;
    let chrome = visitor.chrome(format!("{name}: workflows"), "projects");
    show(&WorkflowsPage { chrome, project, tab: "workflows", workflows, refs })
}

async fn dispatch(State(web): State<Web>, Path(project): Path<String>, posted: Posted) -> Shown {
    let mut inputs = std::collections::BTreeMap::new();
    for (name, value) in posted.prefixed("input.") {
        // A field that was left empty is an input that was not given.
        if !value.is_empty() {
            inputs.insert(name.to_owned(), serde_json::Value::String(value.to_owned()));
        }
    }
    let how = wire::Dispatch { git_ref: posted.text("ref").to_owned(), inputs };
    let run = web.platform.dispatch(&posted.visitor.who, &project, posted.text("file"), how).await?;
    Ok(Redirect::to(&format!("/runs/{}", view::encode(&run.id))).into_response())
}
