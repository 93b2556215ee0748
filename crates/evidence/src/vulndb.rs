//! Advisories kept on this machine: imported from files in the OSV format, one file of our own for each ecosystem, asked
//! package by package without reading the rest.

mod file;
mod import;
mod osv;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_kernel::Timestamp;

pub use import::{Imported, import};
pub(crate) use osv::{Advisory, Event};

use crate::ImportError;

/// How old advisories may be and still count, when nothing else is said.
pub const FRESH: Duration = Duration::from_hours(7 * 24);

/// What is known of an ecosystem's advisories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The ecosystem, such as `Debian` or `PyPI`.
    pub ecosystem: String,
    /// How many advisories there are.
    pub advisories: u64,
    /// For how many packages.
    pub packages: u64,
    /// When they were published together: what their age is counted from.
    pub as_of: Timestamp,
    /// When they were imported.
    pub imported_at: Timestamp,
}

/// The advisories of all ecosystems.
#[derive(Clone, Debug)]
pub struct Database {
    folder: PathBuf,
    fresh: Duration,
}

impl Database {
    /// The database in this folder, which need not be there yet. Advisories older than `fresh` do not count.
    pub fn at(folder: &Path, fresh: Duration) -> Self {
        Self { folder: folder.to_owned(), fresh }
    }

    /// How old advisories may be.
    pub fn fresh(&self) -> Duration {
        self.fresh
    }

    /// The ecosystems that there are advisories of, by name.
    pub fn states(&self) -> Result<Vec<State>, ImportError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(ImportError::io(&self.folder, &e)),
        };
        let mut states = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| ImportError::io(&self.folder, &e))?.path();
            if path.extension().is_some_and(|end| end == file::ENDING) {
                states.push(file::Table::open(&path).map_err(|e| ImportError::io(&path, &e))?.state);
            }
        }
        states.sort_by(|a, b| a.ecosystem.cmp(&b.ecosystem));
        Ok(states)
    }

    /// An ecosystem's advisories, or why they cannot be used.
    pub(crate) fn table(&self, ecosystem: &str, now: Timestamp) -> Result<file::Table, String> {
        let table = match file::Table::open(&self.folder.join(file::name(ecosystem))) {
            Ok(table) => table,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(format!("there are no advisories for {ecosystem}"));
            }
            Err(e) => return Err(format!("the advisories for {ecosystem} cannot be read: {e}")),
        };
        let age = now.since(table.state.as_of);
        if age > self.fresh {
            let days = |d: Duration| d.as_secs() / 86_400;
            return Err(format!(
                "the advisories for {ecosystem} are {} days old; after {} days they do not count",
                days(age),
                days(self.fresh)
            ));
        }
        Ok(table)
    }
}
