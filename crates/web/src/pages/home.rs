//! What concerns everything: the overview, all services, all approvals.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use windlass_api as wire;
use windlass_api::State as Progress;

use crate::page::{Chrome, Posted, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::{Page, view};

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/", get(overview))
        .route("/services", get(services))
        .route("/approvals", get(approvals))
        .route("/approvals/{approval}", post(decide))
}

/// How many runs the overview lists besides the active ones, and how many deployments.
const RECENT: usize = 8;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    chrome: Chrome,
    status: wire::Status,
    /// How the registry's disk is; none for those who may not see it.
    registry: Option<wire::RegistryState>,
    projects: Vec<wire::ProjectView>,
    active: Vec<wire::RunSummary>,
    recent: Vec<wire::RunSummary>,
    approvals: Vec<wire::ApprovalView>,
    deployments: Vec<wire::DeploymentView>,
    with_project: bool,
    back: &'static str,
}

#[derive(Template)]
#[template(path = "services.html")]
struct ServicesPage {
    chrome: Chrome,
    services: Vec<wire::ServiceSummary>,
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct ApprovalsPage {
    chrome: Chrome,
    waiting: Vec<wire::ApprovalView>,
    decided: Vec<wire::ApprovalView>,
    back: &'static str,
}

async fn overview(State(web): State<Web>, visitor: Visitor) -> Shown {
    let who = &visitor.who;
    let status = web.platform.status(who).await?;
    let projects = web.platform.projects(who).await?;
    let runs = web.platform.runs(who, None, &Page { limit: 40, before: None }).await?;
    let (active, mut recent): (Vec<_>, Vec<_>) =
        runs.into_iter().partition(|r| r.state != Progress::Completed);
    recent.truncate(RECENT);
    let mut approvals = web.platform.approvals(who, None).await?;
    approvals.retain(|a| a.state == "pending");
    let mut deployments = Vec::new();
    for project in &projects {
        let page = Page { limit: RECENT, before: None };
        deployments.extend(web.platform.deployments(who, &project.name, None, &page).await?);
    }
    deployments.sort_by_key(|d| std::cmp::Reverse(d.created_at));
    deployments.truncate(RECENT);
    let chrome = visitor.chrome("Overview", "overview").live("*", 15);
    show(&OverviewPage {
        chrome,
        status,
        registry: web.platform.registry_state(who).await.ok(),
        projects,
        active,
        recent,
        approvals,
        deployments,
        with_project: true,
        back: "/",
    })
}

async fn services(State(web): State<Web>, visitor: Visitor) -> Shown {
    let services = web.platform.services(&visitor.who, None).await?;
    show(&ServicesPage { chrome: visitor.chrome("Services", "services").live("*", 10), services })
}

async fn approvals(State(web): State<Web>, visitor: Visitor) -> Shown {
    let all = web.platform.approvals(&visitor.who, None).await?;
    let (waiting, decided) = all.into_iter().partition(|a| a.state == "pending");
    let chrome = visitor.chrome("Approvals", "approvals").live("*", 15);
    show(&ApprovalsPage { chrome, waiting, decided, back: "/approvals" })
}

async fn decide(State(web): State<Web>, Path(approval): Path<String>, posted: Posted) -> Shown {
    let approve = match posted.text("decision") {
        "approve" => true,
        "reject" => false,
        other => {
            return Err(wire::Problem::invalid(format!("`{other}` is neither approve nor reject")).into());
        }
    };
    let how = wire::Decide { approve, comment: posted.text("comment").to_owned() };
    web.platform.decide(&posted.visitor.who, &approval, how).await?;
    Ok(posted.back("/approvals"))
}
