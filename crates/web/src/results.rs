//! The services that GitHub's own client libraries speak to: artifacts (version 4), caches (version 2, and 1), identity
//! tokens. As in the rest of this crate a handler turns a request into one call, here of [`Results`].
//!
//! The calls are Twirp over JSON, uploads and downloads take the form of Azure's block blobs, and each of them reports
//! errors in a form of its own: that is what the clients expect.

mod blobs;
mod caches;
mod identity;
mod twirp;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use tower_http::catch_panic::CatchPanicLayer;
use windlass_api::{ErrorCode, Problem};
use windlass_identity::Principal;
use windlass_kernel::Timestamp;

use crate::platform::{Answer, Credential, Download};
use crate::{auth, defect, security};

/// Where signed uploads go: below it the upload's number.
pub const UPLOADS: &str = "/_services/uploads";
/// Where signed downloads come from: below it `artifact` or `cache`, and an id.
pub const DOWNLOADS: &str = "/_services/downloads";
/// The issuer of identity tokens: below it their discovery document, keys, and the request for one.
pub const ISSUER: &str = "/_services/token";

/// The run and the job that a call says it is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendIds {
    /// The run.
    pub run: String,
    /// The job.
    pub job: String,
}

/// An artifact that is to be uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewArtifact {
    /// Its name.
    pub name: String,
    /// Its media type; a zip archive if not said.
    pub media_type: Option<String>,
    /// When it is to be removed (RFC 3339).
    pub expires_at: Option<String>,
}

/// An artifact of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredArtifact {
    /// Its number.
    pub number: u64,
    /// Its run.
    pub run: String,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// Its digest, with the algorithm.
    pub digest: String,
}

/// A place to upload to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The upload's number.
    pub number: u64,
    /// Where it goes, signed.
    pub url: String,
}

/// A cache entry that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCache {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: String,
    /// The scope that it is of.
    pub scope: String,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Where its archive is, signed.
    pub url: String,
}

/// A signed address, as it came back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Signature {
    /// When it ends, in milliseconds since the Unix epoch.
    #[serde(rename = "se")]
    pub ends: i64,
    /// What proves that we made it.
    #[serde(rename = "sig")]
    pub proof: String,
}

/// What the client libraries ask for.
#[async_trait]
pub trait Results: Send + Sync + 'static {
    /// Who shows this credential; `None` for one that is not known.
    async fn authenticate(&self, credential: Credential) -> Answer<Option<Principal>>;

    // Artifacts.
    /// Begins an artifact; gives where its bytes go.
    async fn create_artifact(&self, who: &Principal, of: &BackendIds, new: NewArtifact) -> Answer<String>;
    /// Makes an uploaded artifact one of the run's, if it has this size and digest; gives its number.
    async fn finalize_artifact(
        &self,
        who: &Principal,
        of: &BackendIds,
        name: &str,
        size: u64,
        digest: Option<&str>,
    ) -> Answer<u64>;
    /// The run's artifacts.
    async fn list_artifacts(
        &self,
        who: &Principal,
        of: &BackendIds,
        name: Option<&str>,
        number: Option<u64>,
    ) -> Answer<Vec<StoredArtifact>>;
    /// Where an artifact's bytes are.
    async fn artifact_url(&self, who: &Principal, of: &BackendIds, name: &str) -> Answer<String>;
    /// Removes an artifact of the run; gives its number.
    async fn delete_artifact(&self, who: &Principal, of: &BackendIds, name: &str) -> Answer<u64>;

    // Caches.
    /// Begins a cache entry, of this size in bytes if it is known.
    async fn reserve_cache(
        &self,
        who: &Principal,
        key: &str,
        version: &str,
        size: Option<u64>,
    ) -> Answer<Reserved>;
    /// Makes what was uploaded for this key a cache entry; gives its number.
    async fn finalize_cache(&self, who: &Principal, key: &str, version: &str, size: u64) -> Answer<u64>;
    /// A piece of a cache entry, from a byte on.
    async fn put_cache_piece(&self, who: &Principal, number: u64, start: u64, body: Body) -> Answer<()>;
    /// Makes the pieces a cache entry.
    async fn commit_cache(&self, who: &Principal, number: u64, size: u64) -> Answer<()>;
    /// The entry that fits best: the first key is looked for whole, all as prefixes.
    async fn find_cache(&self, who: &Principal, keys: &[String], version: &str)
    -> Answer<Option<FoundCache>>;
    /// All entries of this key that the caller could read, of any version, without their addresses.
    async fn list_caches(&self, who: &Principal, key: &str) -> Answer<Vec<FoundCache>>;

    // Bytes, by signed addresses.
    /// A block of an upload.
    async fn put_block(&self, number: u64, by: &Signature, block: &str, body: Body) -> Answer<()>;
    /// An upload's blocks, in their order: they become its content.
    async fn put_block_list(&self, number: u64, by: &Signature, blocks: Vec<String>) -> Answer<()>;
    /// An upload's whole content.
    async fn put_whole(&self, number: u64, by: &Signature, body: Body) -> Answer<()>;
    /// Stored bytes and their media type.
    async fn fetch(&self, kind: &str, id: &str, by: &Signature) -> Answer<(Download, String)>;

    // Identity tokens.
    /// A token for this audience (the project's owner if not said).
    async fn id_token(&self, who: &Principal, audience: Option<&str>) -> Answer<String>;
    /// Where verifiers find what (OpenID Connect Discovery 1.0, section 3).
    async fn discovery(&self) -> serde_json::Value;
    /// The keys that verify (RFC 7517, section 5).
    async fn keys(&self) -> Answer<serde_json::Value>;
}

/// The shared state of these handlers.
pub(crate) type Service = Arc<dyn Results>;

/// The routes of the services. They have no fallback.
pub fn results_router(results: Arc<dyn Results>) -> Router {
    Router::new()
        .merge(twirp::routes())
        .merge(blobs::routes())
        .merge(caches::routes())
        .merge(identity::routes())
        .layer(axum::middleware::from_fn(security::headers))
        .layer(CatchPanicLayer::custom(defect))
        .with_state(results)
}

/// Who calls: only by a bearer token, which is a job's.
async fn caller(results: &Service, headers: &HeaderMap) -> Answer<Principal> {
    let missing = || {
        Problem::new(
            ErrorCode::Unauthenticated,
            "show the job's token: `Authorization: Bearer …` with ACTIONS_RUNTIME_TOKEN",
        )
    };
    let over = || Problem::new(ErrorCode::Unauthenticated, "this token is not known, or its job has ended");
    match auth::credential(headers)? {
        Some(credential @ Credential::Bearer(_)) => results.authenticate(credential).await?.ok_or_else(over),
        _ => Err(missing()),
    }
}
