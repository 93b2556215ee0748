//! A project's secrets and variables.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use windlass_api as wire;
use windlass_kernel::Secret;

use crate::page::{Chrome, Posted, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/projects/{project}/settings", get(settings))
        .route("/projects/{project}/settings/set", post(set))
        .route("/projects/{project}/settings/delete", post(delete))
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    kinds: [SettingKind; 2],
}

/// Secrets, or variables.
struct SettingKind {
    secret: bool,
    title: &'static str,
    noun: &'static str,
    about: &'static str,
    list: Vec<wire::SettingView>,
}

async fn settings(State(web): State<Web>, visitor: Visitor, Path(name): Path<String>) -> Shown {
    let project = web.platform.project(&visitor.who, &name).await?;
    let kinds = [
        SettingKind {
            secret: true,
            title: "Secrets",
            noun: "secret",
            about: "Encrypted; never shown again. A job reads them as ${{ secrets.NAME }}; those of an environment only once its rules have passed.",
            list: web.platform.settings(&visitor.who, &name, true).await?,
        },
        SettingKind {
            secret: false,
            title: "Variables",
            noun: "variable",
            about: "Plain values. A job reads them as ${{ vars.NAME }}.",
            list: web.platform.settings(&visitor.who, &name, false).await?,
        },
    ];
    let chrome = visitor.chrome(format!("{name}: settings"), "projects");
    show(&SettingsPage { chrome, project, tab: "settings", kinds })
}

async fn set(State(web): State<Web>, Path(project): Path<String>, posted: Posted) -> Shown {
    let value = Secret::new(posted.raw("value").replace("\r\n", "\n"));
    let how = wire::SetSetting { environment: posted.optional("environment"), value };
    let secret = posted.text("kind") == "secret";
    web.platform.set_setting(&posted.visitor.who, &project, secret, posted.text("name"), how).await?;
    Ok(back(&project))
}

async fn delete(State(web): State<Web>, Path(project): Path<String>, posted: Posted) -> Shown {
    let environment = posted.optional("environment");
    let secret = posted.text("kind") == "secret";
    let who = &posted.visitor.who;
    web.platform.delete_setting(who, &project, secret, environment.as_deref(), posted.text("name")).await?;
    Ok(back(&project))
}

fn back(project: &str) -> axum::response::Response {
    Redirect::to(&format!("/projects/{}/settings", view::encode(project))).into_response()
}
