//! Blobs and index together: what the routes, the builder and the unpacker all do with images.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use windlass_kernel::{Actor, Clock, Digest, StoreError};

use crate::{
    BlobError, BlobStore, Descriptor, ImageConfig, ImageManifest, Index, LARGEST_MANIFEST, Manifest,
    ManifestError, ManifestRecord, MediaType, Reference, RepositoryName, Tag,
};

/// The registry: blobs, and what the repositories hold of them.
#[derive(Clone)]
pub struct Registry {
    blobs: Arc<dyn BlobStore>,
    index: Arc<dyn Index>,
    clock: Arc<dyn Clock>,
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
pub(crate) fn machine_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Registry {
    /// A registry over its parts.
    pub fn new(blobs: Arc<dyn BlobStore>, index: Arc<dyn Index>, clock: Arc<dyn Clock>) -> Self {
        Self { blobs, index, clock }
    }

    /// The blobs.
    pub fn blobs(&self) -> &dyn BlobStore {
        &*self.blobs
    }

    /// What the repositories hold.
    pub fn index(&self) -> &dyn Index {
        &*self.index
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
            Reference::Tag(tag) => Ok(self.index.tag(repository, tag).await?.ok_or_else(unknown)?.digest),
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
        let bytes = self.blobs.read(&record.digest, LARGEST_MANIFEST).await?;
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
        let manifest = Manifest::parse(media_type, &bytes)?;
        let (digest, tag) = match reference {
            Reference::Digest(expected) => {
                let found = Digest::of(expected.algorithm(), &bytes);
                if found != *expected {
                    return Err(RegistryError::WrongDigest { expected: expected.clone(), found });
                }
                (found, None)
            }
            Reference::Tag(tag) => (Digest::sha256(&bytes), Some(tag)),
        };
        self.require_content(repository, &manifest).await?;
        let size = bytes.len() as u64;
        let upload = self.blobs.begin().await?;
        self.blobs.append(&upload, Some(0), crate::one_chunk(bytes)).await?;
        self.blobs.finish(&upload, &digest).await?;
        let record = ManifestRecord {
            repository: repository.clone(),
            digest: digest.clone(),
            media_type: media_type.as_str().to_owned(),
            size,
            content_size: manifest.content_size(),
            artifact_type: manifest.artifact_type().map(str::to_owned),
            subject: manifest.subject().map(|d| d.digest.clone()),
            annotations: manifest.annotations().clone(),
            pushed_at: self.clock.now(),
            pushed_by: by.clone(),
        };
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
        let mut record = self.record(repository, &Reference::Digest(digest.clone())).await?;
        record.pushed_at = self.clock.now();
        record.pushed_by = by.clone();
        Ok(self.index.push(record, Some(tag)).await?)
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

    /// The image for this machine behind a manifest or index, with its configuration.
    pub async fn image(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<(Digest, ImageManifest, ImageConfig), RegistryError> {
        let architecture = machine_architecture();
        let mut stored = self.manifest(repository, reference).await?;
        let not = |digest: &Digest, why: String| RegistryError::NotAnImage {
            digest: digest.clone(),
            architecture,
            why,
        };
        let mut manifest = Manifest::parse(MediaType::parse(&stored.media_type)?, &stored.bytes)?;
        if let Manifest::Index(index) = &manifest {
            let chosen = index.select("linux", architecture).ok_or_else(|| {
                let has: Vec<String> = index
                    .manifests
                    .iter()
                    .filter_map(|d| d.platform.as_ref())
                    .map(|p| format!("{}/{}", p.os, p.architecture))
                    .collect();
                not(&stored.digest, format!("it is an index of [{}]", has.join(", ")))
            })?;
            let chosen = Reference::Digest(chosen.digest.clone());
            stored = self.manifest(repository, &chosen).await?;
            manifest = Manifest::parse(MediaType::parse(&stored.media_type)?, &stored.bytes)?;
        }
        let Manifest::Image(image) = manifest else {
            return Err(not(&stored.digest, "it is an index within an index".into()));
        };
        if image.artifact_type.is_some() {
            return Err(not(&stored.digest, format!("it is an artifact of type {:?}", image.artifact_type)));
        }
        let config = ImageConfig::parse(&self.blobs.read(&image.config.digest, LARGEST_MANIFEST).await?)?;
        if config.rootfs.diff_ids.len() != image.layers.len() {
            let why = format!(
                "its configuration names {} layers, its manifest {}",
                config.rootfs.diff_ids.len(),
                image.layers.len()
            );
            return Err(not(&stored.digest, why));
        }
        Ok((stored.digest, *image, config))
    }
}
