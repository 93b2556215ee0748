//! Archives and path patterns, fuzzed: see `windlass_testkit::Fuzz` and `cargo xtask fuzz`.

use std::path::{Path, PathBuf};

use windlass_testkit::{Fuzz, fast_folder, way};

use super::archive::Unzipping;
use super::glob::{Patterns, name_fits};

#[test]
fn zip() {
    let words =
        ["PK\u{1}\u{2}", "PK\u{3}\u{4}", "PK\u{5}\u{6}", "../", "/", "a/", "..", "\0\0\0\0", "\u{7f}"];
    let dir = tempfile::tempdir_in(fast_folder()).unwrap();
    let (archive, into, outside) =
        (dir.path().join("a.zip"), dir.path().join("into"), dir.path().join("outside"));
    std::fs::write(&outside, "as it was").unwrap();
    Fuzz { name: "zip", words: &words, longest: 4 << 10 }.run(|bytes| {
        std::fs::write(&archive, bytes).unwrap();
        let outcome = Unzipping { archive: archive.clone(), into: into.clone() }.run();
        let _ = std::fs::remove_dir_all(&into);
        let left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(
            left.iter().all(|name| name == "a.zip" || name == "outside"),
            "something lies outside: {left:?}"
        );
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "as it was");
        match outcome {
            Ok(report) => way(&"n".repeat(report.notes.len())) ^ report.files.min(8),
            Err(why) => way(&why.replace(&*dir.path().to_string_lossy(), "")),
        }
    });
}

#[test]
fn path_patterns() {
    let words = ["**", "*", "?", "[", "]", "[!", "!", "#", "~", "/", "..", ".", "\n", "\\", "é"];
    let subjects =
        ["/w/a.rs", "/w/sub/deep/b.txt", "/home/x/.cache/y", "/", "/w", "/é/ü", "/w/[x]"].map(PathBuf::from);
    Fuzz { name: "paths", words: &words, longest: 1 << 10 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line = text.lines().next().unwrap_or_default();
        let fits = name_fits(line, "abc.txt") || name_fits(line, &"ab".repeat(200));
        let patterns = Patterns::parse(&[text], Path::new("/w"), Some(Path::new("/home/x")));
        assert!(patterns.roots().iter().all(|(root, _)| root.is_absolute()));
        let taken =
            subjects.iter().fold(u64::from(fits), |taken, path| taken << 1 | u64::from(patterns.takes(path)));
        taken << 8 ^ patterns.roots().len().min(16) as u64
    });
}
