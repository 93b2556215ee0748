//! Making room: what was not used for longest goes first. What an image of this machine is made of stays.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Record, Store, remove_tree};
use crate::BuildError;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// How many things.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The bytes that are left.
    pub left: u64,
}

struct Candidate {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// What was used within this time stays: a build that runs may need it.
const YOUNG: Duration = Duration::from_mins(10);

impl Store {
    /// Removes what was not used for longest until the store holds at most `limit` bytes.
    pub fn evict(&self, limit: u64) -> Result<Evicted, BuildError> {
        let kept = self.in_images();
        let mut candidates = Vec::new();
        let mut total = 0;
        let records: Vec<(PathBuf, Option<Record>)> =
            list(&self.root.join("records")).map(|path| (path.clone(), Self::read_json(&path))).collect();
        let mut with_record = HashSet::new();
        for (path, record) in records {
            let step = record.and_then(|record| record.layer).and_then(|layer| layer.step);
            let Some(step) = step else { continue };
            let folder = self.step_folder(&step);
            let bytes = size(&folder);
            if with_record.insert(folder.clone()) {
                total += bytes;
            }
            if !kept.contains(&folder) {
                candidates.push(Candidate { path: folder, bytes, used: used(&path) });
            }
        }
        for kind in ["steps", "layers", "trees", "mounts", "blobs/sha256", "packed", "urls"] {
            let folders: Vec<PathBuf> = if kind.starts_with("blobs") {
                list(&self.root.join(kind)).flat_map(|folder| list(&folder).collect::<Vec<_>>()).collect()
            } else {
                list(&self.root.join(kind)).collect()
            };
            for path in folders.into_iter().filter(|path| !with_record.contains(path)) {
                let bytes = size(&path);
                total += bytes;
                if !kept.contains(&path) {
                    candidates.push(Candidate { used: used(&path), path, bytes });
                }
            }
        }
        candidates.sort_by_key(|candidate| candidate.used);
        let mut evicted = Evicted { left: total, ..Evicted::default() };
        for candidate in candidates {
            if evicted.left <= limit {
                break;
            }
            // A clock that was set back makes nothing old.
            if candidate.used.elapsed().is_ok_and(|age| age < YOUNG) && limit > 0 {
                continue;
            }
            let removed = if candidate.path.is_dir() {
                remove_tree(&candidate.path)
            } else {
                fs::remove_file(&candidate.path)
            };
            if removed.is_ok() {
                evicted.entries += 1;
                evicted.bytes += candidate.bytes;
                evicted.left = evicted.left.saturating_sub(candidate.bytes);
            }
        }
        self.sweep_locks();
        for path in list(&self.root.join("records")).collect::<Vec<_>>() {
            let step =
                Self::read_json::<Record>(&path).and_then(|record| record.layer).and_then(|layer| layer.step);
            if step.is_some_and(|step| !self.step_folder(&step).is_dir()) {
                let _ = fs::remove_file(path);
            }
        }
        Ok(evicted)
    }

    /// Removes the files of locks that nobody has had for a day.
    fn sweep_locks(&self) {
        for path in list(&self.root.join("locks")) {
            let idle = used(&path).elapsed().is_ok_and(|age| age > Duration::from_hours(24));
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| idle) else {
                continue;
            };
            if let Ok(Some(_held)) = self.try_lock(name) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// What the images of this machine are made of.
    fn in_images(&self) -> HashSet<PathBuf> {
        let mut kept = HashSet::new();
        let named = self.images().into_iter().flat_map(|mut image| {
            let variants = std::mem::take(&mut image.variants);
            variants.into_iter().chain([image])
        });
        for image in named {
            kept.insert(self.blobs.path(&image.config));
            for layer in image.layers {
                kept.extend(layer.step.map(|step| self.step_folder(&step)));
                kept.extend(layer.blob.map(|blob| self.blobs.path(&blob.digest)));
                kept.insert(self.path("layers", layer.diff_id.hex()));
            }
        }
        kept
    }
}

fn list(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn used(path: &Path) -> SystemTime {
    fs::symlink_metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The bytes on the disk of everything at a path.
pub(crate) fn size(path: &Path) -> u64 {
    let mut waiting = vec![path.to_owned()];
    let mut bytes = 0;
    while let Some(path) = waiting.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        bytes += meta.blocks() * 512;
        if meta.is_dir() {
            waiting.extend(list(&path));
        }
    }
    bytes
}
