//! `hashFiles`: SHA-256 over the SHA-256 of each file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::glob::{Patterns, Walk};
use super::{Report, at};

/// What to hash.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hashing {
    /// The workspace: nothing outside of it counts.
    pub(crate) root: PathBuf,
    /// The patterns; the first may be `--follow-symbolic-links`.
    pub(crate) patterns: Vec<String>,
}

/// The hash over the files below `root` that the patterns name, as `hashFiles` gives it; empty if there is none.
///
/// # Errors
/// In words, if a file cannot be read.
pub fn hash_files(root: &Path, patterns: &[String]) -> Result<String, String> {
    Hashing { root: root.to_owned(), patterns: patterns.to_vec() }.run().map(|report| report.text)
}

impl Hashing {
    pub(super) fn run(self) -> Result<Report, String> {
        let follow = self.patterns.first().is_some_and(|first| first == "--follow-symbolic-links");
        let patterns = &self.patterns[usize::from(follow)..];
        let files = Patterns::parse(patterns, &self.root, None).files(Walk { hidden: true, follow });
        let mut all = Sha256::new();
        let mut report = Report::default();
        for path in files.iter().filter(|path| path.starts_with(&self.root)) {
            if !std::fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            let mut one = Sha256::new();
            report.bytes += pour(File::open(path).map_err(at(path))?, &mut one).map_err(at(path))?;
            report.files += 1;
            all.update(one.finalize());
        }
        if report.files > 0 {
            report.text = hex::encode(all.finalize());
        }
        Ok(report)
    }
}

/// The SHA-256 of a file.
pub(super) fn digest(path: &Path) -> Result<Report, String> {
    // Before it is opened: to open a pipe is to wait for whoever writes.
    if !std::fs::metadata(path).map_err(at(path))?.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    let mut hash = Sha256::new();
    let bytes = pour(File::open(path).map_err(at(path))?, &mut hash).map_err(at(path))?;
    Ok(Report { files: 1, bytes, text: hex::encode(hash.finalize()), ..Report::default() })
}

fn pour(mut file: File, hash: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 128 << 10];
    let mut total = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(total),
            n => {
                hash.update(&buffer[..n]);
                total += n as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_hashes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.lock"), "one").unwrap();
        std::fs::write(dir.path().join("b.lock"), "two").unwrap();
        let hash = |patterns: &[&str]| {
            let patterns = patterns.iter().map(|p| (*p).to_owned()).collect();
            Hashing { root: dir.path().to_owned(), patterns }.run().unwrap().text
        };
        let parts = [Sha256::digest("one"), Sha256::digest("two")].concat();
        assert_eq!(hash(&["**/*.lock"]), hex::encode(Sha256::digest(parts)));
        assert_eq!(hash(&["a.lock"]), hex::encode(Sha256::digest(Sha256::digest("one"))));
        assert_eq!(hash(&["none"]), "");
        assert_eq!(hash(&["/etc/passwd"]), "", "outside of the workspace");
        assert_eq!(hash(&["*.lock", "!b*"]), hash(&["a.lock"]));
    }
}
