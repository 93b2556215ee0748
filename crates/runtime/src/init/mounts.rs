//! Carries a [`Layout`] out: opens every source in the machine's tree, makes the new root, and attaches.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::veil::{self, make_like};
use crate::fault::{Doing as _, Fault};
use crate::kernel_calls::{attach_mount, attr, clone_mount, new_mount, set_attributes};
use crate::layout::{Base, Layout, Step, Veil};
use crate::spec::Level;

const SAFE: u64 = attr::NO_SUID | attr::NO_DEV;
const DEVICES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// What was opened in the machine's tree for a step.
enum Opened {
    Nothing,
    Mount { mount: OwnedFd, file: bool },
    Devices { dev: OwnedFd, pts: OwnedFd, nodes: Vec<(&'static str, OwnedFd)> },
}

/// Makes this process' mount namespace hold the layout and nothing else.
pub(super) fn build(layout: &Layout, level: Level) -> Result<(), Fault> {
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .doing(|| "leaving the machine's mounts".into())?;
    let maker = Maker { scratch: &layout.scratch, level, veils: &layout.veils, keep: layout.keep.as_deref() };
    let root = maker.base(&layout.base)?;
    let mirrored = if layout.base == Base::Mirror { Maker::mirror()? } else { Mirrored::default() };
    let mut opened = Vec::with_capacity(layout.steps.len());
    for (number, step) in layout.steps.iter().enumerate() {
        opened.push(maker.open(step, number).doing(|| format!("opening {step:?}"))?);
    }
    let cover = maker.cover().doing(|| "making an unreadable file".into())?;

    let stage = layout.scratch.join("root");
    fs::create_dir_all(&stage).doing(|| format!("making {}", stage.display()))?;
    attach_mount(root.as_fd(), &stage).doing(|| "attaching the root".into())?;
    std::env::set_current_dir(&stage).doing(|| "entering the root".into())?;
    nix::unistd::pivot_root(".", ".").doing(|| "changing the root".into())?;
    umount2(".", MntFlags::MNT_DETACH).doing(|| "leaving the machine's tree".into())?;
    std::env::set_current_dir("/").doing(|| "entering the root".into())?;

    mirrored.attach()?;
    for (step, opened) in layout.steps.iter().zip(opened) {
        attach(step, opened, &cover).doing(|| format!("attaching {step:?}"))?;
    }
    if layout.read_only_root {
        let root = fs::File::open("/").doing(|| "opening the root".into())?;
        set_attributes(root.as_fd(), attr::READ_ONLY, false).doing(|| "making the root read-only".into())?;
    }
    Ok(())
}

struct Maker<'a> {
    scratch: &'a Path,
    level: Level,
    veils: &'a [Veil],
    keep: Option<&'a Path>,
}

impl Maker<'_> {
    fn base(&self, base: &Base) -> Result<OwnedFd, Fault> {
        match base {
            Base::Overlay(lower) => {
                let mut layers =
                    self.apart(lower).doing(|| "laying an image's layers over each other".into())?;
                if !self.veils.is_empty() {
                    layers.insert(0, self.veiled().doing(|| "veiling the machine's folders".into())?);
                }
                if let Some(keep) = self.keep {
                    let kept = self.overlay_at(&layers, self.scratch, "root", Some(keep));
                    return kept.doing(|| "laying a kept layer over an image's".into());
                }
                self.overlay(&layers, "root").doing(|| "laying the root's layers over each other".into())
            }
            Base::Mirror => memory(0o755).doing(|| "making a root in memory".into()),
        }
    }

    /// The kernel refuses a layer that lies within another one (ELOOP), as an image's layers do within the machine's
    /// root: those are laid over each other by themselves first, which makes them a file system of their own.
    fn apart(&self, lower: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
        let Some((machine, image)) = lower.split_last() else { return Ok(Vec::new()) };
        if !image.iter().any(|layer| layer.starts_with(machine)) {
            return Ok(lower.to_vec());
        }
        let (path, nothing) = (self.scratch.join("image"), self.scratch.join("nothing"));
        fs::create_dir_all(&path)?;
        // Without an upper layer the kernel wants two lower ones at least.
        fs::create_dir_all(&nothing)?;
        let layers = [image, &[nothing]].concat();
        let lower = short_names(&layers, self.scratch, "i")?;
        let mut options = vec![("lowerdir", Some(lower.as_c_str()))];
        if self.level == Level::UserNamespaces {
            options.push(("userxattr", None));
        }
        attach_mount(new_mount(c"overlay", &options, SAFE)?.as_fd(), &path)?;
        Ok(vec![path, machine.clone()])
    }

    /// A layer in memory with the veils: nothing of it has to be deleted from a disk at the end.
    fn veiled(&self) -> io::Result<PathBuf> {
        let path = self.scratch.join("veils");
        fs::create_dir_all(&path)?;
        attach_mount(memory(0o755)?.as_fd(), &path)?;
        veil::lay(self.veils, &path)?;
        Ok(path)
    }

    /// Folders laid over each other; what is written goes to `NAME.upper` in the sandbox's folder. Where that folder's
    /// file system cannot be an upper layer (it is one itself, say, in a container), it goes to memory.
    fn overlay(&self, lower: &[PathBuf], name: &str) -> io::Result<OwnedFd> {
        let on_disk = self.overlay_at(lower, self.scratch, name, None);
        let Err(error) = on_disk else { return on_disk };
        let aside = self.scratch.join(format!("{name}.memory"));
        fs::create_dir_all(&aside)?;
        let mount = memory(0o700)?;
        attach_mount(mount.as_fd(), &aside)?;
        // Both failed: the first reason is the one to tell.
        self.overlay_at(lower, &aside, name, None).map_err(|_| error)
    }

    fn overlay_at(
        &self,
        lower: &[PathBuf],
        place: &Path,
        name: &str,
        keep: Option<&Path>,
    ) -> io::Result<OwnedFd> {
        let (upper, work) = (place.join(format!("{name}.upper")), place.join(format!("{name}.work")));
        fs::create_dir_all(&work)?;
        if let Some(keep) = keep {
            symlink(keep, &upper)?;
        }
        match lower.first() {
            Some(top) => make_like(&upper, top)?,
            None => fs::create_dir_all(&upper)?,
        }
        let lower = short_names(lower, place, name)?;
        let (upper, work) = (CString::new(format!("{name}.upper"))?, CString::new(format!("{name}.work"))?);
        let mut options = vec![
            ("lowerdir", Some(lower.as_c_str())),
            ("upperdir", Some(upper.as_c_str())),
            ("workdir", Some(work.as_c_str())),
            // What is written is thrown away: it need never reach the disk.
            ("volatile", None),
        ];
        if self.level == Level::UserNamespaces {
            options.push(("userxattr", None));
        } else {
            // What is kept becomes an image's layer: there a moved folder is a removed one and a new one.
            options.push(("redirect_dir", Some(if keep.is_some() { c"off" } else { c"on" })));
        }
        new_mount(c"overlay", &options, SAFE)
    }

    fn open(&self, step: &Step, number: usize) -> io::Result<Opened> {
        let folder = |mount| Ok(Opened::Mount { mount, file: false });
        match step {
            Step::Overlay { lower, .. } => {
                folder(match self.overlay(std::slice::from_ref(lower), &number.to_string()) {
                    Ok(mount) => mount,
                    Err(_) => bind(lower, true)?,
                })
            }
            Step::Laid { lower, read_only, .. } => {
                let mount = self.overlay(&self.apart(lower)?, &number.to_string())?;
                if *read_only {
                    set_attributes(mount.as_fd(), attr::READ_ONLY, false)?;
                }
                folder(mount)
            }
            Step::Bind { from, read_only, optional, .. } => match bind(from, *read_only) {
                Ok(mount) => Ok(Opened::Mount { mount, file: !from.is_dir() }),
                Err(_) if *optional => Ok(Opened::Nothing),
                Err(error) => Err(error),
            },
            Step::Own { name, mode, .. } => {
                let path = self.scratch.join(name);
                fs::create_dir_all(&path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                folder(bind(&path, false)?)
            }
            Step::Empty { mode, .. } => folder(memory(*mode)?),
            Step::Memory { bytes, .. } => {
                let size = CString::new(bytes.to_string())?;
                let mut options = vec![("mode", Some(c"1777"))];
                if *bytes > 0 {
                    options.push(("size", Some(size.as_c_str())));
                }
                folder(new_mount(c"tmpfs", &options, SAFE)?)
            }
            Step::Proc => folder(new_mount(c"proc", &[], SAFE | attr::NO_EXEC)?),
            Step::Sys => folder(Self::sys()?),
            Step::Dev => devices(),
            Step::Cover(_) | Step::Lock(_) | Step::Text { .. } | Step::Link { .. } => Ok(Opened::Nothing),
        }
    }

    /// A fresh `/sys` needs power over the network namespace; an ordinary user gets the machine's, read-only.
    fn sys() -> io::Result<OwnedFd> {
        match new_mount(c"sysfs", &[], SAFE | attr::NO_EXEC | attr::READ_ONLY) {
            Ok(mount) => Ok(mount),
            Err(_) => bind(Path::new("/sys"), true),
        }
    }

    /// A file that nobody can read, to lie over those that nobody should.
    fn cover(&self) -> io::Result<OwnedFd> {
        let path = self.scratch.join("cover");
        fs::write(&path, "")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o0))?;
        bind(&path, true)
    }

    /// Every entry of the machine's root, read-only with all that is mounted below it.
    fn mirror() -> Result<Mirrored, Fault> {
        let mut mirrored = Mirrored::default();
        let entries = fs::read_dir("/").doing(|| "reading the machine's root".into())?;
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            let own = ["/proc", "/sys", "/dev", "/run", "/tmp"].iter().any(|own| path == Path::new(own));
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() {
                if let Ok(target) = fs::read_link(&path) {
                    mirrored.links.push((path, target));
                }
            } else if !own
                && (kind.is_dir() || kind.is_file())
                && let Ok(mount) = bind(&path, true)
            {
                mirrored.mounts.push((path, mount, kind.is_file()));
            }
        }
        Ok(mirrored)
    }
}

#[derive(Default)]
struct Mirrored {
    links: Vec<(PathBuf, PathBuf)>,
    mounts: Vec<(PathBuf, OwnedFd, bool)>,
}

impl Mirrored {
    fn attach(self) -> Result<(), Fault> {
        for (path, target) in self.links {
            symlink(&target, &path).doing(|| format!("linking {}", path.display()))?;
        }
        for (path, mount, file) in self.mounts {
            point(&path, file)
                .and_then(|()| attach_mount(mount.as_fd(), &path))
                .doing(|| format!("attaching {}", path.display()))?;
        }
        Ok(())
    }
}

fn attach(step: &Step, opened: Opened, cover: &OwnedFd) -> io::Result<()> {
    match (step, opened) {
        (Step::Cover(at), _) => match fs::symlink_metadata(at) {
            Ok(_) => attach_mount(duplicate(cover)?.as_fd(), at),
            Err(_) => Ok(()),
        },
        (Step::Lock(at), _) => match clone_mount(at, true) {
            Ok(mount) => {
                set_attributes(mount.as_fd(), attr::READ_ONLY, true)?;
                attach_mount(mount.as_fd(), at)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        },
        (Step::Text { at, text }, _) => {
            at.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(at, text)
        }
        (Step::Link { at, target }, _) => {
            // A link of the machine's root is replaced; a folder of it stays, and that is an error.
            let _ = fs::remove_file(at);
            symlink(target, at)
        }
        (Step::Dev, Opened::Devices { dev, pts, nodes }) => attach_devices(&dev, &pts, nodes),
        (Step::Empty { at, .. }, Opened::Mount { mount, .. }) => {
            // A folder that is not there hides nothing: but it must not appear later.
            match point(at, false) {
                Ok(()) => attach_mount(mount.as_fd(), at),
                Err(_) if fs::symlink_metadata(at).is_err() => Ok(()),
                Err(error) => Err(error),
            }
        }
        (
            Step::Overlay { at, .. }
            | Step::Laid { at, .. }
            | Step::Own { at, .. }
            | Step::Memory { at, .. }
            | Step::Bind { at, .. },
            Opened::Mount { mount, file },
        ) => {
            let optional = matches!(step, Step::Bind { optional: true, .. });
            match point(at, file).and_then(|()| attach_mount(mount.as_fd(), at)) {
                Err(_) if optional => Ok(()),
                result => result,
            }
        }
        (Step::Proc, Opened::Mount { mount, .. }) => {
            point(Path::new("/proc"), false)?;
            attach_mount(mount.as_fd(), Path::new("/proc"))
        }
        (Step::Sys, Opened::Mount { mount, .. }) => {
            point(Path::new("/sys"), false)?;
            attach_mount(mount.as_fd(), Path::new("/sys"))
        }
        _ => Ok(()),
    }
}

/// Layers as the kernel wants them told. It takes 255 bytes for all of them: so they are links with short names in a
/// folder, which becomes the current one.
fn short_names(layers: &[PathBuf], place: &Path, name: &str) -> io::Result<CString> {
    std::env::set_current_dir(place)?;
    let mut names = Vec::new();
    for (number, folder) in layers.iter().enumerate() {
        let link = if name == "root" { format!("{number:x}") } else { format!("{name}.{number:x}") };
        let _ = fs::remove_file(&link);
        symlink(folder, &link)?;
        names.push(link);
    }
    Ok(CString::new(names.join(":"))?)
}

fn devices() -> io::Result<Opened> {
    // Device nodes work in this one mount of memory only; who is in the sandbox cannot make any.
    let options = [("mode", Some(c"755"))];
    let dev = new_mount(c"tmpfs", &options, attr::NO_SUID | attr::NO_EXEC)?;
    let options = [("ptmxmode", Some(c"666")), ("mode", Some(c"620"))];
    let pts = new_mount(c"devpts", &options, attr::NO_SUID | attr::NO_EXEC)?;
    let mut nodes = Vec::new();
    if !nix::unistd::geteuid().is_root() || own_user_namespace() {
        for (name, ..) in DEVICES {
            nodes.push((name, clone_mount(&Path::new("/dev").join(name), false)?));
        }
    }
    Ok(Opened::Devices { dev, pts, nodes })
}

/// Whether this process is in a user namespace other than the machine's first, where no device node can be made.
fn own_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map").map_or(true, |map| !map.contains("4294967295"))
}

fn attach_devices(dev: &OwnedFd, pts: &OwnedFd, nodes: Vec<(&'static str, OwnedFd)>) -> io::Result<()> {
    let root = Path::new("/dev");
    point(root, false)?;
    attach_mount(dev.as_fd(), root)?;
    if nodes.is_empty() {
        let everyone = Mode::from_bits_truncate(0o666);
        for (name, major, minor) in DEVICES {
            let path = root.join(name);
            mknod(&path, SFlag::S_IFCHR, everyone, makedev(major, minor))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        }
    }
    for (name, mount) in nodes {
        let path = root.join(name);
        fs::write(&path, "")?;
        attach_mount(mount.as_fd(), &path)?;
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    for (name, target) in links.into_iter().chain([("ptmx", "pts/ptmx")]) {
        symlink(target, root.join(name))?;
    }
    fs::create_dir(root.join("pts"))?;
    attach_mount(pts.as_fd(), &root.join("pts"))?;
    let shared = root.join("shm");
    fs::create_dir(&shared)?;
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777))
}

fn bind(from: &Path, read_only: bool) -> io::Result<OwnedFd> {
    let mount = clone_mount(from, true)?;
    let attributes = if read_only { SAFE | attr::READ_ONLY } else { SAFE };
    set_attributes(mount.as_fd(), attributes, true)?;
    Ok(mount)
}

/// A copy of a detached mount.
fn duplicate(mount: &OwnedFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd as _;
    clone_mount(&PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())), false)
}

fn memory(mode: u32) -> io::Result<OwnedFd> {
    let mode = CString::new(format!("{mode:o}"))?;
    new_mount(c"tmpfs", &[("mode", Some(mode.as_c_str()))], SAFE)
}

/// Makes sure that there is something to attach to.
fn point(at: &Path, file: bool) -> io::Result<()> {
    if fs::metadata(at).is_ok() {
        return Ok(());
    }
    let folder = if file { at.parent().unwrap_or(Path::new("/")) } else { at };
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    if file {
        fs::OpenOptions::new().create(true).append(true).open(at)?;
    }
    Ok(())
}
