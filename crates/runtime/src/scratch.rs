//! A sandbox's own folder: made, locked by its owner, deleted; and what a dead owner left is swept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::RuntimeError;
use crate::cgroup;

/// The variable by which processes of a sandbox of level `process` are known.
pub(crate) const MARK: &str = "WINDLASS_SANDBOX_ID";
const LOCK: &str = "owner.lock";
const GROUPS: &str = "groups";

/// A sandbox's own folder, held by this process.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes and holds it. What is there from before is deleted, unless a living process holds it.
    pub(crate) fn make(dir: &Path) -> Result<Self, RuntimeError> {
        let what = || format!("making the sandbox's folder {}", dir.display());
        fs::create_dir_all(dir).map_err(|error| RuntimeError::io(what(), error))?;
        let dir = fs::canonicalize(dir).map_err(|error| RuntimeError::io(what(), error))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
            .map_err(|error| RuntimeError::io(what(), error))?;
        let lock =
            lock(&dir.join(LOCK)).map_err(|error| RuntimeError::io(what(), error))?.ok_or_else(|| {
                RuntimeError::Invalid(format!("its folder {} belongs to a living sandbox", dir.display()))
            })?;
        for entry in
            fs::read_dir(&dir).map_err(|error| RuntimeError::io(what(), error))?.filter_map(Result::ok)
        {
            if entry.file_name() != LOCK {
                remove_tree(&entry.path()).map_err(|error| RuntimeError::io(what(), error))?;
            }
        }
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is, without links.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Notes control groups, for a sweep after this process has died.
    pub(crate) fn note_groups<'a>(&self, folders: impl Iterator<Item = &'a Path>) -> io::Result<()> {
        let mut text = Vec::new();
        for folder in folders {
            writeln!(text, "{}", folder.display())?;
        }
        if text.is_empty() { Ok(()) } else { fs::write(self.dir.join(GROUPS), text) }
    }

    /// Deletes it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.dir)
    }
}

/// Takes the lock of `path`, for as long as the file is open; `None` when another process has it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
        Ok(_) => Ok(Some(file)),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a process holds the lock of `path`. Asks without taking it.
pub(crate) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut asked = whole_file();
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut asked))?;
    Ok(asked.l_type != libc::F_UNLCK as libc::c_short)
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Removes what sandboxes of dead owners left below `root` (each in a folder of its own there): processes that were
/// only kept together by level `process`, control groups, files. Gives the folders removed. Call it at the start.
pub fn sweep(root: &Path) -> Result<Vec<PathBuf>, RuntimeError> {
    let mut removed = Vec::new();
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(removed),
        Err(error) => return Err(RuntimeError::io(format!("reading {}", root.display()), error)),
    };
    for dir in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let mark = dir.join(LOCK);
        let what = || format!("sweeping {}", dir.display());
        if !mark.is_file() {
            continue;
        }
        let Some(_held) = lock(&mark).map_err(|error| RuntimeError::io(what(), error))? else { continue };
        kill_marked(&dir);
        let groups = fs::read_to_string(dir.join(GROUPS)).unwrap_or_default();
        let folders = || groups.lines().map(Path::new).filter(|folder| is_group(folder));
        cgroup::kill_members(folders());
        cgroup::remove_folders(folders());
        remove_tree(&dir).map_err(|error| RuntimeError::io(what(), error))?;
        removed.push(dir);
    }
    cgroup::remove_abandoned();
    Ok(removed)
}

/// Only folders that Windlass could have made are touched, whatever the note says.
fn is_group(folder: &Path) -> bool {
    let named = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("windlass."));
    named && folder.starts_with("/sys/fs/cgroup") && !folder.components().any(|part| part.as_os_str() == "..")
}

/// Kills processes that carry the mark of the sandbox of this folder.
pub(crate) fn kill_marked(dir: &Path) {
    let mark = format!("{MARK}={}", dir.display());
    for _ in 0..20 {
        let mut found = false;
        for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let Ok(environ) = fs::read(entry.path().join("environ")) else { continue };
            if environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
                found = true;
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if !found {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Deletes a folder with all below it, also folders that refuse their owner. Links are not followed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !meta.is_dir() {
        return gone(fs::remove_file(path));
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            gone(fs::remove_dir_all(path))
        }
        result => gone(result),
    }
}

/// Gives the owner all rights on every folder of a tree.
fn open_up(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)?.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_folder_is_neither_taken_nor_swept() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a");
        let held = Scratch::make(&dir).unwrap();
        assert!(is_locked(&dir.join(LOCK)).unwrap());
        assert!(Scratch::make(&dir).is_err());
        assert!(sweep(root.path()).unwrap().is_empty());
        drop(held);
        assert!(!is_locked(&dir.join(LOCK)).unwrap());
        assert_eq!(sweep(root.path()).unwrap(), std::slice::from_ref(&dir));
        assert!(!dir.exists());
    }

    #[test]
    fn a_folder_that_is_no_sandbox_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("other/things")).unwrap();
        assert!(sweep(root.path()).unwrap().is_empty());
        assert!(root.path().join("other/things").exists());
        assert!(sweep(&root.path().join("missing")).unwrap().is_empty());
    }

    #[test]
    fn closed_folders_are_deleted_and_links_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (tree, outside) = (root.path().join("tree"), root.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir_all(outside.join("kept")).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("a/link")).unwrap();
        fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o0)).unwrap();
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
    }

    #[test]
    fn a_forged_note_reaches_no_other_group() {
        assert!(is_group(Path::new("/sys/fs/cgroup/memory/windlass.x")));
        for path in [
            "/",
            "/sys/fs/cgroup/memory",
            "/tmp/windlass.x",
            "/sys/fs/cgroup/windlass.a/../x",
            "/sys/fs/cgroup/../../windlass.x",
        ] {
            assert!(!is_group(Path::new(path)), "{path}");
        }
    }
}
