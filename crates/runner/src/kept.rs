//! What a machine keeps between jobs, in `cache/` below a folder: actions' repositories, tool caches and what builds did. What was not
//! used for long goes, and beyond a size what was used longest ago.

mod tools;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use windlass_kernel::{Clock, Timestamp};

pub(crate) use tools::Toolbox;

/// Where actions are kept.
pub(crate) const ACTIONS: &str = "cache/actions";
/// Where tool caches are.
pub(crate) const TOOLS: &str = "cache/tools";
/// What builds of Dockerfiles keep, by project and ref.
pub(crate) const BUILDS: &str = "cache/builds";

/// How much is kept of a kind, and for how long after its last use.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    age: Duration,
    bytes: u64,
}

const OF_ACTIONS: Bounds = Bounds { age: Duration::from_hours(30 * 24), bytes: 2 << 30 };
const OF_BUILDS: Bounds = Bounds { age: Duration::from_hours(14 * 24), bytes: 40 << 30 };
const OF_TOOLS: Bounds = Bounds { age: Duration::from_hours(14 * 24), bytes: 10 << 30 };

/// One thing that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    path: PathBuf,
    bytes: u64,
    used: Timestamp,
}

/// Removes what is no longer kept below `root`, which may be large: for a thread that may block.
pub fn evict(root: &Path, clock: &dyn Clock) {
    let archive = |path: &Path| path.to_string_lossy().ends_with(".tar.zst");
    let actions = files(&root.join(ACTIONS)).into_iter().filter(|path| archive(path)).collect();
    let folders = |below: &str| {
        let entries = std::fs::read_dir(root.join(below)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let kinds = [
        (actions, OF_ACTIONS, "action"),
        (folders(TOOLS), OF_TOOLS, "tool cache"),
        (folders(BUILDS), OF_BUILDS, "builds"),
    ];
    for (paths, bounds, kind) in kinds {
        let paths: Vec<PathBuf> = paths;
        let items = paths.into_iter().filter_map(item).collect();
        for (item, why) in over(items, clock.now(), bounds) {
            let path = item.path.display();
            match remove(&item.path) {
                Ok(()) => tracing::info!(kind, %path, bytes = item.bytes, why, "no longer kept"),
                Err(error) => {
                    tracing::warn!(kind, %path, %error, "cannot be removed, although it is no longer kept");
                }
            }
        }
    }
}

/// Notes that something that is kept is used now.
pub(crate) fn used(path: &Path, now: Timestamp) -> io::Result<()> {
    let now =
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or_default());
    std::fs::File::open(path)?.set_modified(now)
}

/// What goes, the longest unused first, and why.
fn over(mut items: Vec<Item>, now: Timestamp, bounds: Bounds) -> Vec<(Item, &'static str)> {
    items.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    let mut together: u64 = items.iter().map(|item| item.bytes).sum();
    let mut gone = Vec::new();
    for item in items {
        let why = if now.since(item.used) > bounds.age {
            "it was not used for long"
        } else if together > bounds.bytes {
            "all together were too large"
        } else {
            continue;
        };
        together -= item.bytes;
        gone.push((item, why));
    }
    gone
}

fn item(path: PathBuf) -> Option<Item> {
    let meta = std::fs::symlink_metadata(&path).ok()?;
    let used = meta.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let used = Timestamp::from_millis(i64::try_from(used.as_millis()).unwrap_or(i64::MAX));
    let sizes = files(&path).into_iter().filter_map(|file| Some(std::fs::symlink_metadata(file).ok()?.len()));
    let bytes = if meta.is_dir() { sizes.sum() } else { meta.len() };
    Some(Item { path, bytes, used })
}

/// All files below a folder; links are files.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(here) = waiting.pop() {
        for entry in std::fs::read_dir(here).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder { waiting.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}

fn remove(path: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.is_dir() {
        return std::fs::remove_file(path);
    }
    // A name that nobody takes anything from: a job that begins meanwhile finds all of it or nothing.
    let aside = path.with_extension("going");
    std::fs::rename(path, &aside)?;
    crate::folder::JobFolder::at(&aside).remove()
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_testkit::TestClock;

    fn items(list: &[(&str, u64, i64)]) -> Vec<Item> {
        let item = |(path, bytes, used): &(&str, u64, i64)| Item {
            path: PathBuf::from(path),
            bytes: *bytes,
            used: Timestamp::from_millis(*used),
        };
        list.iter().map(item).collect()
    }

    #[test]
    fn the_old_go_and_then_the_longest_unused_until_the_rest_fits() {
        let bounds = Bounds { age: Duration::from_millis(100), bytes: 10 };
        type Case<'a> = (&'a [(&'a str, u64, i64)], &'a [&'a str]);
        let cases: [Case<'_>; 5] = [
            (&[], &[]),
            (&[("a", 5, 950), ("b", 5, 960)], &[]),
            (&[("a", 1, 800), ("b", 1, 899), ("c", 1, 900)], &["a", "b"]),
            (&[("a", 6, 970), ("b", 6, 950), ("c", 1, 960)], &["b"]),
            (&[("a", 11, 999), ("b", 1, 998)], &["b", "a"]),
        ];
        for (kept, gone) in cases {
            let found = over(items(kept), Timestamp::from_millis(1000), bounds);
            let names: Vec<_> = found.iter().map(|(item, _)| item.path.to_str().unwrap()).collect();
            assert_eq!(names, gone, "{kept:?}");
        }
    }

    #[test]
    fn what_was_used_stays_and_nothing_but_what_is_kept_is_touched() {
        let root = tempfile::tempdir().unwrap();
        let actions = root.path().join(ACTIONS).join("host/owner/repo");
        std::fs::create_dir_all(&actions).unwrap();
        let (old, new, refs) =
            (actions.join("a.tar.zst"), actions.join("b.tar.zst"), actions.join("refs.json"));
        let tools = root.path().join(TOOLS).join("0123");
        std::fs::create_dir_all(tools.join("node")).unwrap();
        std::os::unix::fs::symlink(&refs, tools.join("link")).unwrap();
        for file in [&old, &new, &refs] {
            std::fs::write(file, "x").unwrap();
        }
        let clock = TestClock::at(1_900_000_000_000);
        used(&new, clock.now()).unwrap();
        used(&old, Timestamp::from_millis(1_800_000_000_000)).unwrap();
        used(&tools, Timestamp::from_millis(1_800_000_000_000)).unwrap();
        evict(root.path(), &clock);
        assert!(!old.exists() && new.exists() && refs.exists() && !tools.exists());
        assert_eq!(std::fs::read_dir(root.path().join(TOOLS)).unwrap().count(), 0);
    }
}
