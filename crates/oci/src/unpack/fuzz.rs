//! Layers, fuzzed: see `windlass_testkit::Fuzz` and `cargo xtask fuzz`. An input says which entries an archive has, as
//! hardly any change of an archive's bytes leaves its check sums right; one that begins with 255 is an archive's bytes.

use std::path::Path;

use windlass_testkit::{Fuzz, fast_folder, way};

use super::layer::extract;
use super::{UnpackLimits, WhiteoutStyle};

const NAMES: [&str; 18] = [
    "",
    "d",
    "d/f",
    "a/b/c",
    "link",
    "link/x",
    "d/link",
    "d/link/y",
    "a",
    "../outside",
    "/etc/zz-windlass",
    "d/../../outside/secret",
    "..",
    "./d/.",
    "link/../x",
    "../outside/secret",
    "é",
    "a//b",
];

/// An entry's header and content.
fn entry(archive: &mut Vec<u8>, kind: u8, name: u8, link: u8) {
    let name = NAMES[usize::from(name) % NAMES.len()];
    let link = NAMES[usize::from(link) % NAMES.len()];
    let folder_of =
        |name: &str| name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let last = name.rsplit('/').next().unwrap_or_default();
    let (typ, name, content) = match kind % 9 {
        0 => (b'5', name.to_owned(), ""),
        1 => (b'0', name.to_owned(), "content"),
        2 => (b'2', name.to_owned(), ""),
        3 => (b'1', name.to_owned(), ""),
        4 => (b'0', format!("{}.wh.{last}", folder_of(name)), ""),
        5 => (b'0', format!("{name}/.wh..wh..opq"), ""),
        6 => (b'3', name.to_owned(), ""),
        7 => (b'7', name.to_owned(), "content"),
        _ => (b'x', name.to_owned(), "content"),
    };
    let mut header = tar::Header::new_gnu();
    let gnu = header.as_gnu_mut().expect("it is one");
    gnu.name[..name.len()].copy_from_slice(name.as_bytes());
    gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
    gnu.typeflag = [typ];
    header.set_size(content.len() as u64);
    header.set_mode(if kind & 0x80 == 0 { 0o644 } else { 0o6777 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(content.as_bytes());
    archive.resize(archive.len().next_multiple_of(512), 0);
}

fn untouched(root: &Path) {
    let outside = root.join("outside");
    let names: Vec<_> =
        std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"], "something came into being outside");
    assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "as it was");
    let names = std::fs::read_dir(root).unwrap().count();
    assert_eq!(names, 2, "something came into being beside the layer");
    assert!(!Path::new("/etc/zz-windlass").exists());
}

#[test]
fn layer() {
    let dir = tempfile::tempdir_in(fast_folder()).unwrap();
    let root = dir.path();
    std::fs::create_dir(root.join("outside")).unwrap();
    std::fs::write(root.join("outside/secret"), "as it was").unwrap();
    let words = ["\u{2}\u{1}\u{9}", "\u{2}\u{4}\u{c}", "\u{1}\u{5}\u{0}", "\u{3}\u{2}\u{7}"];
    Fuzz { name: "layer", words: &words, longest: 300 }.run(|bytes| {
        let archive = match bytes.split_first() {
            Some((255, raw)) => raw.to_vec(),
            _ => {
                let mut archive = Vec::new();
                bytes
                    .chunks_exact(3)
                    .for_each(|entry_of| entry(&mut archive, entry_of[0], entry_of[1], entry_of[2]));
                archive.resize(archive.len() + 1024, 0);
                archive
            }
        };
        let style =
            if bytes.len().is_multiple_of(2) { WhiteoutStyle::None } else { WhiteoutStyle::OverlayUser };
        let folder = root.join("layer");
        std::fs::create_dir(&folder).unwrap();
        let outcome = extract(&archive[..], &folder, style, UnpackLimits { entries: 60, bytes: 1 << 20 });
        untouched(root);
        std::fs::remove_dir_all(&folder).unwrap();
        match outcome {
            Ok(()) => bytes
                .chunks(3)
                .map(|entry| u64::from(entry[0] % 9))
                .fold(1, |ways, kind| ways.rotate_left(4) ^ kind),
            Err(refusal) => {
                way(&format!("{refusal:?}").chars().filter(|c| !c.is_ascii_digit()).collect::<String>())
            }
        }
    });
}
