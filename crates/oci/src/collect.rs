//! Garbage collection and retention. First a plan is made of all that is there; then it is carried out, in an order that
//! leaves a whole registry wherever it is broken off: names go before what they name, and bytes go last.
//!
//! It may run while others push. What was pushed, mounted or asked about within the grace period is not touched; and
//! each thing is looked at once more, while no push can be under way, before it goes.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use windlass_kernel::{Actor, Digest, StoreError, Timestamp};

use crate::{
    BlobError, LARGEST_MANIFEST, Manifest, ManifestRecord, MediaType, Registry, Removal, RepositoryName,
};
pub use plan::Taken;
use plan::{Content, Facts, Plan};

/// How many blobs are removed while pushes wait.
const AT_ONCE: usize = 50;

/// A manifest that must stay, whatever the rules say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// The repository.
    pub repository: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// Why, such as `runs in production`.
    pub why: String,
}

/// How to collect.
#[derive(Clone, Debug)]
pub struct Collection {
    /// What was touched within this time stays.
    pub grace: Duration,
    /// Only say what would go.
    pub dry_run: bool,
    /// Manifests that must stay.
    pub roots: Vec<Root>,
    /// Blobs that are needed by others than images.
    pub others: BTreeSet<Digest>,
    /// Who wants it.
    pub by: Actor,
}

/// What a collection did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Tags, manifests and blobs that went, with their sizes.
    pub taken: Vec<Taken>,
    /// The bytes that became free.
    pub freed: u64,
    /// How many blobs stay.
    pub kept: usize,
    /// Their size in bytes.
    pub kept_size: u64,
    /// Manifests that could not be read: everything of their repositories stays.
    pub unreadable: Vec<String>,
}

/// Why it stopped. What was done before is whole.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The blobs failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Registry {
    /// Removes what the rules let go and nobody needs.
    pub async fn collect(&self, how: &Collection) -> Result<Collected, CollectError> {
        let began = self.now();
        let facts = self.facts(how, began).await?;
        let plan = Plan::make(&facts, |digest| self.keeping.wanted_since(digest, began - how.grace));
        let sizes: BTreeMap<&Digest, u64> = facts.blobs.iter().map(|b| (&b.digest, b.size)).collect();
        let mut report = Collected {
            unreadable: facts.unreadable(),
            taken: plan.names.clone(),
            kept: facts.blobs.len() - plan.blobs.len(),
            ..Collected::default()
        };
        let gone: BTreeSet<&Digest> = plan.blobs.iter().map(|b| &b.digest).collect();
        report.kept_size = sizes.iter().filter(|(d, _)| !gone.contains(**d)).map(|(_, s)| s).sum();
        if how.dry_run {
            report.freed = plan.blobs.iter().map(|b| b.size).sum();
            report.taken.extend(plan.blobs.iter().map(Taken::blob));
            return Ok(report);
        }
        self.remove_names(&plan, began, &how.by).await?;
        for some in plan.blobs.chunks(AT_ONCE) {
            let _closed = self.keeping.close().await;
            for blob in some {
                if self.still_garbage(&blob.digest, began, how.grace).await?
                    && self.blobs().delete(&blob.digest).await?
                {
                    report.freed += blob.size;
                    report.taken.push(Taken::blob(blob));
                } else {
                    report.kept += 1;
                    report.kept_size += blob.size;
                }
            }
        }
        Ok(report)
    }

    async fn facts(&self, how: &Collection, now: Timestamp) -> Result<Facts, CollectError> {
        // Blobs before what names them: a blob that is pushed meanwhile is not on the list at all.
        let blobs = self.blobs().list().await?;
        let contents = self.index().contents().await?;
        let rules = self.index().rules().await?;
        let mut content = Vec::with_capacity(contents.manifests.len());
        for record in &contents.manifests {
            content.push(self.content(record).await?);
        }
        Ok(Facts {
            now,
            grace: how.grace,
            roots: how.roots.clone(),
            others: how.others.clone(),
            blobs,
            contents,
            content,
            rules,
        })
    }

    /// What a manifest names; none if it cannot be read.
    async fn content(&self, record: &ManifestRecord) -> Result<Option<Content>, CollectError> {
        let bytes = match self.blobs().read(&record.digest, LARGEST_MANIFEST).await {
            Ok(bytes) => bytes,
            Err(BlobError::Unknown(_) | BlobError::Corrupt { .. } | BlobError::TooLarge { .. }) => {
                return Ok(None);
            }
            Err(other) => return Err(other.into()),
        };
        let parsed = MediaType::parse(&record.media_type).and_then(|kind| Manifest::parse(kind, &bytes));
        Ok(match parsed {
            Ok(Manifest::Image(image)) => {
                let blobs = image.layers.iter().chain([&image.config]).map(|d| d.digest.clone()).collect();
                Some(Content { blobs, children: Vec::new() })
            }
            Ok(Manifest::Index(index)) => {
                let children = index.manifests.iter().map(|d| d.digest.clone()).collect();
                Some(Content { blobs: Vec::new(), children })
            }
            Err(_) => None,
        })
    }

    /// Takes the names away, repository by repository; what changed since the plan was made stays.
    async fn remove_names(&self, plan: &Plan, began: Timestamp, by: &Actor) -> Result<(), CollectError> {
        for (repository, planned) in &plan.removals {
            let _closed = self.keeping.close().await;
            let mut removal = Removal::default();
            for tag in &planned.tags {
                let now = self.index().tag(repository, &tag.tag).await?;
                if now.as_ref() == Some(tag) {
                    removal.tags.push((repository.clone(), tag.tag.clone()));
                }
            }
            for digest in &planned.manifests {
                let tags = self.index().tags_at(repository, digest).await?;
                let untagged = tags.iter().all(|t| removal.tags.iter().any(|(_, tag)| *tag == t.tag));
                if untagged && !self.keeping.wanted_since(digest, began) {
                    removal.manifests.push((repository.clone(), digest.clone()));
                }
            }
            // A blob of a manifest that stays after all stays with it.
            let all_went = removal.manifests.len() == planned.manifests.len();
            if all_went && !planned.links.is_empty() {
                let links = self.index().links(repository).await?;
                let same = |link: &&crate::BlobLink| {
                    planned.links.contains(link) && !self.keeping.wanted_since(&link.digest, began)
                };
                let gone = links.iter().filter(same).map(|l| (repository.clone(), l.digest.clone()));
                removal.links.extend(gone);
            }
            self.index().remove(&removal, by).await?;
        }
        Ok(())
    }

    /// Asked while no push is under way.
    async fn still_garbage(
        &self,
        digest: &Digest,
        began: Timestamp,
        grace: Duration,
    ) -> Result<bool, CollectError> {
        if self.keeping.wanted_since(digest, began - grace) || !self.index().holders(digest).await?.is_empty()
        {
            return Ok(false);
        }
        // Storing it once more, as a push of a manifest does, makes it new.
        let stored = self.blobs().stored_at(digest).await?;
        Ok(stored.is_some_and(|at| at + grace <= began))
    }
}
