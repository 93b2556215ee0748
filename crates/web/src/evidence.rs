//! What the pages and the JSON handlers ask about images: what is known of them, and by which keys it is signed.

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::Value;
use windlass_api as api;
use windlass_identity::Principal;

use crate::Answer;
use crate::extract::Json;
use crate::problem::Reply;
use crate::state::Web;

/// The calls about evidence; a part of [`Platform`](crate::Platform).
#[async_trait]
pub trait EvidencePlatform: Send + Sync + 'static {
    /// Everything that is known of an image (`NAME`, `NAME:TAG`, `NAME@DIGEST`).
    async fn image_evidence(&self, who: &Principal, image: &str) -> Answer<api::ImageEvidence>;
    /// A list of what is in it: `cyclonedx` or `spdx`.
    async fn image_sbom(&self, who: &Principal, image: &str, format: &str) -> Answer<Value>;
    /// Its known vulnerabilities.
    async fn image_vulns(&self, who: &Principal, image: &str) -> Answer<api::Vulnerabilities>;
    /// The same as SARIF.
    async fn image_vulns_sarif(&self, who: &Principal, image: &str) -> Answer<Value>;
    /// What differs between two images.
    async fn image_diff(&self, who: &Principal, from: &str, to: &str) -> Answer<api::ImageDiff>;
    /// The keys that verify statements, newest first.
    async fn statement_keys(&self) -> Answer<Vec<api::StatementKey>>;
    /// Lets a new key sign.
    async fn rotate_statement_key(&self, who: &Principal) -> Answer<Vec<api::StatementKey>>;
    /// The vulnerabilities that are let through in an environment.
    async fn exceptions(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
    ) -> Answer<Vec<api::VulnerabilityException>>;
    /// Lets one through.
    async fn except(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        how: api::GrantException,
    ) -> Answer<api::VulnerabilityException>;
}

/// Where tools find the keys without showing who asks: they are public.
pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/.well-known/windlass-statement-keys.json", get(keys))
        .route("/.well-known/windlass-statement-key.pem", get(newest))
}

async fn keys(State(web): State<Web>) -> Reply<Json<Vec<api::StatementKey>>> {
    Ok(Json(web.platform.statement_keys().await?))
}

async fn newest(State(web): State<Web>) -> Reply<impl IntoResponse> {
    let pem = web.platform.statement_keys().await?.into_iter().next().map(|key| key.pem).unwrap_or_default();
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem))
}
