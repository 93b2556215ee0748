//! The ledger, for people.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use serde::Deserialize;
use windlass_api as wire;

use crate::page::{Chrome, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::{Page, view};

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/audit", get(audit))
}

/// How many entries a page lists.
const ENTRIES: usize = 50;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    chrome: Chrome,
    entries: Vec<Entry>,
    projects: Vec<wire::ProjectView>,
    filter: Filter,
    report: Option<wire::AuditReport>,
    older: Option<u64>,
}

struct Entry {
    event: wire::EventView,
    link: Option<String>,
    data: String,
}

#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    project: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    before: String,
    #[serde(default)]
    verify: String,
}

async fn audit(State(web): State<Web>, visitor: Visitor, Query(filter): Query<Filter>) -> Shown {
    let who = &visitor.who;
    let text = |t: &str| Some(t.trim().to_owned()).filter(|t| !t.is_empty());
    let (project, kind, before) = (text(&filter.project), text(&filter.kind), text(&filter.before));
    let first_page = before.is_none();
    let page = Page { limit: ENTRIES + 1, before };
    let mut events = web.platform.events_back(who, project.as_deref(), kind.as_deref(), &page).await?;
    let older = (events.len() > ENTRIES).then(|| events[ENTRIES - 1].seq);
    events.truncate(ENTRIES);
    let report = if filter.verify.is_empty() { None } else { Some(web.platform.audit_verify(who).await?) };
    let projects = web.platform.projects(who).await?;
    let chrome = visitor.chrome("Audit", "audit");
    let chrome = if first_page && report.is_none() { chrome.live("*", 0) } else { chrome };
    let entries = events.into_iter().map(entry).collect();
    show(&AuditPage { chrome, entries, projects, filter, report, older })
}

fn entry(event: wire::EventView) -> Entry {
    let subject = event.subject.split(':').next().unwrap_or_default();
    let link = match subject.split_once('_').map(|(kind, _)| kind) {
        Some("run") => Some(format!("/runs/{}", view::encode(subject))),
        Some("dep") => Some(format!("/deployments/{}", view::encode(subject))),
        _ => event
            .project
            .as_ref()
            .filter(|p| **p == event.subject)
            .map(|p| format!("/projects/{}", view::encode(p))),
    };
    let data = if event.data.is_null() {
        String::new()
    } else {
        serde_json::to_string_pretty(&event.data).unwrap_or_default()
    };
    Entry { event, link, data }
}
