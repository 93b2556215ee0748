//! What is known of images.

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(evidence))
        .routes(routes!(sbom))
        .routes(routes!(vulns))
        .routes(routes!(vulns_sarif))
        .routes(routes!(diff))
        .routes(routes!(keys, rotate))
        .routes(routes!(exceptions, except))
}

/// Which image.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Image {
    /// The image: `NAME`, `NAME:TAG` or `NAME@sha256:…`.
    image: String,
    /// For a list of what is in it: `cyclonedx` (the default) or `spdx`.
    #[serde(default)]
    format: String,
}

/// Which two images.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Two {
    /// The one.
    from: String,
    /// The other.
    to: String,
}

/// Everything that is known of an image; what is not known yet is found out first.
#[utoipa::path(get, path = "/api/v1/evidence", tag = "evidence", params(Image), responses((status = 200, body = wire::ImageEvidence)))]
async fn evidence(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<Image>,
) -> Reply<Json<wire::ImageEvidence>> {
    Ok(Json(web.platform.image_evidence(&caller.who, &of.image).await?))
}

/// A list of what is in an image: CycloneDX 1.6 or SPDX 2.3.
#[utoipa::path(get, path = "/api/v1/evidence/sbom", tag = "evidence", params(Image), responses((status = 200, body = Value)))]
async fn sbom(State(web): State<Web>, caller: Caller, Query(of): Query<Image>) -> Reply<Json<Value>> {
    Ok(Json(web.platform.image_sbom(&caller.who, &of.image, &of.format).await?))
}

/// An image's vulnerabilities, as they are known now.
#[utoipa::path(get, path = "/api/v1/evidence/vulns", tag = "evidence", params(Image), responses((status = 200, body = wire::Vulnerabilities)))]
async fn vulns(
    State(web): State<Web>,
    caller: Caller,
    Query(of): Query<Image>,
) -> Reply<Json<wire::Vulnerabilities>> {
    Ok(Json(web.platform.image_vulns(&caller.who, &of.image).await?))
}

/// An image's vulnerabilities as SARIF 2.1.0.
#[utoipa::path(get, path = "/api/v1/evidence/vulns.sarif", tag = "evidence", params(Image), responses((status = 200, body = Value)))]
async fn vulns_sarif(State(web): State<Web>, caller: Caller, Query(of): Query<Image>) -> Reply<Json<Value>> {
    Ok(Json(web.platform.image_vulns_sarif(&caller.who, &of.image).await?))
}

/// What differs between two images.
#[utoipa::path(get, path = "/api/v1/evidence/diff", tag = "evidence", params(Two), responses((status = 200, body = wire::ImageDiff)))]
async fn diff(
    State(web): State<Web>,
    caller: Caller,
    Query(two): Query<Two>,
) -> Reply<Json<wire::ImageDiff>> {
    Ok(Json(web.platform.image_diff(&caller.who, &two.from, &two.to).await?))
}

/// The keys that verify statements, newest first.
#[utoipa::path(get, path = "/api/v1/evidence/keys", tag = "evidence", responses((status = 200, body = Vec<wire::StatementKey>)))]
async fn keys(State(web): State<Web>, _: Caller) -> Reply<Json<Vec<wire::StatementKey>>> {
    Ok(Json(web.platform.statement_keys().await?))
}

/// Lets a new key sign statements; those before stay valid for what they signed.
#[utoipa::path(post, path = "/api/v1/evidence/keys", tag = "evidence", responses((status = 200, body = Vec<wire::StatementKey>)))]
async fn rotate(State(web): State<Web>, caller: Caller) -> Reply<Json<Vec<wire::StatementKey>>> {
    Ok(Json(web.platform.rotate_statement_key(&caller.who).await?))
}

/// The vulnerabilities that are let through in an environment.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/exceptions", tag = "evidence", responses((status = 200, body = Vec<wire::VulnerabilityException>)))]
async fn exceptions(
    State(web): State<Web>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
) -> Reply<Json<Vec<wire::VulnerabilityException>>> {
    Ok(Json(web.platform.exceptions(&caller.who, &project, &environment).await?))
}

/// Lets a vulnerability through in an environment, for a time.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/exceptions", tag = "evidence", request_body = wire::GrantException, responses((status = 200, body = wire::VulnerabilityException)))]
async fn except(
    State(web): State<Web>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
    Json(how): Json<wire::GrantException>,
) -> Reply<Json<wire::VulnerabilityException>> {
    Ok(Json(web.platform.except(&caller.who, &project, &environment, how).await?))
}
