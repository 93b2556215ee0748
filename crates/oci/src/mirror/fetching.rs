//! A mirrored registry's blob on its way here: written down once, however many want it, and sent on to each of them
//! while it comes. The last byte is held back until the digest was found right; if it is wrong, the connections of those
//! who have the rest are cut, and nothing is kept.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{oneshot, watch};
use windlass_kernel::Digest;

use super::{Found, LARGEST_BLOB, UpstreamError};
use crate::registry::RegistryError;
use crate::{BlobError, ByteStream, PullError, Registry, RepositoryName, UploadId};

/// Bytes that are read at a time.
const CHUNK: u64 = 256 << 10;
/// How many pieces that came are written at a time.
const TOGETHER: usize = 32;

/// What is being fetched: by repository and digest.
#[derive(Debug, Default)]
pub(super) struct Fetches(Mutex<HashMap<String, watch::Receiver<Progress>>>);

/// How far a fetch is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// The upload that it grows in, and the whole size if the other registry told it.
    begun: Option<(UploadId, Option<u64>)>,
    /// How many bytes can be read of it.
    written: u64,
    /// How it ended.
    end: Option<Result<(), String>>,
}

/// A blob that is on its way.
#[derive(Debug)]
pub(crate) struct Fetch {
    progress: watch::Receiver<Progress>,
    file: Arc<File>,
    /// The whole size in bytes, if the other registry told it.
    pub(crate) size: Option<u64>,
}

/// Takes a fetch off the list, however it ends.
struct Entry {
    registry: Registry,
    key: String,
    progress: watch::Sender<Progress>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.mirrors.fetches.lock().remove(&self.key);
    }
}

impl Fetches {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, watch::Receiver<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Begins to fetch a mirrored repository's blob, or joins those who wait for it. `None` when it is here, or when the
    /// repository mirrors nothing.
    pub(crate) async fn fetch_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Fetch>, RegistryError> {
        let Some(found) = self.mirrors.find(repository) else { return Ok(None) };
        loop {
            if self.holds(repository, digest).await? {
                return Ok(None);
            }
            let (mut progress, failed) = self.join(&found, repository, digest);
            let begun = progress.wait_for(|p| p.begun.is_some() || p.end.is_some()).await;
            let begun = begun.ok().and_then(|p| p.begun.clone());
            let Some((upload, size)) = begun else {
                // It was here after all, or it could not be had: who began it knows why, the others try for themselves.
                if let Some(failed) = failed
                    && let Ok(error) = failed.await
                {
                    return Err(error);
                }
                continue;
            };
            match self.blobs().open_upload(&upload).await {
                Ok(file) => return Ok(Some(Fetch { progress, file: Arc::new(file), size })),
                Err(BlobError::UnknownUpload(_)) => {
                    // It ended meanwhile.
                    let _ = progress.wait_for(|p| p.end.is_some()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The fetch that goes on, or a new one; whoever begins it is told why it did not.
    fn join(
        &self,
        found: &Found,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> (watch::Receiver<Progress>, Option<oneshot::Receiver<RegistryError>>) {
        let key = format!("{repository}@{digest}");
        let mut fetches = self.mirrors.fetches.lock();
        if let Some(standing) = fetches.get(&key) {
            return (standing.clone(), None);
        }
        let (sender, progress) = watch::channel(Progress::default());
        fetches.insert(key.clone(), progress.clone());
        drop(fetches);
        let (tell, failed) = oneshot::channel();
        let entry = Entry { registry: self.clone(), key, progress: sender };
        let (found, repository, digest) = (found.clone(), repository.clone(), digest.clone());
        // On its own: whoever asked first may go away, and the others still want it.
        tokio::spawn(async move {
            let outcome = entry.fetch(&found, &repository, &digest).await;
            let end = match outcome {
                Ok(()) => Ok(()),
                Err(error) => {
                    tracing::warn!(%repository, %digest, %error, "a mirrored blob could not be fetched");
                    let why = error.to_string();
                    let _ = tell.send(error);
                    Err(why)
                }
            };
            entry.progress.send_modify(|p| p.end = Some(end));
        });
        (progress, Some(failed))
    }
}

impl Entry {
    async fn fetch(
        &self,
        found: &Found,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let registry = &self.registry;
        let blobs = registry.blobs();
        if registry.holds(repository, digest).await? {
            return Ok(());
        }
        if blobs.stat(digest).await?.is_some() {
            // The bytes are here for somebody else: they count only if the other registry has them, too.
            found.ask(registry.now(), async |session| session.has_blob(digest).await).await?;
        } else {
            let asked = found.ask(registry.now(), async |session| session.blob_stream(digest).await);
            let (size, body) = asked.await?;
            let upload = blobs.begin().await?;
            let taken = self.take(&upload, size, body, digest).await;
            if let Err(error) = taken {
                // What failed counts; an upload that cannot be removed now is swept later.
                let _ = blobs.cancel(&upload).await;
                return Err(found.failed(error.into()).into());
            }
        }
        registry.link(repository, std::slice::from_ref(digest)).await
    }

    async fn take(
        &self,
        upload: &UploadId,
        size: Option<u64>,
        body: ByteStream,
        digest: &Digest,
    ) -> Result<(), BlobError> {
        let blobs = self.registry.blobs();
        self.progress.send_modify(|p| p.begun = Some((upload.clone(), size)));
        let mut written = 0;
        let mut pieces = body.ready_chunks(TOGETHER);
        while let Some(some) = pieces.next().await {
            // What came before a failure is written all the same: nobody is given it, for it is cancelled.
            written = blobs.append(upload, Some(written), stream::iter(some).boxed()).await?;
            if written > LARGEST_BLOB {
                return Err(BlobError::TooLarge { limit: LARGEST_BLOB });
            }
            self.progress.send_modify(|p| p.written = written);
        }
        blobs.finish(upload, digest).await.map(|_| ())
    }
}

impl Fetch {
    /// Waits until the blob is here.
    pub(super) async fn wait(mut self, found: &Found) -> Result<(), RegistryError> {
        let broken = || Err("the fetch was broken off".to_owned());
        let end = self.progress.wait_for(|p| p.end.is_some()).await;
        let end = end.map_or_else(|_| broken(), |p| p.end.clone().unwrap_or_else(broken));
        end.map_err(|why| {
            let error: UpstreamError =
                found.failed(PullError::Unusable { image: found.image.to_string(), why });
            error.into()
        })
    }

    /// The bytes, as they come.
    pub(crate) fn bytes(self) -> ByteStream {
        stream::try_unfold((self.progress, self.file, 0), |(mut progress, file, at)| async move {
            loop {
                let (written, end) = {
                    let now = progress.borrow_and_update();
                    (now.written, now.end.clone())
                };
                let ready = match &end {
                    Some(Ok(())) => written,
                    Some(Err(why)) => return Err(BlobError::Interrupted(why.clone())),
                    None => written.saturating_sub(1),
                };
                if at < ready {
                    let chunk = read(file.clone(), at, CHUNK.min(ready - at)).await?;
                    let next = at + chunk.len() as u64;
                    return Ok(Some((chunk, (progress, file, next))));
                }
                if end.is_some() {
                    return Ok(None);
                }
                if progress.changed().await.is_err() {
                    return Err(BlobError::Interrupted("the fetch was broken off".to_owned()));
                }
            }
        })
        .boxed()
    }
}

async fn read(file: Arc<File>, at: u64, length: u64) -> Result<Bytes, BlobError> {
    let read = move || {
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, at)?;
        Ok(bytes.into())
    };
    let read = tokio::task::spawn_blocking(read).await.unwrap_or_else(|e| Err(io::Error::other(e)));
    read.map_err(BlobError::io("reading an upload"))
}
