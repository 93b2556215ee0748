//! What the receive hook leaves for control: one file for each push, complete and on the disk before the pusher's
//! `git push` ends. Control may be dead at that time.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_kernel::{Actor, ProjectName, Timestamp};

use crate::RefUpdate;

/// One push, as the hook saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The project.
    pub project: ProjectName,
    /// Who pushed.
    pub pusher: Actor,
    /// What moved.
    pub refs: Vec<RefUpdate>,
    /// When.
    pub at: Timestamp,
    /// The push's own id.
    pub push: String,
}

impl Received {
    /// Whether this push brought the ref to where `update` has it.
    pub(crate) fn tells(&self, update: &RefUpdate) -> bool {
        self.refs.iter().any(|r| r.name == update.name && r.new == update.new)
    }
}

/// A push waiting in the spool.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The push.
    pub received: Received,
    path: PathBuf,
}

impl Entry {
    /// Takes the entry out of the spool, once what it tells is kept. It is no error if it is gone already.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// The spool of the data directory `data`.
pub fn folder(data: &Path) -> PathBuf {
    data.join("spool").join("receive")
}

/// Writes an entry: whole and durable, or not at all.
pub fn write(folder: &Path, received: &Received) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let name = format!("{:015}-{}", received.at.as_millis().max(0), received.push);
    let aside = folder.join(format!(".{name}.new"));
    let path = folder.join(format!("{name}.json"));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&aside)?;
    file.write_all(&serde_json::to_vec(received)?)?;
    file.sync_all()?;
    std::fs::rename(&aside, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(path)
}

/// What waits in the spool, oldest first. An entry that cannot be read is set aside (its name then ends in `.bad`) and
/// logged: the refs themselves still tell what was pushed.
pub fn drain(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut paths = Vec::new();
    match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => {
            for entry in listing? {
                let path = entry?.path();
                if path.extension().is_some_and(|e| e == "json") {
                    paths.push(path);
                }
            }
        }
    }
    paths.sort();
    let mut entries = Vec::new();
    for path in paths {
        match serde_json::from_slice(&std::fs::read(&path)?) {
            Ok(received) => entries.push(Entry { received, path }),
            Err(why) => {
                tracing::error!(path = %path.display(), %why, "a push in the spool cannot be read, set aside");
                std::fs::rename(&path, path.with_extension("bad"))?;
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(at: i64, push: &str) -> Received {
        Received {
            project: "shop".parse().unwrap(),
            pusher: Actor::System,
            refs: vec![],
            at: Timestamp::from_millis(at),
            push: push.into(),
        }
    }

    #[test]
    fn entries_come_in_order_and_stay_until_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        assert!(drain(&folder).unwrap().is_empty());
        for (at, push) in [(2_000, "b"), (30, "c"), (1_000_000_000_000, "a")] {
            write(&folder, &received(at, push)).unwrap();
        }
        std::fs::write(folder.join("000000000000001-x.json"), "{half").unwrap();
        std::fs::write(folder.join(".half.new"), "{half").unwrap();
        let all = drain(&folder).unwrap();
        assert_eq!(all.iter().map(|e| e.received.push.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
        assert!(folder.join("000000000000001-x.bad").exists());
        all[0].remove().unwrap();
        all[0].remove().unwrap();
        assert_eq!(drain(&folder).unwrap().len(), 2);
    }
}
