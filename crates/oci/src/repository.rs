//! What each repository holds: tags, manifests, and which blobs may be read through it. Kept as documents, with
//! a ledger event for each change that somebody outside may want to know of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_kernel::{
    Actor, Batch, Clock, Digest, Document, NewEvent, Query, Store, StoreError, StoreExt as _, Timestamp,
};

use crate::{RepositoryName, Tag};

/// A tag and where it points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
    /// The manifest that it points to.
    pub digest: Digest,
    /// When it was last moved.
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: Actor,
}

/// A manifest that a repository holds. Its bytes are a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRecord {
    /// The repository.
    pub repository: RepositoryName,
    /// The manifest's digest.
    pub digest: Digest,
    /// The media type that it was sent with.
    pub media_type: String,
    /// Its own size in bytes.
    pub size: u64,
    /// The size of all that it names, in bytes.
    pub content_size: u64,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// The manifest that it says something about.
    pub subject: Option<Digest>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it was first pushed here.
    pub pushed_at: Timestamp,
    /// By whom.
    pub pushed_by: Actor,
}

/// Says that a blob may be read through a repository: blobs are shared on disk, not between repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobLink {
    /// The repository.
    pub repository: RepositoryName,
    /// The blob.
    pub digest: Digest,
}

impl Document for TagRecord {
    const KIND: &'static str = "tag";
    fn id(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
    fn parent(&self) -> String {
        self.repository.to_string()
    }
    /// Listed by the manifest that they point to.
    fn state(&self) -> String {
        self.digest.to_string()
    }
}

impl Document for ManifestRecord {
    const KIND: &'static str = "manifest";
    fn id(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
    fn parent(&self) -> String {
        self.repository.to_string()
    }
    /// Listed by the manifest that they say something about.
    fn state(&self) -> String {
        self.subject.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl Document for BlobLink {
    const KIND: &'static str = "blob_link";
    fn id(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
    fn parent(&self) -> String {
        self.repository.to_string()
    }
}

/// What repositories hold.
#[async_trait]
pub trait Index: Send + Sync {
    /// Where a tag points.
    async fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<TagRecord>, StoreError>;
    /// Tags behind `after`, in their order; at most `limit` (0 = all).
    async fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<TagRecord>, StoreError>;
    /// A manifest, if the repository holds it.
    async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ManifestRecord>, StoreError>;
    /// All manifests of a repository, in the order of their digests.
    async fn manifests(&self, repository: &RepositoryName) -> Result<Vec<ManifestRecord>, StoreError>;
    /// The manifests that say something about `subject`.
    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<ManifestRecord>, StoreError>;
    /// Keeps a manifest and moves a tag to it. Writes `image.pushed` unless nothing changes.
    async fn push(&self, record: ManifestRecord, tag: Option<&Tag>) -> Result<(), StoreError>;
    /// Removes a tag; false if it was not there. Writes `tag.deleted`.
    async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        by: &Actor,
    ) -> Result<bool, StoreError>;
    /// Removes a manifest and the tags that point to it; false if it was not there. Writes `image.deleted`.
    async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        by: &Actor,
    ) -> Result<bool, StoreError>;
    /// Whether a blob may be read through the repository.
    async fn has_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StoreError>;
    /// Lets blobs be read through the repository.
    async fn link_blobs(&self, repository: &RepositoryName, digests: &[Digest]) -> Result<(), StoreError>;
    /// No longer lets a blob be read through the repository.
    async fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StoreError>;
    /// The repositories that hold a manifest.
    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError>;
}

/// The index over the store's documents.
#[derive(Clone)]
pub struct StoreIndex {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for StoreIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreIndex")
    }
}

impl StoreIndex {
    /// An index over `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    fn event(&self, by: &Actor, kind: &str, repository: &RepositoryName, subject: String) -> NewEvent {
        let event = NewEvent::new(self.clock.now(), by.clone(), kind, subject);
        match repository.project() {
            Some(project) => event.project(&project),
            None => event,
        }
    }

    async fn in_repository<T: Document>(
        &self,
        repository: &RepositoryName,
        states: Vec<String>,
    ) -> Result<Vec<T>, StoreError> {
        let query = Query { parent: Some(repository.to_string()), states, ..Query::default() };
        Ok(self.store.list::<T>(&query).await?.into_iter().map(|d| d.value).collect())
    }
}

#[async_trait]
impl Index for StoreIndex {
    async fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<TagRecord>, StoreError> {
        Ok(self.store.get(&format!("{repository}:{tag}")).await?.map(|d| d.value))
    }

    async fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<TagRecord>, StoreError> {
        let after = after.map(|tag| format!("{repository}:{tag}"));
        let query = Query { parent: Some(repository.to_string()), after, limit, ..Query::default() };
        Ok(self.store.list::<TagRecord>(&query).await?.into_iter().map(|d| d.value).collect())
    }

    async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ManifestRecord>, StoreError> {
        Ok(self.store.get(&format!("{repository}@{digest}")).await?.map(|d| d.value))
    }

    async fn manifests(&self, repository: &RepositoryName) -> Result<Vec<ManifestRecord>, StoreError> {
        self.in_repository(repository, Vec::new()).await
    }

    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<ManifestRecord>, StoreError> {
        self.in_repository(repository, vec![subject.to_string()]).await
    }

    async fn push(&self, record: ManifestRecord, tag: Option<&Tag>) -> Result<(), StoreError> {
        let known = self.manifest(&record.repository, &record.digest).await?;
        let moved = match tag {
            Some(tag) => self
                .tag(&record.repository, tag)
                .await?
                .is_none_or(|standing| standing.digest != record.digest),
            None => false,
        };
        if known.is_some() && !moved {
            return Ok(());
        }
        let mut batch = Batch::new();
        if known.is_none() {
            batch = batch.put(&record);
        }
        if let Some(tag) = tag {
            batch = batch.put(&TagRecord {
                repository: record.repository.clone(),
                tag: tag.clone(),
                digest: record.digest.clone(),
                updated_at: record.pushed_at,
                updated_by: record.pushed_by.clone(),
            });
        }
        let data = json!({
            "repository": record.repository,
            "digest": record.digest,
            "tag": tag,
            "media_type": record.media_type,
            "size": record.content_size,
        });
        let subject = format!("{}@{}", record.repository, record.digest);
        let event = self.event(&record.pushed_by, "image.pushed", &record.repository, subject).data(data);
        self.store.commit(batch.event(event)).await?;
        Ok(())
    }

    async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        by: &Actor,
    ) -> Result<bool, StoreError> {
        let Some(standing) = self.tag(repository, tag).await? else { return Ok(false) };
        let data = json!({ "repository": repository, "tag": tag, "digest": standing.digest });
        let event = self.event(by, "tag.deleted", repository, standing.id()).data(data);
        self.store.commit(Batch::new().delete::<TagRecord>(standing.id()).event(event)).await?;
        Ok(true)
    }

    async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        by: &Actor,
    ) -> Result<bool, StoreError> {
        let Some(record) = self.manifest(repository, digest).await? else { return Ok(false) };
        let tags: Vec<TagRecord> = self.in_repository(repository, vec![digest.to_string()]).await?;
        let names: Vec<&Tag> = tags.iter().map(|t| &t.tag).collect();
        let data = json!({ "repository": repository, "digest": digest, "tags": names });
        let event = self.event(by, "image.deleted", repository, record.id()).data(data);
        let batch = Batch::new().delete::<ManifestRecord>(record.id()).event(event);
        let batch = tags.iter().fold(batch, |batch, tag| batch.delete::<TagRecord>(tag.id()));
        self.store.commit(batch).await?;
        Ok(true)
    }

    async fn has_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.store.get::<BlobLink>(&format!("{repository}@{digest}")).await?.is_some())
    }

    async fn link_blobs(&self, repository: &RepositoryName, digests: &[Digest]) -> Result<(), StoreError> {
        let link = |digest: &Digest| BlobLink { repository: repository.clone(), digest: digest.clone() };
        let batch = digests.iter().fold(Batch::new(), |batch, digest| batch.put(&link(digest)));
        self.store.commit(batch).await.map(|_| ())
    }

    async fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let batch = Batch::new().delete::<BlobLink>(format!("{repository}@{digest}"));
        self.store.commit(batch).await.map(|_| ())
    }

    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError> {
        let all = self.store.list::<ManifestRecord>(&Query::default()).await?;
        let names: BTreeSet<RepositoryName> = all.into_iter().map(|d| d.value.repository).collect();
        Ok(names.into_iter().collect())
    }
}
