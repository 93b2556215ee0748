//! Tool caches (`RUNNER_TOOL_CACHE`) between jobs. A job has the one of its project and ref alone, as long as it runs:
//! what one ref's jobs put there no other ref's find, so a proposed change cannot give a protected branch a compiler.

use std::io;
use std::path::{Path, PathBuf};

use windlass_kernel::{Digest, Timestamp};

use super::used;

/// The tool cache of one project and scope.
#[derive(Clone, Debug)]
pub(crate) struct Toolbox {
    kept: PathBuf,
}

impl Toolbox {
    /// That of a project's scope, below `root`.
    pub(crate) fn of(root: &Path, project: &str, scope: &str) -> Self {
        Self { kept: Self::folder(root, project, scope) }
    }

    /// The folder of a project's scope, below `root`.
    pub(crate) fn folder(root: &Path, project: &str, scope: &str) -> PathBuf {
        let digest = Digest::sha256(format!("{project}\n{scope}").as_bytes());
        root.join(&digest.hex()[..24])
    }

    /// Takes it to where a job sees it, a folder that is empty or not there. False: there is none, or another job has it.
    pub(crate) fn take(&self, into: &Path) -> io::Result<bool> {
        match std::fs::rename(&self.kept, into) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Keeps what a job that has ended left there. Where another job was faster, its own stays.
    pub(crate) fn put(&self, from: &Path, now: Timestamp) -> io::Result<()> {
        // The job may have put anything in the folder's place.
        let is_folder = std::fs::symlink_metadata(from).is_ok_and(|meta| meta.is_dir());
        if !is_folder || std::fs::read_dir(from)?.next().is_none() {
            return Ok(());
        }
        if let Some(root) = self.kept.parent() {
            std::fs::create_dir_all(root)?;
        }
        match std::fs::rename(from, &self.kept) {
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                Ok(())
            }
            Err(e) => Err(e),
            Ok(()) => used(&self.kept, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_at_a_time_has_what_the_one_before_left_and_no_other_scope_does() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tools");
        let now = Timestamp::from_millis(1_800_000_000_000);
        let of = |project: &str, scope: &str| Toolbox::of(&root, project, scope);
        let job = |name: &str| dir.path().join(name);
        for name in ["a", "b", "c", "d"] {
            std::fs::create_dir(job(name)).unwrap();
        }
        assert!(!of("shop", "refs/heads/main").take(&job("a")).unwrap());
        std::fs::create_dir_all(job("a").join("node/22.0.0/x64")).unwrap();
        of("shop", "refs/heads/main").put(&job("a"), now).unwrap();
        for (project, scope) in
            [("shop", "refs/pull/1/merge"), ("shop", "refs/heads/x"), ("other", "refs/heads/main")]
        {
            assert!(!of(project, scope).take(&job("b")).unwrap(), "{project} {scope}");
        }
        assert!(of("shop", "refs/heads/main").take(&job("b")).unwrap());
        assert!(job("b").join("node/22.0.0/x64").is_dir());
        assert!(!of("shop", "refs/heads/main").take(&job("c")).unwrap(), "another job has it");
        std::fs::create_dir(job("c").join("go")).unwrap();
        of("shop", "refs/heads/main").put(&job("c"), now).unwrap();
        of("shop", "refs/heads/main").put(&job("b"), now).unwrap();
        assert!(of("shop", "refs/heads/main").take(&job("d")).unwrap());
        assert!(job("d").join("go").is_dir(), "who was first");
    }

    #[test]
    fn what_is_no_folder_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (root, link) = (dir.path().join("tools"), dir.path().join("link"));
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        let toolbox = Toolbox::of(&root, "p", "s");
        toolbox.put(&link, Timestamp::from_millis(0)).unwrap();
        toolbox.put(&dir.path().join("none"), Timestamp::from_millis(0)).unwrap();
        assert!(!root.exists());
    }
}
