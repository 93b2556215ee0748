//! The faces of Windlass: JSON handlers under `/api/v1` and HTML pages, both over [`Platform`].
//!
//! Nothing is decided here: a handler turns a request into one call of the platform and its answer into JSON or a
//! page. Who may do what is the platform's business.

mod api;
mod auth;
mod chart;
mod evidence;
mod extract;
mod graph;
mod images;
mod log;
mod markdown;
mod ops;
mod page;
mod pages;
mod picture;
mod platform;
mod problem;
mod registry;
mod results;
mod security;
mod state;
mod tree;
mod view;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use tower_http::catch_panic::CatchPanicLayer;
use windlass_api::{ErrorCode, Problem};
use windlass_kernel::Clock;

pub use evidence::EvidencePlatform;
pub use images::ImagePlatform;
pub use platform::{Answer, Credential, Download, Page, Platform, RunnerPlatform};
pub use registry::RegistryPlatform;
pub use results::{
    BackendIds, DOWNLOADS, FoundCache, ISSUER, NewArtifact, Reserved, Results, Signature, StoredArtifact,
    UPLOADS, results_router,
};

/// Everything that this crate serves: the API, the pages, `/metrics` and `/healthz`.
///
/// It has a fallback of its own (a 404 as a page or as a problem), so that routes of others — Git, the registry —
/// are merged into it, not it into them.
pub fn router(platform: Arc<dyn Platform>, runner: Arc<dyn RunnerPlatform>, clock: Arc<dyn Clock>) -> Router {
    let (api, _) = api::router();
    Router::new()
        .merge(api)
        .merge(ops::routes())
        .merge(evidence::routes())
        .merge(pages::routes())
        .method_not_allowed_fallback(page::wrong_method)
        .layer(axum::middleware::from_fn(security::headers))
        .layer(CatchPanicLayer::custom(defect))
        .with_state(state::Web { platform, runner, clock })
}

/// The OpenAPI description of the API, as indented JSON: what `docs/reference/openapi.json` holds.
pub fn openapi() -> String {
    api::description()
}

fn defect(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    let problem = Problem::new(
        ErrorCode::Internal,
        "a defect of Windlass: the request could not be answered. Control's log has the particulars; please report it",
    );
    problem::with_status(StatusCode::INTERNAL_SERVER_ERROR, &problem)
}
