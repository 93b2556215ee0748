//! What runs leave: archives in the blob store, found by run and name.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use windlass_api as api;
use windlass_api::{ErrorCode, Problem};
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{
    ArtifactId, Batch, Digest, Document, NewEvent, ProjectName, Query, RunId, StoreExt as _, Timestamp,
};
use windlass_oci::{BlobError, BlobStore as _, ByteStream};
use windlass_web::Download;

use crate::context::{Context, internal, may, parse, stored};

type Answer<T> = Result<T, Problem>;

/// How long an artifact is kept unless it is said, and at most.
const DAYS: u32 = 90;
const MOST_DAYS: u32 = 400;
/// The largest archive, in bytes.
const LARGEST: u64 = 10 << 30;

/// An artifact of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ArtifactDoc {
    id: ArtifactId,
    run: RunId,
    project: ProjectName,
    name: String,
    digest: Digest,
    size: u64,
    created_at: Timestamp,
    expires_at: Timestamp,
}

impl Document for ArtifactDoc {
    const KIND: &'static str = "artifact";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn parent(&self) -> String {
        self.run.to_string()
    }
}

impl ArtifactDoc {
    fn view(&self) -> api::ArtifactView {
        api::ArtifactView {
            id: self.id.to_string(),
            name: self.name.clone(),
            size: self.size,
            digest: self.digest.to_string(),
            created_at: self.created_at,
            expires_at: self.expires_at,
        }
    }
}

/// What the blob store said, as an answer.
pub(crate) fn blob(error: BlobError) -> Problem {
    match error {
        BlobError::Full => Problem::new(ErrorCode::StorageFull, error.to_string()),
        BlobError::TooLarge { .. } => Problem::new(ErrorCode::TooLarge, error.to_string()),
        BlobError::Interrupted(_) | BlobError::WrongDigest { .. } => Problem::invalid(error.to_string()),
        BlobError::Unknown(_) => Problem::not_found(error.to_string()),
        other => internal("the blob store failed", &other),
    }
}

impl Context {
    /// Keeps a body whose digest is not known beforehand.
    pub(crate) async fn keep_blob(&self, body: Body, largest: u64) -> Answer<(Digest, u64)> {
        let blobs = &self.images.blobs;
        let upload = blobs.begin().await.map_err(blob)?;
        let hash = std::sync::Arc::new(std::sync::Mutex::new((Sha256::new(), 0u64)));
        let hashing = hash.clone();
        let bytes: ByteStream = Box::pin(body.into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(|e| BlobError::Interrupted(e.to_string()))?;
            let mut hash = hashing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            hash.0.update(&chunk);
            hash.1 += chunk.len() as u64;
            if hash.1 > largest {
                return Err(BlobError::TooLarge { limit: largest });
            }
            Ok(chunk)
        }));
        if let Err(e) = blobs.append(&upload, Some(0), bytes).await {
            let _ = blobs.cancel(&upload).await;
            return Err(blob(e));
        }
        let hex = {
            let hash = hash.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            hex::encode(hash.0.clone().finalize())
        };
        let digest: Digest = parse(&format!("sha256:{hex}"))?;
        let size = blobs.finish(&upload, &digest).await.map_err(blob)?;
        Ok((digest, size))
    }

    /// A kept body.
    pub(crate) async fn open_blob(&self, digest: &Digest, name: String) -> Answer<Download> {
        let found = self.images.blobs.open(digest, None).await.map_err(blob)?;
        let body = Body::from_stream(found.bytes);
        Ok(Download { body, size: Some(found.size), name })
    }

    async fn artifacts_of_run(&self, run: RunId) -> Answer<Vec<ArtifactDoc>> {
        let query = Query { parent: Some(run.to_string()), ..Query::default() };
        let found = self.store.list::<ArtifactDoc>(&query).await.map_err(stored)?;
        Ok(found.into_iter().map(|a| a.value).collect())
    }

    pub(crate) async fn artifact_views(&self, run: RunId) -> Answer<Vec<api::ArtifactView>> {
        Ok(self.artifacts_of_run(run).await?.iter().map(ArtifactDoc::view).collect())
    }

    /// The artifact of this name that a run has, if another may take its place.
    async fn named(&self, run: RunId, name: &str, replace: bool) -> Answer<Option<ArtifactDoc>> {
        let standing = self.artifacts_of_run(run).await?.into_iter().find(|a| a.name == name);
        if standing.is_some() && !replace {
            return Err(Problem::conflict(format!(
                "this run has an artifact `{name}` already; artifacts are immutable: choose another name, or upload with `overwrite: true`"
            )));
        }
        Ok(standing)
    }

    pub(crate) async fn put_artifact(
        &self,
        who: &Principal,
        job: &str,
        name: &str,
        days: Option<u32>,
        replace: bool,
        body: Body,
    ) -> Answer<api::ArtifactView> {
        let bearer = self.bearer(who, job, Action::UseRunArtifacts).await?;
        let forbidden = |c: char| "\":<>|*?\\/\r\n".contains(c);
        if name.is_empty() || name.len() > 256 || name.contains(forbidden) || name.starts_with('.') {
            return Err(Problem::invalid(format!(
                "`{name}` cannot be an artifact's name: it may not be empty, begin with a dot or hold any of \" : < > | * ? \\ / or line breaks"
            )));
        }
        self.named(bearer.run.id, name, replace).await?;
        let (digest, size) = self.keep_blob(body, LARGEST).await?;
        // Looked at again: the upload took its time, and another leg may have been faster.
        let _naming = self.locks.naming.lock().await;
        let standing = self.named(bearer.run.id, name, replace).await?;
        let now = self.now();
        let days = days.unwrap_or(DAYS).clamp(1, MOST_DAYS);
        let artifact = ArtifactDoc {
            id: ArtifactId::new(&self.ids),
            run: bearer.run.id,
            project: bearer.run.project.clone(),
            name: name.to_owned(),
            digest,
            size,
            created_at: now,
            expires_at: now + Duration::from_secs(u64::from(days) * 86_400),
        };
        let event = NewEvent::new(now, who.actor.clone(), "artifact.created", artifact.id)
            .project(&artifact.project)
            .data(json!({"name": name, "digest": artifact.digest, "size": size, "run": artifact.run}));
        let mut batch = Batch::new().create(&artifact);
        if let Some(standing) = standing {
            batch = batch.delete::<ArtifactDoc>(standing.id);
        }
        self.commit(batch.event(event)).await.map_err(stored)?;
        Ok(artifact.view())
    }

    pub(crate) async fn list_artifacts(&self, who: &Principal, job: &str) -> Answer<Vec<api::ArtifactView>> {
        let bearer = self.bearer(who, job, Action::UseRunArtifacts).await?;
        self.artifact_views(bearer.run.id).await
    }

    pub(crate) async fn get_artifact(&self, who: &Principal, job: &str, name: &str) -> Answer<Download> {
        let bearer = self.bearer(who, job, Action::UseRunArtifacts).await?;
        let all = self.artifacts_of_run(bearer.run.id).await?;
        let found = all.iter().find(|a| a.name == name);
        let found = found.ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|a| a.name.as_str()).collect();
            Problem::not_found(format!("this run has no artifact `{name}` (it has: {})", names.join(", ")))
        })?;
        self.open_blob(&found.digest, format!("{name}.zip")).await
    }

    pub(crate) async fn artifact(&self, who: &Principal, id: &str) -> Answer<Download> {
        let id: ArtifactId = parse(id)?;
        let found = self.store.get::<ArtifactDoc>(&id.to_string()).await.map_err(stored)?;
        let found = found.ok_or_else(|| Problem::not_found(format!("there is no artifact {id}")))?.value;
        may(who, Action::ReadLogs, &Resource::Run { project: found.project.clone(), run: found.run })?;
        self.open_blob(&found.digest, format!("{}.zip", found.name)).await
    }
}

impl Context {
    /// Removes artifacts whose time is over. Their bytes go with the blobs that nothing names (a later release's work).
    pub(crate) async fn expire(&self) -> Result<(), windlass_kernel::StoreError> {
        let now = self.now();
        let mut batch = Batch::new();
        for artifact in self.store.list::<ArtifactDoc>(&Query::default()).await? {
            if artifact.value.expires_at < now {
                let event =
                    NewEvent::new(now, windlass_kernel::Actor::System, "artifact.expired", artifact.value.id)
                        .project(&artifact.value.project);
                batch = batch.delete::<ArtifactDoc>(artifact.value.id).event(event);
            }
        }
        if !batch.writes.is_empty() {
            self.commit(batch).await?;
        }
        Ok(())
    }
}
