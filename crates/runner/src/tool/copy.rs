//! A working tree's files as they are, uncommitted changes included, into a job's workspace. The tree is only read.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::{Report, at};

/// A working tree to be copied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Copying {
    /// The tree.
    pub(crate) from: PathBuf,
    /// Where its files are wanted.
    pub(crate) to: PathBuf,
    /// Whether what is in the way there goes: all but what `spared` says.
    pub(crate) clean: bool,
    /// Whether files that the repository ignores stay although it is cleaned.
    pub(crate) spare_ignored: bool,
    /// Whether the trees of submodules come along.
    pub(crate) submodules: bool,
}

/// The most folders within each other.
const DEEPEST: usize = 200;

impl Copying {
    /// Copies. Notes say what was left out.
    pub(super) fn run(&self) -> Result<Report, String> {
        let mut report = Report::default();
        fs::create_dir_all(&self.to).map_err(at(&self.to))?;
        let files = match listed(&self.from)? {
            Some(files) => files,
            None => {
                report
                    .notes
                    .push(format!("{} is no Git repository: all its files are copied", self.from.display()));
                walked(&self.from)?
            }
        };
        if self.clean {
            self.clean(&files)?;
        }
        let mut made = BTreeSet::new();
        for file in &files {
            self.copy(file, &mut made, &mut report)?;
        }
        Ok(report)
    }

    /// Removes what does not belong to the tree. The repository's own folder stays.
    fn clean(&self, files: &BTreeSet<PathBuf>) -> Result<(), String> {
        let folders: BTreeSet<&Path> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
        let ignored = if self.spare_ignored { ignored(&self.to) } else { BTreeSet::new() };
        let mut waiting = vec![PathBuf::new()];
        while let Some(folder) = waiting.pop() {
            let here = self.to.join(&folder);
            for entry in fs::read_dir(&here).map_err(at(&here))?.flatten() {
                let path = folder.join(entry.file_name());
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if path == Path::new(".git") || files.contains(&path) || ignored.contains(&path) {
                    continue;
                }
                if is_dir && folders.contains(path.as_path()) {
                    waiting.push(path);
                } else if is_dir {
                    fs::remove_dir_all(entry.path()).map_err(at(&entry.path()))?;
                } else {
                    fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
                }
            }
        }
        Ok(())
    }

    fn copy(&self, file: &Path, made: &mut BTreeSet<PathBuf>, report: &mut Report) -> Result<(), String> {
        let (from, to) = (self.from.join(file), self.to.join(file));
        let kind = match fs::symlink_metadata(&from) {
            Ok(meta) => meta,
            // Deleted, and the deletion is not committed.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            Err(e) => return Err(at(&from)(e)),
        };
        if let Some(parent) = to.parent()
            && !made.contains(parent)
        {
            make(&self.to, parent)?;
            made.insert(parent.to_owned());
        }
        if kind.is_dir() {
            return self.submodule(file, report);
        }
        if fs::symlink_metadata(&to).is_ok_and(|there| there.is_dir()) {
            fs::remove_dir_all(&to).map_err(at(&to))?;
        }
        if kind.is_symlink() {
            let target = fs::read_link(&from).map_err(at(&from))?;
            if fs::read_link(&to).ok().as_ref() == Some(&target) {
                return Ok(());
            }
            let _ = fs::remove_file(&to);
            std::os::unix::fs::symlink(&target, &to).map_err(at(&to))?;
        } else if kind.is_file() {
            if same(&kind, &to) {
                return Ok(());
            }
            // A link in the way is replaced, never followed.
            let _ = fs::remove_file(&to);
            report.bytes += fs::copy(&from, &to).map_err(at(&from))?;
            if let (Ok(time), Ok(there)) = (kind.modified(), fs::File::options().append(true).open(&to)) {
                let _ = there.set_modified(time);
            }
        } else {
            report.notes.push(format!("{} is neither a file, a folder nor a link: left out", file.display()));
            return Ok(());
        }
        report.files += 1;
        Ok(())
    }

    fn submodule(&self, folder: &Path, report: &mut Report) -> Result<(), String> {
        let inner =
            Self { from: self.from.join(folder), to: self.to.join(folder), clean: false, ..self.clone() };
        fs::create_dir_all(&inner.to).map_err(at(&inner.to))?;
        if !self.submodules || !inner.from.join(".git").exists() {
            return Ok(());
        }
        let copied = inner.run()?;
        report.files += copied.files;
        report.bytes += copied.bytes;
        report.notes.extend(copied.notes);
        Ok(())
    }
}

/// Whether a file of this size and time is there already.
fn same(meta: &fs::Metadata, to: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::symlink_metadata(to).is_ok_and(|there| {
        there.is_file()
            && there.len() == meta.len()
            && there.permissions().mode() == meta.permissions().mode()
            && there.modified().ok() == meta.modified().ok()
    })
}

/// Makes a folder below `root`; what stands in its way, a link included, goes.
fn make(root: &Path, folder: &Path) -> Result<(), String> {
    let relative = folder.strip_prefix(root).unwrap_or(Path::new(""));
    let mut here = root.to_owned();
    for part in relative.components() {
        here.push(part);
        match fs::symlink_metadata(&here) {
            Ok(there) if there.is_dir() => continue,
            Ok(_) => fs::remove_file(&here).map_err(at(&here))?,
            Err(_) => {}
        }
        fs::create_dir(&here).map_err(at(&here))?;
    }
    Ok(())
}

fn git(folder: &Path, args: &[&str]) -> Result<Option<Vec<u8>>, String> {
    let done = Command::new("git")
        .args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C"])
        .arg(folder)
        .args(args)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .output();
    match done {
        Ok(done) if done.status.success() => Ok(Some(done.stdout)),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("git: {e}")),
    }
}

fn paths(list: &[u8]) -> BTreeSet<PathBuf> {
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let paths = names.map(|name| {
        let name = name.strip_suffix(b"/").unwrap_or(name);
        PathBuf::from(std::ffi::OsStr::from_bytes(name))
    });
    paths.filter(|path| path.components().all(|part| matches!(part, Component::Normal(_)))).collect()
}

/// What Git knows, and what it does not ignore; none where there is no repository.
fn listed(tree: &Path) -> Result<Option<BTreeSet<PathBuf>>, String> {
    if !tree.join(".git").exists() {
        return Ok(None);
    }
    let listed = git(tree, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let listed = listed.ok_or_else(|| format!("{}: `git ls-files` failed", tree.display()))?;
    Ok(Some(paths(&listed)))
}

/// What the repository at `tree` ignores: whole folders where it can.
fn ignored(tree: &Path) -> BTreeSet<PathBuf> {
    let args = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
    paths(&git(tree, &args).ok().flatten().unwrap_or_default())
}

/// All files and links below a folder.
fn walked(tree: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut files = BTreeSet::new();
    let mut waiting = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let here = tree.join(&folder);
        if depth > DEEPEST {
            return Err(format!("{}: more than {DEEPEST} folders within each other", here.display()));
        }
        for entry in fs::read_dir(&here).map_err(at(&here))?.flatten() {
            let path = folder.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push((path, depth + 1));
            } else {
                files.insert(path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn copying(from: &Path, to: &Path) -> Copying {
        let (from, to) = (from.to_owned(), to.to_owned());
        Copying { from, to, clean: true, spare_ignored: false, submodules: false }
    }

    #[test]
    fn the_tree_comes_as_it_is_and_stays_as_it_is() {
        if Command::new("git").arg("--version").output().is_err() {
            return windlass_testkit::skip("copying a working tree", "there is no git");
        }
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        write(&from, "kept", "1");
        write(&from, "deleted", "1");
        write(&from, "dir/changed", "1");
        write(&from, ".gitignore", "target/\n");
        std::os::unix::fs::symlink("kept", from.join("link")).unwrap();
        for args in [
            &["init", "-q"][..],
            &["add", "."],
            &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
        ] {
            git(&from, args).unwrap().unwrap();
        }
        fs::remove_file(from.join("deleted")).unwrap();
        write(&from, "dir/changed", "two");
        write(&from, "fresh", "new");
        write(&from, "target/out", "built");
        write(&to, "stale/file", "old");
        write(&to, "target/kept", "built before");
        std::os::unix::fs::symlink(temp.path().join("elsewhere"), to.join("dir")).unwrap();

        let report = copying(&from, &to).run().unwrap();
        assert_eq!(report.files, 5, "{report:?}");
        assert_eq!(fs::read_to_string(to.join("dir/changed")).unwrap(), "two");
        assert_eq!(fs::read_to_string(to.join("fresh")).unwrap(), "new");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("kept"));
        for gone in ["deleted", "stale", "target", "elsewhere"] {
            assert!(!to.join(gone).exists(), "{gone}");
        }
        assert!(!temp.path().join("elsewhere").exists(), "a link led out");

        // Again: only what changed is copied, and what is ignored stays if it is spared.
        git(&to, &["init", "-q"]).unwrap();
        write(&to, "target/kept", "built before");
        write(&to, "stray", "x");
        write(&from, "fresh", "newer");
        let again = Copying { spare_ignored: true, ..copying(&from, &to) }.run().unwrap();
        assert_eq!(again.files, 1, "{again:?}");
        assert_eq!(fs::read_to_string(to.join("fresh")).unwrap(), "newer");
        assert!(to.join("target/kept").exists() && !to.join("stray").exists());
    }

    #[test]
    fn a_folder_without_git_comes_whole() {
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        write(&from, "a/b/c", "1");
        let report = copying(&from, &to).run().unwrap();
        assert_eq!(report.files, 1);
        assert!(report.notes[0].contains("no Git repository"), "{report:?}");
        assert!(to.join("a/b/c").is_file());
    }
}
