//! A repository's tags, some at a time; and what is lost with a tag or an image that somebody deletes.

use std::collections::{BTreeMap, BTreeSet};

use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::Digest;
use windlass_oci::{
    LARGEST_MANIFEST, Manifest, ManifestRecord, MediaType, Reference, RegistryError, RegistryRule,
    RepositoryName, Tag,
};

use super::views::{artifact_kind, named, readable, registry_problem};
use crate::context::{Context, internal, may_project, parse, stored};

type Answer<T> = Result<T, Problem>;

/// How many tags are told at once.
const PAGE: usize = windlass_api::TAGS_AT_A_TIME as usize;
/// With more manifests than this in a repository, what a deletion frees is not found out.
const MOST_READ: usize = 2_000;

impl Context {
    /// A repository's tags, those that moved last first.
    pub(crate) async fn image_tags(
        &self,
        who: &Principal,
        name: &str,
        wanted: &str,
        from: u64,
    ) -> Answer<api::TagPage> {
        let name = readable(who, name)?;
        let index = self.images.registry.index();
        let mut tags = index.tags(&name, None, 0).await.map_err(stored)?;
        let all = tags.len() as u64;
        let wanted = wanted.trim().to_lowercase();
        tags.retain(|tag| {
            tag.tag.as_str().to_lowercase().contains(&wanted) || tag.digest.to_string().contains(&wanted)
        });
        let total = tags.len() as u64;
        tags.sort_by(|a, b| b.updated_at.cmp(&a.updated_at).then_with(|| b.tag.as_str().cmp(a.tag.as_str())));
        let rules = index.rules().await.map_err(stored)?;
        let running = self.running_images(Some(&name)).await.map_err(stored)?;
        let mut records: BTreeMap<Digest, Option<ManifestRecord>> = BTreeMap::new();
        let mut views = Vec::new();
        for tag in tags.into_iter().skip(usize::try_from(from).unwrap_or(usize::MAX)).take(PAGE) {
            if !records.contains_key(&tag.digest) {
                let record = index.manifest(&name, &tag.digest).await.map_err(stored)?;
                records.insert(tag.digest.clone(), record);
            }
            let record = records.get(&tag.digest).and_then(Option::as_ref);
            let immutable = RegistryRule::forbids(&rules, &name, &tag.tag);
            let runs_in = running.get(&(name.clone(), tag.digest.clone()));
            views.push(api::TagView {
                tag: tag.tag.to_string(),
                digest: tag.digest.to_string(),
                media_type: record.map(|r| r.media_type.clone()).unwrap_or_default(),
                artifact_type: record.and_then(artifact_kind),
                size: record.map_or(0, |r| r.content_size),
                moved_at: tag.updated_at,
                pushed_by: tag.updated_by.to_string(),
                immutable_by: immutable.map(|rule| rule.name.clone()),
                runs_in: runs_in.into_iter().flatten().cloned().collect(),
            });
        }
        Ok(api::TagPage { tags: views, from, total, all })
    }

    /// What would be lost with a tag (`NAME:TAG`) or an image (`NAME@DIGEST`).
    pub(crate) async fn image_deletion(&self, who: &Principal, image: &str) -> Answer<api::DeletionView> {
        let (name, reference) = named(image)?;
        let project = name.project().ok_or_else(|| Problem::not_found("there is no such repository"))?;
        may_project(who, Action::DeleteImage, &project)?;
        let (name, record) = self.find_image(who, image).await?;
        let index = self.images.registry.index();
        let standing: Vec<Tag> = index
            .tags_at(&name, &record.digest)
            .await
            .map_err(stored)?
            .into_iter()
            .map(|tag| tag.tag)
            .collect();
        let tag = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        };
        let tags: Vec<Tag> = tag.as_ref().map_or_else(|| standing.clone(), |tag| vec![tag.clone()]);
        let last = standing.len() == tags.len();
        let referrers = index.referrers(&name, &record.digest).await.map_err(stored)?;
        let refused = match tag.as_ref().filter(|tag| !standing.contains(tag)) {
            Some(tag) => Some(
                RegistryError::Computed {
                    repository: name.clone(),
                    tag: tag.clone(),
                    standing: record.digest.clone(),
                }
                .to_string(),
            ),
            None => self.deletion_refused(&name, &record.digest, &tags, tag.is_none()).await?,
        };
        let freed = match tag {
            Some(_) => Some(0),
            None => self.freed_by(&name, &record.digest, &referrers).await?,
        };
        Ok(api::DeletionView {
            repository: name.to_string(),
            tag: tag.as_ref().map(ToString::to_string),
            digest: record.digest.to_string(),
            tags: tags.iter().map(ToString::to_string).collect(),
            referrers: if tag.is_none() { referrers.len() as u64 } else { 0 },
            freed,
            last,
            refused,
        })
    }

    /// Deletes a tag, or an image with its tags and what is said of it.
    pub(crate) async fn delete_image(&self, who: &Principal, image: &str) -> Answer<api::DeletionView> {
        let view = self.image_deletion(who, image).await?;
        if let Some(why) = &view.refused {
            return Err(Problem::conflict(why.clone()));
        }
        let name: RepositoryName = parse(&view.repository)?;
        let registry = &self.images.registry;
        let failed = |e: RegistryError| match e {
            RegistryError::Immutable { .. } | RegistryError::Computed { .. } => {
                Problem::conflict(e.to_string())
            }
            other => registry_problem(&other),
        };
        match &view.tag {
            Some(tag) => {
                if !registry.delete_tag(&name, &parse(tag)?, &who.actor).await.map_err(failed)? {
                    return Err(Problem::not_found(format!("there is no tag {tag} in {name} any more")));
                }
            }
            None => {
                let digest: Digest = parse(&view.digest)?;
                let referrers = registry.index().referrers(&name, &digest).await.map_err(stored)?;
                registry.delete_manifest(&name, &digest, &who.actor).await.map_err(failed)?;
                for referrer in referrers {
                    let tags = registry.index().tags_at(&name, &referrer.digest).await.map_err(stored)?;
                    // What has a name of its own stays.
                    if tags.is_empty() {
                        let gone = registry.delete_manifest(&name, &referrer.digest, &who.actor).await;
                        gone.map_err(failed)?;
                    }
                }
            }
        }
        // The registry writes to the ledger by itself.
        self.written_to(self.store.head().await.map_err(stored)?.seq);
        Ok(view)
    }

    /// Why these tags, or the image, cannot be deleted.
    async fn deletion_refused(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        tags: &[Tag],
        image: bool,
    ) -> Answer<Option<String>> {
        let index = self.images.registry.index();
        let rules = index.rules().await.map_err(stored)?;
        for tag in tags {
            if let Some(rule) = RegistryRule::forbids(&rules, name, tag) {
                let rule = &rule.name;
                return Ok(Some(format!(
                    "the rule `{rule}` says that the tag {tag} neither moves nor goes away; an administrator can remove the rule"
                )));
            }
        }
        if !image {
            return Ok(None);
        }
        let needed = self.needed_images().await.map_err(stored)?;
        if let Some(root) = needed.iter().find(|root| root.digest == *digest) {
            return Ok(Some(format!("it is needed: it {}", root.why)));
        }
        let is_index =
            |record: &ManifestRecord| MediaType::parse(&record.media_type).is_ok_and(MediaType::is_index);
        let manifests = index.manifests(name).await.map_err(stored)?;
        for record in manifests.iter().filter(|record| is_index(record)) {
            if self.names(record).await?.0.contains(digest) {
                let part = format!("it is one of the images of {}: delete that first", record.digest);
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// What a manifest names: other manifests, and blobs with their sizes. Nothing, where it cannot be read.
    async fn names(&self, record: &ManifestRecord) -> Answer<(BTreeSet<Digest>, BTreeMap<Digest, u64>)> {
        let bytes = self.images.registry.blobs().read(&record.digest, LARGEST_MANIFEST).await;
        let kind = MediaType::parse(&record.media_type).map_err(|e| internal("a manifest is odd", &e))?;
        let Some(read) = bytes.ok().and_then(|bytes| Manifest::parse(kind, &bytes).ok()) else {
            return Ok(Default::default());
        };
        let own = (record.digest.clone(), record.size);
        Ok(match read {
            Manifest::Index(index) => {
                (index.manifests.into_iter().map(|d| d.digest).collect(), BTreeMap::from([own]))
            }
            Manifest::Image(image) => {
                let named = image.layers.into_iter().chain([image.config]).map(|d| (d.digest, d.size));
                (BTreeSet::new(), named.chain([own]).collect())
            }
        })
    }

    /// The bytes that nothing else needs.
    async fn freed_by(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        referrers: &[ManifestRecord],
    ) -> Answer<Option<u64>> {
        let manifests = self.images.registry.index().manifests(name).await.map_err(stored)?;
        if manifests.len() > MOST_READ {
            return Ok(None);
        }
        let mut going: BTreeSet<Digest> = referrers.iter().map(|r| r.digest.clone()).collect();
        going.insert(digest.clone());
        let (mut lost, mut kept) = (BTreeMap::new(), BTreeSet::new());
        for record in &manifests {
            let (_, blobs) = self.names(record).await?;
            if going.contains(&record.digest) {
                lost.extend(blobs);
            } else {
                kept.extend(blobs.into_keys());
            }
        }
        lost.retain(|digest, _| !kept.contains(digest));
        let mut freed = 0;
        for (digest, size) in lost {
            let holders = self.images.registry.index().holders(&digest).await.map_err(stored)?;
            if holders.iter().all(|holder| holder == name) {
                freed += size;
            }
        }
        Ok(Some(freed))
    }
}
