//! The file system of a sandbox as a list of steps: decided here, without touching anything but to look;
//! carried out by init (`init::mounts`).
//!
//! Sources are opened in the machine's own tree; then the new root becomes `/` and everything is attached
//! there. So a link in the new root (of an image, say) leads nowhere but into that root.

mod image;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::machine::{self, MountPoint};
use crate::spec::{Level, Root, SandboxSpec};
use crate::toolchain;

/// A sandbox's file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// What `/` is.
    pub(crate) base: Base,
    /// What is different from the start in an overlay of the machine's root: no mount is needed for it.
    pub(crate) veils: Vec<Veil>,
    /// What is attached below it, in this order.
    pub(crate) steps: Vec<Step>,
    /// Whether `/` itself refuses writes once all is attached.
    pub(crate) read_only_root: bool,
    /// The sandbox's own folder.
    pub(crate) scratch: PathBuf,
    /// The folder where what is written to `/` is kept.
    pub(crate) keep: Option<PathBuf>,
}

/// What `/` is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Base {
    /// Folders laid over each other, the topmost first; writes go to the sandbox's own folder.
    Overlay(Vec<PathBuf>),
    /// An empty root in memory with each entry of the machine's root, read-only: what an ordinary user can have,
    /// since the kernel refuses an overlay over a root with mounts below it.
    Mirror,
}

/// Something that lies in the sandbox's own layer before it starts, over what the machine has there. It cannot be
/// taken away: deleting it leaves nothing, not what is below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Veil {
    /// An empty folder.
    Folder {
        /// Where.
        at: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// A folder of the machine, below a veiled one: seen after all, writes thrown away.
    Through {
        /// The folder of the machine.
        host: PathBuf,
        /// Where.
        at: PathBuf,
    },
    /// A file with this text; only the sandbox's root can read it.
    File {
        /// Where.
        at: PathBuf,
        /// Its text.
        text: String,
    },
}

/// One thing to attach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// A folder of the machine; writes are thrown away. Where the kernel refuses that, it is read-only.
    Overlay {
        /// The folder of the machine.
        lower: PathBuf,
        /// Where.
        at: PathBuf,
    },
    /// Folders laid over each other, the topmost first; writes are thrown away.
    Laid {
        /// The folders.
        lower: Vec<PathBuf>,
        /// Where.
        at: PathBuf,
        /// Whether writing is refused.
        read_only: bool,
    },
    /// A symbolic link.
    Link {
        /// Where.
        at: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A folder or file of the machine.
    Bind {
        /// The folder or file of the machine.
        from: PathBuf,
        /// Where.
        at: PathBuf,
        /// Whether writing is refused.
        read_only: bool,
        /// Whether to go on without it when it cannot be had.
        optional: bool,
    },
    /// A folder of the sandbox's own, on disk.
    Own {
        /// Its name in the sandbox's folder.
        name: String,
        /// Where.
        at: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// An empty folder in memory; hides what was there.
    Empty {
        /// Where.
        at: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// An empty folder in memory, open to everybody, of at most so many bytes (0: as many as the kernel likes).
    Memory {
        /// Where.
        at: PathBuf,
        /// The most bytes.
        bytes: u64,
    },
    /// A file that cannot be read, in place of one that should not be.
    Cover(PathBuf),
    /// Makes a folder or file refuse writes where it is. Left out where it is missing.
    Lock(PathBuf),
    /// Processes: this sandbox's only.
    Proc,
    /// The kernel's objects, read-only.
    Sys,
    /// Devices: the harmless ones.
    Dev,
    /// A small file with this text.
    Text {
        /// Where.
        at: PathBuf,
        /// Its text.
        text: String,
    },
}

/// Parts of `/proc` that speak of the whole machine.
const PROC_HIDDEN: &[&str] =
    &["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kmsg", "/proc/sched_debug"];
const PROC_EMPTIED: &[&str] = &["/proc/acpi", "/proc/scsi", "/proc/asound"];
const PROC_LOCKED: &[&str] = &["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];
const SYS_EMPTIED: &[&str] = &["/sys/firmware", "/sys/devices/virtual/powercap", "/sys/fs/cgroup"];

/// Folders of the machine with secrets, or with sockets that give power over it.
const FOLDERS_EMPTIED: &[&str] = &[
    "/etc/ssl/private",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/kubelet",
    "/var/lib/windlass",
    "/var/lib/private",
    "/var/lib/sss",
    "/var/lib/NetworkManager",
    "/var/lib/lxd",
    "/var/lib/incus",
    "/var/spool/cron",
    "/etc/NetworkManager/system-connections",
    "/etc/wireguard",
    "/etc/letsencrypt",
    "/etc/kubernetes",
    "/lost+found",
];
const FILES_COVERED: &[&str] =
    &["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/krb5.keytab"];

/// Folders that are the sandbox's own in any case: what the machine has there does not matter.
const PRIVATE: &[&str] = &["/proc", "/sys", "/dev", "/run", "/var/run", "/tmp", "/var/tmp"];

/// Decides the file system of a sandbox.
pub(crate) fn decide(spec: &SandboxSpec, level: Level) -> Layout {
    let base = match (&spec.root, level) {
        (Root::Machine | Root::MachineWithLayers(_), Level::UserNamespaces) => Base::Mirror,
        (Root::Machine, _) => Base::Overlay(vec!["/".into()]),
        (Root::Layers(layers), _) => Base::Overlay(layers.clone()),
        (Root::MachineWithLayers(layers), _) => {
            Base::Overlay(layers.iter().cloned().chain(["/".into()]).collect())
        }
    };
    let machine = !matches!(spec.root, Root::Layers(_));
    let mounts = machine::mounts();
    let veiling = machine && level == Level::Namespaces;
    let mut plan = Plan { mounts: &mounts, veiling, veils: Vec::new(), steps: Vec::new() };
    let masked = if machine { masked(spec) } else { Vec::new() };
    if veiling {
        plan.steps.extend(other_mounts(&mounts, &masked));
    }
    if let (Root::MachineWithLayers(layers), Base::Mirror) = (&spec.root, &base) {
        plan.steps.extend(image::over_machine(layers, &mounts, spec.read_only_root));
    }
    plan.system(machine, !machine && (spec.image_folders || spec.keep.is_some()));
    if machine {
        plan.masks(&masked);
        plan.home(spec, &masked);
    }
    plan.steps.extend(binds(spec));
    let Plan { veils, steps, .. } = plan;
    let (scratch, keep) = (spec.scratch.clone(), spec.keep.clone());
    Layout { base, veils, steps, read_only_root: spec.read_only_root, scratch, keep }
}

/// The machine's folders that are hidden: homes, secrets, the caller's. One below another hidden one is left out.
fn masked(spec: &SandboxSpec) -> Vec<PathBuf> {
    let asked = spec.hidden.iter().cloned().chain(machine::homes());
    let mut all: Vec<PathBuf> =
        asked.flat_map(|path| [std::fs::canonicalize(&path).ok(), Some(path)]).flatten().collect();
    all.push(spec.scratch.clone());
    all.extend(FOLDERS_EMPTIED.iter().map(PathBuf::from).filter(|path| path.exists()));
    all.retain(|path| !is_private(path) && path != Path::new("/"));
    outermost(all)
}

fn is_private(path: &Path) -> bool {
    PRIVATE.iter().any(|private| path.starts_with(private))
}

fn outermost(mut all: Vec<PathBuf>) -> Vec<PathBuf> {
    all.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in all {
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path);
        }
    }
    kept
}

/// What is mounted below `/`: an overlay sees only the file system of `/` itself.
fn other_mounts(mounts: &[MountPoint], masked: &[PathBuf]) -> Vec<Step> {
    let mut seen: Vec<&Path> = Vec::new();
    let mut steps = Vec::new();
    for mount in mounts {
        let hidden = is_private(&mount.at) || masked.iter().any(|mask| mount.at.starts_with(mask));
        if mount.at == Path::new("/") || hidden || seen.contains(&mount.at.as_path()) {
            continue;
        }
        seen.push(&mount.at);
        steps.push(if mount.on_disk() && mount.at.is_dir() {
            Step::Overlay { lower: mount.at.clone(), at: mount.at.clone() }
        } else {
            Step::Bind { from: mount.at.clone(), at: mount.at.clone(), read_only: true, optional: true }
        });
    }
    steps
}

/// A layout being decided.
struct Plan<'a> {
    mounts: &'a [MountPoint],
    veiling: bool,
    veils: Vec<Veil>,
    steps: Vec<Step>,
}

impl Plan<'_> {
    /// Whether a path belongs to the file system of `/` itself, so that the overlay sees it.
    fn in_root(&self, path: &Path) -> bool {
        !self.mounts.iter().any(|mount| mount.at != Path::new("/") && path.starts_with(&mount.at))
    }

    /// Whether a veil can lie at this path.
    fn can_veil(&self, path: &Path) -> bool {
        self.veiling && path.parent().is_some_and(|parent| self.in_root(parent))
    }

    fn empty(&mut self, at: &Path, mode: u32) {
        if self.can_veil(at) {
            self.veils.push(Veil::Folder { at: at.to_owned(), mode });
        } else {
            self.steps.push(Step::Empty { at: at.to_owned(), mode });
        }
    }

    /// An empty folder on disk.
    fn own(&mut self, name: &str, at: &Path, mode: u32) {
        if self.can_veil(at) {
            self.veils.push(Veil::Folder { at: at.to_owned(), mode });
        } else {
            self.steps.push(Step::Own { name: name.to_owned(), at: at.to_owned(), mode });
        }
    }

    fn text(&mut self, at: PathBuf, text: String) {
        let step =
            if self.can_veil(&at) { None } else { Some(Step::Text { at: at.clone(), text: text.clone() }) };
        match step {
            Some(step) => self.steps.push(step),
            None => self.veils.push(Veil::File { at, text }),
        }
    }

    /// `/proc`, `/sys`, `/dev`, the private folders, and name resolution.
    fn system(&mut self, machine: bool, kept: bool) {
        let there = |path: &&&str| Path::new(path).exists();
        self.steps.push(Step::Proc);
        self.steps.extend(PROC_LOCKED.iter().map(|path| Step::Lock(path.into())));
        self.steps.extend(PROC_HIDDEN.iter().filter(there).map(|path| Step::Cover(path.into())));
        let empty = |path: &&str| Step::Empty { at: path.into(), mode: 0o555 };
        self.steps.extend(PROC_EMPTIED.iter().filter(there).map(empty));
        self.steps.push(Step::Sys);
        self.steps.extend(SYS_EMPTIED.iter().filter(there).map(empty));
        self.steps.push(Step::Dev);
        if !kept {
            self.own("tmp", Path::new("/tmp"), 0o1777);
            self.own("var-tmp", Path::new("/var/tmp"), 0o1777);
            self.empty(Path::new("/run"), 0o755);
        }
        if machine {
            if Path::new("/var/run").symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                self.empty(Path::new("/var/run"), 0o755);
            }
            if let Some((at, text)) = resolver_below_run() {
                self.text(at, text);
            }
            let hosts = PathBuf::from("/etc/hosts");
            // Only where a veil can lie: never is the machine's own file written.
            if self.can_veil(&hosts) && self.in_root(&hosts) {
                self.veils.push(Veil::File { text: hosts_text(), at: hosts });
            }
            // NixOS keeps the way to every program here.
            if Path::new("/run/current-system").exists() {
                let path = PathBuf::from("/run/current-system");
                self.steps.push(Step::Bind { from: path.clone(), at: path, read_only: true, optional: true });
            }
        } else {
            for file in ["/etc/resolv.conf", "/etc/hosts"] {
                let from = std::fs::canonicalize(file).unwrap_or_else(|_| file.into());
                self.steps.push(Step::Bind { from, at: file.into(), read_only: true, optional: true });
            }
        }
    }

    fn masks(&mut self, masked: &[PathBuf]) {
        let keys = std::fs::read_dir("/etc/ssh")
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .map(|entry| entry.path());
        let keys = keys.filter(|path| path.to_string_lossy().ends_with("_key"));
        let files = FILES_COVERED.iter().map(PathBuf::from).chain(keys).filter(|path| path.exists());
        let files: Vec<PathBuf> = files.chain(masked.iter().filter(|path| path.is_file()).cloned()).collect();
        for path in masked.iter().filter(|path| !path.is_file()) {
            self.empty(path, 0o755);
        }
        for file in files {
            // An empty file can be replaced, as package scripts do with the password files; a covered one cannot.
            if self.can_veil(&file) && self.in_root(&file) {
                self.veils.push(Veil::File { at: file, text: String::new() });
            } else {
                self.steps.push(Step::Cover(file));
            }
        }
    }

    /// A home of the sandbox's own, with the machine's toolchains in it.
    fn home(&mut self, spec: &SandboxSpec, masked: &[PathBuf]) {
        let home = machine::own_home();
        if is_private(&home) || !home.exists() || masked.iter().any(|mask| home.starts_with(mask)) {
            // A veil on the home itself is there already; this one sets its permissions.
            self.veils.retain(|veil| !matches!(veil, Veil::Folder { at, .. } if *at == home));
            self.own("home", &home, 0o700);
        }
        if !spec.toolchain_homes {
            return;
        }
        let found = toolchain::find(&home);
        for folder in found.folders {
            if self.can_veil(&folder.at) && self.in_root(&folder.host) {
                self.veils.push(Veil::Through { host: folder.host, at: folder.at });
            } else {
                self.steps.push(Step::Overlay { lower: folder.host, at: folder.at });
            }
        }
        for (at, text) in found.files {
            self.text(at, text);
        }
    }
}

/// `/etc/resolv.conf` is often a link into `/run`, which is private here: its text is put where the link leads.
fn resolver_below_run() -> Option<(PathBuf, String)> {
    let at = std::fs::canonicalize("/etc/resolv.conf").ok().filter(|at| at.starts_with("/run"))?;
    let text = std::fs::read_to_string(&at).ok()?;
    Some((at, text))
}

/// The machine's table of hosts, with the name under which programs in a sandbox meet Windlass. It needs no look-up
/// (RFC 6761, section 6.3), but the C library's does not know that everywhere.
fn hosts_text() -> String {
    let mut text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str("127.0.0.1 windlass.localhost\n");
    text
}

/// The caller's folders, outer ones first.
fn binds(spec: &SandboxSpec) -> Vec<Step> {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    let depth = |path: &Path| path.components().count();
    for bind in spec.binds.clone() {
        let (from, at, read_only) = (bind.host, bind.inside, bind.read_only);
        steps.push((depth(&at), Step::Bind { from, at, read_only, optional: false }));
    }
    for laid in spec.laid.clone() {
        let (lower, at, read_only) = (laid.layers, laid.inside, laid.read_only);
        steps.push((depth(&at), Step::Laid { lower, at, read_only }));
    }
    for memory in spec.memory.clone() {
        steps.push((depth(&memory.inside), Step::Memory { at: memory.inside, bytes: memory.bytes }));
    }
    steps.sort_by_key(|(depth, _)| *depth);
    steps.into_iter().map(|(_, step)| step).collect()
}
