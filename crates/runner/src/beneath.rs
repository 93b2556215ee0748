//! Files that a job wrote, read from outside its sandbox: opened below a folder's handle, so that no link and no `..`
//! leads out of it, and no pipe or device makes the reader hang.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;

/// A folder, held open, and the path by which the job knows it.
#[derive(Clone, Debug)]
pub(crate) struct Beneath {
    handle: Arc<OwnedFd>,
    path: PathBuf,
}

impl Beneath {
    /// Holds `folder`, which the job sees at `inside`.
    pub(crate) fn new(folder: &Path, inside: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let handle = open(folder, flags, Mode::empty()).map_err(io::Error::from)?;
        Ok(Self { handle: Arc::new(handle), path: inside.to_owned() })
    }

    /// Opens a regular file for reading, by its absolute path as the job sees it.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        let outside =
            || io::Error::new(io::ErrorKind::PermissionDenied, "it lies outside of the job's folder");
        let relative = path.strip_prefix(&self.path).map_err(|_| outside())?;
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let how = OpenHow::new()
            .flags(flags)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let opened = match openat2(self.handle.as_fd(), relative, how) {
            // Old kernels and some containers do not have the call: then no link is followed at all.
            Err(Errno::ENOSYS | Errno::EPERM) => self.walk(relative, flags)?,
            Err(Errno::EXDEV) => return Err(outside()),
            other => other.map_err(io::Error::from)?,
        };
        let file = File::from(opened);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(file)
    }

    fn walk(&self, relative: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let mut names = relative.components().peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(component) = names.next() {
            let Component::Normal(name) = component else {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "its path is not plain"));
            };
            let flags = if names.peek().is_some() {
                OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC
            } else {
                flags
            };
            let folder = at.as_ref().map_or(self.handle.as_fd(), |folder| folder.as_fd());
            at = Some(openat(folder, name, flags | OFlag::O_NOFOLLOW, Mode::S_IRUSR | Mode::S_IWUSR)?);
        }
        at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }

    /// Makes a file that the job may write, at a plain path below the folder whose folders exist. What stood there is
    /// replaced, links included. `shared`: whoever the job runs as can use it, and not only this process's user; nobody
    /// else can reach the folder above.
    pub(crate) fn create(&self, relative: &Path, text: &[u8], shared: bool) -> io::Result<()> {
        use std::io::Write as _;
        let folder = match relative.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                self.walk(parent, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)?
            }
            _ => self.handle.as_fd().try_clone_to_owned()?,
        };
        let name = relative.file_name().unwrap_or_default();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let new = || openat(&folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR);
        let opened = match new() {
            // A new file, whatever the job may have put in its place.
            Err(Errno::EEXIST) => {
                nix::unistd::unlinkat(&folder, name, nix::unistd::UnlinkatFlags::NoRemoveDir)?;
                new()?
            }
            other => other?,
        };
        if shared {
            nix::sys::stat::fchmod(&opened, Mode::from_bits_truncate(0o666)).map_err(io::Error::from)?;
        }
        if text.is_empty() { Ok(()) } else { File::from(opened).write_all(text) }
    }

    /// Reads a text file of at most `limit` bytes.
    pub(crate) fn read_text(&self, path: &Path, limit: u64) -> io::Result<String> {
        let mut bytes = Vec::new();
        self.open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it is larger than {limit} bytes"),
            ));
        }
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out_and_nothing_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("job");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(dir.path().join("outside"), "secret").unwrap();
        std::fs::write(root.join("a/b/file"), "inside").unwrap();
        symlink("../../outside", root.join("a/up")).unwrap();
        symlink(dir.path().join("outside"), root.join("absolute")).unwrap();
        symlink("/etc", root.join("etc")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe"), Mode::S_IRWXU).unwrap();
        let below = Beneath::new(&root, Path::new("/seen")).unwrap();

        assert_eq!(below.read_text(Path::new("/seen/a/b/file"), 6).unwrap(), "inside");
        for bad in [
            "/seen/a/up",
            "/seen/absolute",
            "/seen/etc/passwd",
            "/seen/pipe",
            "/seen/a",
            "/seen/../outside",
            "/etc/passwd",
        ] {
            assert!(below.read_text(Path::new(bad), 100).is_err(), "{bad}");
        }
        let walked = |path: &str| below.walk(Path::new(path), OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        assert!(walked("a/b/file").is_ok());
        for bad in ["a/up", "absolute", "etc/passwd", "../outside", ""] {
            assert!(walked(bad).is_err(), "{bad}");
        }
        assert!(below.read_text(Path::new("/seen/a/b/file"), 5).is_err(), "too large");

        below.create(Path::new("a/up"), b"new", true).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("outside")).unwrap(),
            "secret",
            "the link was replaced"
        );
        assert_eq!(below.read_text(Path::new("/seen/a/up"), 9).unwrap(), "new");
        let mode = |path: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            root.join(path).metadata().unwrap().permissions().mode() & 0o777
        };
        below.create(Path::new("a/own"), b"new", false).unwrap();
        assert_eq!((mode("a/up"), mode("a/own")), (0o666, 0o600));
        assert!(below.create(Path::new("etc/x"), b"", true).is_err());
        assert!(below.create(Path::new("../x"), b"", true).is_err());
    }
}
