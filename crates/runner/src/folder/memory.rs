//! A job's folder in memory, for what is small and lives as long as a step: making six files a step on a disk takes
//! longer than starting its shell. It belongs to the job's folder on the disk, whose path gives it its name, and it goes
//! with that.

use std::fs::{DirBuilder, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use windlass_kernel::Digest;

use super::{JobFolder, open_up, private};

/// Where folders in memory are.
const MEMORY: &str = "/dev/shm";
/// How their names begin.
const PREFIX: &str = "windlass-job-";
/// What the job sees of it; beside it stands whose it is.
const SEEN: &str = "small";
const OWNER: &str = "folder";

impl JobFolder {
    fn in_memory(&self) -> PathBuf {
        let digest = Digest::sha256(self.path.as_os_str().as_encoded_bytes()).to_string();
        let name = digest.rsplit(':').next().and_then(|hex| hex.get(..24)).unwrap_or_default().to_owned();
        Path::new(MEMORY).join(format!("{PREFIX}{name}"))
    }

    /// Makes the folder in memory, empty. An error leaves nothing: the job then has its small files on the disk.
    pub(crate) fn make_small(&self) -> io::Result<()> {
        self.remove_small()?;
        let root = self.in_memory();
        // It must be new: in a folder that everybody may write to, somebody else may have been first.
        DirBuilder::new().mode(0o700).create(&root)?;
        private(&root.join(OWNER))?.write_all(self.path.as_os_str().as_encoded_bytes())?;
        DirBuilder::new().mode(0o700).create(root.join(SEEN))
    }

    /// The folder in memory, if it was made.
    pub(crate) fn small(&self) -> Option<PathBuf> {
        let root = self.in_memory();
        let meta = std::fs::symlink_metadata(&root).ok()?;
        let seen = root.join(SEEN);
        (is_own(&meta) && seen.is_dir()).then(|| std::fs::canonicalize(seen).ok()).flatten()
    }

    /// Removes the folder in memory, if it is there.
    pub(crate) fn remove_small(&self) -> io::Result<()> {
        remove(&self.in_memory())
    }
}

/// Removes the folders in memory whose jobs' folders are gone: whoever made them was killed, and so was who would have
/// removed them.
pub(crate) fn sweep() {
    for entry in std::fs::read_dir(MEMORY).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let owner = std::fs::read_to_string(entry.path().join(OWNER)).unwrap_or_default();
        if owner.starts_with('/') && !Path::new(&owner).exists() {
            let _ = remove(&entry.path());
        }
    }
}

fn is_own(meta: &Metadata) -> bool {
    meta.is_dir() && meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o777 == 0o700
}

fn remove(root: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(root) {
        Ok(meta) if is_own(&meta) => {
            if std::fs::remove_dir_all(root).is_err() {
                open_up(root);
                std::fs::remove_dir_all(root)?;
            }
            Ok(())
        }
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("`{}` is not a folder of ours", root.display()),
        )),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn it_is_private_new_and_goes_with_the_jobs_folder() {
        if !Path::new(MEMORY).is_dir() {
            return windlass_testkit::skip("a folder in memory", "there is no /dev/shm here");
        }
        let dir = tempfile::tempdir().unwrap();
        let folder = JobFolder::at(&dir.path().join("job_1-1"));
        folder.create().unwrap();
        assert_eq!(folder.small(), None);
        folder.make_small().unwrap();
        let small = folder.small().unwrap();
        assert_eq!(folder.in_memory().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(small.join("script"), "secret").unwrap();
        std::fs::create_dir(small.join("shut")).unwrap();
        std::fs::write(small.join("shut/file"), "").unwrap();
        std::fs::set_permissions(small.join("shut"), std::fs::Permissions::from_mode(0o0)).unwrap();
        folder.make_small().unwrap();
        assert_eq!(std::fs::read_dir(&small).unwrap().count(), 0, "a new one is empty");
        std::fs::write(small.join("script"), "secret").unwrap();
        sweep();
        assert!(small.exists(), "its job's folder is there");
        folder.remove().unwrap();
        assert!(!folder.in_memory().exists());

        folder.create().unwrap();
        folder.make_small().unwrap();
        std::fs::remove_dir_all(folder.path()).unwrap();
        sweep();
        assert!(!folder.in_memory().exists(), "nobody else would remove it");

        symlink(dir.path(), folder.in_memory()).unwrap();
        assert!(folder.make_small().is_err(), "somebody else was first");
        assert_eq!(folder.small(), None);
        assert!(dir.path().exists());
        std::fs::remove_file(folder.in_memory()).unwrap();
    }
}
