//! The bytes of artifacts and caches: kept by digest, and removed once no document names them.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use axum::body::Body;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use windlass_api::{ErrorCode, Problem};
use windlass_kernel::{Digest, Query, StoreError, StoreExt as _};
use windlass_oci::{BlobError, BlobStore as _, ByteStream};
use windlass_web::{Answer, Download};

use super::Results;
use super::uploads::UploadDoc;
use crate::context::{Context, internal, parse};
use crate::runs::{ArtifactDoc, CacheDoc};

/// An archive that was kept. As long as this lives it is not removed, whether or not a document names it.
pub(crate) struct Kept {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    _pin: Pin,
}

struct Pin {
    results: Arc<Results>,
    digest: Digest,
}

impl Pin {
    fn new(results: &Arc<Results>, digest: &Digest) -> Self {
        let mut pinned = results.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        *pinned.entry(digest.clone()).or_default() += 1;
        drop(pinned);
        Self { results: results.clone(), digest: digest.clone() }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pinned = self.results.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pinned.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                pinned.remove(&self.digest);
            }
        }
    }
}

/// What the archives' store said, as an answer.
pub(crate) fn archive(error: BlobError) -> Problem {
    match error {
        BlobError::Full => Problem::new(
            ErrorCode::StorageFull,
            "the disk that holds artifacts and caches is full; free some space and try again",
        ),
        BlobError::TooLarge { .. } => Problem::new(ErrorCode::TooLarge, error.to_string()),
        BlobError::Interrupted(_) | BlobError::WrongDigest { .. } => Problem::invalid(error.to_string()),
        BlobError::Unknown(_) => Problem::not_found(error.to_string()),
        other => internal("the store of artifacts and caches failed", &other),
    }
}

impl Context {
    /// Keeps a body whose digest is not known beforehand.
    pub(crate) async fn keep_archive(&self, body: Body, largest: u64) -> Answer<Kept> {
        let archives = &self.results.archives;
        let upload = archives.begin().await.map_err(archive)?;
        let hash = Arc::new(std::sync::Mutex::new((Sha256::new(), 0u64)));
        let hashing = hash.clone();
        let bytes: ByteStream = Box::pin(body.into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(|e| BlobError::Interrupted(e.to_string()))?;
            let mut hash = hashing.lock().unwrap_or_else(PoisonError::into_inner);
            hash.0.update(&chunk);
            hash.1 += chunk.len() as u64;
            if hash.1 > largest {
                return Err(BlobError::TooLarge { limit: largest });
            }
            Ok(chunk)
        }));
        if let Err(e) = archives.append(&upload, Some(0), bytes).await {
            let _ = archives.cancel(&upload).await;
            return Err(archive(e));
        }
        let hex = {
            let hash = hash.lock().unwrap_or_else(PoisonError::into_inner);
            hex::encode(hash.0.clone().finalize())
        };
        let digest: Digest = parse(&format!("sha256:{hex}"))?;
        let _keeping = self.results.keeping.lock().await;
        let pin = Pin::new(&self.results, &digest);
        let size = archives.finish(&upload, &digest).await.map_err(archive)?;
        Ok(Kept { digest, size, _pin: pin })
    }

    /// A kept archive. Those of before archives had a store of their own lie among the images' blobs.
    pub(crate) async fn open_archive(&self, digest: &Digest, name: String) -> Answer<Download> {
        let found = match self.results.archives.open(digest, None).await {
            Err(BlobError::Unknown(_)) => self.images.blobs.open(digest, None).await,
            found => found,
        };
        let found = found.map_err(archive)?;
        let body = Body::from_stream(found.bytes);
        Ok(Download { body, size: Some(found.size), name })
    }

    /// Whether an archive's bytes are there.
    pub(crate) async fn has_archive(&self, digest: &Digest) -> bool {
        let there = |found: Result<Option<u64>, BlobError>| found.is_ok_and(|size| size.is_some());
        there(self.results.archives.stat(digest).await) || there(self.images.blobs.stat(digest).await)
    }

    /// The archives that a document names.
    pub(crate) async fn named_archives(&self) -> Result<HashSet<Digest>, StoreError> {
        let all = Query::default();
        let mut named = HashSet::new();
        named.extend(self.store.list::<ArtifactDoc>(&all).await?.into_iter().map(|a| a.value.digest));
        named.extend(self.store.list::<CacheDoc>(&all).await?.into_iter().map(|c| c.value.digest));
        let uploads = self.store.list::<UploadDoc>(&all).await?;
        named.extend(uploads.into_iter().filter_map(|u| u.value.kept.map(|kept| kept.digest)));
        Ok(named)
    }

    /// Removes those of these archives that no document names. What fails is found by the next sweep.
    pub(crate) async fn let_go(&self, digests: &[Digest]) {
        let _keeping = self.results.keeping.lock().await;
        let named = match self.named_archives().await {
            Ok(named) => named,
            Err(error) => return tracing::warn!(%error, "cannot see which archives are needed"),
        };
        for digest in digests.iter().filter(|d| !named.contains(d)) {
            self.remove_archive(digest).await;
        }
    }

    async fn remove_archive(&self, digest: &Digest) {
        let pinned = self.results.pinned.lock().unwrap_or_else(PoisonError::into_inner).contains_key(digest);
        if !pinned && let Err(error) = self.results.archives.delete(digest).await {
            tracing::warn!(%digest, %error, "an archive that nobody needs cannot be removed");
        }
    }

    /// Removes every archive that no document names: what a crash left.
    pub(crate) async fn sweep_archives(&self) -> Result<(), StoreError> {
        let _keeping = self.results.keeping.lock().await;
        let kept = match self.results.archives.list().await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "the archives cannot be listed");
                return Ok(());
            }
        };
        if kept.is_empty() {
            return Ok(());
        }
        let named = self.named_archives().await?;
        for blob in kept.iter().filter(|blob| !named.contains(&blob.digest)) {
            self.remove_archive(&blob.digest).await;
        }
        if let Err(error) = self.results.archives.sweep(std::time::Duration::from_hours(24)).await {
            tracing::warn!(%error, "unfinished archives could not be removed");
        }
        Ok(())
    }
}
