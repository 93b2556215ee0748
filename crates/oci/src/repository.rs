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

use crate::links::LinkQueue;
use crate::{RegistryRule, RepositoryName, Tag};

/// How many repositories are looked at for a blob that a client hopes to find somewhere.
const MOST_HOLDERS: usize = 50;

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
    /// When it was last pushed here, or mounted.
    #[serde(default)]
    pub linked_at: Timestamp,
}

/// All that the repositories hold.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The manifests.
    pub manifests: Vec<ManifestRecord>,
    /// The tags.
    pub tags: Vec<TagRecord>,
    /// Which blobs may be read through which repository.
    pub links: Vec<BlobLink>,
}

/// What a collection takes away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Tags.
    pub tags: Vec<(RepositoryName, Tag)>,
    /// Manifests.
    pub manifests: Vec<(RepositoryName, Digest)>,
    /// Blobs of repositories; their bytes are another matter.
    pub links: Vec<(RepositoryName, Digest)>,
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
    /// Listed by their blob.
    fn state(&self) -> String {
        self.digest.to_string()
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
    /// The tags that point to a manifest.
    async fn tags_at(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
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
    /// Keeps a manifest of a registry that is mirrored, and that its tag stands there now. Writes `image.mirrored`
    /// unless nothing but the time changes.
    async fn mirror(&self, record: ManifestRecord, tag: Option<&Tag>) -> Result<(), StoreError>;
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
    /// The same, at once for all who ask; it is kept before long, and when [`settle_links`](Self::settle_links) returns.
    async fn link_early(&self, repository: &RepositoryName, digests: &[Digest]) -> Result<(), StoreError>;
    /// Waits until what was linked early is kept.
    async fn settle_links(&self) -> Result<(), StoreError>;
    /// No longer lets a blob be read through the repository.
    async fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StoreError>;
    /// The repositories that hold a manifest.
    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError>;
    /// Some of the repositories through which a blob may be read.
    async fn holders(&self, digest: &Digest) -> Result<Vec<RepositoryName>, StoreError>;
    /// The blobs that may be read through a repository.
    async fn links(&self, repository: &RepositoryName) -> Result<Vec<BlobLink>, StoreError>;
    /// All that the repositories hold.
    async fn contents(&self) -> Result<Contents, StoreError>;
    /// Takes away what a collection found to be garbage. Writes `image.collected`.
    async fn remove(&self, removal: &Removal, by: &Actor) -> Result<(), StoreError>;
    /// The rules, in the order of their names.
    async fn rules(&self) -> Result<Vec<RegistryRule>, StoreError>;
    /// Sets a rule. Writes `registry.rule_set`.
    async fn set_rule(&self, rule: &RegistryRule) -> Result<(), StoreError>;
    /// Removes a rule; false if it was not there. Writes `registry.rule_removed`.
    async fn remove_rule(&self, name: &str, by: &Actor) -> Result<bool, StoreError>;
}

/// The index over the store's documents.
#[derive(Clone)]
pub struct StoreIndex {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    links: Arc<LinkQueue>,
}

impl std::fmt::Debug for StoreIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreIndex")
    }
}

impl StoreIndex {
    /// An index over `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, links: Arc::default() }
    }

    fn event(&self, by: &Actor, kind: &str, repository: &RepositoryName, subject: String) -> NewEvent {
        let event = NewEvent::new(self.clock.now(), by.clone(), kind, subject);
        match repository.project() {
            Some(project) => event.project(&project),
            None => event,
        }
    }

    async fn keep(&self, record: ManifestRecord, tag: Option<&Tag>, kind: &str) -> Result<(), StoreError> {
        let known = self.manifest(&record.repository, &record.digest).await?;
        let moved = match tag {
            Some(tag) => self
                .tag(&record.repository, tag)
                .await?
                .is_none_or(|standing| standing.digest != record.digest),
            None => false,
        };
        // That a run made an image once more is told all the same: it is where the image comes from, and it may be this
        // run that waits to deploy it.
        let by_run = matches!(record.pushed_by, Actor::Run(_)) && record.subject.is_none();
        if known.is_some() && !moved && !by_run {
            return Ok(());
        }
        let mut batch = Batch::new();
        if known.is_none() || by_run {
            batch = batch.put(&record);
        }
        if let Some(tag) = tag.filter(|_| moved) {
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
        let event = self.event(&record.pushed_by, kind, &record.repository, subject).data(data);
        self.store.commit(batch.event(event)).await?;
        Ok(())
    }

    fn links_of(&self, repository: &RepositoryName, digests: &[Digest]) -> Vec<BlobLink> {
        let linked_at = self.clock.now();
        let link =
            |digest: &Digest| BlobLink { repository: repository.clone(), digest: digest.clone(), linked_at };
        digests.iter().map(link).collect()
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

    async fn tags_at(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<TagRecord>, StoreError> {
        self.in_repository(repository, vec![digest.to_string()]).await
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
        self.keep(record, tag, "image.pushed").await
    }

    async fn mirror(&self, record: ManifestRecord, tag: Option<&Tag>) -> Result<(), StoreError> {
        let standing = match tag {
            Some(tag) => self.tag(&record.repository, tag).await?,
            None => None,
        };
        let known = self.manifest(&record.repository, &record.digest).await?;
        if known.is_some()
            && let Some(standing) = standing.filter(|s| s.digest == record.digest)
        {
            // Seen once more where it was: only when that was is new.
            let seen = TagRecord { updated_at: record.pushed_at, ..standing };
            return self.store.commit(Batch::new().put(&seen)).await.map(|_| ());
        }
        self.keep(record, tag, "image.mirrored").await
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
        let tags = self.tags_at(repository, digest).await?;
        let names: Vec<&Tag> = tags.iter().map(|t| &t.tag).collect();
        let data = json!({ "repository": repository, "digest": digest, "tags": names });
        let event = self.event(by, "image.deleted", repository, record.id()).data(data);
        let batch = Batch::new().delete::<ManifestRecord>(record.id()).event(event);
        let batch = tags.iter().fold(batch, |batch, tag| batch.delete::<TagRecord>(tag.id()));
        self.store.commit(batch).await?;
        Ok(true)
    }

    async fn has_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StoreError> {
        let id = format!("{repository}@{digest}");
        let Err(age) = self.links.knows(&id) else { return Ok(true) };
        let there = self.store.get::<BlobLink>(&id).await?.is_some();
        if there {
            self.links.remember(id, age);
        }
        Ok(there)
    }

    async fn link_blobs(&self, repository: &RepositoryName, digests: &[Digest]) -> Result<(), StoreError> {
        self.links.write(&*self.store, self.links_of(repository, digests)).await
    }

    async fn link_early(&self, repository: &RepositoryName, digests: &[Digest]) -> Result<(), StoreError> {
        self.links.write_soon(&self.store, self.links_of(repository, digests)).await
    }

    async fn settle_links(&self) -> Result<(), StoreError> {
        self.links.flush(&*self.store).await
    }

    async fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        self.settle_links().await?;
        let id = format!("{repository}@{digest}");
        let outcome = self.store.commit(Batch::new().delete::<BlobLink>(id.clone())).await;
        self.links.forget([id]);
        outcome.map(|_| ())
    }

    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError> {
        let all = self.store.list::<ManifestRecord>(&Query::default()).await?;
        let names: BTreeSet<RepositoryName> = all.into_iter().map(|d| d.value.repository).collect();
        Ok(names.into_iter().collect())
    }

    async fn holders(&self, digest: &Digest) -> Result<Vec<RepositoryName>, StoreError> {
        self.settle_links().await?;
        let query = Query { states: vec![digest.to_string()], limit: MOST_HOLDERS, ..Query::default() };
        let links = self.store.list::<BlobLink>(&query).await?;
        Ok(links.into_iter().map(|d| d.value.repository).collect())
    }

    async fn links(&self, repository: &RepositoryName) -> Result<Vec<BlobLink>, StoreError> {
        self.settle_links().await?;
        self.in_repository(repository, Vec::new()).await
    }

    async fn contents(&self) -> Result<Contents, StoreError> {
        self.settle_links().await?;
        let all = Query::default();
        // Manifests before links: what is pushed meanwhile has links that are too new to be touched.
        let manifests = self.store.list::<ManifestRecord>(&all).await?;
        let tags = self.store.list::<TagRecord>(&all).await?;
        let links = self.store.list::<BlobLink>(&all).await?;
        Ok(Contents {
            manifests: manifests.into_iter().map(|d| d.value).collect(),
            tags: tags.into_iter().map(|d| d.value).collect(),
            links: links.into_iter().map(|d| d.value).collect(),
        })
    }

    async fn remove(&self, removal: &Removal, by: &Actor) -> Result<(), StoreError> {
        let Removal { tags, manifests, links } = removal;
        let names: BTreeSet<&RepositoryName> =
            tags.iter().map(|t| &t.0).chain(manifests.iter().map(|m| &m.0)).collect();
        let mut batch = Batch::new();
        for name in names {
            let of = |(repository, _): &&(RepositoryName, Digest)| repository == name;
            let gone: Vec<&Digest> = manifests.iter().filter(of).map(|m| &m.1).collect();
            let tags: Vec<&Tag> = tags.iter().filter(|t| t.0 == *name).map(|t| &t.1).collect();
            let data = json!({ "repository": name, "digests": gone, "tags": tags });
            batch = batch.event(self.event(by, "image.collected", name, name.to_string()).data(data));
        }
        let key = |(repository, digest): &(RepositoryName, Digest)| format!("{repository}@{digest}");
        let batch = tags.iter().fold(batch, |b, (name, tag)| b.delete::<TagRecord>(format!("{name}:{tag}")));
        let batch = manifests.iter().fold(batch, |b, m| b.delete::<ManifestRecord>(key(m)));
        let batch = links.iter().fold(batch, |b, link| b.delete::<BlobLink>(key(link)));
        self.settle_links().await?;
        let outcome = self.store.commit(batch).await;
        self.links.forget(links.iter().map(key));
        outcome.map(|_| ())
    }

    async fn rules(&self) -> Result<Vec<RegistryRule>, StoreError> {
        let rules = self.store.list::<RegistryRule>(&Query::default()).await?;
        Ok(rules.into_iter().map(|d| d.value).collect())
    }

    async fn set_rule(&self, rule: &RegistryRule) -> Result<(), StoreError> {
        let data = json!({ "rule": rule.to_string() });
        let event = NewEvent::new(rule.set_at, rule.set_by.clone(), "registry.rule_set", &rule.name);
        self.store.commit(Batch::new().put(rule).event(event.data(data))).await.map(|_| ())
    }

    async fn remove_rule(&self, name: &str, by: &Actor) -> Result<bool, StoreError> {
        let Some(rule) = self.store.get::<RegistryRule>(name).await? else { return Ok(false) };
        let data = json!({ "rule": rule.value.to_string() });
        let event = NewEvent::new(self.clock.now(), by.clone(), "registry.rule_removed", name).data(data);
        self.store.commit(Batch::new().delete::<RegistryRule>(name).event(event)).await?;
        Ok(true)
    }
}
