//! Trees of files that a build reads: a folder of the machine, an image's layers laid over each other, or nothing.
//! Paths are relative to the tree's root, without `.` and `..`; the empty path is the root. No call follows a link:
//! that is done by [`follow`], which never leaves the tree.

mod attributes;
mod local;
mod stack;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

pub(crate) use attributes::{
    get as attribute, of as attributes, of_open as attributes_of, set as set_attribute,
};
pub(crate) use local::{Ignored, Local, read_small};
pub(crate) use stack::{OPAQUE, OWNER, Stack, is_whiteout, meant};

/// How many links are followed before a path counts as a circle (`path_resolution(7)` has the same number).
const MOST_LINKS: usize = 40;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Link(OsString),
    Fifo,
    Socket,
    Device,
}

/// What is known of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Permission bits, at most `0o7777`.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// Seconds and nanoseconds since the epoch.
    pub(crate) modified: (i64, i64),
    /// Device and inode, where the file has more than one name.
    pub(crate) linked: Option<(u64, u64)>,
}

/// An extended attribute.
pub(crate) type Attribute = (OsString, Vec<u8>);

/// A tree of files.
pub(crate) trait Tree: Send + Sync {
    /// What stands at a path, if anything.
    fn node(&self, path: &Path) -> io::Result<Option<Node>>;
    /// The names in a folder, in order.
    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>>;
    /// Opens a file.
    fn open(&self, file: &Path) -> io::Result<File>;
    /// The extended attributes that belong into an image.
    fn attributes(&self, path: &Path) -> io::Result<Vec<Attribute>>;
    /// The digest of a file's bytes.
    fn digest(&self, file: &Path, node: &Node) -> io::Result<[u8; 32]>;
}

/// A tree without anything.
pub(crate) struct Nothing;

impl Tree for Nothing {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        Ok(path.as_os_str().is_empty().then(Node::folder))
    }

    fn names(&self, _: &Path) -> io::Result<Vec<OsString>> {
        Ok(Vec::new())
    }

    fn open(&self, _: &Path) -> io::Result<File> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn attributes(&self, _: &Path) -> io::Result<Vec<Attribute>> {
        Ok(Vec::new())
    }

    fn digest(&self, _: &Path, _: &Node) -> io::Result<[u8; 32]> {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl Node {
    /// An ordinary folder of root's.
    pub(crate) fn folder() -> Self {
        Self { kind: Kind::Folder, mode: 0o755, uid: 0, gid: 0, size: 0, modified: (0, 0), linked: None }
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    /// From what the file system says; `target` reads a link.
    pub(crate) fn of(meta: &Metadata, target: impl FnOnce() -> io::Result<OsString>) -> io::Result<Self> {
        let kind = meta.file_type();
        let kind = if kind.is_dir() {
            Kind::Folder
        } else if kind.is_file() {
            Kind::File
        } else if kind.is_symlink() {
            Kind::Link(target()?)
        } else if kind.is_fifo() {
            Kind::Fifo
        } else if kind.is_socket() {
            Kind::Socket
        } else {
            Kind::Device
        };
        let linked = (kind == Kind::File && meta.nlink() > 1).then(|| (meta.dev(), meta.ino()));
        Ok(Self {
            kind,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            linked,
        })
    }
}

/// A path below a tree's root, as it is written in an image: absolute or not, with `.` and `..`, which stops at the root.
pub(crate) fn relative(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// Where a path leads when all links are followed, within the tree: an absolute link begins at its root, and nothing
/// climbs out of it. What is missing stays as it is named.
pub(crate) fn follow(tree: &dyn Tree, path: &Path) -> io::Result<PathBuf> {
    let mut rest: VecDeque<OsString> = path.components().filter_map(part).collect();
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        match tree.node(&next)? {
            Some(Node { kind: Kind::Link(target), .. }) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(io::Error::other(format!("`{}` leads in a circle of links", path.display())));
                }
                let target = Path::new(&target);
                if target.is_absolute() {
                    at = PathBuf::new();
                }
                for (number, name) in target.components().filter_map(part).enumerate() {
                    rest.insert(number, name);
                }
            }
            _ => at = next,
        }
    }
    Ok(at)
}

fn part(component: Component<'_>) -> Option<OsString> {
    match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        _ => None,
    }
}

/// Walks a tree from `path` on, folders before what is in them, names in order. `visit` says whether to go into a folder.
pub(crate) fn walk(
    tree: &dyn Tree,
    path: &Path,
    visit: &mut dyn FnMut(&Path, &Node) -> io::Result<bool>,
) -> io::Result<()> {
    let Some(node) = tree.node(path)? else { return Ok(()) };
    // A list instead of calls within calls: a hostile tree may be as deep as it likes.
    let mut waiting = vec![(path.to_owned(), node)];
    while let Some((path, node)) = waiting.pop() {
        if visit(&path, &node)? && node.is_folder() {
            for name in tree.names(&path)?.into_iter().rev() {
                let child = path.join(name);
                if let Some(node) = tree.node(&child)? {
                    waiting.push((child, node));
                }
            }
        }
    }
    Ok(())
}
