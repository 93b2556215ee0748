//! A project's reports by branch: tests and how far they can be trusted, coverage, findings.

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
    Router::new().route("/projects/{project}/reports", get(reports))
}

/// How many findings and files a page lists.
const FINDINGS: usize = 300;
const FILES: usize = 300;

#[derive(Template)]
#[template(path = "reports.html")]
struct ReportsPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    refs: Vec<wire::RefView>,
    branch: String,
    wanted: String,
    tests: wire::TestHistoryView,
    coverage: Vec<wire::CoverageTrend>,
    findings: wire::BranchFindings,
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    branch: String,
    #[serde(default)]
    q: String,
}

async fn reports(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let who = &visitor.who;
    let project = web.platform.project(who, &name).await?;
    let refs = web.platform.refs(who, &name).await?;
    let branch = Some(which.branch.trim().to_owned()).filter(|b| !b.is_empty());
    let branch = branch.unwrap_or_else(|| project.default_branch.clone());
    let tests = web.platform.test_history(who, &name, &branch, which.q.trim()).await?;
    let mut coverage = web.platform.coverage_trend(who, &name, &branch).await?;
    for trend in &mut coverage {
        // What is covered least comes first.
        trend.files.sort_by_key(|f| u64::from(f.covered) * 1000 / u64::from(f.total.max(1)));
        trend.files.truncate(FILES);
    }
    let mut findings = web.platform.branch_findings(who, &name, &branch).await?;
    for report in &mut findings.open {
        report.findings.truncate(FINDINGS);
    }
    let chrome = visitor.chrome(format!("{name}: reports"), "projects");
    let wanted = which.q;
    show(&ReportsPage { chrome, project, tab: "reports", refs, branch, wanted, tests, coverage, findings })
}
