//! Finds the processes that a step left, wherever they hid in the tree, by a mark in their environment.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{MARK, Report};

/// Kills every process that carries the mark, until none is left.
pub(super) fn kill_marked(mark: &str) -> Report {
    let needle = format!("{MARK}={mark}").into_bytes();
    let mut killed = 0;
    // A process may start another while it is looked for.
    for _ in 0..20 {
        let found = marked(&needle);
        if found.is_empty() {
            break;
        }
        for pid in found {
            killed += u64::from(kill(pid, Signal::SIGKILL).is_ok());
        }
    }
    Report { files: killed, ..Report::default() }
}

fn marked(needle: &[u8]) -> Vec<Pid> {
    let own = nix::unistd::getpid();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .map(Pid::from_raw)
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|b| *b == 0).any(|variable| variable == needle)
        })
        .collect()
}
