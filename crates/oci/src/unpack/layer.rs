//! One layer's entries, written below a folder's handle; removed files (image specification, "Whiteouts")
//! translated for overlay.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fchmod, futimens, makedev, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat, geteuid, linkat, symlinkat};
use tar::{Entry, EntryType, Header};

use super::below::{Below, Standing, clean, clear, split, standing};
use super::{UnpackLimits, WhiteoutStyle};
use crate::bounded::Bounded;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Why a layer is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    Hostile { path: Vec<u8>, why: &'static str },
    TooMany,
    TooLarge,
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

struct Layer {
    below: Below,
    style: WhiteoutStyle,
    /// Owners and special bits can only be set by root; otherwise everything is ours.
    root: bool,
}

/// Writes the layer's entries below `folder`. What is in a file's holes counts: it is not in the archive, but written.
pub(super) fn extract(
    tar: impl Read,
    folder: &Path,
    style: WhiteoutStyle,
    most: UnpackLimits,
) -> Result<(), Refusal> {
    let mut layer = Layer { below: Below::open(folder)?, style, root: geteuid().is_root() };
    fchmod(layer.below.folder(b"", false)?, Mode::from_bits_truncate(0o755))?;
    let (tar, allowance) = Bounded::new(tar);
    let mut archive = tar::Archive::new(tar);
    let (mut count, mut bytes) = (0, 0_u64);
    for entry in archive.entries()? {
        count += 1;
        if count > most.entries {
            return Err(Refusal::TooMany);
        }
        let mut entry = entry?;
        bytes = bytes.saturating_add(entry.size());
        if bytes > most.bytes {
            return Err(Refusal::TooLarge);
        }
        allowance.during(&mut entry, |entry| layer.entry(entry))?;
    }
    Ok(())
}

impl Layer {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), Refusal> {
        let path = clean(&entry.path_bytes())?;
        let (parent, name) = split(&path);
        if name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(parent, name.as_bytes());
        }
        match entry.header().entry_type() {
            EntryType::Directory => {
                let attributes = attributes(entry)?;
                self.folder(&path, entry.header(), &attributes)
            }
            _ if path.is_empty() => {
                Err(Refusal::Hostile { path: b"/".to_vec(), why: "would replace the root" })
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(parent, name, entry)
            }
            EntryType::Symlink => self.link(parent, name, entry),
            EntryType::Link => self.hard_link(parent, name, entry),
            EntryType::XGlobalHeader => Ok(()),
            EntryType::Fifo => self.pipe(parent, name, entry.header()),
            // A sandbox has its own /dev; a device made here would be the machine's.
            kind @ (EntryType::Char | EntryType::Block) => {
                tracing::debug!(path = %String::from_utf8_lossy(&path), ?kind, "a device in a layer was left out");
                Ok(())
            }
            _ => Err(Refusal::Hostile { path, why: "is an entry of an unknown kind" }),
        }
    }

    fn folder(&mut self, path: &[u8], header: &Header, attributes: &Attributes) -> Result<(), Refusal> {
        let root = self.root;
        if path.is_empty() {
            return own(root, self.below.folder(path, true)?, header, true);
        }
        let (parent, name) = split(path);
        let at = self.below.folder(parent, true)?;
        if standing(at, name)? != Standing::Folder {
            clear(at, name)?;
            mkdirat(at, name, Mode::from_bits_truncate(0o755))?;
        }
        self.below.forget();
        let folder = self.below.folder(path, false)?;
        own(root, folder, header, true)?;
        attach(folder, attributes)
    }

    fn file<R: Read>(
        &mut self,
        parent: &[u8],
        name: &OsStr,
        entry: &mut Entry<'_, R>,
    ) -> Result<(), Refusal> {
        let root = self.root;
        let attributes = attributes(entry)?;
        let at = self.below.folder(parent, true)?;
        clear(at, name)?;
        let mut file = create(at, name)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let n = entry.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            file.write_all(&buffer[..n])?;
        }
        own(root, file.as_fd(), entry.header(), false)?;
        attach(file.as_fd(), &attributes)?;
        let time = modified(entry.header());
        Ok(futimens(&file, &time, &time)?)
    }

    /// A link is written as it is: it is for the sandbox to follow, inside of its own root. Here nothing ever is.
    fn link<R: Read>(&mut self, parent: &[u8], name: &OsStr, entry: &Entry<'_, R>) -> Result<(), Refusal> {
        let target = entry.link_name_bytes().unwrap_or_default();
        if target.is_empty() || target.contains(&0) {
            return Err(Refusal::Hostile { path: name.as_bytes().to_vec(), why: "is a link to nowhere" });
        }
        let root = self.root;
        let at = self.below.folder(parent, true)?;
        clear(at, name)?;
        symlinkat(OsStr::from_bytes(&target), at, name)?;
        if root {
            let (uid, gid) = owner(entry.header())?;
            fchownat(at, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        let time = modified(entry.header());
        Ok(utimensat(at, name, &time, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    /// A pipe by name leads nowhere by itself: its two ends are in whatever opens it.
    fn pipe(&mut self, parent: &[u8], name: &OsStr, header: &Header) -> Result<(), Refusal> {
        let root = self.root;
        let at = self.below.folder(parent, true)?;
        clear(at, name)?;
        let mode = Mode::from_bits_truncate(header.mode()? & 0o777);
        mknodat(at, name, SFlag::S_IFIFO, mode, 0)?;
        // What was made just now is no link; the creation mask took bits off.
        nix::sys::stat::fchmodat(at, name, mode, nix::sys::stat::FchmodatFlags::FollowSymlink)?;
        if root {
            let (uid, gid) = owner(header)?;
            fchownat(at, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    fn hard_link<R: Read>(
        &mut self,
        parent: &[u8],
        name: &OsStr,
        entry: &Entry<'_, R>,
    ) -> Result<(), Refusal> {
        let target = clean(&entry.link_name_bytes().unwrap_or_default())?;
        let (target_parent, target_name) = split(&target);
        let from: OwnedFd = self.below.folder(target_parent, false)?.try_clone_to_owned()?;
        if target.is_empty() || standing(from.as_fd(), target_name)? != Standing::File {
            return Err(Refusal::Hostile {
                path: target,
                why: "is the target of a hard link, but no file of the layer",
            });
        }
        let at = self.below.folder(parent, true)?;
        if (target_parent, target_name) == (parent, name) {
            return Err(Refusal::Hostile { path: target, why: "is a hard link to itself" });
        }
        clear(at, name)?;
        Ok(linkat(&from, target_name, at, name, AtFlags::empty())?)
    }

    fn whiteout(&mut self, parent: &[u8], name: &[u8]) -> Result<(), Refusal> {
        if self.style == WhiteoutStyle::None {
            return Ok(());
        }
        let style = self.style;
        let at = self.below.folder(parent, true)?;
        if name == OPAQUE {
            return match style {
                WhiteoutStyle::Overlay => mark(at, c"trusted.overlay.opaque", b"y"),
                _ => mark(at, c"user.overlay.opaque", b"y"),
            };
        }
        let hidden = OsStr::from_bytes(&name[WHITEOUT.len()..]);
        if matches!(hidden.as_bytes(), b"" | b"." | b"..") {
            return Err(Refusal::Hostile { path: name.to_vec(), why: "removes nothing that has a name" });
        }
        // In one layer, what is there wins over the mark that hides what was below.
        if standing(at, hidden)? != Standing::Nothing {
            return Ok(());
        }
        match mknodat(at, hidden, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0)) {
            Ok(()) => Ok(()),
            // Older kernels let only root make the device; overlay takes a marked empty file as well.
            Err(Errno::EPERM) if style == WhiteoutStyle::OverlayUser => {
                mark(create(at, hidden)?.as_fd(), c"user.overlay.whiteout", b"y")?;
                mark(at, c"user.overlay.opaque", b"x")
            }
            Err(e) => Err(e.into()),
        }
    }
}

fn create(at: BorrowedFd<'_>, name: &OsStr) -> Result<File, Refusal> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(at, name, flags, Mode::from_bits_truncate(0o600))?.into())
}

fn owner(header: &Header) -> io::Result<(Uid, Gid)> {
    Ok((Uid::from_raw(header.uid()? as u32), Gid::from_raw(header.gid()? as u32)))
}

/// Owner, then mode: giving a file away takes its special bits off.
fn own(root: bool, fd: BorrowedFd<'_>, header: &Header, folder: bool) -> Result<(), Refusal> {
    let mode = header.mode()?;
    if root {
        let (uid, gid) = owner(header)?;
        fchown(fd, Some(uid), Some(gid))?;
        return Ok(fchmod(fd, Mode::from_bits_truncate(mode & 0o7777))?);
    }
    // Whoever unpacks must be able to read it again, and to remove it.
    let keep = if folder { 0o700 } else { 0o400 };
    Ok(fchmod(fd, Mode::from_bits_truncate(mode & 0o777 | keep))?)
}

fn modified(header: &Header) -> TimeSpec {
    TimeSpec::new(header.mtime().unwrap_or(0).min(u64::from(u32::MAX)) as i64, 0)
}

/// Extended attributes of an entry.
type Attributes = Vec<(CString, Vec<u8>)>;

/// How archives write them (`star`, and everybody after it).
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// Those extended attributes of an entry that mean something to programs in a sandbox, and nothing to the machine or to
/// the overlay that will stack the layers.
fn attributes<R: Read>(entry: &mut Entry<'_, R>) -> Result<Attributes, Refusal> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for extension in extensions {
        // The reader takes a line's end within a value for the record's end: such a value is lost, the layer is not.
        let Ok(extension) = extension else { continue };
        let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(ATTRIBUTE)) else { continue };
        let ours = name == "security.capability"
            || (name.starts_with("user.") && !name.starts_with("user.overlay."));
        if let (true, Ok(name)) = (ours, CString::new(name)) {
            found.push((name, extension.value_bytes().to_vec()));
        }
    }
    Ok(found)
}

/// Sets them. Where the file system has none, or an ordinary user may not, they are left out.
fn attach(fd: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Refusal> {
    for (name, value) in attributes {
        match mark(fd, name, value) {
            Err(Refusal::Io(e))
                if matches!(
                    e.raw_os_error(),
                    Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSPC | libc::E2BIG)
                ) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Sets an extended attribute.
fn mark(fd: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<(), Refusal> {
    // SAFETY: the descriptor is open for the call, the name ends with a zero, the value's length is its own.
    #[expect(unsafe_code, reason = "extended attributes have no safe wrapper among our dependencies")]
    let result =
        unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Ok(Errno::result(result).map(drop)?)
}
