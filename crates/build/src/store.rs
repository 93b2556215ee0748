//! What builds keep on this machine: blobs, layers laid out, which step left which layer, caches that steps mount, and the
//! names of images. A folder below the user's cache folder; many builds use it at once.
//!
//! | below the root | what |
//! | --- | --- |
//! | `blobs/` | configurations, manifests, compressed layers |
//! | `layers/HEX` | images' layers laid out, by the digest of their tar |
//! | `steps/KEY` | layers that steps left, laid out |
//! | `records/KEY.json` | what is known of a step: its layer, when it was made |
//! | `packed/HEX.KIND.json` | which blob is a layer in a compressed form |
//! | `trees/KEY` | files of contexts that are mounted in steps |
//! | `mounts/HEX` | caches of `RUN --mount=type=cache` |
//! | `contexts/HEX` | digests of contexts' files |
//! | `images/HEX.json` | images by name |
//! | `locks/NAME` | who works at what |
//! | `work/ID/` | what a running build writes; swept when its owner is dead |
//!
//! A layer appears by a rename, and counts only when its record says so, which is written last: what is killed in between
//! is found by nobody, and swept.

mod evict;
mod images;
mod record;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_kernel::{Clock, Digest, Entropy, Timestamp};
use windlass_oci::{BlobStore, FileBlobs, WhiteoutStyle};

use crate::BuildError;

pub use evict::Evicted;
pub(crate) use evict::size;
pub(crate) use images::usual;
pub use images::{LocalImage, LocalLayer};
pub(crate) use record::{Record, StepLayer};

/// The folder where builds keep things.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    blobs: FileBlobs,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    work: PathBuf,
    next: AtomicU64,
    /// Says that the owner of `work` lives.
    _alive: File,
}

/// Held while somebody works at something; the kernel lets it go when its holder dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

const FOLDERS: [&str; 11] = [
    "blobs", "layers", "steps", "records", "packed", "trees", "mounts", "contexts", "images", "locks", "work",
];
const ALIVE: &str = "alive.lock";

/// How often a lock that somebody else has is tried again.
const AGAIN: Duration = Duration::from_millis(15);
const AGAIN_SLOW: Duration = Duration::from_millis(150);

impl Store {
    /// Opens the store in `root`, which is made if it is not there, and sweeps what dead builds left.
    pub fn open(root: &Path, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self, BuildError> {
        let failed = |what: &Path| {
            let what = format!("opening the build store {}", what.display());
            move |e| BuildError::io(what, e)
        };
        fs::create_dir_all(root).map_err(failed(root))?;
        let root = fs::canonicalize(root).map_err(failed(root))?;
        private(&root).map_err(failed(&root))?;
        for folder in FOLDERS {
            let path = root.join(folder);
            match fs::create_dir(&path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&path)(e)),
                _ => {}
            }
        }
        let blobs = FileBlobs::open(&root.join("blobs"), clock.clone(), entropy.clone())
            .map_err(|e| BuildError::Store(e.to_string()))?;
        let mut random = [0; 8];
        entropy.fill(&mut random);
        let work = root.join("work").join(format!("{}-{}", std::process::id(), hex::encode(random)));
        // One at a time: a folder whose lock is about to be taken would look like a dead process's to another who opens the store.
        let opening = root.join("opening.lock");
        let opening =
            File::create(&opening).and_then(|file| file.lock().map(|()| file)).map_err(failed(&opening))?;
        fs::create_dir(&work).map_err(failed(&work))?;
        let alive = File::create(work.join(ALIVE)).map_err(failed(&work))?;
        alive.try_lock().map_err(|e| BuildError::Store(e.to_string()))?;
        let dead = of_the_dead(&root.join("work"), &work);
        drop(opening);
        for left in dead {
            let _ = windlass_runtime::sweep(&left.path);
            let _ = remove_tree(&left.path);
        }
        Ok(Self { root, blobs, clock, entropy, work, next: AtomicU64::new(0), _alive: alive })
    }

    /// Where a user's store is: `$WINDLASS_BUILD_STORE`, else `windlass/build` in the user's cache folder
    /// (XDG Base Directory Specification).
    pub fn usual() -> PathBuf {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = set("WINDLASS_BUILD_STORE") {
            return path;
        }
        let home = || set("HOME").unwrap_or_else(|| PathBuf::from("/root")).join(".cache");
        set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).unwrap_or_else(home).join("windlass/build")
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The blobs.
    pub fn blobs(&self) -> &FileBlobs {
        &self.blobs
    }

    /// What no other store of this machine is called at the same time.
    pub(crate) fn session_name(&self) -> String {
        self.work.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// A path of this build's own, which nothing is at yet.
    pub(crate) fn fresh(&self, what: &str) -> PathBuf {
        self.work.join(format!("{what}-{}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// A folder of this build's own.
    pub(crate) fn fresh_folder(&self, what: &str) -> Result<PathBuf, BuildError> {
        let path = self.fresh(what);
        fs::create_dir(&path).map_err(|e| BuildError::io(format!("making {}", path.display()), e))?;
        Ok(path)
    }

    pub(crate) fn path(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join(kind).join(name)
    }

    /// Where the layer with this digest of its tar is laid out, or will be.
    pub(crate) fn layer_folder(&self, diff_id: &Digest, style: WhiteoutStyle) -> PathBuf {
        let style = if style == WhiteoutStyle::OverlayUser { "-user" } else { "" };
        self.path("layers", &format!("{}{style}", diff_id.hex()))
    }

    /// Waits until nobody else works at `name`.
    pub(crate) async fn lock(&self, name: &str) -> Result<Lock, BuildError> {
        let mut tries = 0;
        loop {
            if let Some(lock) = self.try_lock(name)? {
                return Ok(lock);
            }
            tokio::time::sleep(if tries < 20 { AGAIN } else { AGAIN_SLOW }).await;
            tries += 1;
        }
    }

    /// The lock of `name`, unless somebody has it.
    pub(crate) fn try_lock(&self, name: &str) -> Result<Option<Lock>, BuildError> {
        let path = self.path("locks", name);
        let what = || format!("locking {}", path.display());
        loop {
            let file = lock_file(&path).map_err(|e| BuildError::io(what(), e))?;
            match file.try_lock() {
                // It may have been removed between the two: then it guards nothing.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => return Ok(Some(Lock { _file: file })),
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(e)) => return Err(BuildError::io(what(), e)),
            }
        }
    }

    /// Waits until it may share `name` with others that do, and nobody has it alone.
    pub(crate) async fn share(&self, name: &str) -> Result<Lock, BuildError> {
        let path = self.path("locks", name);
        loop {
            let what = || format!("locking {}", path.display());
            let file = lock_file(&path).map_err(|e| BuildError::io(what(), e))?;
            match file.try_lock_shared() {
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => return Ok(Lock { _file: file }),
                Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(AGAIN_SLOW).await,
                Err(fs::TryLockError::Error(e)) => return Err(BuildError::io(what(), e)),
            }
        }
    }

    /// Keeps small bytes as a blob.
    pub(crate) fn keep_bytes(&self, bytes: &[u8]) -> Result<Digest, BuildError> {
        let digest = Digest::sha256(bytes);
        let path = self.blobs.path(&digest);
        if path.is_file() {
            return Ok(digest);
        }
        let new = self.fresh("blob");
        let kept = (|| {
            fs::write(&new, bytes)?;
            fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
            fs::rename(&new, &path)
        })();
        kept.map_err(|e| BuildError::io(format!("keeping {digest}"), e))?;
        Ok(digest)
    }

    /// Makes a blob of a file of this build's own.
    pub(crate) fn keep_file(&self, file: &Path, digest: &Digest) -> Result<PathBuf, BuildError> {
        let path = self.blobs.path(digest);
        let kept =
            fs::create_dir_all(path.parent().unwrap_or(&self.root)).and_then(|()| fs::rename(file, &path));
        kept.map_err(|e| BuildError::io(format!("keeping {digest}"), e))?;
        Ok(path)
    }

    /// A small blob's bytes, checked.
    pub(crate) async fn bytes(&self, digest: &Digest) -> Result<Vec<u8>, BuildError> {
        let blobs: &dyn BlobStore = &self.blobs;
        let read = blobs.read(digest, windlass_oci::LARGEST_MANIFEST).await;
        read.map(|bytes| bytes.to_vec()).map_err(|e| BuildError::Store(e.to_string()))
    }

    /// Writes a document so that a reader sees all of it or what was there before.
    pub(crate) fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), BuildError> {
        let new = self.fresh("document");
        let written = serde_json::to_vec(value).map_err(io::Error::other).and_then(|bytes| {
            File::create(&new)?.write_all(&bytes)?;
            fs::rename(&new, path)
        });
        written.map_err(|e| BuildError::io(format!("writing {}", path.display()), e))
    }

    /// Reads a document; one that cannot be read is not there.
    pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.work) {
            tracing::warn!(%error, "what a build wrote could not be removed; the next one does");
        }
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).open(path)
}

/// Whether a path still leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let known = file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
    known.is_some() && known == fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok()
}

fn private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// What a build left whose process is dead.
struct Left {
    path: PathBuf,
    /// Held until all is removed, that nobody else begins to.
    _lock: Option<File>,
}

/// What builds left whose process is dead.
fn of_the_dead(root: &Path, own: &Path) -> Vec<Left> {
    let others = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path != own);
    others
        .filter_map(|path| match File::options().write(true).open(path.join(ALIVE)) {
            Ok(file) => file.try_lock().is_ok().then_some(Left { path, _lock: Some(file) }),
            // It was killed before it had made its lock.
            Err(_) => old(&path).then_some(Left { path, _lock: None }),
        })
        .collect()
}

fn old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_mins(10))
}

/// Deletes a folder with all below it, also what refuses its owner. Links are not followed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn open_up(start: &Path) -> io::Result<()> {
    let mut waiting = vec![start.to_owned()];
    while let Some(folder) = waiting.pop() {
        private(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}
