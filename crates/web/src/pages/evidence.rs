//! What is known of an image. The sections are a part (`part/evidence.html`) that an image's page can show as well.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use serde::Deserialize;
use windlass_api as wire;

use crate::page::{Chrome, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view;

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/evidence", get(evidence))
}

/// How many vulnerabilities a page lists.
const MOST: usize = 500;

#[derive(Template)]
#[template(path = "evidence.html")]
struct EvidencePage {
    chrome: Chrome,
    project: String,
    evidence: wire::ImageEvidence,
}

#[derive(Deserialize)]
struct Which {
    image: String,
}

async fn evidence(State(web): State<Web>, visitor: Visitor, Query(which): Query<Which>) -> Shown {
    let mut evidence = web.platform.image_evidence(&visitor.who, &which.image).await?;
    evidence.vulnerabilities.found.truncate(MOST);
    let project = evidence.repository.split('/').next().unwrap_or_default().to_owned();
    let chrome = visitor.chrome(format!("{}: evidence", evidence.repository), "projects");
    show(&EvidencePage { chrome, project, evidence })
}
