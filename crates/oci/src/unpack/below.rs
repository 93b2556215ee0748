//! A folder that nothing leaves: every path is walked component by component from its handle, and a link on the
//! way is an error, never followed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::layer::Refusal;

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The folder, with the last parent that was walked to.
#[derive(Debug)]
pub(super) struct Below {
    root: OwnedFd,
    last: Option<(Vec<u8>, OwnedFd)>,
}

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Nothing,
    Folder,
    File,
    Other,
}

/// A path without empty and `.` components; refused when it climbs. Empty for the root itself.
pub(super) fn clean(raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut path = Vec::with_capacity(raw.len());
    for component in raw.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        if component == b".." || component.contains(&0) {
            return Err(Refusal::Hostile { path: raw.to_vec(), why: "climbs out of the layer" });
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    Ok(path)
}

/// The parent's path and the last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &OsStr) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], OsStr::from_bytes(&path[at + 1..])),
        None => (b"", OsStr::from_bytes(path)),
    }
}

impl Below {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let root = nix::fcntl::open(folder, FOLDER, Mode::empty())?;
        Ok(Self { root, last: None })
    }

    /// A handle of the folder at a clean path; missing folders are made when `make` says so.
    pub(super) fn folder(&mut self, path: &[u8], make: bool) -> Result<BorrowedFd<'_>, Refusal> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        if self.last.as_ref().is_none_or(|(known, _)| known != path) {
            let mut at = self.root.try_clone()?;
            for component in path.split(|b| *b == b'/') {
                at = step(&at, OsStr::from_bytes(component), make).map_err(|e| on_the_way(e, path))?;
            }
            self.last = Some((path.to_vec(), at));
        }
        Ok(self.last.as_ref().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd()))
    }

    /// Forgets the last parent: something on the way to it may have been replaced.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

fn step(at: &OwnedFd, name: &OsStr, make: bool) -> nix::Result<OwnedFd> {
    match openat(at, name, FOLDER, Mode::empty()) {
        Err(Errno::ENOENT) if make => {
            mkdirat(at, name, Mode::from_bits_truncate(0o755))?;
            openat(at, name, FOLDER, Mode::empty())
        }
        other => other,
    }
}

fn on_the_way(error: Errno, path: &[u8]) -> Refusal {
    match error {
        Errno::ELOOP | Errno::ENOTDIR => {
            Refusal::Hostile { path: path.to_vec(), why: "leads through a link or a file" }
        }
        Errno::ENOENT => Refusal::Hostile { path: path.to_vec(), why: "is not in the layer" },
        other => Refusal::Io(other.into()),
    }
}

/// What stands at `name` in `folder`; a link is not followed.
pub(super) fn standing(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Standing, Refusal> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFDIR => Standing::Folder,
            SFlag::S_IFREG => Standing::File,
            _ => Standing::Other,
        }),
        Err(Errno::ENOENT) => Ok(Standing::Nothing),
        Err(e) => Err(Refusal::Io(e.into())),
    }
}

/// Makes room for a new entry: a later one replaces an earlier one, but never a folder with something in it.
pub(super) fn clear(folder: BorrowedFd<'_>, name: &OsStr) -> Result<(), Refusal> {
    let flag = match standing(folder, name)? {
        Standing::Nothing => return Ok(()),
        Standing::Folder => UnlinkatFlags::RemoveDir,
        Standing::File | Standing::Other => UnlinkatFlags::NoRemoveDir,
    };
    match unlinkat(folder, name, flag) {
        Ok(()) => Ok(()),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => Err(Refusal::Hostile {
            path: name.as_bytes().to_vec(),
            why: "replaces a folder that has something in it",
        }),
        Err(e) => Err(Refusal::Io(e.into())),
    }
}
