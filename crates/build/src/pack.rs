//! A layer's folder as a tar: entries in order, removed files as the image specification writes them, hard links, file
//! capabilities. The same folder gives the same bytes, whenever.

mod compress;
mod tar;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use windlass_kernel::Digest;

use crate::tree::{self, Kind, Node, OPAQUE, is_whiteout};

pub use compress::Compression;
pub(crate) use compress::compress;
pub(crate) use tar::{Entry, Tar};

/// What the names of removed files begin with in a layer's tar (image specification, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";

/// What a packed layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// The digest of the bytes.
    pub(crate) digest: Digest,
    /// Their number.
    pub(crate) size: u64,
}

/// How a layer's folder is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// No time is later than this (`SOURCE_DATE_EPOCH`), seconds since the epoch.
    pub(crate) clamp: Option<i64>,
    /// Whether everything that an ordinary user unpacked belongs to root, unless an attribute says otherwise.
    pub(crate) owners_meant: bool,
}

impl Rules {
    pub(crate) fn new(clamp: Option<i64>) -> Self {
        Self { clamp, owners_meant: !nix::unistd::geteuid().is_root() }
    }
}

/// Writes the layer in `folder` as a tar.
pub(crate) fn pack(folder: &Path, rules: Rules, out: impl Write) -> io::Result<()> {
    let mut packing = Packing { root: folder, rules, tar: Tar::new(out), linked: HashMap::new() };
    packing.folder(Path::new(""))?;
    packing.tar.finish()?;
    Ok(())
}

/// The digest and size that the tar of a folder has.
pub(crate) fn measure(folder: &Path, rules: Rules) -> io::Result<Packed> {
    let mut out = Hashed::new(io::sink());
    pack(folder, rules, &mut out)?;
    Ok(out.finish().1)
}

struct Packing<'a, W: Write> {
    root: &'a Path,
    rules: Rules,
    tar: Tar<W>,
    linked: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packing<'_, W> {
    /// Writes what is in a folder of the layer. A list holds what waits: layers may be deep.
    fn folder(&mut self, start: &Path) -> io::Result<()> {
        let mut waiting: Vec<PathBuf> = self.inside(start)?;
        while let Some(path) = waiting.pop() {
            if self.entry(&path)? {
                let place = self.root.join(&path);
                if OPAQUE.iter().any(|name| {
                    matches!(tree::attribute(&place, OsStr::new(name)), Ok(Some(value)) if value == b"y")
                }) {
                    self.mark(&path.join(".wh..wh..opq"))?;
                }
                waiting.extend(self.inside(&path)?);
            }
        }
        Ok(())
    }

    /// The paths in a folder, the last one first.
    fn inside(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.root.join(folder))?;
        let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<OsString>>>()?;
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names.into_iter().map(|name| folder.join(name)).collect())
    }

    /// Writes one entry; whether it is a folder.
    fn entry(&mut self, path: &Path) -> io::Result<bool> {
        let place = self.root.join(path);
        let meta = fs::symlink_metadata(&place)?;
        if path.file_name().is_some_and(|name| name.as_bytes().starts_with(WHITEOUT)) {
            // Whoever unpacks the layer would take it for a removal.
            let why = format!(
                "`/{}` cannot be in an image: names that begin with `.wh.` mark what a layer removes",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, why));
        }
        if is_whiteout(&place, &meta) {
            let mut name = OsStr::from_bytes(WHITEOUT).to_owned();
            name.push(path.file_name().unwrap_or_default());
            self.mark(&path.with_file_name(name))?;
            return Ok(false);
        }
        let mut node = Node::of(&meta, || Ok(fs::read_link(&place)?.into_os_string()))?;
        if self.rules.owners_meant {
            (node.uid, node.gid) = (0, 0);
            tree::meant(&place, &mut node);
        }
        let attributes = match node.kind {
            Kind::Folder | Kind::File => tree::attributes(&place)?,
            _ => Vec::new(),
        };
        let mut entry = Entry::new(path, &node, &attributes);
        entry.modified = self.clamped(node.modified.0);
        match node.kind {
            Kind::File => {
                if let Some(id) = node.linked {
                    if let Some(first) = self.linked.get(&id) {
                        self.tar.link(&entry, first)?;
                        return Ok(false);
                    }
                    self.linked.insert(id, path.to_owned());
                }
                self.tar.file(&entry, fs::File::open(&place)?)?;
            }
            Kind::Folder => self.tar.empty(&entry)?,
            Kind::Link(_) | Kind::Fifo => self.tar.empty(&entry)?,
            // A socket is nothing without its program; a device cannot come into being here.
            Kind::Socket | Kind::Device => {}
        }
        Ok(node.kind == Kind::Folder)
    }

    fn clamped(&self, time: i64) -> i64 {
        self.rules.clamp.map_or(time, |most| time.min(most)).max(0)
    }

    fn mark(&mut self, path: &Path) -> io::Result<()> {
        let node = Node { kind: Kind::File, mode: 0, ..Node::folder() };
        let mut entry = Entry::new(path, &node, &[]);
        entry.modified = 0;
        self.tar.empty(&entry)
    }
}

/// Passes bytes on, and keeps their digest and number.
pub(crate) struct Hashed<W> {
    inner: W,
    hasher: Sha256,
    size: u64,
}

impl<W> Hashed<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), size: 0 }
    }

    pub(crate) fn finish(self) -> (W, Packed) {
        let hash: [u8; 32] = self.hasher.finalize().into();
        (self.inner, Packed { digest: digest(hash), size: self.size })
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A hash as a digest.
pub(crate) fn digest(hash: [u8; 32]) -> Digest {
    format!("sha256:{}", hex::encode(hash)).parse().expect("a hash in hexadecimal is a digest")
}

/// A path as an archive writes it.
fn in_archive(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}
