//! The services that GitHub's own client libraries speak to, over the same artifacts and caches as the built-in actions:
//! uploads in blocks, signed addresses, caches with their scopes, identity tokens, and the tokens that a job is given.

mod archives;
mod artifacts;
mod blocks;
mod caches;
mod identity;
mod keys;
mod scopes;
mod tokens;
mod uploads;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use windlass_api::Problem;
use windlass_identity::{Principal, Scope};
use windlass_kernel::{Clock, Digest, Entropy, Timestamp};
use windlass_oci::FileBlobs;
use windlass_web::{
    Answer, BackendIds, Credential, Download, FoundCache, NewArtifact, Reserved, Signature, StoredArtifact,
};

use crate::context::Context;
use crate::data_dir::DataDir;

pub(crate) use scopes::CacheScopes;
pub(crate) use tokens::JobTokens;

/// How often archives are looked for that nothing names.
const SWEEPING: Duration = Duration::from_mins(30);

/// What the services keep beside the documents.
pub(crate) struct Results {
    /// Archives of artifacts and caches. Apart from images: what nothing names any more can go at once.
    pub(crate) archives: Arc<FileBlobs>,
    /// Archives that were kept just now and that no document names yet.
    pinned: Mutex<HashMap<Digest, usize>>,
    /// Keeping an archive and removing one do not meet.
    keeping: tokio::sync::Mutex<()>,
    blocks: blocks::Blocks,
    keys: tokio::sync::Mutex<Option<Arc<keys::Keys>>>,
    /// Putting blocks together reads and writes the whole content.
    assembling: tokio::sync::Semaphore,
    /// When the archives were last swept, in milliseconds since the Unix epoch.
    swept: AtomicI64,
}

impl Results {
    pub(crate) fn open(
        data: &DataDir,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            archives: Arc::new(FileBlobs::open(&data.path("archives"), clock, entropy)?),
            pinned: Mutex::default(),
            keeping: tokio::sync::Mutex::default(),
            blocks: blocks::Blocks::new(data.path("uploads")),
            keys: tokio::sync::Mutex::default(),
            assembling: tokio::sync::Semaphore::new(2),
            swept: AtomicI64::new(0),
        })
    }
}

impl std::fmt::Debug for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results").finish_non_exhaustive()
    }
}

impl Context {
    /// Where the services answer: an address that can be connected to, whatever control listens on.
    pub(crate) fn services_url(&self) -> String {
        self.endpoint.url.replacen("//0.0.0.0:", "//127.0.0.1:", 1).replacen("//[::]:", "//[::1]:", 1)
    }

    /// What is done now and then: what nobody finished, needs or names any more.
    pub(crate) async fn tidy_results(&self) -> Result<(), windlass_kernel::StoreError> {
        self.end_uploads().await?;
        self.end_idle_caches().await?;
        // What is named no more goes at once; a sweep finds what a crash left.
        let (now, swept) = (self.now(), &self.results.swept);
        if now.since(Timestamp::from_millis(swept.load(Ordering::Relaxed))) < SWEEPING {
            return Ok(());
        }
        swept.store(now.as_millis(), Ordering::Relaxed);
        self.sweep_archives().await
    }
}

/// The job that a principal is.
fn own_job(who: &Principal) -> Answer<String> {
    match &who.scope {
        Scope::Job { job, .. } => Ok(job.to_string()),
        _ => Err(Problem::forbidden("only a job's own token can do this")),
    }
}

/// Control as the client libraries see it.
#[derive(Clone, Debug)]
pub(crate) struct Services(pub(crate) Arc<Context>);

#[async_trait]
impl windlass_web::Results for Services {
    async fn authenticate(&self, credential: Credential) -> Answer<Option<Principal>> {
        self.0.authenticate(&credential).await
    }

    async fn create_artifact(&self, who: &Principal, of: &BackendIds, new: NewArtifact) -> Answer<String> {
        self.0.create_artifact(who, of, new).await
    }

    async fn finalize_artifact(
        &self,
        who: &Principal,
        of: &BackendIds,
        name: &str,
        size: u64,
        digest: Option<&str>,
    ) -> Answer<u64> {
        self.0.finalize_artifact(who, of, name, size, digest).await
    }

    async fn list_artifacts(
        &self,
        who: &Principal,
        of: &BackendIds,
        name: Option<&str>,
        number: Option<u64>,
    ) -> Answer<Vec<StoredArtifact>> {
        self.0.stored_artifacts(who, of, name, number).await
    }

    async fn artifact_url(&self, who: &Principal, of: &BackendIds, name: &str) -> Answer<String> {
        self.0.artifact_url(who, of, name).await
    }

    async fn delete_artifact(&self, who: &Principal, of: &BackendIds, name: &str) -> Answer<u64> {
        self.0.delete_artifact(who, of, name).await
    }

    async fn reserve_cache(
        &self,
        who: &Principal,
        key: &str,
        version: &str,
        size: Option<u64>,
    ) -> Answer<Reserved> {
        self.0.reserve_cache(who, key, version, size).await
    }

    async fn finalize_cache(&self, who: &Principal, key: &str, version: &str, size: u64) -> Answer<u64> {
        self.0.finalize_cache(who, key, version, size).await
    }

    async fn put_cache_piece(&self, who: &Principal, number: u64, start: u64, body: Body) -> Answer<()> {
        self.0.put_cache_piece(who, number, start, body).await
    }

    async fn commit_cache(&self, who: &Principal, number: u64, size: u64) -> Answer<()> {
        self.0.commit_cache(who, number, size).await
    }

    async fn find_cache(
        &self,
        who: &Principal,
        keys: &[String],
        version: &str,
    ) -> Answer<Option<FoundCache>> {
        self.0.signed_cache(who, keys, version).await
    }

    async fn list_caches(&self, who: &Principal, key: &str) -> Answer<Vec<FoundCache>> {
        self.0.caches_of_key(who, key).await
    }

    async fn put_block(&self, number: u64, by: &Signature, block: &str, body: Body) -> Answer<()> {
        self.0.put_block(number, by, block, body).await
    }

    async fn put_block_list(&self, number: u64, by: &Signature, blocks: Vec<String>) -> Answer<()> {
        self.0.put_block_list(number, by, &blocks).await
    }

    async fn put_whole(&self, number: u64, by: &Signature, body: Body) -> Answer<()> {
        self.0.put_whole(number, by, body).await
    }

    async fn fetch(&self, kind: &str, id: &str, by: &Signature) -> Answer<(Download, String)> {
        self.0.fetch(kind, id, by).await
    }

    async fn id_token(&self, who: &Principal, audience: Option<&str>) -> Answer<String> {
        self.0.id_token(who, audience).await
    }

    async fn discovery(&self) -> serde_json::Value {
        self.0.discovery()
    }

    async fn keys(&self) -> Answer<serde_json::Value> {
        self.0.public_keys().await
    }
}
