//! The file system of a sandbox as a list of steps: decided here, without touching anything but to look;
//! carried out by init (`init::mounts`).
//!
//! Sources are opened in the machine's own tree; then the new root becomes `/` and everything is attached
//! there. So a link in the new root (of an image, say) leads nowhere but into that root.

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
    /// What is attached below it, in this order.
    pub(crate) steps: Vec<Step>,
    /// Whether `/` itself refuses writes once all is attached.
    pub(crate) read_only_root: bool,
    /// The sandbox's own folder.
    pub(crate) scratch: PathBuf,
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
    let machine = !matches!(spec.root, Root::Layers(_));
    let base = match (&spec.root, level) {
        (Root::Machine, Level::UserNamespaces) => Base::Mirror,
        (Root::Machine, _) => Base::Overlay(vec!["/".into()]),
        (Root::Layers(layers), _) => Base::Overlay(layers.clone()),
        (Root::MachineWithLayers(layers), _) => {
            Base::Overlay(layers.iter().cloned().chain(["/".into()]).collect())
        }
    };
    let mut steps = Vec::new();
    let masked = if machine { masked(spec) } else { Vec::new() };
    if machine && level == Level::Namespaces {
        steps.extend(other_mounts(&machine::mounts(), &masked));
    }
    steps.extend(system(machine));
    if machine {
        steps.extend(masks(&masked));
        steps.extend(homes(spec, &masked));
    }
    steps.extend(binds(spec));
    Layout { base, steps, read_only_root: spec.read_only_root, scratch: spec.scratch.clone() }
}

/// The machine's folders that are hidden: homes, secrets, the caller's. A folder below another hidden one is left out.
fn masked(spec: &SandboxSpec) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = spec
        .hidden
        .iter()
        .flat_map(|path| [std::fs::canonicalize(path).ok(), Some(path.clone())])
        .flatten()
        .collect();
    all.push(spec.scratch.clone());
    all.extend(
        machine::homes()
            .into_iter()
            .flat_map(|home| [std::fs::canonicalize(&home).ok(), Some(home)])
            .flatten(),
    );
    all.extend(FOLDERS_EMPTIED.iter().map(PathBuf::from).filter(|path| path.exists()));
    all.retain(|path| !PRIVATE.iter().any(|private| path.starts_with(private)) && path != Path::new("/"));
    outermost(all)
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
        let hidden = PRIVATE.iter().any(|private| mount.at.starts_with(private))
            || masked.iter().any(|mask| mount.at.starts_with(mask));
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

/// `/proc`, `/sys`, `/dev`, the private folders, and name resolution.
fn system(machine: bool) -> Vec<Step> {
    let own = |name: &str, at: &str| Step::Own { name: name.into(), at: at.into(), mode: 0o1777 };
    let mut steps = vec![Step::Proc];
    steps.extend(PROC_LOCKED.iter().map(|path| Step::Lock(path.into())));
    let there = |path: &&&str| Path::new(path).exists();
    steps.extend(PROC_HIDDEN.iter().filter(there).map(|path| Step::Cover(path.into())));
    steps.extend(PROC_EMPTIED.iter().filter(there).map(|path| Step::Empty { at: path.into(), mode: 0o555 }));
    steps.push(Step::Sys);
    steps.extend(SYS_EMPTIED.iter().filter(there).map(|path| Step::Empty { at: path.into(), mode: 0o555 }));
    steps.push(Step::Dev);
    steps.extend([
        own("tmp", "/tmp"),
        own("var-tmp", "/var/tmp"),
        Step::Empty { at: "/run".into(), mode: 0o755 },
    ]);
    if machine {
        if Path::new("/var/run").symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            steps.push(Step::Empty { at: "/var/run".into(), mode: 0o755 });
        }
        steps.extend(resolver_below_run());
        // NixOS keeps the way to every program here.
        if Path::new("/run/current-system").exists() {
            let path = PathBuf::from("/run/current-system");
            steps.push(Step::Bind { from: path.clone(), at: path, read_only: true, optional: true });
        }
    } else {
        for file in ["/etc/resolv.conf", "/etc/hosts"] {
            let from = std::fs::canonicalize(file).unwrap_or_else(|_| file.into());
            steps.push(Step::Bind { from, at: file.into(), read_only: true, optional: true });
        }
    }
    steps
}

/// `/etc/resolv.conf` is often a link into `/run`, which is private here: its text is put where the link leads.
fn resolver_below_run() -> Option<Step> {
    let at = std::fs::canonicalize("/etc/resolv.conf").ok().filter(|at| at.starts_with("/run"))?;
    let text = std::fs::read_to_string(&at).ok()?;
    Some(Step::Text { at, text })
}

fn masks(masked: &[PathBuf]) -> Vec<Step> {
    let mut steps: Vec<Step> = masked
        .iter()
        .map(|path| {
            if path.is_file() {
                Step::Cover(path.clone())
            } else {
                Step::Empty { at: path.clone(), mode: 0o755 }
            }
        })
        .collect();
    let keys =
        std::fs::read_dir("/etc/ssh").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let keys = keys.filter(|path| path.to_string_lossy().ends_with("_key"));
    let files = FILES_COVERED.iter().map(PathBuf::from).chain(keys).filter(|path| path.exists());
    steps.extend(files.map(Step::Cover));
    steps
}

/// A home of the sandbox's own, with the machine's toolchains in it.
fn homes(spec: &SandboxSpec, masked: &[PathBuf]) -> Vec<Step> {
    let home = machine::own_home();
    let mut steps = Vec::new();
    if masked.iter().any(|mask| home.starts_with(mask))
        || PRIVATE.iter().any(|p| home.starts_with(p))
        || !home.exists()
    {
        steps.push(Step::Own { name: "home".into(), at: home.clone(), mode: 0o700 });
    }
    if spec.toolchain_homes {
        let found = toolchain::find(&home);
        steps.extend(
            found.folders.into_iter().map(|folder| Step::Overlay { lower: folder.host, at: folder.at }),
        );
        steps.extend(found.files.into_iter().map(|(at, text)| Step::Text { at, text }));
    }
    steps
}

/// The caller's folders, outer ones first.
fn binds(spec: &SandboxSpec) -> Vec<Step> {
    let mut binds = spec.binds.clone();
    binds.sort_by_key(|bind| bind.inside.components().count());
    binds
        .into_iter()
        .map(|bind| Step::Bind {
            from: bind.host,
            at: bind.inside,
            read_only: bind.read_only,
            optional: false,
        })
        .collect()
}
