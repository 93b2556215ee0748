//! Changes: commits that are proposed for a branch. Each has a number and a record beside the repository's refs, which
//! says whose it is and what for; the receive hook writes it before the ref moves, so that whatever dies later, what was
//! proposed is known with its author. Records are found by number and never reused.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_kernel::{Actor, Entropy as _, OsEntropy};

use crate::{RefName, Repository, SourceError};

/// The most open changes that one person has in a project.
pub(crate) const MOST_OPEN: usize = 100;
/// The largest record that is read, in bytes.
const LARGEST: u64 = 64 << 10;

/// Where a change's commits come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A branch of the project; its short name.
    Branch(String),
    /// Pushed to `refs/for/BASE`, or to `refs/for/BASE/TOPIC`; the topic may be empty.
    Topic(String),
}

/// What is kept of a change beside its ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Its number within the project, from 1.
    pub number: u64,
    /// The branch that it is proposed for, by its short name.
    pub base: String,
    /// Who proposed it.
    pub author: Actor,
    /// Where its commits come from.
    pub origin: Origin,
    /// Whether whoever pushed it last may not write to the project.
    pub outside: bool,
    /// Whether a further push belongs to it; a new change otherwise.
    pub open: bool,
}

impl ChangeRecord {
    /// What its branch is called: the branch's name, or `AUTHOR/TOPIC` of one that has no branch here.
    pub fn head_name(&self) -> String {
        match &self.origin {
            Origin::Branch(name) => name.clone(),
            Origin::Topic(topic) => {
                let author = match &self.author {
                    Actor::User(name) => name.to_string(),
                    other => other.to_string(),
                };
                let topic = if topic.is_empty() { &self.base } else { topic };
                format!("{author}/{topic}")
            }
        }
    }
}

/// The ref that holds what was pushed as a change that has no branch.
pub(crate) fn proposed_ref(number: u64) -> String {
    format!("refs/changes/{number}/head")
}

/// The number of a change, from the ref that it was pushed to.
pub fn change_of(name: &RefName) -> Option<u64> {
    name.as_str().strip_prefix("refs/changes/")?.strip_suffix("/head")?.parse().ok()
}

/// A topic is a plain word or some with slashes: it gets into names that scripts use.
pub(crate) fn topic_ok(topic: &str) -> bool {
    topic.len() <= 100 && topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
}

fn folder(repository: &Path) -> PathBuf {
    repository.join("windlass").join("changes")
}

fn path(repository: &Path, number: u64) -> PathBuf {
    folder(repository).join(format!("{number}.json"))
}

/// The numbers that are taken.
fn numbers(repository: &Path) -> io::Result<Vec<u64>> {
    let listing = match std::fs::read_dir(folder(repository)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in listing {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|n| n.strip_suffix(".json")).and_then(|n| n.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

pub(crate) fn read(repository: &Path, number: u64) -> io::Result<Option<ChangeRecord>> {
    let path = path(repository, number);
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.len() > LARGEST => return Err(io::Error::other("a change's record is too large")),
        _ => {}
    }
    let record: ChangeRecord = serde_json::from_slice(&std::fs::read(&path)?)?;
    if record.number == number {
        Ok(Some(record))
    } else {
        Err(io::Error::other("a change's record is another's"))
    }
}

/// All records, oldest first. One that cannot be read is left out: its change cannot be added to any more.
pub(crate) fn all(repository: &Path) -> io::Result<Vec<ChangeRecord>> {
    let numbers = numbers(repository)?;
    Ok(numbers.into_iter().filter_map(|number| read(repository, number).ok().flatten()).collect())
}

/// Writes a record aside, whole and on the disk; gives where.
fn aside(repository: &Path, record: &ChangeRecord) -> io::Result<PathBuf> {
    let mut tag = [0u8; 8];
    OsEntropy.fill(&mut tag);
    std::fs::create_dir_all(folder(repository))?;
    let path = folder(repository).join(format!(".{:016x}.new", u64::from_be_bytes(tag)));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_all()?;
    Ok(path)
}

fn settle(repository: &Path) -> io::Result<()> {
    std::fs::File::open(folder(repository))?.sync_all()
}

/// Keeps the record of a new change under the next free number, which it is given.
pub(crate) fn open(repository: &Path, mut record: ChangeRecord) -> io::Result<ChangeRecord> {
    record.number = numbers(repository)?.last().copied().unwrap_or(0) + 1;
    loop {
        let new = aside(repository, &record)?;
        // A link, unlike a rename, fails where somebody else was faster.
        let linked = std::fs::hard_link(&new, path(repository, record.number));
        std::fs::remove_file(&new)?;
        match linked {
            Ok(()) => {
                settle(repository)?;
                return Ok(record);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => record.number += 1,
            Err(e) => return Err(e),
        }
    }
}

/// Keeps a record anew.
pub(crate) fn update(repository: &Path, record: &ChangeRecord) -> io::Result<()> {
    let new = aside(repository, record)?;
    std::fs::rename(new, path(repository, record.number))?;
    settle(repository)
}

impl Repository {
    /// A change's record; none if there is no such change.
    ///
    /// # Errors
    /// One that cannot be read: nothing is known of who proposed it.
    pub fn change(&self, number: u64) -> Result<Option<ChangeRecord>, SourceError> {
        Ok(read(self.path(), number)?)
    }

    /// Gives a new change the next number and keeps its record.
    pub fn open_change(&self, record: ChangeRecord) -> Result<ChangeRecord, SourceError> {
        Ok(open(self.path(), record)?)
    }

    /// The open change that a branch is for its base; made if there is none.
    pub fn change_of_branch(&self, record: ChangeRecord) -> Result<ChangeRecord, SourceError> {
        let same =
            |known: &ChangeRecord| known.open && known.origin == record.origin && known.base == record.base;
        match all(self.path())?.into_iter().find(same) {
            Some(known) => Ok(known),
            None => self.open_change(record),
        }
    }

    /// Says that a change is over: further pushes begin a new one.
    pub fn close_change(&self, number: u64) -> Result<(), SourceError> {
        if let Some(record) = read(self.path(), number)?.filter(|record| record.open) {
            update(self.path(), &ChangeRecord { open: false, ..record })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: &str) -> ChangeRecord {
        ChangeRecord {
            number: 0,
            base: "main".into(),
            author: Actor::User("eve".parse().unwrap()),
            origin: Origin::Topic(topic.into()),
            outside: true,
            open: true,
        }
    }

    #[test]
    fn changes_are_numbered_one_by_one_whoever_asks() {
        let dir = tempfile::tempdir().unwrap();
        assert!(all(dir.path()).unwrap().is_empty());
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let path = dir.path().to_owned();
                std::thread::spawn(move || open(&path, record(&n.to_string())).unwrap().number)
            })
            .collect();
        let mut given: Vec<u64> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        given.sort_unstable();
        assert_eq!(given, (1..=8).collect::<Vec<_>>());
        assert_eq!(all(dir.path()).unwrap().len(), 8);
        assert!(std::fs::read_dir(folder(dir.path())).unwrap().count() == 8, "nothing is left aside");
    }

    #[test]
    fn a_record_is_kept_and_a_foreign_or_broken_one_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), record("fix")).unwrap();
        assert_eq!(read(dir.path(), 1).unwrap(), Some(first.clone()));
        update(dir.path(), &ChangeRecord { open: false, ..first.clone() }).unwrap();
        assert!(!read(dir.path(), 1).unwrap().unwrap().open);
        assert_eq!(read(dir.path(), 2).unwrap(), None);
        std::fs::copy(path(dir.path(), 1), path(dir.path(), 2)).unwrap();
        std::fs::write(path(dir.path(), 3), "{").unwrap();
        assert!(read(dir.path(), 2).is_err() && read(dir.path(), 3).is_err());
        assert_eq!(all(dir.path()).unwrap().len(), 1);
        assert_eq!(open(dir.path(), record("more")).unwrap().number, 4, "no number is used twice");
    }

    #[test]
    fn heads_have_names() {
        let named = |origin| ChangeRecord { origin, ..record("") }.head_name();
        assert_eq!(named(Origin::Topic("fix/it".into())), "eve/fix/it");
        assert_eq!(named(Origin::Topic(String::new())), "eve/main");
        assert_eq!(named(Origin::Branch("feature".into())), "feature");
        assert_eq!(change_of(&"refs/changes/12/head".parse().unwrap()), Some(12));
        for other in ["refs/changes/12/merge", "refs/heads/12/head", "refs/changes/x/head", "refs/changes/12"]
        {
            assert_eq!(change_of(&other.parse().unwrap()), None, "{other}");
        }
        for bad in ["$(id)", "a b", "`x`", "a;b", "ü", &"x".repeat(101)] {
            assert!(!topic_ok(bad), "{bad}");
        }
        assert!(topic_ok("fix/the-basket_2.0") && topic_ok(""));
    }
}
