//! What is known of a step that was carried out.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_kernel::{Digest, Timestamp};
use windlass_oci::Descriptor;

use super::Store;
use crate::BuildError;
use crate::key::Key;

/// A step's outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The layer that it left; none when it changed nothing.
    pub(crate) layer: Option<StepLayer>,
    /// When it was carried out.
    pub(crate) created: Timestamp,
}

/// A layer that a step left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepLayer {
    /// The digest of its tar.
    pub(crate) diff_id: Digest,
    /// The size of its tar in bytes.
    pub(crate) size: u64,
    /// The folder in `steps` where it is laid out; none when it came from elsewhere as a blob.
    pub(crate) step: Option<String>,
    /// The blob that it came as.
    pub(crate) blob: Option<Descriptor>,
    /// The image that has that blob.
    pub(crate) image: Option<String>,
}

impl Store {
    fn record_path(&self, key: Key) -> PathBuf {
        self.path("records", &format!("{}.json", key.hex()))
    }

    /// Where a step's layer is laid out.
    pub(crate) fn step_folder(&self, name: &str) -> PathBuf {
        self.path("steps", name)
    }

    /// What is known of a step, if its layer can still be had.
    pub(crate) fn record(&self, key: Key) -> Option<Record> {
        let path = self.record_path(key);
        let record: Record = Self::read_json(&path)?;
        if let Some(StepLayer { step: Some(step), .. }) = &record.layer
            && !self.step_folder(step).is_dir()
        {
            return None;
        }
        used(&path);
        Some(record)
    }

    /// The digest of a selection of files that cannot change, if it was reckoned out before.
    pub(crate) fn noted(&self, of: Key) -> Option<[u8; 32]> {
        let path = self.path("records", &format!("{}.files", of.hex()));
        let digest = std::fs::read(&path).ok()?.try_into().ok()?;
        used(&path);
        Some(digest)
    }

    /// Notes such a digest. Only speed is lost when that fails.
    pub(crate) fn note(&self, of: Key, digest: [u8; 32]) {
        let new = self.fresh("note");
        let path = self.path("records", &format!("{}.files", of.hex()));
        let _ = std::fs::write(&new, digest).and_then(|()| std::fs::rename(&new, path));
    }

    /// Forgets a step: it is done again.
    pub(crate) fn forget(&self, key: Key) {
        let _ = std::fs::remove_file(self.record_path(key));
    }

    /// Keeps what a step left.
    pub(crate) fn keep_record(&self, key: Key, record: &Record) -> Result<(), BuildError> {
        self.write_json(&self.record_path(key), record)
    }
}

/// Notes that a file was used now: what was not for longest is removed first.
pub(super) fn used(path: &Path) {
    use nix::sys::stat::{UtimensatFlags, utimensat};
    use nix::sys::time::TimeSpec;
    let now = TimeSpec::UTIME_NOW;
    let _ = utimensat(nix::fcntl::AT_FDCWD, path, &now, &now, UtimensatFlags::FollowSymlink);
}
