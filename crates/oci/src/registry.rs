//! Blobs and index together: what the routes, the builder and the unpacker all do with images.

mod beside;
mod image;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use windlass_kernel::{Actor, Clock, Digest, StoreError, Timestamp};

use crate::keeping::Keeping;
use crate::mirror::{Mirrors, UpstreamError};
use crate::{
    BlobError, BlobStore, Descriptor, Index, LARGEST_MANIFEST, Manifest, ManifestError, ManifestRecord,
    MediaType, Reference, RegistryRule, RepositoryName, Tag, UploadId,
};

/// The registry: blobs, and what the repositories hold of them.
#[derive(Clone)]
pub struct Registry {
    blobs: Arc<dyn BlobStore>,
    index: Arc<dyn Index>,
    clock: Arc<dyn Clock>,
    pub(crate) keeping: Arc<Keeping>,
    pub(crate) mirrors: Arc<Mirrors>,
}

/// A manifest, as it was pushed.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// The media type that it was pushed with.
    pub media_type: String,
    /// Its exact bytes.
    pub bytes: Bytes,
}

/// What a push made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest that it says something about.
    pub subject: Option<Digest>,
    /// The size of all that it names, in bytes.
    pub size: u64,
}

/// Why the registry did not do it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such manifest.
    #[error("there is no image {repository} with {reference}")]
    UnknownManifest {
        /// The repository.
        repository: RepositoryName,
        /// What it was asked for by.
        reference: Reference,
    },
    /// A manifest names content that the repository does not hold.
    #[error("the manifest names {missing}, which {repository} does not hold: push it first")]
    MissingContent {
        /// The repository.
        repository: RepositoryName,
        /// What is missing.
        missing: Digest,
    },
    /// A manifest was sent under a digest that it does not have.
    #[error("the manifest hashes to {found}, not to {expected}")]
    WrongDigest {
        /// The digest in the address.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A descriptor's size is not its blob's.
    #[error("the manifest says that {digest} has {claimed} bytes; it has {size}")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// What the manifest says.
        claimed: u64,
        /// What it has.
        size: u64,
    },
    /// A rule keeps the tag from moving.
    #[error(
        "tag {tag} of {repository} is immutable by the rule `{rule}`: it stands at {standing}. Push under another tag, or have an administrator remove the rule (`windlass registry rule rm {rule}`)"
    )]
    Immutable {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// Where it stands.
        standing: Digest,
        /// The rule.
        rule: String,
    },
    /// Nobody set the tag, so nobody can remove it.
    #[error(
        "nobody set the tag {tag} of {repository}: the platform answers it with {standing}, which it keeps beside the image. Delete {repository}@{standing}, or the image, for it to go"
    )]
    Computed {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// What it stands for.
        standing: Digest,
    },
    /// A mirror's repository is not pushed to.
    #[error("{0} mirrors another registry: nothing is pushed there")]
    Mirrored(RepositoryName),
    /// The registry that is mirrored did not give it.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Not an image that can be run.
    #[error("{digest} is not an image for linux/{architecture}: {why}")]
    NotAnImage {
        /// The manifest.
        digest: Digest,
        /// This machine's architecture.
        architecture: &'static str,
        /// What it is instead.
        why: String,
    },
    /// The manifest or configuration cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The blobs failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("blobs", &self.blobs).finish_non_exhaustive()
    }
}

/// This machine's architecture as images name it.
pub fn machine_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Registry {
    /// A registry over its parts.
    pub fn new(blobs: Arc<dyn BlobStore>, index: Arc<dyn Index>, clock: Arc<dyn Clock>) -> Self {
        Self { blobs, index, clock, keeping: Arc::default(), mirrors: Arc::default() }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The blobs.
    pub fn blobs(&self) -> &dyn BlobStore {
        &*self.blobs
    }

    /// What the repositories hold.
    pub fn index(&self) -> &dyn Index {
        &*self.index
    }

    /// Lets blobs be read through a repository.
    pub async fn link(&self, repository: &RepositoryName, blobs: &[Digest]) -> Result<(), RegistryError> {
        let now = self.now();
        for digest in blobs {
            self.keeping.want(digest, now);
        }
        Ok(self.index.link_blobs(repository, blobs).await?)
    }

    /// Turns an upload into a blob of a repository; answers its size.
    pub async fn finish_upload(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        // It must not be collected before it is seen that it is needed.
        let _held = self.keeping.hold().await;
        let size = self.blobs.finish_early(upload, digest).await?;
        self.keeping.want(digest, self.now());
        self.index.link_early(repository, std::slice::from_ref(digest)).await?;
        Ok(size)
    }

    /// Waits until all that was pushed so far outlasts the machine's power.
    pub async fn settle(&self) -> Result<(), RegistryError> {
        self.blobs.settle(None).await?;
        Ok(self.index.settle_links().await?)
    }

    /// Lets a blob of another repository be read through this one; false if it is not there. The caller has checked that
    /// it may be read there.
    pub async fn mount(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Result<bool, RegistryError> {
        let _held = self.keeping.hold().await;
        if !self.index.has_blob(from, digest).await? || self.blobs.stat(digest).await?.is_none() {
            return Ok(false);
        }
        self.link(repository, std::slice::from_ref(digest)).await?;
        Ok(true)
    }

    /// The size of a blob that may be read through a repository. Whoever was told it may count on the blob for a while.
    pub async fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, RegistryError> {
        let _held = self.keeping.hold().await;
        if !self.index.has_blob(repository, digest).await? {
            return Ok(None);
        }
        self.keeping.want(digest, self.now());
        Ok(self.blobs.stat(digest).await?)
    }

    /// The digest that a tag or digest stands for.
    pub async fn resolve(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Digest, RegistryError> {
        let unknown = || RegistryError::UnknownManifest {
            repository: repository.clone(),
            reference: reference.clone(),
        };
        match reference {
            Reference::Digest(digest) => match self.index.manifest(repository, digest).await? {
                Some(record) => Ok(record.digest),
                None => Err(unknown()),
            },
            Reference::Tag(tag) => match self.index.tag(repository, tag).await? {
                Some(found) => Ok(found.digest),
                None => self.beside(repository, tag).await?.ok_or_else(unknown),
            },
        }
    }

    /// What is known of a manifest.
    pub async fn record(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<ManifestRecord, RegistryError> {
        let digest = self.resolve(repository, reference).await?;
        self.index.manifest(repository, &digest).await?.ok_or_else(|| RegistryError::UnknownManifest {
            repository: repository.clone(),
            reference: reference.clone(),
        })
    }

    /// A manifest's exact bytes, checked against its digest.
    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, RegistryError> {
        let record = self.record(repository, reference).await?;
        let bytes = match self.blobs.read(&record.digest, LARGEST_MANIFEST).await {
            // What rots of a mirrored image is there once more.
            Err(BlobError::Corrupt { .. } | BlobError::Unknown(_))
                if self.mirrors.find(repository).is_some() =>
            {
                self.heal(repository, &record.digest).await?;
                self.blobs.read(&record.digest, LARGEST_MANIFEST).await?
            }
            read => read?,
        };
        Ok(StoredManifest { digest: record.digest, media_type: record.media_type, bytes })
    }

    /// Keeps a manifest and moves a tag to it. All that it names must be there.
    pub async fn push(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        media_type: MediaType,
        bytes: Bytes,
        by: &Actor,
    ) -> Result<Pushed, RegistryError> {
        let (digest, tag) = match reference {
            Reference::Digest(expected) => (expected.clone(), None),
            Reference::Tag(tag) => (Digest::sha256(&bytes), Some(tag)),
        };
        self.push_as(repository, &digest, tag, media_type, bytes, by).await
    }

    /// Keeps a manifest under the digest that the caller says it has, and moves a tag to it.
    pub async fn push_as(
        &self,
        repository: &RepositoryName,
        expected: &Digest,
        tag: Option<&Tag>,
        media_type: MediaType,
        bytes: Bytes,
        by: &Actor,
    ) -> Result<Pushed, RegistryError> {
        if crate::mirror::is_mirrored(repository) {
            return Err(RegistryError::Mirrored(repository.clone()));
        }
        let manifest = Manifest::parse(media_type, &bytes)?;
        let digest = Digest::of(expected.algorithm(), &bytes);
        if digest != *expected {
            return Err(RegistryError::WrongDigest { expected: expected.clone(), found: digest });
        }
        // From here on nothing that the manifest names is collected, until its record says that it is needed.
        let _held = self.keeping.hold().await;
        self.keeping.want(&digest, self.now());
        if let Some(tag) = tag {
            self.may_move(repository, tag, Some(&digest)).await?;
        }
        self.require_content(repository, &manifest).await?;
        let named = match &manifest {
            Manifest::Image(image) => image.layers.iter().chain([&image.config]).collect(),
            Manifest::Index(index) => index.manifests.iter().collect::<Vec<_>>(),
        };
        let mut needed = vec![digest.clone()];
        for descriptor in named {
            self.keeping.want(&descriptor.digest, self.now());
            needed.push(descriptor.digest.clone());
        }
        let size = bytes.len() as u64;
        let upload = self.blobs.begin().await?;
        self.blobs.append(&upload, Some(0), crate::one_chunk(bytes)).await?;
        self.blobs.finish_early(&upload, &digest).await?;
        // What is said to be kept from here on is on the disk, with all that it names.
        self.blobs.settle(Some(&needed)).await?;
        self.index.settle_links().await?;
        let record = self.describe(repository, &digest, media_type, &manifest, size, by);
        let pushed = Pushed { digest, subject: record.subject.clone(), size: record.content_size };
        self.index.push(record, tag).await?;
        Ok(pushed)
    }

    /// Moves a tag to a manifest that the repository holds.
    pub async fn tag(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        tag: &Tag,
        by: &Actor,
    ) -> Result<(), RegistryError> {
        let _held = self.keeping.hold().await;
        self.may_move(repository, tag, Some(digest)).await?;
        let mut record = self.record(repository, &Reference::Digest(digest.clone())).await?;
        record.pushed_at = self.clock.now();
        record.pushed_by = by.clone();
        Ok(self.index.push(record, Some(tag)).await?)
    }

    /// Whether a tag may be set to `to`, or be removed.
    async fn may_move(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        to: Option<&Digest>,
    ) -> Result<(), RegistryError> {
        let rules = self.index.rules().await?;
        let Some(rule) = RegistryRule::forbids(&rules, repository, tag) else { return Ok(()) };
        match self.index.tag(repository, tag).await? {
            Some(standing) if Some(&standing.digest) != to => Err(RegistryError::Immutable {
                repository: repository.clone(),
                tag: tag.clone(),
                standing: standing.digest,
                rule: rule.name.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Removes a tag; false if it was not there. One that nobody set, but that stands for something, is refused.
    pub async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        by: &Actor,
    ) -> Result<bool, RegistryError> {
        self.may_move(repository, tag, None).await?;
        if self.index.delete_tag(repository, tag, by).await? {
            return Ok(true);
        }
        match self.beside(repository, tag).await? {
            Some(standing) => {
                Err(RegistryError::Computed { repository: repository.clone(), tag: tag.clone(), standing })
            }
            None => Ok(false),
        }
    }

    /// Removes a manifest and the tags that point to it; false if it was not there.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        by: &Actor,
    ) -> Result<bool, RegistryError> {
        for tag in self.index.tags_at(repository, digest).await? {
            self.may_move(repository, &tag.tag, None).await?;
        }
        Ok(self.index.delete_manifest(repository, digest, by).await?)
    }

    async fn require_content(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        let missing = |d: &Descriptor| RegistryError::MissingContent {
            repository: repository.clone(),
            missing: d.digest.clone(),
        };
        match manifest {
            Manifest::Image(image) => {
                for d in image.layers.iter().chain([&image.config]) {
                    // Layers that may not be distributed stay where their addresses say.
                    if !d.urls.is_empty() {
                        continue;
                    }
                    if !self.index.has_blob(repository, &d.digest).await? {
                        return Err(missing(d));
                    }
                    match self.blobs.stat(&d.digest).await? {
                        Some(size) if size == d.size => {}
                        Some(size) => {
                            return Err(RegistryError::WrongSize {
                                digest: d.digest.clone(),
                                claimed: d.size,
                                size,
                            });
                        }
                        None => return Err(missing(d)),
                    }
                }
            }
            Manifest::Index(index) => {
                for d in &index.manifests {
                    if self.index.manifest(repository, &d.digest).await?.is_none() {
                        return Err(missing(d));
                    }
                }
            }
        }
        Ok(())
    }
}
