//! Puts what was gathered into a layer.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Entry, Gathered, ModeChange, Selected, TransferError, at};
use crate::tree::{Kind, Node, Tree, follow, relative};
use crate::writer::Writer;

/// Where to, and as what.
pub(crate) struct Placement<'a> {
    /// The destination: absolute; a folder when it ends with `/`.
    pub(crate) destination: &'a str,
    /// `--chown`.
    pub(crate) owner: Option<(u32, u32)>,
    /// `--chmod`.
    pub(crate) mode: Option<&'a ModeChange>,
    /// `--parents`.
    pub(crate) parents: bool,
    /// Whether the tree may change while it is read: then every file's bytes are checked.
    pub(crate) unsure: bool,
}

/// Puts all that was gathered from `tree` to its places.
pub(crate) fn place(
    writer: &mut Writer,
    tree: &dyn Tree,
    gathered: &Gathered,
    placement: &Placement<'_>,
) -> Result<(), TransferError> {
    let mut placing = Placing { writer, tree, placement, linked: HashMap::new() };
    let mut entries = gathered.entries.as_slice();
    for (number, selected) in gathered.selected.iter().enumerate() {
        let end = entries.partition_point(|entry| entry.of <= number);
        let (own, rest) = entries.split_at(end);
        entries = rest;
        if !own.is_empty() {
            placing.one(selected, own)?;
        }
    }
    Ok(())
}

struct Placing<'a> {
    writer: &'a mut Writer,
    tree: &'a dyn Tree,
    placement: &'a Placement<'a>,
    linked: HashMap<(u64, u64), PathBuf>,
}

impl Placing<'_> {
    fn owner(&self) -> (u32, u32) {
        self.placement.owner.unwrap_or((0, 0))
    }

    fn one(&mut self, selected: &Selected, entries: &[Entry]) -> Result<(), TransferError> {
        let start = self.start(selected, entries)?;
        for entry in entries {
            let target =
                if entry.inner.as_os_str().is_empty() { start.clone() } else { start.join(&entry.inner) };
            self.entry(entry, &target).map_err(|error| match error {
                Stop::Io(source) => at(&target)(source),
                Stop::Said(error) => error,
            })?;
        }
        Ok(())
    }

    /// Where the first entry goes: the destination itself, or below it under its own name.
    fn start(&mut self, selected: &Selected, entries: &[Entry]) -> Result<PathBuf, TransferError> {
        let destination = self.placement.destination;
        let named = relative(Path::new(destination));
        let wrong = at(&named);
        let is_folder =
            entries.first().is_some_and(|entry| entry.inner.as_os_str().is_empty() && entry.node.is_folder());
        let outcome = (|| {
            let ensured = if destination.ends_with('/') {
                named.clone()
            } else {
                named.parent().unwrap_or(Path::new("")).to_owned()
            };
            let ensured = follow(self.writer, &ensured)?;
            self.writer.folders(&ensured, 0o755, self.owner())?;
            let mut target = follow(self.writer, &named)?;
            if self.placement.parents {
                target = self.keep(target, selected)?;
                target.push(selected.named.file_name().unwrap_or_default());
                return Ok(target);
            }
            let standing = self.writer.node(&target)?;
            if !is_folder && standing.as_ref().is_some_and(Node::is_folder) {
                target.push(selected.named.file_name().unwrap_or_default());
            }
            let parent = target.parent().unwrap_or(Path::new("")).to_owned();
            self.writer.folders(&parent, 0o755, self.owner())?;
            Ok(target)
        })();
        outcome.map_err(wrong)
    }

    /// Makes the folders that `--parents` keeps, like those of the source.
    fn keep(&mut self, mut target: PathBuf, selected: &Selected) -> io::Result<PathBuf> {
        let mut source = selected.named.clone();
        for _ in 0..=selected.kept.components().count() {
            source.pop();
        }
        for name in &selected.kept {
            target.push(name);
            source.push(name);
            let real = follow(self.tree, &source)?;
            let like = self.tree.node(&real)?.unwrap_or_else(Node::folder);
            if self.writer.node(&target)?.is_none() {
                let node = self.settled(&like);
                self.writer.folder(&target, &node, &[])?;
            }
            self.writer.folders(&target, 0o755, self.owner())?;
        }
        Ok(target)
    }

    /// The node as it will be: with the owner and mode that were asked for.
    fn settled(&self, node: &Node) -> Node {
        let mut node = node.clone();
        if let Some(owner) = self.placement.owner {
            (node.uid, node.gid) = owner;
        }
        if let Some(mode) = self.placement.mode
            && !matches!(node.kind, Kind::Link(_))
        {
            node.mode = mode.apply(node.mode, node.is_folder());
        }
        node
    }

    fn entry(&mut self, entry: &Entry, target: &Path) -> Result<(), Stop> {
        let node = self.settled(&entry.node);
        let standing = self.writer.node(target)?;
        if !entry.inner.as_os_str().is_empty()
            && let Some(parent) = target.parent()
        {
            // It is missing when it was left out, and this was not.
            self.writer.folders(parent, 0o755, self.owner())?;
        }
        if node.is_folder() {
            return match standing {
                Some(standing) if !standing.is_folder() => {
                    refuse(format!("cannot copy to non-directory: /{}", target.display()))
                }
                // What is in the folder was asked for, not the folder.
                Some(_) if entry.inner.as_os_str().is_empty() => {
                    Ok(self.writer.folders(target, 0o755, self.owner()).map(drop)?)
                }
                // A new destination is a folder like any other, whatever the source is like: only what is in that counts.
                None if entry.inner.as_os_str().is_empty() && !self.placement.parents => {
                    let (uid, gid) = self.owner();
                    let node = Node { uid, gid, modified: node.modified, ..Node::folder() };
                    Ok(self.writer.folder(target, &node, &[])?)
                }
                _ => Ok(self.writer.folder(target, &node, &entry.attributes)?),
            };
        }
        if standing.is_some_and(|standing| standing.is_folder()) {
            return refuse(format!("cannot replace to directory /{} with file", target.display()));
        }
        match node.kind {
            Kind::File => self.file(entry, &node, target),
            Kind::Link(_) | Kind::Fifo => Ok(self.writer.other(target, &node)?),
            // A socket is nothing without its program.
            Kind::Socket => Ok(()),
            _ => refuse(format!("/{} is a device, which cannot be copied", entry.path.display())),
        }
    }

    fn file(&mut self, entry: &Entry, node: &Node, target: &Path) -> Result<(), Stop> {
        if let Some(id) = node.linked {
            if let Some(first) = self.linked.get(&id) {
                return Ok(self.writer.hard_link(first, target)?);
            }
            self.linked.insert(id, target.to_owned());
        }
        let mut source = self.tree.open(&entry.path)?;
        let expected = self.placement.unsure.then_some(&entry.digest);
        self.writer.file(target, node, &entry.attributes, &mut |out| match expected {
            Some(expected) => checked(&mut source, out, entry.node.size, expected),
            None => io::copy(&mut source, &mut &*out).map(drop),
        })?;
        Ok(())
    }
}

enum Stop {
    Io(io::Error),
    Said(TransferError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn refuse<T>(why: String) -> Result<T, Stop> {
    Err(Stop::Said(TransferError::Refused(why)))
}

/// Copies a file that must still be what it was when it was hashed.
pub(crate) fn checked(source: &mut File, mut out: &File, size: u64, expected: &[u8; 32]) -> io::Result<()> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).clamp(1, 256 << 10)];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                out.write_all(&buffer[..n])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let found: [u8; 32] = hasher.finalize().into();
    if found == *expected {
        return Ok(());
    }
    Err(io::Error::other("the file changed while it was read: build again when nothing writes to it"))
}
