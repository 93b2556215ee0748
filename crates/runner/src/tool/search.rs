//! Finds programs: in folders of the search path, and in installations that lie beside each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Report;
use super::glob::name_fits;

/// Where and what to look for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Searching {
    /// Folders that hold programs, those of the search path first.
    pub(crate) folders: Vec<PathBuf>,
    /// Folders whose folders are installations, each with its programs in `bin` or at its top.
    pub(crate) installations: Vec<PathBuf>,
    /// The programs' names, which may be patterns, the preferred first.
    pub(crate) names: Vec<String>,
}

impl Searching {
    pub(super) fn run(self) -> Report {
        let below =
            self.installations.iter().flat_map(|folder| entries(folder).map(move |name| folder.join(name)));
        let below = below.flat_map(|root| ["bin", "installation/bin", ""].map(|part| root.join(part)));
        let mut seen = BTreeSet::new();
        let mut names = Vec::new();
        for folder in self.folders.iter().cloned().chain(below) {
            let there: Vec<String> = entries(&folder).collect();
            for wanted in &self.names {
                for name in there.iter().filter(|name| name_fits(wanted, name)) {
                    let path = folder.join(name);
                    if path.is_file() && seen.insert(path.clone()) {
                        names.push(path.to_string_lossy().into_owned());
                    }
                }
            }
        }
        Report { names, ..Report::default() }
    }
}

/// The names in a folder, sorted; none if it is none.
fn entries(folder: &Path) -> impl Iterator<Item = String> + use<> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_order_and_once() {
        let dir = tempfile::tempdir().unwrap();
        for file in
            ["usr/python3", "usr/python3.9", "usr/python3-config", "v/3.11/bin/python", "v/3.12/bin/python3"]
        {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let report = Searching {
            folders: vec![dir.path().join("usr"), dir.path().join("usr"), dir.path().join("missing")],
            installations: vec![dir.path().join("v")],
            names: ["python", "python3", "python3.[0-9]"].map(str::to_owned).to_vec(),
        }
        .run();
        let found: Vec<_> = report
            .names
            .iter()
            .map(|n| Path::new(n).strip_prefix(dir.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(found, ["usr/python3", "usr/python3.9", "v/3.11/bin/python", "v/3.12/bin/python3"]);
    }
}
