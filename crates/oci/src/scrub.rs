//! Looking for blobs that rotted: each is read from where it lies and hashed. One that is wrong is set aside, so that the
//! next push of it is taken; what came from a mirrored registry is fetched anew. And looking for what is named and not
//! there at all, as a blob is whose rot a pull found.

use std::collections::{BTreeMap, HashSet};

use windlass_kernel::{Digest, StoreError};

use crate::{
    BlobError, Contents, LARGEST_MANIFEST, MIRROR, Manifest, ManifestRecord, MediaType, Registry,
    RepositoryName,
};

/// How many missing blobs are told of, and how many images that need one.
const MOST_MISSING: usize = 200;
const MOST_NEEDING: usize = 10;

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// How many blobs were read.
    pub checked: usize,
    /// Their size in bytes.
    pub size: u64,
    /// Those that were wrong.
    pub rotten: Vec<Rotten>,
    /// Those that images need and that were not there: the first of them.
    pub missing: Vec<Missing>,
    /// How many were not there.
    pub missing_total: usize,
}

/// A blob that an image needs, and that was not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The blob.
    pub digest: Digest,
    /// Some of the repositories that hold it.
    pub repositories: Vec<RepositoryName>,
    /// Some of the images that need it: `NAME:TAG`, or `NAME@DIGEST` where it has no tag.
    pub needed_by: Vec<String>,
    /// The repository by whose mirror it was put right.
    pub healed: Option<RepositoryName>,
}

/// What is not there, and who needs it.
type Needs = BTreeMap<Digest, Vec<String>>;

/// A blob whose bytes are not what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotten {
    /// The blob.
    pub digest: Digest,
    /// Some of the repositories that hold it.
    pub repositories: Vec<RepositoryName>,
    /// Where it lies now.
    pub aside: String,
    /// The repository by whose mirror it was put right.
    pub healed: Option<RepositoryName>,
}

impl Registry {
    /// Reads every blob, and looks for those that are named and not there.
    pub async fn scrub(&self) -> Result<Scrubbed, BlobError> {
        let mut found = Scrubbed::default();
        let mut listed = HashSet::new();
        for blob in self.blobs().list().await? {
            match self.blobs().check(&blob.digest).await {
                Ok(size) => {
                    found.checked += 1;
                    found.size += size;
                }
                Err(BlobError::Corrupt { digest, aside, .. }) => {
                    found.checked += 1;
                    found.size += blob.size;
                    found.rotten.push(self.rotten(digest, aside).await);
                }
                // Removed meanwhile.
                Err(BlobError::Unknown(_)) => continue,
                Err(other) => return Err(other),
            }
            // What rotted is told already.
            listed.insert(blob.digest);
        }
        match self.index().contents().await {
            Ok(contents) => self.look_for_missing(&contents, &listed, &mut found).await?,
            Err(error) => {
                let doing = "listing what the repositories hold";
                return Err(BlobError::Remote { doing, why: error.to_string() });
            }
        }
        Ok(found)
    }

    async fn look_for_missing(
        &self,
        contents: &Contents,
        listed: &HashSet<Digest>,
        found: &mut Scrubbed,
    ) -> Result<(), BlobError> {
        // Manifests first: one that is fetched anew tells what else is missing.
        let mut needs = Needs::new();
        for record in &contents.manifests {
            self.need(contents, listed, &mut needs, record, &record.digest).await?;
        }
        self.tell_missing(needs, found).await;
        // A mirror's image need not have been pulled whole: only what was here once is missed.
        let links: HashSet<(&RepositoryName, &Digest)> =
            contents.links.iter().map(|link| (&link.repository, &link.digest)).collect();
        let mut needs = Needs::new();
        for record in &contents.manifests {
            let Some(image) = self.image_of(record).await? else { continue };
            let mirrored = record.repository.as_str().split('/').next() == Some(MIRROR);
            for named in image.layers.iter().chain([&image.config]) {
                let here_once = links.contains(&(&record.repository, &named.digest));
                // Layers that may not be distributed stay where their addresses say.
                if here_once || (!mirrored && named.urls.is_empty()) {
                    self.need(contents, listed, &mut needs, record, &named.digest).await?;
                }
            }
        }
        self.tell_missing(needs, found).await;
        Ok(())
    }

    /// An image's manifest. What an index names has records of its own, or was not pulled, or was deleted on purpose.
    async fn image_of(&self, record: &ManifestRecord) -> Result<Option<crate::ImageManifest>, BlobError> {
        let Ok(kind) = MediaType::parse(&record.media_type) else { return Ok(None) };
        if kind.is_index() {
            return Ok(None);
        }
        let bytes = match self.blobs().read(&record.digest, LARGEST_MANIFEST).await {
            Ok(bytes) => bytes,
            // Told already, unless it went this moment.
            Err(BlobError::Unknown(_) | BlobError::Corrupt { .. } | BlobError::TooLarge { .. }) => {
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        Ok(match Manifest::parse(kind, &bytes) {
            Ok(Manifest::Image(image)) => Some(*image),
            _ => None,
        })
    }

    /// Notes who needs a blob, if it is not there.
    async fn need(
        &self,
        contents: &Contents,
        listed: &HashSet<Digest>,
        needs: &mut Needs,
        by: &ManifestRecord,
        digest: &Digest,
    ) -> Result<(), BlobError> {
        // What was listed is there, or told; what was not may have come since.
        if listed.contains(digest)
            || !needs.contains_key(digest) && self.blobs().stat(digest).await?.is_some()
        {
            return Ok(());
        }
        let needing = needs.entry(digest.clone()).or_default();
        let tags = contents.tags.iter().filter(|t| t.repository == by.repository && t.digest == by.digest);
        let mut names: Vec<String> = tags.map(|t| format!("{}:{}", t.repository, t.tag)).collect();
        if names.is_empty() {
            names.push(format!("{}@{}", by.repository, by.digest));
        }
        let room = MOST_NEEDING.saturating_sub(needing.len());
        needing.extend(names.into_iter().take(room));
        Ok(())
    }

    async fn tell_missing(&self, needs: Needs, found: &mut Scrubbed) {
        for (digest, needed_by) in needs {
            let (repositories, healed) = self.put_right(&digest).await;
            found.missing_total += 1;
            if found.missing.len() < MOST_MISSING {
                found.missing.push(Missing { digest, repositories, needed_by, healed });
            }
        }
    }

    async fn rotten(&self, digest: Digest, aside: String) -> Rotten {
        let (repositories, healed) = self.put_right(&digest).await;
        Rotten { digest, repositories, aside, healed }
    }

    /// Fetches a blob anew, where one of those that hold it mirrors it; answers who holds it, and which one that was.
    async fn put_right(&self, digest: &Digest) -> (Vec<RepositoryName>, Option<RepositoryName>) {
        let repositories = self.holders_of(digest).await.unwrap_or_else(|error| {
            tracing::warn!(%digest, %error, "who holds a blob that is lost cannot be found out");
            Vec::new()
        });
        let mut healed = None;
        for repository in &repositories {
            match self.heal_blob(repository, digest).await {
                Ok(true) => {
                    healed = Some(repository.clone());
                    break;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%digest, %repository, %error, "a lost blob cannot be fetched anew");
                }
            }
        }
        (repositories, healed)
    }

    /// The repositories that hold a digest, as a blob or as a manifest.
    async fn holders_of(&self, digest: &Digest) -> Result<Vec<RepositoryName>, StoreError> {
        let mut holders = self.index().holders(digest).await?;
        for repository in self.index().repositories().await? {
            if !holders.contains(&repository) && self.index().manifest(&repository, digest).await?.is_some() {
                holders.push(repository);
            }
        }
        Ok(holders)
    }
}
