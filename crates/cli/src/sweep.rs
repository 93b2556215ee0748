//! What a stopped platform may leave: processes that still hold on to its data directory, and folders that cannot be
//! removed at the first try. Only what belongs to that very directory is touched.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use windlass_server::DataDir;

/// How long a process may take to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which processes are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Windlass' own: those that hold jobs and instances.
    Own,
    /// Also whatever else works in the directory, which nobody but this demo knows of.
    All,
}

/// Ends the processes of the data directory, and says which they were.
pub(crate) async fn processes(data: &DataDir, whose: Whose) -> Vec<String> {
    let root = data.root().to_owned();
    let belonging = |root: &Path| belonging(root, whose);
    let found = belonging(&root);
    if found.is_empty() {
        return Vec::new();
    }
    // Some end by themselves in this moment: their supervisor has just gone.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let found = belonging(&root);
    for (pid, _) in &found {
        let _ = kill(*pid, Signal::SIGTERM);
    }
    let begin = tokio::time::Instant::now();
    while !belonging(&root).is_empty() && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (pid, _) in belonging(&root) {
        let _ = kill(pid, Signal::SIGKILL);
    }
    found.into_iter().map(|(pid, name)| format!("{name} ({pid})")).collect()
}

/// The processes that hold something of the directory, or name it or work in it, but for this one.
fn belonging(root: &Path, whose: Whose) -> Vec<(Pid, String)> {
    let own = std::process::id();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut found = Vec::new();
    for pid in numbers.filter(|pid| *pid != own) {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> =
            line.split(|b| *b == 0).map(|w| PathBuf::from(String::from_utf8_lossy(w).into_owned())).collect();
        let holder = words.get(1).and_then(|w| w.to_str()).filter(|w| ["job", "shim"].contains(w));
        let meant = match (holder, whose) {
            (Some(_), _) => words.get(2).is_some_and(|dir| dir.starts_with(root)),
            (None, Whose::Own) => false,
            (None, Whose::All) => {
                let within =
                    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(root));
                within || words.iter().any(|word| word.starts_with(root))
            }
        };
        if meant {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.push((Pid::from_raw(pid as i32), holder.unwrap_or(name.trim()).to_owned()));
        }
    }
    found
}

/// Removes a folder, also one with parts that its owner may not write to.
pub(crate) fn remove(path: &Path) {
    if std::fs::remove_dir_all(path).is_err() {
        open_up(path);
        let _ = std::fs::remove_dir_all(path);
    }
}

fn open_up(path: &Path) {
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700));
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_belongs_to_the_directory_is_ended() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::open(&temp.path().join("data")).unwrap();
        let sleeper =
            |at: &Path| std::process::Command::new("sleep").arg("600").current_dir(at).spawn().unwrap();
        let (mut inside, mut outside) = (sleeper(data.root()), sleeper(temp.path()));
        assert!(processes(&data, Whose::Own).await.is_empty());
        let swept = processes(&data, Whose::All).await;
        assert_eq!(swept, [format!("sleep ({})", inside.id())]);
        inside.wait().unwrap();
        assert!(outside.try_wait().unwrap().is_none());
        outside.kill().unwrap();
        outside.wait().unwrap();
    }

    #[test]
    fn folders_without_permission_go_too() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("x/y");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("f"), "1").unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
        remove(&temp.path().join("x"));
        assert!(!temp.path().join("x").exists());
    }
}
