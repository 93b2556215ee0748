//! What the platform is doing, and its ledger.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;

use crate::Page;
use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(me))
        .routes(routes!(events))
        .routes(routes!(audit_verify))
}

/// Which ledger entries.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventFilter {
    /// Only those of this project.
    project: Option<String>,
    /// Only those whose kind begins so, such as `run.`.
    kind: Option<String>,
    /// At most so many; 0 for the default.
    #[serde(default)]
    limit: usize,
    /// Only entries before this number, newest first.
    before: Option<u64>,
    /// Only entries after this number, oldest first; waits up to 25 seconds for one.
    after: Option<u64>,
}

/// What the platform is doing.
#[utoipa::path(get, path = "/api/v1/status", tag = "platform", responses((status = 200, body = wire::Status)))]
async fn status(State(web): State<Web>, caller: Caller) -> Reply<Json<wire::Status>> {
    Ok(Json(web.platform.status(&caller.who).await?))
}

/// Who the caller is.
#[utoipa::path(get, path = "/api/v1/me", tag = "platform", responses((status = 200, body = wire::Me)))]
async fn me(State(web): State<Web>, caller: Caller) -> Reply<Json<wire::Me>> {
    Ok(Json(web.platform.me(&caller.who).await?))
}

/// Ledger entries: newest first, or after a number, oldest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "platform", params(EventFilter), responses((status = 200, body = Vec<wire::EventView>)))]
async fn events(
    State(web): State<Web>,
    caller: Caller,
    Query(filter): Query<EventFilter>,
) -> Reply<Json<Vec<wire::EventView>>> {
    let project = filter.project.as_deref();
    if let Some(after) = filter.after {
        let mut events = web.platform.events_after(&caller.who, project, after).await?;
        if let Some(kind) = &filter.kind {
            events.retain(|e| e.kind.starts_with(kind));
        }
        return Ok(Json(events));
    }
    let page = Page { limit: filter.limit, before: filter.before.map(|n| n.to_string()) };
    Ok(Json(web.platform.events_back(&caller.who, project, filter.kind.as_deref(), &page).await?))
}

/// Checks the ledger's chain from the first entry to the last.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "platform", responses((status = 200, body = wire::AuditReport)))]
async fn audit_verify(State(web): State<Web>, caller: Caller) -> Reply<Json<wire::AuditReport>> {
    Ok(Json(web.platform.audit_verify(&caller.who).await?))
}
