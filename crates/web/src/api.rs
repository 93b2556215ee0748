//! The REST API under `/api/v1`: one small handler per call of [`Platform`](crate::Platform), and the OpenAPI
//! description that is derived from them.

mod about;
mod accounts;
mod compatible;
mod delivery;
mod evidence;
mod images;
mod registry;
mod reports;
mod runner;
mod runs;
mod services;
mod settings;
mod source;
mod stream;
pub(crate) mod transfer;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;

use crate::state::Web;

/// The largest JSON body of a call.
const LARGEST_BODY: usize = 1 << 20;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Windlass",
        description = "From a git push to monitored production. Times are milliseconds since the Unix epoch, durations milliseconds, sizes bytes, unless a field says otherwise. Every error is a Problem.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(windlass_api::Problem)),
    security(("token" = []), ("basic" = [])),
    tags(
        (name = "platform", description = "What Windlass itself is doing, and its ledger"),
        (name = "accounts", description = "People and their tokens"),
        (name = "source", description = "Projects, branches, commits, files"),
        (name = "runs", description = "Workflows, runs, jobs, logs, artifacts"),
        (name = "reports", description = "Tests, coverage and findings that runs uploaded"),
        (name = "delivery", description = "Environments, releases, deployments, approvals"),
        (name = "registry", description = "Repositories and images; the registry's rules, mirrors and garbage"),
        (name = "evidence", description = "What is known of images: statements, packages, vulnerabilities"),
        (name = "services", description = "What runs: instances, figures, logs"),
        (name = "settings", description = "Secrets and variables"),
        (name = "runner", description = "What runners and jobs call"),
    )
)]
struct Description;

/// The API's router, and its description.
pub(crate) fn router() -> (Router<Web>, OpenApi) {
    let (router, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .merge(about::routes())
        .merge(accounts::routes())
        .merge(source::routes())
        .merge(runs::routes())
        .merge(reports::routes())
        .merge(delivery::routes())
        .merge(evidence::routes())
        .merge(registry::routes())
        .merge(images::routes())
        .merge(services::routes())
        .merge(settings::routes())
        .merge(runner::routes())
        .merge(stream::routes())
        .split_for_parts();
    complete(&mut description);
    let router = router
        .route("/api/v1/openapi.json", get(openapi))
        .merge(compatible::routes())
        .route("/api/v1/{*rest}", axum::routing::any(transfer::no_such_call))
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    (router, description)
}

/// The OpenAPI description, as indented JSON.
pub(crate) fn description() -> String {
    let (_, description) = router();
    let mut text = description.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], description())
}

/// Adds what holds for every operation: how callers show who they are, and that errors are problems.
fn complete(description: &mut OpenApi) {
    let components = description.components.get_or_insert_default();
    for (name, scheme) in [("token", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)] {
        components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
    }
    for item in description.paths.paths.values_mut() {
        for operation in operations(item) {
            let schema = Ref::from_schema_name("Problem");
            let problem = ResponseBuilder::new()
                .description("What was wrong, and what to do")
                .content("application/problem+json", Content::new(Some(schema)))
                .build();
            operation.responses.responses.insert("default".into(), RefOr::T(problem));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}
