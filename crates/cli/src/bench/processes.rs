//! What the kernel tells of processes.

use anyhow::{Context as _, Result};

/// What a process of ours is called in tables: its role.
pub(super) fn name(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
    match words.get(1).map(AsRef::as_ref) {
        Some("up" | "bench") => "supervisor".to_owned(),
        Some("role") => words.get(2).map(ToString::to_string).unwrap_or_default(),
        other => other.unwrap_or("?").to_owned(),
    }
}

/// The processes whose command lines name this folder: the job units of a data directory.
pub(super) fn naming(folder: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let names = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(folder)
    };
    all.filter(names).collect()
}

/// The most memory that a process had at a time, in kilobytes (of 1024 bytes), as the kernel tells it.
pub(super) fn most(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// A process and all below it.
pub(super) fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        let path = format!("/proc/{pid}/task");
        for task in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
        }
        at += 1;
    }
    found
}

/// In kilobytes (of 1024 bytes), as the kernel tells it.
pub(super) fn pss(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|l| l.strip_prefix("Pss:")).context("the kernel tells no PSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_weighs_something_and_its_children_are_found() {
        let own = std::process::id();
        assert!(pss(own).unwrap() > 100 && most(own).unwrap() > 100);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(tree(own).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
