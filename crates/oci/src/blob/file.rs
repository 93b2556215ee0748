//! Blobs as files: `ROOT/sha256/ab/abcd…`, uploads in `ROOT/uploads/`, corrupt ones in `ROOT/corrupt/`.
//! A blob's file appears by a rename, after its bytes were verified and forced to the disk; a small one that was
//! finished early waits for that in `ROOT/fresh/`.

mod fresh;
mod reading;
mod upload;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use windlass_kernel::{Clock, Digest, Entropy, Timestamp};

use super::{Blob, BlobError, BlobStore, ByteStream, StoredBlob, UploadId, algorithm};
use fresh::Fresh;
use reading::Known;
use upload::Upload;

/// Bytes read at a time.
const CHUNK: usize = 128 << 10;

/// Blobs in a folder.
pub struct FileBlobs {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    uploads: Mutex<HashMap<UploadId, Arc<tokio::sync::Mutex<Upload>>>>,
    known: Arc<Known>,
    fresh: Arc<Fresh>,
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
        let fresh = Arc::new(Fresh::open(root).map_err(BlobError::io("taking in the last uploads"))?);
        let known = Arc::default();
        Ok(Self { root: root.to_owned(), clock, entropy, uploads: Mutex::default(), known, fresh })
    }

    /// Where the file of a blob that lasts is.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        fresh::lasting(&self.root, digest)
    }

    /// Where a blob's bytes may be found: one that is settled meanwhile moves from the first place to the second.
    fn places(&self, digest: &Digest) -> Vec<PathBuf> {
        self.fresh.find(digest).into_iter().chain([self.path(digest)]).collect()
    }

    fn aside(&self, digest: &Digest) -> PathBuf {
        self.root.join("corrupt").join(digest.hex())
    }

    fn upload_path(&self, upload: &UploadId) -> PathBuf {
        self.root.join("uploads").join(upload.as_str())
    }

    fn begun(&self, upload: &UploadId) -> Option<Arc<tokio::sync::Mutex<Upload>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).get(upload).cloned()
    }

    fn forget(&self, upload: &UploadId) {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(upload);
    }

    /// The upload, from memory, or from its file when Windlass was restarted meanwhile.
    async fn find(&self, upload: &UploadId) -> Result<Arc<tokio::sync::Mutex<Upload>>, BlobError> {
        if let Some(known) = self.begun(upload) {
            return Ok(known);
        }
        let path = self.upload_path(upload);
        let open = move || match fs::File::options().read(true).append(true).open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        };
        let file = blocking("opening an upload", open).await?;
        let found = Upload::found(file.ok_or_else(|| BlobError::UnknownUpload(upload.clone()))?);
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(uploads.entry(upload.clone()).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(found))).clone())
    }

    /// Turns an upload into a blob; `early`, if it is small, into one that has still to be settled.
    async fn complete(&self, id: &UploadId, digest: &Digest, early: bool) -> Result<u64, BlobError> {
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
        // A blob that is there already is replaced by the same bytes: that also repairs one gone bad unnoticed.
        let (file, known, fresh) = (upload.file(), self.known.clone(), self.fresh.clone());
        let early = early && upload.size <= fresh::LARGEST;
        let to = if early { fresh.place(digest, id) } else { self.path(digest) };
        let (digest, now) = (digest.clone(), self.clock.now());
        let store = move || {
            if !early {
                publish(&file, &path, &to)?;
                fresh.arrived(&digest);
            } else {
                fs::rename(&path, &to)?;
                if !fresh.add(&digest, &to) {
                    return fs::remove_file(&to);
                }
            }
            known.remember(&digest, &file.metadata()?, now);
            Ok(())
        };
        blocking("storing a blob", store).await?;
        upload.over = true;
        self.forget(id);
        Ok(upload.size)
    }
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

/// Forces a whole file to the disk, moves it to its place and makes the move last.
fn publish(file: &fs::File, from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    file.sync_all()?;
    match fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            // The folder itself must last, too.
            if let Some(above) = folder.parent() {
                fs::File::open(above)?.sync_all()?;
            }
            fs::rename(from, to)?;
        }
        other => other?,
    }
    fs::File::open(folder)?.sync_all()
}

#[async_trait]
impl BlobStore for FileBlobs {
    async fn begin(&self) -> Result<UploadId, BlobError> {
        let id = UploadId::new(&*self.entropy);
        let path = self.upload_path(&id);
        let make = move || fs::File::options().read(true).append(true).create_new(true).open(path);
        let upload = Upload::fresh(blocking("beginning an upload", make).await?);
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.insert(id.clone(), Arc::new(tokio::sync::Mutex::new(upload)));
        drop(uploads);
        Ok(id)
    }

    async fn append(&self, id: &UploadId, start: Option<u64>, body: ByteStream) -> Result<u64, BlobError> {
        let upload = self.find(id).await?;
        let mut upload = upload.lock().await;
        upload.settle(id).await?;
        if let Some(start) = start.filter(|s| *s != upload.size) {
            return Err(BlobError::OutOfOrder { size: upload.size, start });
        }
        upload.append(body).await
    }

    async fn uploaded(&self, id: &UploadId) -> Result<u64, BlobError> {
        let upload = self.find(id).await?;
        let mut upload = upload.lock().await;
        upload.settle(id).await?;
        Ok(upload.size)
    }

    async fn open_upload(&self, id: &UploadId) -> Result<fs::File, BlobError> {
        let path = self.upload_path(id);
        let opened = blocking("opening an upload", move || match fs::File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        });
        opened.await?.ok_or_else(|| BlobError::UnknownUpload(id.clone()))
    }

    async fn finish(&self, id: &UploadId, digest: &Digest) -> Result<u64, BlobError> {
        self.complete(id, digest, false).await
    }

    async fn finish_early(&self, id: &UploadId, digest: &Digest) -> Result<u64, BlobError> {
        let size = self.complete(id, digest, true).await?;
        self.fresh.plan().await?;
        Ok(size)
    }

    async fn settle(&self, only: Option<&[Digest]>) -> Result<(), BlobError> {
        self.fresh.settle(only).await
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
        // One look into a folder is shorter than a change of threads.
        Ok(there(&self.places(digest))?.map(|metadata| metadata.len()))
    }

    async fn stored_at(&self, digest: &Digest) -> Result<Option<Timestamp>, BlobError> {
        Ok(there(&self.places(digest))?.map(|metadata| placed_at(&metadata)))
    }

    async fn open(&self, digest: &Digest, part: Option<Range<u64>>) -> Result<Blob, BlobError> {
        self.read(digest, part).await
    }

    async fn check(&self, digest: &Digest) -> Result<u64, BlobError> {
        self.check_now(digest).await
    }

    async fn delete(&self, digest: &Digest) -> Result<bool, BlobError> {
        // One that is being settled moves from the first place to the second.
        let places = self.fresh.remove(digest).into_iter().chain([self.path(digest)]);
        let mut removed = false;
        for place in places {
            match tokio::fs::remove_file(place).await {
                Ok(()) => removed = true,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(BlobError::io("removing a blob")(e)),
            }
        }
        Ok(removed)
    }

    async fn list(&self) -> Result<Vec<StoredBlob>, BlobError> {
        self.fresh.settle(None).await?;
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
            if self.begun(&id).is_some_and(|u| u.try_lock().is_err()) {
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

fn there(places: &[PathBuf]) -> Result<Option<fs::Metadata>, BlobError> {
    for place in places {
        match fs::metadata(place) {
            Ok(metadata) => return Ok(Some(metadata)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(BlobError::io("looking for a blob")(e)),
        }
    }
    Ok(None)
}

/// When a file came to where it is: a rename changes its status, not its content.
fn placed_at(metadata: &fs::Metadata) -> Timestamp {
    Timestamp::from_millis(metadata.ctime() * 1000 + metadata.ctime_nsec() / 1_000_000)
}

fn list(root: &Path) -> io::Result<Vec<StoredBlob>> {
    let mut found = Vec::new();
    for name in ["sha256", "sha512"] {
        for shelf in fs::read_dir(root.join(name))? {
            for entry in fs::read_dir(shelf?.path())? {
                let entry = entry?;
                let file = entry.file_name();
                if let Some(digest) = file.to_str().and_then(|hex| format!("{name}:{hex}").parse().ok()) {
                    // One that went away meanwhile is not there.
                    let Ok(metadata) = entry.metadata() else { continue };
                    found.push(StoredBlob { digest, size: metadata.len(), stored_at: placed_at(&metadata) });
                }
            }
        }
    }
    found.sort_by(|a, b| a.digest.cmp(&b.digest));
    Ok(found)
}

fn idle_uploads(folder: &Path, limit: Timestamp) -> io::Result<Vec<UploadId>> {
    let mut old = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        let touched = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        if Timestamp::from_millis(0) + touched <= limit
            && let Some(Ok(id)) = entry.file_name().to_str().map(str::parse)
        {
            old.push(id);
        }
    }
    Ok(old)
}
