//! From files in the OSV format to the files of our own: a JSON file, a folder of them, an archive, or the layout that
//! OSV publishes (`ECOSYSTEM/all.zip`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use windlass_kernel::Timestamp;
use zip::ZipArchive;

use super::osv::Record;
use super::{Advisory, State, file};
use crate::ImportError;

/// The largest advisory, in bytes; there are such with thousands of versions.
const LARGEST: u64 = 64 << 20;
/// The most that the files of one archive may unpack to, in bytes.
const MOST: u64 = 16 << 30;
/// How deep folders are looked through.
const DEEPEST: usize = 4;

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The ecosystems whose advisories are new now.
    pub ecosystems: Vec<State>,
    /// Files that are no advisories.
    pub unreadable: u64,
}

/// Reads advisories from `from` (a file, a folder or an archive) into the database in `folder`. An ecosystem's former
/// advisories are replaced. With `ecosystem`, only that one's are taken.
pub fn import(
    folder: &Path,
    from: &Path,
    ecosystem: Option<&str>,
    now: Timestamp,
) -> Result<Imported, ImportError> {
    let mut sources = Vec::new();
    collect(from, 0, &mut sources)?;
    if sources.is_empty() {
        return Err(ImportError::Nothing(from.display().to_string()));
    }
    let mut done = Imported::default();
    // Archives are whole ecosystems each: one at a time keeps memory small. Single files belong together.
    let (archives, files): (Vec<_>, Vec<_>) = sources.into_iter().partition(|path| is(path, "zip"));
    for archive in archives {
        let mut taken = Taken::new(ecosystem);
        taken.archive(&archive)?;
        taken.finish(folder, changed(&archive, now), now, &mut done)?;
    }
    if !files.is_empty() {
        let mut taken = Taken::new(ecosystem);
        let mut as_of = Timestamp::from_millis(0);
        for path in &files {
            taken.file(path)?;
            as_of = as_of.max(changed(path, now));
        }
        taken.finish(folder, as_of, now, &mut done)?;
    }
    if done.ecosystems.is_empty() {
        return Err(ImportError::Nothing(from.display().to_string()));
    }
    Ok(done)
}

fn is(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

fn collect(path: &Path, depth: usize, sources: &mut Vec<PathBuf>) -> Result<(), ImportError> {
    let broken = |e: std::io::Error| ImportError::io(path, &e);
    if !std::fs::metadata(path).map_err(broken)?.is_dir() {
        if depth == 0 || is(path, "json") || is(path, "zip") {
            sources.push(path.to_owned());
        }
        return Ok(());
    }
    if depth < DEEPEST {
        let mut entries =
            std::fs::read_dir(path).map_err(broken)?.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            collect(&entry.path(), depth + 1, sources)?;
        }
    }
    Ok(())
}

/// When a file was written: as old as its advisories are at least. A time to come counts as now.
fn changed(path: &Path, now: Timestamp) -> Timestamp {
    let written = std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let since = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(Timestamp::from_millis(0), |since| Timestamp::from_millis(since.as_millis() as i64)).min(now)
}

/// Advisories by ecosystem (without its release) and package.
struct Taken<'a> {
    only: Option<&'a str>,
    ecosystems: BTreeMap<String, BTreeMap<String, Vec<Advisory>>>,
    unreadable: u64,
}

impl<'a> Taken<'a> {
    fn new(only: Option<&'a str>) -> Self {
        Self { only, ecosystems: BTreeMap::new(), unreadable: 0 }
    }

    fn archive(&mut self, path: &Path) -> Result<(), ImportError> {
        let file = File::open(path).map_err(|e| ImportError::io(path, &e))?;
        let broken = |e: zip::result::ZipError| ImportError::Broken {
            path: path.display().to_string(),
            why: e.to_string(),
        };
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
        let mut left = MOST;
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(broken)?;
            if !entry.is_file() {
                continue;
            }
            // What the archive says of a file's size need not be so.
            let mut bytes = Vec::new();
            entry.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| ImportError::io(path, &e))?;
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| ImportError::Broken {
                path: path.display().to_string(),
                why: format!("it unpacks to more than {} GiB", MOST >> 30),
            })?;
            if bytes.len() as u64 > LARGEST {
                self.unreadable += 1;
                continue;
            }
            self.take(&bytes);
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), ImportError> {
        let file = File::open(path).map_err(|e| ImportError::io(path, &e))?;
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|e| ImportError::io(path, &e))?;
        self.take(&bytes);
        Ok(())
    }

    /// One advisory, or a list of them.
    fn take(&mut self, bytes: &[u8]) {
        let records: Vec<Record> = match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'[') => serde_json::from_slice(bytes).unwrap_or_default(),
            _ => serde_json::from_slice(bytes).into_iter().collect(),
        };
        if records.is_empty() {
            self.unreadable += 1;
        }
        for (package, advisory) in records.into_iter().flat_map(Record::advisories) {
            let base = advisory.ecosystem.split(':').next().unwrap_or_default().to_owned();
            if self.only.is_some_and(|only| !only.eq_ignore_ascii_case(&base)) {
                continue;
            }
            let package = if base == "PyPI" { crate::package::normal_pypi(&package) } else { package };
            self.ecosystems.entry(base).or_default().entry(package).or_default().push(advisory);
        }
    }

    fn finish(
        self,
        folder: &Path,
        as_of: Timestamp,
        now: Timestamp,
        done: &mut Imported,
    ) -> Result<(), ImportError> {
        done.unreadable += self.unreadable;
        for (ecosystem, packages) in self.ecosystems {
            let state = State {
                advisories: packages.values().map(|list| list.len() as u64).sum(),
                packages: packages.len() as u64,
                as_of,
                imported_at: now,
                ecosystem,
            };
            file::write(folder, &state, packages).map_err(|e| ImportError::io(folder, &e))?;
            done.ecosystems.push(state);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::super::Database;
    use super::*;

    fn record(id: &str, ecosystem: &str) -> String {
        format!(
            r#"{{"id":"{id}","affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"Some_Name"}},"versions":["1"]}}]}}"#
        )
    }

    #[test]
    fn files_folders_and_archives_are_imported() {
        let home = tempfile::tempdir().unwrap();
        let (from, folder) = (home.path().join("osv"), home.path().join("db"));
        std::fs::create_dir_all(from.join("PyPI")).unwrap();
        let mut zip = ZipWriter::new(File::create(from.join("PyPI/all.zip")).unwrap());
        for (name, text) in [("A.json", record("A", "PyPI")), ("B.json", "no JSON".to_owned())] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        std::fs::write(
            from.join("list.json"),
            format!("[{},{}]", record("C", "Debian:12"), record("D", "npm")),
        )
        .unwrap();
        std::fs::write(from.join("readme.txt"), "x").unwrap();
        let now = Timestamp::from_millis(i64::MAX / 2);
        let done = import(&folder, &from, None, now).unwrap();
        let names: Vec<_> = done.ecosystems.iter().map(|s| s.ecosystem.as_str()).collect();
        assert_eq!((names, done.unreadable), (vec!["PyPI", "Debian", "npm"], 1));
        let database = Database::at(&folder, std::time::Duration::MAX);
        assert_eq!(database.states().unwrap().len(), 3);
        assert_eq!(database.table("PyPI", now).unwrap().advisories("some-name").unwrap().len(), 1);
        assert_eq!(database.table("Debian", now).unwrap().advisories("Some_Name").unwrap()[0].id, "C");
        assert!(database.table("Go", now).unwrap_err().contains("no advisories"));

        // One ecosystem only; and what has none of it.
        let only = import(&folder, &from.join("list.json"), Some("npm"), now).unwrap();
        assert_eq!(only.ecosystems.len(), 1);
        assert!(matches!(import(&folder, &from, Some("Go"), now), Err(ImportError::Nothing(_))));
        assert!(import(&folder, &home.path().join("nowhere"), None, now).is_err());
    }

    #[test]
    fn old_advisories_do_not_count() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.json");
        std::fs::write(&file, record("A", "Go")).unwrap();
        let written = changed(&file, Timestamp::from_millis(i64::MAX));
        import(home.path(), &file, None, written).unwrap();
        let database = Database::at(home.path(), super::super::FRESH);
        let days = |n: u64| written + std::time::Duration::from_hours(24 * n);
        assert!(database.table("Go", days(7)).is_ok());
        assert!(database.table("Go", days(9)).unwrap_err().contains("9 days old"));
    }
}
