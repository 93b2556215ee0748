//! Identity tokens: the request that a job makes, and what others verify them with.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ISSUER, Service, caller};
use crate::problem::Refusal;

pub(super) fn routes() -> Router<Service> {
    Router::new()
        .route(&format!("{ISSUER}/request"), get(request))
        .route(&format!("{ISSUER}/.well-known/openid-configuration"), get(discovery))
        .route(&format!("{ISSUER}/.well-known/jwks"), get(keys))
}

#[derive(Deserialize)]
struct Wanted {
    audience: Option<String>,
}

async fn request(
    State(results): State<Service>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let who = caller(&results, &headers).await?;
    let token = results.id_token(&who, wanted.audience.as_deref()).await?;
    Ok(axum::Json(json!({"count": 1, "value": token})).into_response())
}

/// Public, and the same for everybody for a while.
fn public(value: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, value.to_string()).into_response()
}

async fn discovery(State(results): State<Service>) -> Response {
    public(&results.discovery().await)
}

async fn keys(State(results): State<Service>) -> Result<Response, Refusal> {
    Ok(public(&results.keys().await?))
}
