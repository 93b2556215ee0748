//! A new layer's folder, written over the layers below it as overlay would have it: a folder that is there already is
//! taken over with its owner and mode before something new is put into it.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::tree::{self, Attribute, Kind, Node, OWNER, Stack, Tree};

/// Writes a layer.
pub(crate) struct Writer {
    root: PathBuf,
    below: Arc<Stack>,
    /// Folders of which the new layer has its own part.
    ready: HashSet<PathBuf>,
    /// Folders whose times are set at the end: what is put into them changes it.
    times: Vec<(PathBuf, (i64, i64))>,
    owners: Owners,
}

/// What becomes of owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owners {
    /// Files are given away.
    Set,
    /// This user cannot give files away: owners are noted in an attribute.
    Noted,
    /// Everything belongs to whoever writes.
    Left,
}

impl Writer {
    /// A layer in the empty folder `root`, over what lies below it.
    pub(crate) fn new(root: PathBuf, below: Arc<Stack>) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
        let writer = Self {
            root,
            below,
            ready: HashSet::from([PathBuf::new()]),
            times: Vec::new(),
            owners: if nix::unistd::geteuid().is_root() { Owners::Set } else { Owners::Noted },
        };
        if let Some(node) = writer.below.node(Path::new(""))? {
            writer.own(Path::new(""), &node)?;
        }
        Ok(writer)
    }

    /// Writes into an ordinary folder, which is no layer; files belong to whoever writes them.
    pub(crate) fn plain(root: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        let ready = HashSet::from([PathBuf::new()]);
        let below = Arc::new(Stack::new(Vec::new()));
        Ok(Self { root, below, ready, times: Vec::new(), owners: Owners::Left })
    }

    /// A path beside the layer, for what does not belong into it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.root.with_extension(name)
    }

    /// Sees to it that the folder `path` is there, with those above it; new ones get this mode and owner. Gives whether
    /// the last one is new. Links were followed before.
    pub(crate) fn folders(&mut self, path: &Path, mode: u32, owner: (u32, u32)) -> io::Result<bool> {
        if self.ready.contains(path) {
            return Ok(false);
        }
        if let Some(parent) = path.parent() {
            self.folders(parent, 0o755, owner)?;
        }
        let place = self.root.join(path);
        let new = match fs::symlink_metadata(&place) {
            Ok(meta) if meta.is_dir() => false,
            Ok(_) => return Err(not_a_folder(path)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => match self.below.node(path)? {
                Some(node) if node.is_folder() => {
                    fs::create_dir(&place)?;
                    let attributes = self.below.attributes(path)?;
                    self.finish(path, &node, &attributes)?;
                    false
                }
                Some(_) => return Err(not_a_folder(path)),
                None => {
                    fs::create_dir(&place)?;
                    let (uid, gid) = owner;
                    self.own(path, &Node { mode, uid, gid, ..Node::folder() })?;
                    true
                }
            },
            Err(e) => return Err(e),
        };
        self.ready.insert(path.to_owned());
        Ok(new)
    }

    /// Makes a folder with everything that is known of it, or gives one that is there these properties.
    pub(crate) fn folder(&mut self, path: &Path, node: &Node, attributes: &[Attribute]) -> io::Result<()> {
        self.folders(path, node.mode, (node.uid, node.gid))?;
        self.finish(path, node, attributes)
    }

    /// Writes a file; what stands there is replaced. The folder that it is in must be there.
    pub(crate) fn file(
        &mut self,
        path: &Path,
        node: &Node,
        attributes: &[Attribute],
        bytes: &mut dyn FnMut(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let place = self.clear(path)?;
        let file = fs::OpenOptions::new().write(true).create_new(true).open(place)?;
        bytes(&file)?;
        drop(file);
        self.finish(path, node, attributes)
    }

    /// Gives a file of this layer another name.
    pub(crate) fn hard_link(&mut self, first: &Path, path: &Path) -> io::Result<()> {
        let place = self.clear(path)?;
        fs::hard_link(self.root.join(first), place)
    }

    /// Writes a link or a pipe.
    pub(crate) fn other(&mut self, path: &Path, node: &Node) -> io::Result<()> {
        let place = self.clear(path)?;
        match &node.kind {
            Kind::Link(target) => symlink(target, &place)?,
            Kind::Fifo => nix::unistd::mkfifo(&place, Mode::from_bits_truncate(0o600))?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        self.finish(path, node, &[])
    }

    /// Makes room: what this layer itself has at `path` is taken away.
    fn clear(&mut self, path: &Path) -> io::Result<PathBuf> {
        let place = self.root.join(path);
        match fs::symlink_metadata(&place) {
            Ok(meta) if meta.is_dir() => {
                fs::remove_dir_all(&place)?;
                self.ready.retain(|ready| !ready.starts_with(path));
                self.times.retain(|(folder, _)| !folder.starts_with(path));
            }
            Ok(_) => fs::remove_file(&place)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        Ok(place)
    }

    fn finish(&mut self, path: &Path, node: &Node, attributes: &[Attribute]) -> io::Result<()> {
        self.own(path, node)?;
        let place = self.root.join(path);
        for (name, value) in attributes {
            tree::set_attribute(&place, name, value)?;
        }
        if node.is_folder() {
            self.times.push((path.to_owned(), node.modified));
            Ok(())
        } else {
            set_time(&place, node.modified)
        }
    }

    /// Owner, then mode: giving a file away takes its special bits off.
    fn own(&self, path: &Path, node: &Node) -> io::Result<()> {
        let place = self.root.join(path);
        let link = matches!(node.kind, Kind::Link(_));
        if self.owners != Owners::Noted {
            if self.owners == Owners::Left {
                // A folder is written into after this, by whoever owns it.
                let keep = if node.is_folder() { 0o700 } else { 0 };
                let mode = fs::Permissions::from_mode(node.mode | keep);
                return if link { Ok(()) } else { fs::set_permissions(&place, mode) };
            }
            lchown(&place, Some(node.uid), Some(node.gid))?;
            if !link {
                fs::set_permissions(&place, fs::Permissions::from_mode(node.mode))?;
            }
            return Ok(());
        }
        if link {
            return Ok(());
        }
        let keep = if node.is_folder() { 0o700 } else { 0o600 };
        let possible = node.mode & 0o777 | keep;
        fs::set_permissions(&place, fs::Permissions::from_mode(possible))?;
        if (node.uid, node.gid, node.mode) != (0, 0, possible) && node.kind != Kind::Fifo {
            let note = format!("{}:{}:{}", node.uid, node.gid, node.mode);
            tree::set_attribute(&place, OsStr::new(OWNER), note.as_bytes())?;
        }
        Ok(())
    }

    /// Sets the folders' times: the layer is finished.
    pub(crate) fn done(self) -> io::Result<PathBuf> {
        for (path, time) in self.times.iter().rev() {
            set_time(&self.root.join(path), *time)?;
        }
        Ok(self.root)
    }
}

/// What a step of an ordinary user left and its owner may not read gets a note of its mode, and can be read: it has to be
/// packed, and to be laid under the next step.
pub(crate) fn make_readable(root: &Path) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder)? {
            let (entry, path) = entry.map(|entry| (entry.metadata(), entry.path()))?;
            let meta = entry?;
            let needed = match meta.file_type() {
                kind if kind.is_dir() => 0o700,
                kind if kind.is_file() => 0o400,
                _ => continue,
            };
            let mode = meta.permissions().mode() & 0o7777;
            if mode & needed != needed {
                // Attributes can be set only where writing is allowed.
                fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o777 | 0o600 | needed))?;
                tree::set_attribute(&path, OsStr::new(OWNER), format!("0:0:{mode}").as_bytes())?;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o777 | needed))?;
            }
            if meta.is_dir() {
                waiting.push(path);
            }
        }
    }
    Ok(())
}

fn not_a_folder(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotADirectory,
        format!("`/{}` is there already and is no folder", path.display()),
    )
}

fn set_time(place: &Path, (seconds, nanos): (i64, i64)) -> io::Result<()> {
    let time = TimeSpec::new(seconds, nanos);
    Ok(utimensat(AT_FDCWD, place, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

/// What is seen so far: the new layer over those below it.
impl Tree for Writer {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        let place = self.root.join(path);
        match fs::symlink_metadata(&place) {
            Ok(meta) => {
                let mut node = Node::of(&meta, || Ok(fs::read_link(&place)?.into_os_string()))?;
                if self.owners == Owners::Noted {
                    (node.uid, node.gid) = (0, 0);
                    tree::meant(&place, &mut node);
                }
                Ok(Some(node))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                self.below.node(path)
            }
            Err(e) => Err(e),
        }
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let mut names = self.below.names(folder).unwrap_or_default();
        for entry in fs::read_dir(self.root.join(folder))? {
            names.push(entry?.file_name());
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn open(&self, file: &Path) -> io::Result<File> {
        match File::open(self.root.join(file)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.below.open(file),
            other => other,
        }
    }

    fn attributes(&self, path: &Path) -> io::Result<Vec<Attribute>> {
        self.below.attributes(path)
    }

    fn digest(&self, file: &Path, node: &Node) -> io::Result<[u8; 32]> {
        self.below.digest(file, node)
    }
}
