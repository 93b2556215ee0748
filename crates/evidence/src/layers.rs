//! An image's layers as one walk over the files that are left when all layers lie on each other. Nothing is laid out
//! on the disk: the layers are read as streams, top first, so that of each file it is known at once whether a layer
//! above hides it (image specification, "Whiteouts").

mod bounded;

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use tar::{Entry, EntryType};
use windlass_kernel::Digest;

use crate::ScanError;
use bounded::Bounded;

/// The longest path, in bytes: none that can be used is longer (Linux' PATH_MAX).
const LONGEST_PATH: usize = 4096;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// How much of an image is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Uncompressed bytes of one layer.
    pub bytes: u64,
    /// Entries of all layers.
    pub entries: u64,
}

/// A layer, as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its digest.
    pub digest: Digest,
    /// Its media type: says how it is compressed.
    pub media_type: String,
}

/// Where the layers' bytes are.
pub trait Layers {
    /// The layers, bottom first.
    fn layers(&self) -> &[Layer];
    /// The bytes of the layer at this place of the list, as they are stored.
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + '_>>;
}

/// A file of a layer.
pub struct File<'a> {
    /// Its path without a leading slash.
    pub path: &'a str,
    /// The layer's place, from the bottom.
    pub layer: usize,
    /// A layer above replaces or removes it.
    pub hidden: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes.
    pub body: &'a mut dyn Read,
}

impl Default for Limits {
    /// 16 GiB a layer and two million entries.
    fn default() -> Self {
        Self { bytes: 16 << 30, entries: 2_000_000 }
    }
}

impl File<'_> {
    /// The whole file, or none if it is larger than `limit` bytes.
    pub fn read(&mut self, limit: u64) -> io::Result<Option<Vec<u8>>> {
        if self.size > limit {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(self.size as usize);
        self.body.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

/// Shows every regular file of every layer to `visit`, the topmost layer first.
pub fn walk(
    layers: &dyn Layers,
    limits: Limits,
    visit: &mut dyn FnMut(&mut File<'_>) -> io::Result<()>,
) -> Result<(), ScanError> {
    let mut above = Above::default();
    let mut entries = 0;
    for (index, layer) in layers.layers().iter().enumerate().rev() {
        let broken = |e: io::Error| ScanError::Layer { layer: layer.digest.clone(), why: e.to_string() };
        let bytes = layers.open(index).map_err(broken)?;
        let tar = inflated(bytes, layer)?;
        let (tar, allowance) = Bounded::new(tar.take(limits.bytes));
        let mut archive = tar::Archive::new(tar);
        let mut here = Above::default();
        for entry in archive.entries().map_err(broken)? {
            entries += 1;
            if entries > limits.entries {
                return Err(ScanError::TooMany(limits.entries));
            }
            let mut entry = entry.map_err(broken)?;
            let look = |entry: &mut Entry<'_, _>| look(entry, index, &above, &mut here, visit);
            allowance.during(&mut entry, look).map_err(broken)?;
        }
        above.join(here);
    }
    Ok(())
}

/// Notes an entry, and shows it if it is a regular file.
fn look<R: Read>(
    entry: &mut Entry<'_, R>,
    layer: usize,
    above: &Above,
    here: &mut Above,
    visit: &mut dyn FnMut(&mut File<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let Some(path) = clean(&entry.path_bytes()) else { return Ok(()) };
    if path.len() > LONGEST_PATH {
        return Err(io::Error::other(format!("a path has more than {LONGEST_PATH} bytes")));
    }
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if name == OPAQUE {
        here.opaque.insert(here.key(parent));
        return Ok(());
    }
    if let Some(removed) = name.strip_prefix(WHITEOUT) {
        let target = if parent.is_empty() { removed.to_owned() } else { format!("{parent}/{removed}") };
        here.gone.insert(here.key(&target));
        return Ok(());
    }
    let kind = entry.header().entry_type();
    let folder = kind == EntryType::Directory;
    let key = here.key(&path);
    here.known.insert(key, folder);
    if matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse) {
        let hidden = above.hides(&path, folder);
        let size = entry.size();
        visit(&mut File { path: &path, layer, hidden, size, body: entry })?;
    }
    Ok(())
}

/// The uncompressed bytes of a layer.
fn inflated<'a>(bytes: Box<dyn Read + 'a>, layer: &Layer) -> Result<Box<dyn Read + 'a>, ScanError> {
    let kind = layer.media_type.as_str();
    let refused =
        || ScanError::MediaType { layer: layer.digest.clone(), media_type: layer.media_type.clone() };
    if !kind.contains("layer") && !kind.contains("rootfs") {
        return Err(refused());
    }
    let bytes = BufReader::with_capacity(128 << 10, bytes);
    if kind.ends_with("gzip") {
        Ok(Box::new(MultiGzDecoder::new(bytes)))
    } else if kind.ends_with("zstd") {
        let inflated = zstd::stream::read::Decoder::with_buffer(bytes);
        let broken = |e: io::Error| ScanError::Layer { layer: layer.digest.clone(), why: e.to_string() };
        Ok(Box::new(inflated.map_err(broken)?))
    } else if kind.ends_with("tar") {
        Ok(Box::new(bytes))
    } else {
        Err(refused())
    }
}

/// A path without `.`, doubled and leading slashes; none for the root, and for one that would leave it.
fn clean(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut clean = String::with_capacity(text.len());
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => {
                if !clean.is_empty() {
                    clean.push('/');
                }
                clean.push_str(part);
            }
        }
    }
    (!clean.is_empty()).then_some(clean)
}

/// What the layers above hold and hide. Paths are kept as hashes under a key of this process: an image may have
/// millions of them, and nobody outside can aim for two of the same hash.
struct Above {
    hasher: RandomState,
    /// Paths that are there; true: a folder.
    known: HashMap<u64, bool>,
    /// Paths that were removed, with what is below them.
    gone: HashSet<u64>,
    /// Folders whose former content was removed.
    opaque: HashSet<u64>,
}

thread_local! {
    static HASHER: RandomState = RandomState::new();
}

impl Default for Above {
    fn default() -> Self {
        let hasher = HASHER.with(Clone::clone);
        Self { hasher, known: HashMap::new(), gone: HashSet::new(), opaque: HashSet::new() }
    }
}

impl Above {
    fn key(&self, path: &str) -> u64 {
        self.hasher.hash_one(path)
    }

    fn join(&mut self, layer: Self) {
        self.known.extend(layer.known);
        self.gone.extend(layer.gone);
        self.opaque.extend(layer.opaque);
    }

    fn hides(&self, path: &str, folder: bool) -> bool {
        if self.known.is_empty() && self.gone.is_empty() && self.opaque.is_empty() {
            return false;
        }
        let own = self.key(path);
        if self.gone.contains(&own) || self.known.get(&own).is_some_and(|there| !(folder && *there)) {
            return true;
        }
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]).chain([""]);
        parents.map(|parent| self.key(parent)).any(|parent| {
            self.gone.contains(&parent)
                || self.opaque.contains(&parent)
                || self.known.get(&parent) == Some(&false)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Layers in memory, for tests.
    pub(crate) struct InMemory {
        layers: Vec<Layer>,
        bytes: Vec<Vec<u8>>,
    }

    impl InMemory {
        /// Plain tars of these files, bottom first; a path that ends in `/` is a folder.
        pub(crate) fn of(layers: &[&[(&str, &[u8])]]) -> Self {
            let mut bytes = Vec::new();
            for files in layers {
                let mut tar = tar::Builder::new(Vec::new());
                for (path, content) in *files {
                    let mut header = tar::Header::new_gnu();
                    let folder = path.ends_with('/');
                    header.set_entry_type(if folder { EntryType::Directory } else { EntryType::Regular });
                    header.set_mode(0o644);
                    header.set_size(content.len() as u64);
                    tar.append_data(&mut header, path, *content).unwrap();
                }
                bytes.push(tar.into_inner().unwrap());
            }
            let layer = |bytes: &Vec<u8>| Layer {
                digest: Digest::sha256(bytes),
                media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
            };
            Self { layers: bytes.iter().map(layer).collect(), bytes }
        }
    }

    impl Layers for InMemory {
        fn layers(&self) -> &[Layer] {
            &self.layers
        }

        fn open(&self, index: usize) -> io::Result<Box<dyn Read + '_>> {
            Ok(Box::new(self.bytes[index].as_slice()))
        }
    }

    fn seen(layers: &[&[(&str, &[u8])]]) -> Vec<String> {
        let mut seen = Vec::new();
        let layers = InMemory::of(layers);
        walk(&layers, Limits::default(), &mut |file| {
            let sign = if file.hidden { "-" } else { "+" };
            seen.push(format!("{}{sign}{}", file.layer, file.path));
            Ok(())
        })
        .unwrap();
        seen.sort();
        seen
    }

    #[test]
    fn what_a_layer_above_replaces_or_removes_is_hidden() {
        let base: &[(&str, &[u8])] =
            &[("a", b"1"), ("d/x", b"1"), ("d/y", b"1"), ("e/f/g", b"1"), ("h/i", b"1"), ("k", b"1")];
        let top: &[(&str, &[u8])] = &[
            ("./a", b"2"),
            ("d/.wh.x", b""),
            (".wh.e", b""),
            ("e/", b""),
            ("h/.wh..wh..opq", b""),
            ("h/j", b"2"),
            ("k/", b""),
        ];
        let expected = ["0+d/y", "0-a", "0-d/x", "0-e/f/g", "0-h/i", "0-k", "1+a", "1+h/j"];
        assert_eq!(seen(&[base, top]), expected);
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_hides_what_was_below_it() {
        assert_eq!(seen(&[&[("d/x", b"")], &[("d", b"")]]), ["0-d/x", "1+d"]);
        // And what a third layer puts there is there.
        let three: &[&[(&str, &[u8])]] = &[&[("d/x", b"")], &[(".wh.d", b"")], &[("d/x", b"")]];
        assert_eq!(seen(three), ["0-d/x", "2+d/x"]);
    }

    #[test]
    fn paths_are_read_in_one_way() {
        let cases = [
            ("./etc//os-release", Some("etc/os-release")),
            ("/etc/passwd", Some("etc/passwd")),
            ("../x", None),
            ("a/../b", None),
            ("./", None),
        ];
        for (path, expected) in cases {
            assert_eq!(clean(path.as_bytes()).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn names_that_no_file_can_have_end_the_walk_before_they_fill_the_memory() {
        for (length, why) in [(5000, "a path has more"), (8 << 20, "names and attributes")] {
            let layers = InMemory::of(&[&[("a", b"1"), (&"n".repeat(length), b"2")]]);
            let refused = walk(&layers, Limits::default(), &mut |_| Ok(())).unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
        }
    }

    #[test]
    fn too_many_entries_and_unknown_compressions_are_refused() {
        let mut layers = InMemory::of(&[&[("a", b""), ("b", b"")]]);
        let limits = Limits { entries: 1, ..Limits::default() };
        assert!(matches!(walk(&layers, limits, &mut |_| Ok(())), Err(ScanError::TooMany(1))));
        layers.layers[0].media_type = "application/vnd.oci.image.layer.v1.tar+lz4".to_owned();
        let refused = walk(&layers, Limits::default(), &mut |_| Ok(()));
        assert!(matches!(refused, Err(ScanError::MediaType { .. })));
    }
}
