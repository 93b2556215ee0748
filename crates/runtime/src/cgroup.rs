//! Control groups: limits, use, and the word that memory ran out. Version 1 (a hierarchy per controller) and
//! version 2 (one for all). Groups are made below, or beside, the one that this process is in, so that limits
//! which already hold for it go on holding.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass_kernel::{Clock as _, SystemClock};

use crate::fault::{Doing as _, Fault};
use crate::machine::{self, MountPoint};
use crate::spec::{ControlGroups, Limits, Usage};

/// Where groups can be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    /// Version 2: the folder to make groups in.
    unified: Option<PathBuf>,
    /// Version 1: controller and folder.
    separate: Vec<(&'static str, PathBuf)>,
}

/// A sandbox's group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    unified: bool,
    folders: Vec<(&'static str, PathBuf)>,
    /// How many of its processes are Windlass' own.
    own: u64,
}

const SEPARATE: [&str; 4] = ["memory", "pids", "cpu", "cpuacct"];
const ALL: &str = "all";

impl Hierarchies {
    /// Finds where this process may make groups; tries by making one.
    pub(crate) fn find() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = machine::mounts();
        let mut found = Self::default();
        for candidate in unified_candidates(&own, &mounts) {
            if unified_works(&candidate) {
                found.unified = Some(candidate);
                return found;
            }
        }
        for controller in SEPARATE {
            if let Some(folder) =
                separate_folder(controller, &own, &mounts).filter(|folder| can_make_in(folder))
            {
                found.separate.push((controller, folder));
            }
        }
        let there = |name| found.separate.iter().any(|(controller, _)| *controller == name);
        if !(there("memory") && there("pids")) {
            found.separate.clear();
        }
        found
    }

    /// Which version is used.
    pub(crate) fn version(&self) -> ControlGroups {
        match (&self.unified, self.separate.is_empty()) {
            (Some(_), _) => ControlGroups::V2,
            (None, false) => ControlGroups::V1,
            (None, true) => ControlGroups::None,
        }
    }

    /// Makes a group with limits, for a sandbox of which `own` processes are Windlass' own; `None` where there are no
    /// control groups.
    pub(crate) fn make(&self, id: &str, limits: &Limits, own: u64) -> Result<Option<Group>, Fault> {
        let name = format!("windlass.{id}");
        let folders: Vec<_> = match &self.unified {
            Some(base) => vec![(ALL, base.join(&name))],
            None => self.separate.iter().map(|(controller, base)| (*controller, base.join(&name))).collect(),
        };
        if folders.is_empty() {
            return Ok(None);
        }
        let group = Group { unified: self.unified.is_some(), folders, own };
        group.set_up(limits).inspect_err(|_| group.remove())?;
        Ok(Some(group))
    }
}

impl Group {
    fn set_up(&self, limits: &Limits) -> Result<(), Fault> {
        for (_, folder) in &self.folders {
            // One of that name can only be the remains of a dead owner: ids are unique among the living.
            let _ = fs::remove_dir(folder);
            fs::create_dir(folder).doing(|| format!("making the control group {}", folder.display()))?;
        }
        let set = |controller, file: &str, value: String| {
            let Some(path) = self.file(controller, file).filter(|path| path.exists()) else { return Ok(()) };
            fs::write(&path, &value).doing(|| format!("writing {value} to {}", path.display()))
        };
        if let Some(bytes) = limits.memory_bytes {
            if self.unified {
                set("memory", "memory.max", bytes.to_string())?;
                let _ = set("memory", "memory.swap.max", "0".into());
            } else {
                set("memory", "memory.limit_in_bytes", bytes.to_string())?;
                let _ = set("memory", "memory.memsw.limit_in_bytes", bytes.to_string());
            }
        }
        if let Some(processes) = limits.processes {
            set("pids", "pids.max", (processes + self.own).to_string())?;
        }
        if let Some(millis) = limits.cpu_millis {
            let (quota, period) = (millis.saturating_mul(100).max(1000), 100_000);
            if self.unified {
                set("cpu", "cpu.max", format!("{quota} {period}"))?;
            } else {
                set("cpu", "cpu.cfs_period_us", period.to_string())?;
                set("cpu", "cpu.cfs_quota_us", quota.to_string())?;
            }
        }
        Ok(())
    }

    /// The files that a single-threaded process writes itself into. Version 1 can move a thread that moves itself
    /// without waiting for all processors (10 ms and more); version 2 cannot.
    pub(crate) fn join_files(&self) -> Vec<PathBuf> {
        let file = if self.unified { "cgroup.procs" } else { "tasks" };
        self.folders.iter().map(|(_, folder)| folder.join(file)).collect()
    }

    /// Its folders, for whoever cleans up after a dead owner.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(|(_, folder)| folder.as_path())
    }

    fn file(&self, controller: &str, file: &str) -> Option<PathBuf> {
        let fits = |name: &str| name == ALL || name == controller;
        self.folders.iter().find(|(name, _)| fits(name)).map(|(_, folder)| folder.join(file))
    }

    fn number(&self, controller: &str, file: &str) -> Option<u64> {
        fs::read_to_string(self.file(controller, file)?).ok()?.trim().parse().ok()
    }

    fn keyed(&self, controller: &str, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.file(controller, file)?).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    }

    /// How often a process here was killed because memory ran out.
    pub(crate) fn memory_kills(&self) -> u64 {
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        self.keyed("memory", file, "oom_kill ").unwrap_or(0)
    }

    /// What is used.
    pub(crate) fn usage(&self) -> Usage {
        let (cpu, memory) = if self.unified {
            (
                self.keyed("cpu", "cpu.stat", "usage_usec ").map(|n| n * 1000),
                self.number("memory", "memory.current"),
            )
        } else {
            (self.number("cpuacct", "cpuacct.usage"), self.number("memory", "memory.usage_in_bytes"))
        };
        let processes = self.number("pids", "pids.current").unwrap_or(0).saturating_sub(self.own);
        Usage { cpu_nanos: cpu.unwrap_or(0), memory_bytes: memory.unwrap_or(0), processes }
    }

    /// Kills all that is in it.
    pub(crate) fn kill(&self) {
        kill_members(self.folders());
    }

    /// Removes it; what is in it must have ended.
    pub(crate) fn remove(&self) {
        remove_folders(self.folders());
    }
}

/// Removes groups of Windlass that have been without a process for a minute: their owner was killed, and its folder
/// deleted, before anybody could clean up. A group that is about to be joined is younger.
pub(crate) fn remove_abandoned() {
    const YOUNG_MILLIS: i64 = 60_000;
    let now = SystemClock.now().as_millis();
    let found = Hierarchies::find();
    let bases = found.unified.iter().chain(found.separate.iter().map(|(_, base)| base));
    for folder in bases.filter_map(|base| fs::read_dir(base).ok()).flatten().filter_map(Result::ok) {
        if !folder.file_name().to_string_lossy().starts_with("windlass.") {
            continue;
        }
        let empty = fs::read_to_string(folder.path().join("cgroup.procs")).is_ok_and(|text| text.is_empty());
        let made = folder.metadata().and_then(|meta| meta.modified()).ok();
        let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
        if empty && made.is_some_and(|made| now - made.as_millis() as i64 > YOUNG_MILLIS) {
            // Fails where a process has come in meanwhile.
            let _ = fs::remove_dir(folder.path());
        }
    }
}

/// Kills the processes of groups.
pub(crate) fn kill_members<'a>(folders: impl Iterator<Item = &'a Path>) {
    for folder in folders {
        if fs::write(folder.join("cgroup.kill"), "1").is_ok() {
            continue;
        }
        for _ in 0..50 {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            let pids: Vec<i32> =
                text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1).collect();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Removes groups. The kernel lets go of one a moment after its last process has ended.
pub(crate) fn remove_folders<'a>(folders: impl Iterator<Item = &'a Path>) {
    for folder in folders {
        for _ in 0..200 {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => break,
            }
        }
    }
}

/// Folders in which a group of version 2 may be made: beside this process' own group (a group with processes cannot
/// have limits for groups below it), or, at the top, below it.
fn unified_candidates(own: &str, mounts: &[MountPoint]) -> Vec<PathBuf> {
    let Some(mount) = mounts.iter().find(|mount| mount.kind == "cgroup2") else { return Vec::new() };
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::")) else { return Vec::new() };
    let here = below_mount(mount, path);
    let beside = here.parent().filter(|parent| parent.starts_with(&mount.at)).map(Path::to_owned);
    beside.into_iter().chain([mount.at.clone(), here]).collect()
}

fn unified_works(base: &Path) -> bool {
    let offered = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
    let wanted = ["memory", "pids", "cpu"];
    if !["memory", "pids"].iter().all(|name| offered.split_whitespace().any(|word| word == *name)) {
        return false;
    }
    for name in wanted {
        let _ = fs::write(base.join("cgroup.subtree_control"), format!("+{name}"));
    }
    let trial = base.join(format!("windlass.trial-{}", std::process::id()));
    let works = fs::create_dir(&trial).is_ok()
        && trial.join("memory.max").exists()
        && trial.join("pids.max").exists();
    // Whether processes may be moved there is a right of its own.
    let open =
        works && fs::OpenOptions::new().write(true).open(trial.join("cgroup.procs")).is_ok() && movable(base);
    let _ = fs::remove_dir(&trial);
    open
}

/// An ordinary user may move a process only where the folder above both groups is writable too.
fn movable(base: &Path) -> bool {
    fs::OpenOptions::new().write(true).open(base.join("cgroup.procs")).is_ok()
}

fn separate_folder(controller: &str, own: &str, mounts: &[MountPoint]) -> Option<PathBuf> {
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let mount = mounts.iter().find(|mount| mount.kind == "cgroup" && has(&mount.options))?;
    let path = own.lines().find_map(|line| {
        let (list, path) = line.split_once(':')?.1.split_once(':')?;
        has(list).then_some(path)
    })?;
    Some(below_mount(mount, path))
}

/// In a container the mount may show only a part of the hierarchy, while paths are told in full.
fn below_mount(mount: &MountPoint, path: &str) -> PathBuf {
    let path = Path::new(path);
    let below = path.strip_prefix(&mount.root).or_else(|_| path.strip_prefix("/")).unwrap_or(path);
    mount.at.join(below)
}

fn can_make_in(folder: &Path) -> bool {
    let trial = folder.join(format!("windlass.trial-{}", std::process::id()));
    let made = fs::create_dir(&trial).is_ok();
    let _ = fs::remove_dir(&trial);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::parse_mounts;

    #[test]
    fn folders_follow_this_process_group() {
        let mounts = parse_mounts(
            "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             36 31 0:33 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             37 31 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        let own = "9:memory:/a/b\n8:cpu,cpuacct:/docker/abc/x\n0::/user.slice/s.scope\n";
        let folder = |controller| separate_folder(controller, own, &mounts);
        assert_eq!(folder("memory").unwrap(), Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(folder("cpuacct").unwrap(), Path::new("/sys/fs/cgroup/cpu/x"));
        assert_eq!(folder("pids"), None);
        let unified = unified_candidates(own, &mounts);
        assert_eq!(unified[0], Path::new("/sys/fs/cgroup/unified/user.slice"));
        assert_eq!(unified[1], Path::new("/sys/fs/cgroup/unified"));
    }
}
