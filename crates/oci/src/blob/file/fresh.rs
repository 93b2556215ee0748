//! Blobs that were stored a moment ago: whole and verified, in `ROOT/fresh/`, but not yet forced to the disk. They go
//! there behind the client's back, many at a time, and come to their own place only then: what lies under
//! `ROOT/sha256/` lasts. Whoever accepts a manifest waits for the blobs that it names, and for those alone.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use windlass_kernel::Digest;

use super::upload::hash_file;
use super::{algorithm, blocking};
use crate::BlobError;
use crate::blob::UploadId;

/// Larger blobs are forced to the disk at once: that takes longer than all else that is done for them.
pub(super) const LARGEST: u64 = 1 << 20;
/// How many may wait at a time.
const MOST: usize = 1000;
/// How long others may still come along.
const PAUSE: Duration = Duration::from_millis(20);

/// The blobs that do not last yet.
#[derive(Debug)]
pub(super) struct Fresh {
    root: PathBuf,
    waiting: Mutex<HashMap<Digest, PathBuf>>,
    /// Those that the disk did not take. It says so once: asked again, it tells of bytes that it forgot that they are there.
    lost: Mutex<BTreeSet<Digest>>,
    /// Held by whoever forces some of them to the disk.
    turn: tokio::sync::Mutex<()>,
    /// Somebody will do so shortly.
    planned: AtomicBool,
}

impl Fresh {
    /// Takes in what a process that ended left behind, which is whole unless the machine lost its power.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let folder = root.join("fresh");
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            // Another process may have these blobs, too, and be quicker.
            if_there(take_in(root, &path))?;
        }
        let (waiting, lost) = (Mutex::default(), Mutex::default());
        let (turn, planned) = (tokio::sync::Mutex::default(), AtomicBool::new(false));
        Ok(Self { root: root.to_owned(), waiting, lost, turn, planned })
    }

    /// Where a blob's bytes lie that does not last yet.
    pub(super) fn find(&self, digest: &Digest) -> Option<PathBuf> {
        self.lock().get(digest).cloned()
    }

    /// Where an upload goes that turned out to be this blob.
    pub(super) fn place(&self, digest: &Digest, upload: &UploadId) -> PathBuf {
        let name = format!("{}-{}-{upload}", algorithm(digest.algorithm()), digest.hex());
        self.root.join("fresh").join(name)
    }

    /// A blob came to its [place](Self::place); false if it was there already, and the file is of no use.
    pub(super) fn add(&self, digest: &Digest, path: &Path) -> bool {
        let mut waiting = self.lock();
        if waiting.get(digest).is_some_and(|standing| standing.exists()) {
            return false;
        }
        waiting.insert(digest.clone(), path.to_owned());
        drop(waiting);
        self.arrived(digest);
        true
    }

    /// A blob came, whatever became of it before.
    pub(super) fn arrived(&self, digest: &Digest) {
        self.lost().remove(digest);
    }

    /// Forgets a blob; its file is the caller's.
    pub(super) fn remove(&self, digest: &Digest) -> Option<PathBuf> {
        self.lock().remove(digest)
    }

    /// Has those that wait forced to the disk before long; at once when they are too many.
    pub(super) async fn plan(self: &Arc<Self>) -> Result<(), BlobError> {
        if self.lock().len() >= MOST {
            return self.settle(None).await;
        }
        if !self.planned.swap(true, Ordering::AcqRel) {
            let fresh = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(PAUSE).await;
                fresh.planned.store(false, Ordering::Release);
                if let Err(error) = fresh.settle(None).await {
                    // They wait on: whoever needs them to last tries again, and is told.
                    tracing::warn!(%error, "blobs could not be forced to the disk");
                }
            });
        }
        Ok(())
    }

    /// Forces blobs to the disk and moves them to their places: these, or all.
    pub(super) async fn settle(&self, only: Option<&[Digest]>) -> Result<(), BlobError> {
        let picked = |waiting: &HashMap<Digest, PathBuf>| match only {
            None => waiting.iter().map(|(d, p)| (d.clone(), p.clone())).collect::<Vec<_>>(),
            Some(only) => only.iter().filter_map(|d| Some((d.clone(), waiting.get(d)?.clone()))).collect(),
        };
        if picked(&self.lock()).is_empty() {
            return self.none_lost(only);
        }
        // Whoever had the turn before may have taken these along.
        let _turn = self.turn.lock().await;
        let some = picked(&self.lock());
        let (root, files) = (self.root.clone(), some.clone());
        let lost = blocking("storing blobs", move || publish_all(&root, &files)).await?;
        let mut waiting = self.lock();
        for (digest, path) in some {
            if waiting.get(&digest) == Some(&path) {
                waiting.remove(&digest);
                // Where the same bytes came before, those last.
                if lost.contains(&digest) && !lasting(&self.root, &digest).exists() {
                    self.lost().insert(digest);
                }
            }
        }
        drop(waiting);
        self.none_lost(only)
    }

    /// Fails if one of these was not taken by the disk, and did not come once more since.
    fn none_lost(&self, only: Option<&[Digest]>) -> Result<(), BlobError> {
        let lost = self.lost();
        match only.unwrap_or_default().iter().find(|digest| lost.contains(digest)) {
            Some(digest) => Err(BlobError::io("storing blobs")(io::Error::other(format!(
                "the disk did not take {digest}: push it again"
            )))),
            None => Ok(()),
        }
    }

    fn lost(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, PathBuf>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a blob lies that lasts.
pub(super) fn lasting(root: &Path, digest: &Digest) -> PathBuf {
    root.join(algorithm(digest.algorithm())).join(&digest.hex()[..2]).join(digest.hex())
}

/// First all bytes, then all names, then the folders that hold the names: each step makes the disk wait once for
/// many. A file that is gone has its place already, from a try that did not come to its end, or was removed meanwhile.
/// One whose bytes the disk did not take is removed, and told.
fn publish_all(root: &Path, files: &[(Digest, PathBuf)]) -> io::Result<BTreeSet<Digest>> {
    let mut lost = BTreeSet::new();
    for (digest, path) in files {
        let Some(file) = if_there(fs::File::open(path))? else { continue };
        if let Err(error) = file.sync_all() {
            tracing::error!(%digest, %error, "the disk did not take a blob, which is removed");
            if_there(fs::remove_file(path))?;
            lost.insert(digest.clone());
        }
    }
    let mut folders = BTreeSet::new();
    for (digest, from) in files.iter().filter(|(digest, _)| !lost.contains(digest)) {
        let to = lasting(root, digest);
        let Some(folder) = to.parent() else { continue };
        if !folder.exists() {
            fs::create_dir_all(folder)?;
            folders.extend(folder.parent().map(Path::to_owned));
        }
        if_there(fs::rename(from, &to))?;
        folders.insert(folder.to_owned());
    }
    for folder in folders {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(lost)
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Gives a file that was left behind its place, if it is what its name says.
fn take_in(root: &Path, path: &Path) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.splitn(3, '-');
    let text = parts.next().zip(parts.next()).map(|(algorithm, hex)| format!("{algorithm}:{hex}"));
    let digest = text.and_then(|text| text.parse::<Digest>().ok());
    if let Some(digest) = digest
        && hash_file(fs::File::open(path)?, digest.algorithm())? == digest
    {
        return publish_all(root, &[(digest, path.to_owned())]).map(drop);
    }
    tracing::warn!(file = name, "an upload that had not reached the disk is dropped");
    fs::remove_file(path)
}
