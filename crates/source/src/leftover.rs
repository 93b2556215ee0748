//! What git processes that were killed leave in a repository: lock files, which would refuse every later push to the
//! same branch, and quarantined objects of pushes that never came to their end.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use windlass_kernel::Timestamp;

/// Deeper than branches' names go.
const DEEPEST: usize = 64;

/// The folders that processes of this machine work in, as far as we may see. A git process that serves a push works in
/// the repository's own folder.
pub(crate) fn working_folders() -> BTreeSet<PathBuf> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok()).collect()
}

/// Removes what is left in a repository in which no process works and what is older than `before`; gives what was
/// removed. None for `before`: of whatever age, which is right only when no push can begin meanwhile.
pub(crate) fn clear(repository: &Path, busy: &BTreeSet<PathBuf>, before: Option<Timestamp>) -> Vec<PathBuf> {
    if busy.iter().any(|folder| folder.starts_with(repository)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut report = |e: io::Error| {
        if e.kind() != io::ErrorKind::NotFound {
            tracing::warn!(repository = %repository.display(), error = %e, "cannot look for what killed git processes left");
        }
    };
    if let Err(e) = locks(repository, 0, &mut found) {
        report(e);
    }
    for entry in std::fs::read_dir(repository.join("objects")).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("tmp_objdir-incoming-") {
            found.push(entry.path());
        }
    }
    let old = |path: &Path| {
        let changed = std::fs::symlink_metadata(path).map(|data| data.mtime().saturating_mul(1000));
        before.is_none_or(|before| changed.is_ok_and(|at| Timestamp::from_millis(at) < before))
    };
    found.retain(|path| {
        if !old(path) {
            return false;
        }
        let gone = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        gone.map_err(&mut report).is_ok()
    });
    found
}

/// The lock files below `folder`, but not among the objects.
fn locks(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // The kind of the entry itself: links are not followed.
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEEPEST && !(depth == 0 && name == "objects") {
            locks(&entry.path(), depth + 1, found)?;
        } else if kind.is_file() && Path::new(&name).extension().is_some_and(|end| end == "lock") {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_and_quarantines_go_when_nobody_works_there() {
        let temp = tempfile::tempdir().unwrap();
        let repository = temp.path().join("a.git");
        for file in ["refs/heads/main.lock", "packed-refs.lock", "objects/tmp_objdir-incoming-x/pack/p"] {
            let path = repository.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        for file in ["refs/heads/main", "refs/heads/padlock", "objects/pack/p.lock"] {
            let path = repository.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let busy = BTreeSet::from([repository.join("objects")]);
        assert!(clear(&repository, &busy, None).is_empty(), "somebody works there");
        let other = BTreeSet::from([temp.path().join("a.git.other"), PathBuf::from("/")]);
        let long_ago = Timestamp::from_millis(1_000_000_000_000);
        assert!(clear(&repository, &other, Some(long_ago)).is_empty(), "all is younger");
        assert_eq!(clear(&repository, &other, None).len(), 3);
        assert!(clear(&repository, &other, None).is_empty());
        for file in ["refs/heads/main", "refs/heads/padlock", "objects/pack/p.lock"] {
            assert!(repository.join(file).exists(), "{file}");
        }
    }

    #[test]
    fn our_own_folder_is_among_those_that_are_worked_in() {
        assert!(working_folders().contains(&std::env::current_dir().unwrap()));
    }
}
