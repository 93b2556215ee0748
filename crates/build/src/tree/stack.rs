//! An image's layers, laid over each other without a mount: what overlay would show (`overlayfs`, "whiteouts and opaque
//! directories"), read from the layers' folders. Those are not changed any more while somebody reads.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::{Attribute, Node, Tree, attribute, attributes};

/// The marks that hide what lower layers have in a folder.
pub(crate) const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];
const WHITEOUT: &str = "user.overlay.whiteout";
/// Where an ordinary user keeps owner and mode of a file that they cannot give away: `uid:gid:mode`.
pub(crate) const OWNER: &str = "user.windlass.owner";

/// Layers, the topmost first.
pub(crate) struct Stack {
    layers: Vec<PathBuf>,
    /// Folders that were looked at: where their parts are, topmost first.
    known: Mutex<HashMap<PathBuf, Option<Arc<Vec<PathBuf>>>>>,
    /// Whether owners are kept in attributes.
    owners: bool,
}

/// Whether a file of a layer's folder hides what lower layers have there.
pub(crate) fn is_whiteout(path: &Path, meta: &Metadata) -> bool {
    let kind = meta.file_type();
    (kind.is_char_device() && meta.rdev() == 0)
        || (kind.is_file() && meta.len() == 0 && matches!(attribute(path, OsStr::new(WHITEOUT)), Ok(Some(_))))
}

fn is_opaque(folder: &Path) -> bool {
    OPAQUE.iter().any(|name| matches!(attribute(folder, OsStr::new(name)), Ok(Some(value)) if value == b"y"))
}

impl Stack {
    /// Folders of layers, the topmost first.
    pub(crate) fn new(layers: Vec<PathBuf>) -> Self {
        let owners = !nix::unistd::geteuid().is_root();
        Self { layers, known: Mutex::default(), owners }
    }

    /// The folders of the layers, the topmost first.
    pub(crate) fn layers(&self) -> &[PathBuf] {
        &self.layers
    }

    /// Where the parts of a folder are, topmost first; `None` when it is no folder.
    pub(crate) fn parts(&self, folder: &Path) -> io::Result<Option<Arc<Vec<PathBuf>>>> {
        if folder.as_os_str().is_empty() {
            return Ok(Some(Arc::new(self.layers.clone())));
        }
        let known =
            |stack: &Self| stack.known.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned();
        if let Some(known) = known(self) {
            return Ok(known);
        }
        let found = match self.parts(folder.parent().unwrap_or(Path::new("")))? {
            None => None,
            Some(parents) => {
                let name = folder.file_name().unwrap_or_default();
                let mut parts = Vec::new();
                for parent in parents.iter() {
                    let path = parent.join(name);
                    match look(&path)? {
                        None => {}
                        Some(meta) if meta.is_dir() => {
                            let last = is_opaque(&path);
                            parts.push(path);
                            if last {
                                break;
                            }
                        }
                        Some(_) => break,
                    }
                }
                (!parts.is_empty()).then(|| Arc::new(parts))
            }
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned(), found.clone());
        Ok(found)
    }

    /// Where a path lies in the layers, with what is known of it.
    pub(crate) fn place(&self, path: &Path) -> io::Result<Option<(PathBuf, Metadata)>> {
        if path.as_os_str().is_empty() {
            return match self.layers.first() {
                Some(top) => Ok(Some((top.clone(), fs::symlink_metadata(top)?))),
                None => Ok(None),
            };
        }
        let Some(parents) = self.parts(path.parent().unwrap_or(Path::new("")))? else { return Ok(None) };
        let name = path.file_name().unwrap_or_default();
        for parent in parents.iter() {
            let place = parent.join(name);
            if let Some(meta) = look(&place)? {
                return Ok((!is_whiteout(&place, &meta)).then_some((place, meta)));
            }
        }
        Ok(None)
    }
}

fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Owner and mode as they were meant, where this user could not set them.
pub(crate) fn meant(path: &Path, node: &mut Node) {
    let Ok(Some(value)) = attribute(path, OsStr::new(OWNER)) else { return };
    let numbers: Vec<u32> =
        String::from_utf8_lossy(&value).split(':').filter_map(|n| n.parse().ok()).collect();
    if let [uid, gid, mode] = numbers[..] {
        (node.uid, node.gid, node.mode) = (uid, gid, mode & 0o7777);
    }
}

impl Tree for Stack {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        let Some((place, meta)) = self.place(path)? else {
            return Ok(path.as_os_str().is_empty().then(Node::folder));
        };
        let mut node = Node::of(&meta, || Ok(fs::read_link(&place)?.into_os_string()))?;
        if self.owners {
            (node.uid, node.gid) = (0, 0);
            meant(&place, &mut node);
        }
        Ok(Some(node))
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let Some(parts) = self.parts(folder)? else { return Err(io::ErrorKind::NotADirectory.into()) };
        let mut names: BTreeMap<OsString, bool> = BTreeMap::new();
        for part in parts.iter() {
            for entry in fs::read_dir(part)? {
                let entry = entry?;
                if names.contains_key(&entry.file_name()) {
                    continue;
                }
                let kind = entry.file_type()?;
                let may_hide = kind.is_char_device() || (kind.is_file() && self.owners);
                let hidden = may_hide && is_whiteout(&entry.path(), &entry.metadata()?);
                names.insert(entry.file_name(), !hidden);
            }
        }
        Ok(names.into_iter().filter_map(|(name, there)| there.then_some(name)).collect())
    }

    fn open(&self, file: &Path) -> io::Result<File> {
        let (place, _) = self.place(file)?.ok_or(io::ErrorKind::NotFound)?;
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        fs::OpenOptions::new().read(true).custom_flags(flags).open(place)
    }

    fn attributes(&self, path: &Path) -> io::Result<Vec<Attribute>> {
        match self.place(path)? {
            Some((place, _)) => attributes(&place),
            None => Ok(Vec::new()),
        }
    }

    fn digest(&self, file: &Path, _: &Node) -> io::Result<[u8; 32]> {
        hash(self.open(file)?)
    }
}

/// The SHA-256 of what is left of a file.
pub(super) fn hash(mut file: File) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
