//! The file that an ecosystem's advisories are kept in: a line that says what it is, the advisories of each package, and
//! a table of hashes that is searched without being read. Written whole, put in place by a rename.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use windlass_kernel::Digest;

use super::{Advisory, State};

/// How these files' names end.
pub(super) const ENDING: &str = "advisories";
const FORMAT: u32 = 1;
/// An entry of the table: hash, place, length.
const ENTRY: usize = 20;
/// The longest first line and the longest list of one package's advisories, in bytes.
const LONGEST_HEAD: u64 = 64 << 10;
const LONGEST_LIST: u32 = 64 << 20;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    #[serde(flatten)]
    state: State,
    /// Where the table begins.
    #[serde(default)]
    table: u64,
}

/// The advisories of one package.
#[derive(Serialize, Deserialize)]
struct OfPackage {
    name: String,
    advisories: Vec<Advisory>,
}

/// An ecosystem's advisories, opened.
#[derive(Debug)]
pub(crate) struct Table {
    file: File,
    /// What is known of them all.
    pub(crate) state: State,
    /// Where the hashes begin.
    hashes: u64,
    entries: u64,
}

/// The file of an ecosystem. Ecosystems' names have letters, digits, dots, blanks; no other character reaches the disk.
pub(super) fn name(ecosystem: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("{}.{ENDING}", ecosystem.chars().map(plain).take(60).collect::<String>())
}

fn hash(name: &str) -> [u8; 8] {
    let digest = hex::decode(&Digest::sha256(name.as_bytes()).hex()[..16]).unwrap_or_default();
    digest.try_into().unwrap_or_default()
}

/// Writes an ecosystem's file below `folder`.
pub(super) fn write(
    folder: &Path,
    state: &State,
    packages: BTreeMap<String, Vec<Advisory>>,
) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(name(&state.ecosystem));
    let fresh = path.with_extension(format!("{ENDING}.{}.part", std::process::id()));
    let written = write_to(&fresh, state, packages).and_then(|()| std::fs::rename(&fresh, &path));
    if written.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    written
}

fn write_to(path: &Path, state: &State, packages: BTreeMap<String, Vec<Advisory>>) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut table = Vec::with_capacity(packages.len());
    // The head has room for the table's place, which is known last.
    let head = |table: u64| -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(&Head { format: FORMAT, state: state.clone(), table })?;
        line.resize(line.len() + 20usize.saturating_sub(table.to_string().len()), b' ');
        line.push(b'\n');
        Ok(line)
    };
    let first = head(0)?;
    file.write_all(&first)?;
    let mut at = first.len() as u64;
    for (name, advisories) in packages {
        let key = hash(&name);
        let list = serde_json::to_vec(&OfPackage { name, advisories })?;
        file.write_all(&list)?;
        table.push((key, at, list.len() as u32));
        at += list.len() as u64;
    }
    table.sort_unstable();
    for (key, place, length) in table {
        file.write_all(&key)?;
        file.write_all(&place.to_le_bytes())?;
        file.write_all(&length.to_le_bytes())?;
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.write_all_at(&head(at)?, 0)?;
    file.sync_all()
}

fn corrupt(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{why}; import it again"))
}

impl Table {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut line = Vec::new();
        let mut reader = BufReader::new(&file);
        io::Read::take(&mut reader, LONGEST_HEAD).read_until(b'\n', &mut line)?;
        let head: Head = serde_json::from_slice(&line).map_err(|_| corrupt("its first line is damaged"))?;
        if head.format != FORMAT {
            return Err(corrupt("it is of another version of Windlass"));
        }
        let rest = size.checked_sub(head.table).filter(|rest| rest % ENTRY as u64 == 0);
        let rest = rest.ok_or_else(|| corrupt("it was cut"))?;
        Ok(Self { file, state: head.state, hashes: head.table, entries: rest / ENTRY as u64 })
    }

    fn entry(&self, index: u64) -> io::Result<([u8; 8], u64, u32)> {
        let mut bytes = [0u8; ENTRY];
        self.file.read_exact_at(&mut bytes, self.hashes + index * ENTRY as u64)?;
        let (mut key, mut place, mut length) = ([0u8; 8], [0u8; 8], [0u8; 4]);
        key.copy_from_slice(&bytes[..8]);
        place.copy_from_slice(&bytes[8..16]);
        length.copy_from_slice(&bytes[16..]);
        Ok((key, u64::from_le_bytes(place), u32::from_le_bytes(length)))
    }

    /// The advisories of a package.
    pub(crate) fn advisories(&self, package: &str) -> io::Result<Vec<Advisory>> {
        let wanted = hash(package);
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.0 < wanted { low = middle + 1 } else { high = middle }
        }
        while low < self.entries {
            let (key, place, length) = self.entry(low)?;
            if key != wanted {
                break;
            }
            if length > LONGEST_LIST || place + u64::from(length) > self.hashes {
                return Err(corrupt("its table is damaged"));
            }
            let mut list = vec![0; length as usize];
            self.file.read_exact_at(&mut list, place)?;
            let found: OfPackage =
                serde_json::from_slice(&list).map_err(|_| corrupt("an advisory in it is damaged"))?;
            if found.name == package {
                return Ok(found.advisories);
            }
            low += 1;
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use windlass_kernel::Timestamp;

    use super::*;

    fn advisory(id: &str) -> Advisory {
        Advisory {
            id: id.to_owned(),
            ecosystem: "PyPI".to_owned(),
            aliases: Vec::new(),
            upstream: Vec::new(),
            summary: String::new(),
            severity: None,
            score: None,
            ranges: Vec::new(),
            versions: vec!["1".to_owned()],
        }
    }

    #[test]
    fn every_package_is_found_again_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let state = State {
            ecosystem: "PyPI".to_owned(),
            advisories: 500,
            packages: 500,
            as_of: Timestamp::from_millis(1),
            imported_at: Timestamp::from_millis(2),
        };
        let packages: BTreeMap<_, _> =
            (0..500).map(|n| (format!("package-{n}"), vec![advisory(&format!("A-{n}"))])).collect();
        write(folder.path(), &state, packages).unwrap();
        let path = folder.path().join(name("PyPI"));
        let table = Table::open(&path).unwrap();
        assert_eq!(table.state, state);
        for n in 0..500 {
            assert_eq!(table.advisories(&format!("package-{n}")).unwrap(), [advisory(&format!("A-{n}"))]);
        }
        assert!(table.advisories("package-500").unwrap().is_empty());

        // Cut or altered files are said to be such.
        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 10, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(Table::open(&path).is_err(), "{cut}");
        }
    }

    #[test]
    fn names_of_ecosystems_become_plain_file_names() {
        assert_eq!(name("crates.io"), "crates_io.advisories");
        assert_eq!(name("../x/y"), "___x_y.advisories");
    }
}
