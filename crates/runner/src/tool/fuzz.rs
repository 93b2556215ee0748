//! Archives and path patterns, fuzzed: see `windlass_testkit::Fuzz` and `cargo xtask fuzz`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use windlass_testkit::{Fuzz, fast_folder, way};

use super::archive::{Unzipping, unpack};
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
        let outcome = Unzipping { archive: archive.clone(), into: into.clone(), raw: None }.run();
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

/// A tar archive: the bytes themselves after an `R`; else an entry for each line, `KIND NAME>TARGET`, whose kind is the
/// byte that the format has for it.
fn archive_of(bytes: &[u8]) -> Vec<u8> {
    if let Some(raw) = bytes.strip_prefix(b"R") {
        return raw.to_owned();
    }
    let mut archive = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let (kind, rest) = line.split_first().unwrap_or((&b'0', &[]));
        let mut parts = rest.trim_ascii_start().splitn(2, |byte| *byte == b'>');
        let mut header = tar::Header::new_gnu();
        let old = header.as_old_mut();
        for (field, text) in [(&mut old.name, parts.next()), (&mut old.linkname, parts.next())] {
            let text = text.unwrap_or_default();
            let length = text.len().min(field.len());
            field[..length].copy_from_slice(&text[..length]);
        }
        header.set_mode(if rest.len() % 2 == 0 { 0o755 } else { 0o4600 });
        header.set_size(u64::from(*kind == b'0'));
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_cksum();
        archive.extend(header.as_bytes());
        if *kind == b'0' {
            archive.extend([b'x'; 512]);
        }
    }
    archive
}

#[test]
fn cache_archive() {
    let words = [
        "0 ",
        "5 ",
        "2 ",
        "1 ",
        "L ",
        "x ",
        "S ",
        "../",
        "/",
        "..",
        "..home/",
        "..root/",
        "out",
        ">",
        ">../out",
        ">..",
        ">/",
        "\n",
        "a/",
        "a",
        "\n0 a/x",
        "\n5 a",
        "\n2 a>../out",
    ];
    let dir = tempfile::tempdir_in(fast_folder()).unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("file"), "as it was").unwrap();
    let modes = || [&out, &out.join("file")].map(|path| path.metadata().unwrap().permissions().mode());
    let before = modes();
    Fuzz { name: "tar", words: &words, longest: 4 << 10 }.run(|bytes| {
        let folders = ["work", "home", "elsewhere"].map(|name| dir.path().join(name));
        for folder in &folders {
            std::fs::create_dir(folder).unwrap();
        }
        let outcome = unpack(&*archive_of(bytes), &folders[0], &folders[1], &folders[2]);
        for folder in &folders {
            std::fs::remove_dir_all(folder).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something lies outside");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1, "something lies outside, by a link");
        assert_eq!(std::fs::read_to_string(out.join("file")).unwrap(), "as it was");
        assert_eq!(modes(), before, "what is outside may be done other things with");
        match outcome {
            Ok(report) => {
                let kinds: BTreeSet<u64> = report.notes.iter().map(|note| way(note)).collect();
                kinds.iter().fold(report.files.min(6), |ways, kind| ways ^ kind)
            }
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
