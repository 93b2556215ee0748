//! A folder of the machine as a tree: a build's context. It may belong to somebody hostile and change while it is read:
//! every path is opened below a handle of the root and no link is ever followed by the kernel (`openat2(2)`).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use windlass_kernel::Clock;

use super::stack::hash;
use super::{Attribute, Node, Tree};

/// What of a folder is left out (`.dockerignore`).
pub(crate) struct Ignored {
    /// Whether a path, written with `/`, is left out.
    pub(crate) excludes: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// Whether something below a folder that is left out may be in after all.
    pub(crate) exceptions: bool,
}

/// A file's identity: as long as all of it is the same, its bytes are.
type Stamp = [i64; 7];

/// How young a file may not be for its stamp to count, nanoseconds: the file system's clock ticks, and two changes within
/// one tick look like one.
const SETTLED: i64 = 2_000_000_000;

/// A folder of the machine.
pub(crate) struct Local {
    root: OwnedFd,
    ignored: Option<Ignored>,
    digests: Mutex<Digests>,
    /// When the reading began, nanoseconds since the epoch.
    began: i64,
}

/// Digests of files that were looked at before, here or in an earlier build.
#[derive(Default)]
struct Digests {
    file: Option<PathBuf>,
    known: HashMap<PathBuf, (Stamp, [u8; 32])>,
    changed: bool,
}

impl Local {
    /// Opens a folder. `digests` is a file that remembers what the files of this folder hash to.
    pub(crate) fn open(
        path: &Path,
        ignored: Option<Ignored>,
        digests: Option<PathBuf>,
        clock: &dyn Clock,
    ) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(&path, flags, nix::sys::stat::Mode::empty())?;
        let known = digests.as_deref().and_then(|file| fs::read(file).ok()).map(|bytes| read(&bytes));
        let digests = Digests { file: digests, known: known.unwrap_or_default(), changed: false };
        let began = clock.now().as_millis().saturating_mul(1_000_000);
        Ok(Self { root, ignored, digests: Mutex::new(digests), began })
    }

    fn below(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        openat2(self.root.as_fd(), path, how)
    }

    fn excluded(&self, path: &Path) -> bool {
        let Some(ignored) = self.ignored.as_ref().filter(|_| !path.as_os_str().is_empty()) else {
            return false;
        };
        (ignored.excludes)(&path.to_string_lossy())
    }

    /// Whether a path takes part: a folder that is left out does when something in it is not.
    fn takes_part(&self, path: &Path, folder: bool) -> io::Result<bool> {
        if !self.excluded(path) {
            return Ok(true);
        }
        if !folder || !self.ignored.as_ref().is_some_and(|ignored| ignored.exceptions) {
            return Ok(false);
        }
        for (name, folder) in self.entries(path)? {
            if self.takes_part(&path.join(name), folder)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<(OsString, bool)>> {
        let opened = self.below(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut found = Vec::new();
        for entry in nix::dir::Dir::from_fd(opened)?.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = OsString::from_vec(name.to_vec());
            let folder = match entry.file_type() {
                Some(kind) => kind == nix::dir::Type::Directory,
                None => self.meta(&folder.join(&name))?.is_some_and(|(_, meta)| meta.is_dir()),
            };
            found.push((name, folder));
        }
        found.sort();
        Ok(found)
    }

    fn meta(&self, path: &Path) -> io::Result<Option<(File, Metadata)>> {
        match self.below(path, OFlag::O_PATH) {
            Ok(opened) => {
                let file = File::from(opened);
                let meta = file.metadata()?;
                Ok(Some((file, meta)))
            }
            // A link or a file on the way: there is nothing at this path.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn digests(&self) -> MutexGuard<'_, Digests> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was learnt of the files for the next build.
    pub(crate) fn remember(&self) {
        let digests = self.digests();
        let Some(file) = digests.file.as_ref().filter(|_| digests.changed) else { return };
        let mut bytes = Vec::new();
        for (path, (stamp, digest)) in &digests.known {
            let path = path.as_os_str().as_bytes();
            bytes.extend((path.len() as u32).to_le_bytes());
            bytes.extend(path);
            for number in stamp {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(digest);
        }
        // Only speed is lost when it cannot be kept.
        let new = file.with_extension(format!("{}.new", std::process::id()));
        let written = File::create(&new).and_then(|mut out| out.write_all(&bytes));
        let _ = written.and_then(|()| fs::rename(&new, file));
    }
}

/// The entries of a file of digests, as far as they can be read.
fn read(mut bytes: &[u8]) -> HashMap<PathBuf, (Stamp, [u8; 32])> {
    let mut known = HashMap::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let Some((path, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
        let Some((numbers, rest)) = rest.split_first_chunk::<56>() else { break };
        let Some((digest, rest)) = rest.split_first_chunk::<32>() else { break };
        let mut stamp = Stamp::default();
        for (number, bytes) in stamp.iter_mut().zip(numbers.chunks_exact(8)) {
            *number = i64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        known.insert(PathBuf::from(OsStr::from_bytes(path)), (stamp, *digest));
        bytes = rest;
    }
    known
}

fn stamp(meta: &Metadata) -> Stamp {
    [
        meta.dev() as i64,
        meta.ino() as i64,
        meta.size() as i64,
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    ]
}

fn latest(stamp: &Stamp) -> i64 {
    let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    nanos(stamp[3], stamp[4]).max(nanos(stamp[5], stamp[6]))
}

impl Tree for Local {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        let Some((file, meta)) = self.meta(path)? else { return Ok(None) };
        if !self.takes_part(path, meta.is_dir())? {
            return Ok(None);
        }
        let mut node = Node::of(&meta, || Ok(nix::fcntl::readlinkat(&file, "")?))?;
        // Whoever's the files are on this machine, in an image they are root's unless it is said.
        (node.uid, node.gid) = (0, 0);
        Ok(Some(node))
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for (name, is_folder) in self.entries(folder)? {
            if self.ignored.is_none() || self.takes_part(&folder.join(&name), is_folder)? {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, file: &Path) -> io::Result<File> {
        if self.excluded(file) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.below(file, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?.into())
    }

    fn attributes(&self, path: &Path) -> io::Result<Vec<Attribute>> {
        let Some((file, meta)) = self.meta(path)? else { return Ok(Vec::new()) };
        if !(meta.is_file() || meta.is_dir()) {
            return Ok(Vec::new());
        }
        super::attributes_of(&file)
    }

    fn digest(&self, path: &Path, _: &Node) -> io::Result<[u8; 32]> {
        let file = self.open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no file any more"));
        }
        let stamp = stamp(&meta);
        if let Some((known, digest)) = self.digests().known.get(path)
            && *known == stamp
        {
            return Ok(*digest);
        }
        let digest = hash(file.try_clone()?)?;
        let settled = latest(&stamp).saturating_add(SETTLED) < self.began;
        if settled && self::stamp(&file.metadata()?) == stamp {
            let mut digests = self.digests();
            digests.known.insert(path.to_owned(), (stamp, digest));
            digests.changed = true;
        }
        Ok(digest)
    }
}

/// The bytes of a file, at most `limit` of them.
pub(crate) fn read_small(tree: &dyn Tree, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tree.open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
