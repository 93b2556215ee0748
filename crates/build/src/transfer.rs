//! `COPY` and `ADD`: what they select, what that hashes to, and how it is put into a layer. The rules are BuildKit's, which
//! are those of `cp -r` only at first sight: a folder's *contents* are copied, links are followed where they are named and
//! kept where they are found, and nothing ever leaves its tree.

mod archive;
mod mode;
mod place;
mod select;

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::tree::{Attribute, Kind, Node, Tree, walk};

pub(crate) use archive::{Archive, unpack};
pub(crate) use mode::{ModeChange, parse as parse_mode};
pub(crate) use place::{Placement, checked, place};
pub(crate) use select::{Excludes, select};

/// Something that was selected: where its name stands in the tree, and where it really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    /// As it was named or matched: its last name is what it is called at the destination.
    pub(crate) named: PathBuf,
    /// Where that leads, links followed.
    pub(crate) real: PathBuf,
    /// With `--parents`: the folders above it that are kept.
    pub(crate) kept: PathBuf,
}

/// Why files could not be copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("\"/{0}\": not found")]
    Missing(String),
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{0}")]
    Refused(String),
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> TransferError + '_ {
    move |source| TransferError::Io { path: format!("/{}", path.display()), source }
}

/// One entry of what was selected, as it was when it was looked at. What is put into a layer is this and nothing else,
/// even if the tree changes meanwhile: a layer must hold what its key in the cache says.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Which of the selected ones it belongs to.
    pub(crate) of: usize,
    /// Its path in the tree.
    pub(crate) path: PathBuf,
    /// Its path below what was selected; empty for that itself.
    pub(crate) inner: PathBuf,
    pub(crate) node: Node,
    pub(crate) attributes: Vec<Attribute>,
    /// The digest of a file's bytes.
    pub(crate) digest: [u8; 32],
}

/// All that a source selected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) selected: Vec<Selected>,
    pub(crate) entries: Vec<Entry>,
}

/// Looks at everything that was selected, and hashes the files.
pub(crate) fn gather(
    tree: &dyn Tree,
    selected: Vec<Selected>,
    excludes: &Excludes,
) -> Result<Gathered, TransferError> {
    let mut entries = Vec::new();
    for (of, one) in selected.iter().enumerate() {
        let mut found = |path: &Path, node: &Node| {
            let inner = path.strip_prefix(&one.real).unwrap_or(path).to_owned();
            if !excludes.takes(&inner, &one.named, node) {
                return Ok(excludes.may_have_below());
            }
            let attributes = match node.kind {
                Kind::File | Kind::Folder => tree.attributes(path)?,
                _ => Vec::new(),
            };
            let (path, node) = (path.to_owned(), node.clone());
            entries.push(Entry { of, path, inner, node, attributes, digest: [0; 32] });
            Ok(true)
        };
        walk(tree, &one.real, &mut found).map_err(at(&one.real))?;
    }
    let files: Vec<(&Path, &Node)> = entries
        .iter()
        .filter(|entry| entry.node.kind == Kind::File)
        .map(|entry| (entry.path.as_path(), &entry.node))
        .collect();
    let digests = hash_all(tree, &files)?;
    let of_files = entries.iter_mut().filter(|entry| entry.node.kind == Kind::File);
    for (entry, digest) in of_files.zip(digests) {
        entry.digest = digest;
    }
    Ok(Gathered { selected, entries })
}

impl Gathered {
    /// Hashes names, kinds, owners, modes, links, attributes and bytes, but no times.
    pub(crate) fn digest(&self) -> [u8; 32] {
        use std::os::unix::ffi::OsStrExt as _;
        let mut hasher = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for Entry { of, inner, node, attributes, digest, .. } in &self.entries {
            let one = &self.selected[*of];
            put(one.named.file_name().unwrap_or_default().as_bytes());
            put(one.kept.as_os_str().as_bytes());
            put(inner.as_os_str().as_bytes());
            put(format!("{} {} {}", node.mode, node.uid, node.gid).as_bytes());
            match &node.kind {
                Kind::File => put(digest),
                Kind::Link(target) => put(target.as_bytes()),
                other => put(format!("{other:?}").as_bytes()),
            }
            for (name, value) in attributes {
                put(name.as_bytes());
                put(value);
            }
            put(b"");
        }
        hasher.finalize().into()
    }
}

/// How many bytes are worth a thread of their own.
const WORTH: u64 = 1 << 20;

/// The files' digests, on all processors.
fn hash_all(tree: &dyn Tree, files: &[(&Path, &Node)]) -> Result<Vec<[u8; 32]>, TransferError> {
    let one = |(path, node): &(&Path, &Node)| tree.digest(path, node).map_err(at(path));
    let bytes: u64 = files.iter().map(|(_, node)| node.size + 16 * 1024).sum();
    let worth = usize::try_from(bytes / WORTH).unwrap_or(usize::MAX).min(files.len());
    // To ask how many processors there are takes longer than to hash a few small files.
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if worth < 2 { worth } else { worth.min(processors()) };
    if threads < 2 {
        return files.iter().map(one).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match files.get(number) {
                Some(file) => done.push((number, one(file))),
                None => return done,
            }
        }
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    all.sort_by_key(|(number, _)| *number);
    if all.len() != files.len() {
        return Err(TransferError::Refused("a thread that hashes files ended".into()));
    }
    all.into_iter().map(|(_, digest)| digest).collect()
}
