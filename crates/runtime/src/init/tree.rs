//! The processes below one: counted, measured, ended. Read from `/proc`.

use std::collections::BTreeMap;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kernel_calls::page_size;
use crate::spec::Usage;

/// One process, as `/proc/PID/stat` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its id.
    pub(crate) pid: i32,
    /// Its parent's.
    pub(crate) parent: i32,
    /// Whether it has ended and waits for its parent.
    pub(crate) ended: bool,
    /// Processor time of it and the children that it has waited for, in clock ticks.
    pub(crate) ticks: u64,
    /// Its threads.
    pub(crate) threads: u64,
    /// Resident pages.
    pub(crate) pages: u64,
}

/// Reads one line of `/proc/PID/stat` (`proc_pid_stat(5)`). The name may hold blanks and brackets.
pub(crate) fn parse_stat(text: &str) -> Option<Entry> {
    let (pid, rest) = text.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<i64>().ok());
    Some(Entry {
        pid: pid.parse().ok()?,
        ended: matches!(*fields.first()?, "Z" | "X"),
        parent: number(1)? as i32,
        ticks: (11..=14).filter_map(number).map(|ticks| ticks.max(0) as u64).sum(),
        threads: number(17)?.max(1) as u64,
        pages: number(21)?.max(0) as u64,
    })
}

/// All processes that can be seen.
pub(crate) fn all() -> Vec<Entry> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter_map(|text| parse_stat(&text))
        .collect()
}

/// Those below `root`, without it.
pub(crate) fn below(root: i32, all: &[Entry]) -> Vec<Entry> {
    let mut children: BTreeMap<i32, Vec<&Entry>> = BTreeMap::new();
    for entry in all {
        children.entry(entry.parent).or_default().push(entry);
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        for entry in children.remove(&pid).into_iter().flatten() {
            next.push(entry.pid);
            found.push(*entry);
        }
    }
    found
}

/// What these use, on top of processor time that is already `spent` by ended ones.
pub(crate) fn usage(entries: &[Entry], spent: u64) -> Usage {
    const TICK: u64 = 10_000_000;
    let living = || entries.iter().filter(|entry| !entry.ended);
    Usage {
        cpu_nanos: spent + entries.iter().map(|entry| entry.ticks).sum::<u64>() * TICK,
        memory_bytes: living().map(|entry| entry.pages).sum::<u64>() * page_size(),
        processes: living().map(|entry| entry.threads).sum(),
    }
}

/// Kills these. Stopped first, so that none can start another meanwhile.
pub(crate) fn kill_all(entries: &[Entry]) {
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for entry in entries.iter().filter(|entry| !entry.ended) {
            let _ = kill(Pid::from_raw(entry.pid), signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let text = "17 (a) b (c) S 4 17 17 0 -1 4194304 1 2 3 4 100 20 3 1 20 0 5 0 99 1000 42 18446744073709551615\n";
        let entry = parse_stat(text).unwrap();
        assert_eq!(entry, Entry { pid: 17, parent: 4, ended: false, ticks: 124, threads: 5, pages: 42 });
        assert!(parse_stat("17 (x").is_none());
    }

    #[test]
    fn only_descendants_are_found_and_a_loop_ends() {
        let entry = |pid, parent| Entry { pid, parent, ended: false, ticks: 1, threads: 1, pages: 1 };
        let all = [entry(1, 0), entry(2, 1), entry(3, 2), entry(4, 1), entry(9, 0), entry(7, 8), entry(8, 7)];
        let mut pids: Vec<_> = below(1, &all).iter().map(|entry| entry.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [2, 3, 4]);
        assert!(!below(7, &all).is_empty());
    }
}
