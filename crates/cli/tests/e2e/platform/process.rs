//! The machine's processes and mounts, as `/proc` tells them.

use std::fmt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.command)
    }
}

impl Process {
    /// The most memory that it has had, in bytes.
    pub(crate) fn peak(&self) -> Option<u64> {
        peak(self.pid)
    }
}

/// The most memory that a process has had, in bytes.
pub(crate) fn peak(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// All that name this folder in their arguments, their variables or their place.
pub(crate) fn of(folder: &Path) -> Vec<Process> {
    let needle = folder.to_string_lossy().into_owned();
    let own = std::process::id() as i32;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        if pid == own {
            continue;
        }
        let read = |name: &str| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let command = read("cmdline");
        let place = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let names = command.contains(&needle)
            || read("environ").contains(&needle)
            || place.starts_with(folder)
            || read("mountinfo").contains(&needle) && !same_mounts(pid);
        // The dead that wait to be collected are no left-overs.
        let dead = read("stat").rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
        if names && !dead {
            found.push(Process { pid, command });
        }
    }
    found
}

fn same_mounts(pid: i32) -> bool {
    let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    of(&pid.to_string()) == of("self")
}

/// What is mounted below a folder.
pub(crate) fn mounts(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    // The folder itself may be a mount of the test's own.
    let below = format!(" {}/", folder.display());
    text.lines().filter(|line| line.contains(&below)).map(str::to_owned).collect()
}

/// Sends a signal; a process that is gone already is none of our business.
pub(crate) fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// SIGKILL.
pub(crate) fn kill_hard(pid: i32) {
    signal(pid, Signal::SIGKILL);
}
