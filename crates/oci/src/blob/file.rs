//! Blobs as files: `ROOT/sha256/ab/abcd…`, uploads in `ROOT/uploads/`, corrupt ones in `ROOT/corrupt/`.
//! A blob's file appears by a rename, after its bytes were verified and forced to the disk.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;
use windlass_kernel::{Algorithm, Clock, Digest, Entropy, Timestamp};

use super::{Blob, BlobError, BlobStore, ByteStream, UploadId};
use crate::hashing::{Hasher, Hashing};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Blobs in a folder.
pub struct FileBlobs {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    uploads: Mutex<HashMap<UploadId, Arc<tokio::sync::Mutex<Upload>>>>,
}

struct Upload {
    file: File,
    size: u64,
    /// The digest so far; none when it must be computed from the file at the end (after a restart or a failed write).
    hasher: Option<Hasher>,
    /// A write was begun and not seen to end: what the file holds must be looked up.
    unsure: bool,
    over: bool,
}

impl fmt::Debug for FileBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBlobs").field("root", &self.root).finish_non_exhaustive()
    }
}

impl FileBlobs {
    /// Blobs below `root`, which is made if it is not there.
    pub fn open(root: &Path, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self, BlobError> {
        for folder in ["sha256", "sha512", "uploads", "corrupt"] {
            fs::create_dir_all(root.join(folder)).map_err(BlobError::io("making the blobs' folder"))?;
        }
        Ok(Self { root: root.to_owned(), clock, entropy, uploads: Mutex::default() })
    }

    /// Where a blob's file is.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(algorithm(digest.algorithm())).join(&digest.hex()[..2]).join(digest.hex())
    }

    fn upload_path(&self, upload: &UploadId) -> PathBuf {
        self.root.join("uploads").join(upload.as_str())
    }

    fn known(&self, upload: &UploadId) -> Option<Arc<tokio::sync::Mutex<Upload>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).get(upload).cloned()
    }

    fn forget(&self, upload: &UploadId) {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(upload);
    }

    /// The upload, from memory, or from its file when Windlass was restarted meanwhile.
    async fn find(&self, upload: &UploadId) -> Result<Arc<tokio::sync::Mutex<Upload>>, BlobError> {
        if let Some(known) = self.known(upload) {
            return Ok(known);
        }
        let path = self.upload_path(upload);
        let file = match File::options().read(true).append(true).open(path).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(BlobError::UnknownUpload(upload.clone()));
            }
            Err(e) => return Err(BlobError::io("opening an upload")(e)),
        };
        let found = Upload { file, size: 0, hasher: None, unsure: true, over: false };
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(uploads.entry(upload.clone()).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(found))).clone())
    }
}

/// Takes a corrupt blob out of the way, so that it can be stored again; kept, so that it can be looked at.
fn set_aside(from: &Path, to: &Path, digest: Digest, found: Digest) -> BlobError {
    tracing::error!(%digest, %found, "a blob is corrupt on disk");
    if let Err(error) = fs::rename(from, to) {
        tracing::error!(%digest, %error, "the corrupt blob could not be set aside");
    }
    BlobError::Corrupt { digest, found, aside: to.display().to_string() }
}

fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha256 => "sha256",
        Algorithm::Sha512 => "sha512",
    }
}

impl Upload {
    async fn settle(&mut self, id: &UploadId) -> Result<(), BlobError> {
        if self.over {
            return Err(BlobError::UnknownUpload(id.clone()));
        }
        if self.unsure {
            let _ = self.file.flush().await; // what failed before shows in the length
            self.size = self.file.metadata().await.map_err(BlobError::io("reading an upload's size"))?.len();
            self.hasher = None;
            self.unsure = false;
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.unsure = true;
        self.file.write_all(bytes).await.map_err(BlobError::io("writing an upload"))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.size += bytes.len() as u64;
        self.unsure = false;
        Ok(())
    }

    /// The digest of what was uploaded; read again only when it was not computed on the way.
    async fn digest(&self, algorithm: Algorithm, path: &Path) -> Result<Digest, BlobError> {
        match (&self.hasher, algorithm) {
            (Some(hasher), Algorithm::Sha256) => Ok(hasher.clone().finish()),
            _ => {
                let path = path.to_owned();
                blocking("hashing an upload", move || hash_file(&path, algorithm)).await
            }
        }
    }
}

fn hash_file(path: &Path, algorithm: Algorithm) -> io::Result<Digest> {
    let mut file = Hashing::with(fs::File::open(path)?, algorithm);
    let mut buffer = vec![0; CHUNK];
    while file.read(&mut buffer)? > 0 {}
    Ok(file.finish().1)
}

async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(BlobError::io(doing)),
        Err(e) => Err(BlobError::io(doing)(io::Error::other(e))),
    }
}

/// Moves a whole file to its place and makes the move last.
fn publish(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    fs::rename(from, to)?;
    fs::File::open(folder)?.sync_all()
}

#[async_trait]
impl BlobStore for FileBlobs {
    async fn begin(&self) -> Result<UploadId, BlobError> {
        let id = UploadId::new(&*self.entropy);
        let file = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .open(self.upload_path(&id))
            .await
            .map_err(BlobError::io("beginning an upload"))?;
        let hasher = Some(Hasher::new(Algorithm::Sha256));
        let upload = Upload { file, size: 0, hasher, unsure: false, over: false };
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.insert(id.clone(), Arc::new(tokio::sync::Mutex::new(upload)));
        drop(uploads);
        Ok(id)
    }

    async fn append(
        &self,
        id: &UploadId,
        start: Option<u64>,
        mut body: ByteStream,
    ) -> Result<u64, BlobError> {
        let upload = self.find(id).await?;
        let mut upload = upload.lock().await;
        upload.settle(id).await?;
        if let Some(start) = start.filter(|s| *s != upload.size) {
            return Err(BlobError::OutOfOrder { size: upload.size, start });
        }
        while let Some(chunk) = body.next().await {
            upload.write(&chunk?).await?;
        }
        upload.unsure = true;
        upload.file.flush().await.map_err(BlobError::io("writing an upload"))?;
        upload.unsure = false;
        Ok(upload.size)
    }

    async fn uploaded(&self, id: &UploadId) -> Result<u64, BlobError> {
        let upload = self.find(id).await?;
        let mut upload = upload.lock().await;
        upload.settle(id).await?;
        Ok(upload.size)
    }

    async fn finish(&self, id: &UploadId, digest: &Digest) -> Result<u64, BlobError> {
        let upload = self.find(id).await?;
        let mut upload = upload.lock().await;
        upload.settle(id).await?;
        let path = self.upload_path(id);
        let found = upload.digest(digest.algorithm(), &path).await?;
        if found != *digest {
            upload.over = true;
            self.forget(id);
            tokio::fs::remove_file(&path).await.map_err(BlobError::io("removing an upload"))?;
            return Err(BlobError::WrongDigest { expected: digest.clone(), found });
        }
        upload.file.sync_all().await.map_err(BlobError::io("forcing an upload to the disk"))?;
        // A blob that is there already is replaced by the same bytes: that also repairs one gone bad unnoticed.
        let to = self.path(digest);
        blocking("storing a blob", move || publish(&path, &to)).await?;
        upload.over = true;
        self.forget(id);
        Ok(upload.size)
    }

    async fn cancel(&self, id: &UploadId) -> Result<(), BlobError> {
        let upload = self.find(id).await?;
        let mut upload = upload.lock().await;
        upload.settle(id).await?;
        upload.over = true;
        self.forget(id);
        tokio::fs::remove_file(self.upload_path(id)).await.map_err(BlobError::io("removing an upload"))
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        match tokio::fs::metadata(self.path(digest)).await {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(BlobError::io("looking for a blob")(e)),
        }
    }

    async fn open(&self, digest: &Digest, part: Option<Range<u64>>) -> Result<Blob, BlobError> {
        let mut file = match File::open(self.path(digest)).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(BlobError::Unknown(digest.clone())),
            Err(e) => return Err(BlobError::io("opening a blob")(e)),
        };
        let size = file.metadata().await.map_err(BlobError::io("reading a blob's size"))?.len();
        let Some(part) = part else {
            return Ok(Blob { size, bytes: self.verified(digest, file) });
        };
        if part.start >= part.end || part.end > size {
            return Err(BlobError::OutOfRange { size });
        }
        file.seek(io::SeekFrom::Start(part.start)).await.map_err(BlobError::io("reading a blob"))?;
        let reader = ReaderStream::with_capacity(file.take(part.end - part.start), CHUNK);
        Ok(Blob { size, bytes: reader.map(|r| r.map_err(BlobError::io("reading a blob"))).boxed() })
    }

    async fn delete(&self, digest: &Digest) -> Result<bool, BlobError> {
        match tokio::fs::remove_file(self.path(digest)).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(BlobError::io("removing a blob")(e)),
        }
    }

    async fn list(&self) -> Result<Vec<(Digest, u64)>, BlobError> {
        let root = self.root.clone();
        blocking("listing the blobs", move || list(&root)).await
    }

    async fn sweep(&self, idle: Duration) -> Result<usize, BlobError> {
        let folder = self.root.join("uploads");
        let limit = self.clock.now() - idle;
        let old = blocking("listing the uploads", move || idle_uploads(&folder, limit)).await?;
        let mut swept = 0;
        for id in old {
            // One that is being written to right now is not idle, whatever its file's time says.
            if self.known(&id).is_some_and(|u| u.try_lock().is_err()) {
                continue;
            }
            match self.cancel(&id).await {
                Ok(()) => swept += 1,
                Err(BlobError::UnknownUpload(_)) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(swept)
    }
}

impl FileBlobs {
    /// The whole file; the last chunk is held back until the digest was found right.
    fn verified(&self, digest: &Digest, file: File) -> ByteStream {
        struct Reading {
            chunks: ReaderStream<File>,
            hasher: Hasher,
            held: Option<Bytes>,
            digest: Digest,
            from: PathBuf,
            aside: PathBuf,
        }
        let start = Reading {
            chunks: ReaderStream::with_capacity(file, CHUNK),
            hasher: Hasher::new(digest.algorithm()),
            held: None,
            digest: digest.clone(),
            from: self.path(digest),
            aside: self.root.join("corrupt").join(digest.hex()),
        };
        stream::try_unfold(Some(start), |reading| async move {
            let Some(mut reading) = reading else { return Ok(None) };
            while let Some(chunk) = reading.chunks.next().await {
                let chunk = chunk.map_err(BlobError::io("reading a blob"))?;
                reading.hasher.update(&chunk);
                if let Some(ready) = reading.held.replace(chunk) {
                    return Ok(Some((ready, Some(reading))));
                }
            }
            let found = reading.hasher.finish();
            if found != reading.digest {
                return Err(set_aside(&reading.from, &reading.aside, reading.digest, found));
            }
            Ok(reading.held.map(|last| (last, None)))
        })
        .boxed()
    }
}

fn list(root: &Path) -> io::Result<Vec<(Digest, u64)>> {
    let mut found = Vec::new();
    for name in ["sha256", "sha512"] {
        for shelf in fs::read_dir(root.join(name))? {
            for entry in fs::read_dir(shelf?.path())? {
                let entry = entry?;
                let file = entry.file_name();
                if let Some(digest) = file.to_str().and_then(|hex| format!("{name}:{hex}").parse().ok()) {
                    found.push((digest, entry.metadata()?.len()));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

fn idle_uploads(folder: &Path, limit: Timestamp) -> io::Result<Vec<UploadId>> {
    let mut old = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let touched = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        if Timestamp::from_millis(0) + touched <= limit
            && let Some(Ok(id)) = entry.file_name().to_str().map(str::parse)
        {
            old.push(id);
        }
    }
    Ok(old)
}
