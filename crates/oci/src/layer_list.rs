//! What a layer adds, without laying it out: the names in its archive, up to a bound.

use std::borrow::Cow;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::bounded::Bounded;
use crate::{Descriptor, Registry, RegistryError};

/// An entry of a layer's archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its path, without a leading `/`.
    pub path: String,
    /// `file`, `folder`, `link`, `hard link`, `device`, `pipe`; `removed` for a whiteout, `emptied` for an opaque folder.
    pub kind: Cow<'static, str>,
    /// Its size in bytes.
    pub size: u64,
    /// Its permissions.
    pub mode: u32,
    /// Where a link leads.
    pub target: Option<String>,
    /// A file's contents, told from others: the first half of their SHA-256, in hexadecimal digits.
    #[serde(default)]
    pub content: Option<String>,
}

/// What a layer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The first entries.
    pub entries: Vec<Listed>,
    /// Whether these are all.
    pub complete: bool,
}

/// How far is looked.
#[derive(Clone, Copy, Debug)]
pub struct ListLimits {
    /// How many entries are told.
    pub entries: usize,
    /// How many bytes of paths are kept.
    pub names: usize,
    /// How many bytes of the uncompressed archive are read.
    pub bytes: u64,
}

impl Registry {
    /// Lists a layer. What is no archive after all is an empty list that is not complete.
    pub async fn list_layer(&self, layer: &Descriptor, limits: ListLimits) -> Result<Listing, RegistryError> {
        let blob = self.blobs().open(&layer.digest, None).await?;
        let bytes = blob.bytes.map(|chunk| chunk.map_err(|e| io::Error::other(e.to_string())));
        let bridge = SyncIoBridge::new(StreamReader::new(bytes));
        let kind = layer.media_type.clone();
        let work = move || {
            let packing = kind.rsplit(['.', '+']).next().unwrap_or_default();
            match packing {
                "gzip" => list(MultiGzDecoder::new(bridge), limits),
                "zstd" => zstd::stream::read::Decoder::new(bridge)
                    .map_or_else(|_| Listing::default(), |decoder| list(decoder, limits)),
                "tar" => list(bridge, limits),
                _ => Listing::default(),
            }
        };
        Ok(tokio::task::spawn_blocking(work).await.unwrap_or_default())
    }
}

fn list(archive: impl Read, limits: ListLimits) -> Listing {
    let mut found = Listing::default();
    let (archive, allowance) = Bounded::new(archive.take(limits.bytes));
    let mut archive = tar::Archive::new(archive);
    let Ok(entries) = archive.entries() else { return found };
    // What is in holes is not in the archive, and takes as long to read.
    let (mut names, mut unread) = (0, limits.bytes);
    for entry in entries {
        let Ok(mut entry) = entry else { return found };
        let full = found.entries.len() >= limits.entries;
        let Ok(listed) = allowance.during(&mut entry, |entry| listed(entry, &mut unread)) else {
            return found;
        };
        let Some(listed) = listed else { continue };
        names += listed.path.len() + listed.target.as_ref().map_or(0, String::len);
        if full || names > limits.names {
            return found;
        }
        found.entries.push(listed);
    }
    // An archive that was cut off by the bound ends like any other, but what was read of it is the bound.
    found.complete = archive.into_inner().into_inner().limit() > 0;
    found
}

/// An entry; none for the layer's own root. Fails when it cannot be read, or not within what is left to be read.
fn listed<R: Read>(entry: &mut tar::Entry<'_, R>, unread: &mut u64) -> io::Result<Option<Listed>> {
    let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let path = path.trim_start_matches("./").trim_matches('/').to_owned();
    if path.is_empty() {
        return Ok(None);
    }
    let header = entry.header();
    let size = if header.entry_type().is_file() { entry.size() } else { 0 };
    let mode = header.mode().unwrap_or_default() & 0o7777;
    let (path, kind) = named(path, header.entry_type());
    let target = entry.link_name_bytes().map(|t| String::from_utf8_lossy(&t).into_owned());
    let content = match kind {
        "file" => {
            *unread = unread.checked_sub(entry.size()).ok_or(io::ErrorKind::FileTooLarge)?;
            Some(fingerprint(entry)?)
        }
        _ => None,
    };
    Ok(Some(Listed { path, kind: kind.into(), size, mode, target, content }))
}

/// What tells a file's contents from others.
fn fingerprint(mut file: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hex::encode(&hasher.finalize()[..16]))
}

/// What an entry is (image specification, "Whiteouts").
fn named(path: String, kind: tar::EntryType) -> (String, &'static str) {
    let (folder, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(folder, name)| (folder, name));
    if name == ".wh..wh..opq" {
        return (folder.to_owned(), "emptied");
    }
    if let Some(gone) = name.strip_prefix(".wh.") {
        let path = if folder.is_empty() { gone.to_owned() } else { format!("{folder}/{gone}") };
        return (path, "removed");
    }
    let word = match kind {
        k if k.is_dir() => "folder",
        k if k.is_symlink() => "link",
        k if k.is_hard_link() => "hard link",
        k if k.is_fifo() => "pipe",
        k if k.is_character_special() || k.is_block_special() => "device",
        _ => "file",
    };
    (path, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(names: &[(&str, usize)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, size) in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(*size as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, name, vec![0; *size].as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    const WIDE: ListLimits = ListLimits { entries: 100, names: 1 << 10, bytes: 1 << 20 };

    #[test]
    fn whiteouts_are_words_and_contents_are_told_apart() {
        let bytes = archive(&[("a/b", 700), ("a/.wh.c", 0), ("a/.wh..wh..opq", 0), ("d", 3)]);
        let all = list(bytes.as_slice(), WIDE);
        let seen: Vec<(&str, &str, u64)> =
            all.entries.iter().map(|e| (e.path.as_str(), &*e.kind, e.size)).collect();
        let expected = [("a/b", "file", 700), ("a/c", "removed", 0), ("a", "emptied", 0), ("d", "file", 3)];
        assert_eq!(seen, expected);
        assert!(all.complete);
        let content = |at: usize| all.entries[at].content.as_deref();
        assert!(content(0).is_some_and(|told| told.len() == 32) && content(0) != content(3));
        assert_eq!(content(1), None);
    }

    #[test]
    fn what_is_beyond_a_bound_is_not_told() {
        let bytes = archive(&[("a/b", 700), ("c", 0), ("d", 3)]);
        for (bound, told) in [
            (ListLimits { entries: 1, ..WIDE }, 1),
            (ListLimits { names: 4, ..WIDE }, 2),
            (ListLimits { bytes: 1536, ..WIDE }, 1),
        ] {
            let listing = list(bytes.as_slice(), bound);
            assert_eq!((listing.entries.len(), listing.complete), (told, false), "{bound:?}");
        }
        assert!(!list(&b"no archive"[..], WIDE).complete);
    }

    #[test]
    fn holes_and_long_names_end_the_list() {
        let mut hole = tar::Header::new_gnu();
        hole.set_entry_type(tar::EntryType::GNUSparse);
        hole.set_path("hole").unwrap();
        hole.set_mode(0o644);
        hole.set_size(0);
        let gnu = hole.as_gnu_mut().unwrap();
        // A file of a tebibyte: nothing is there but its end.
        let huge = *b"\x80\0\0\0\0\0\x01\0\0\0\0\0";
        (gnu.sparse[0].offset, gnu.sparse[0].numbytes, gnu.realsize) = (huge, *b"00000000000\0", huge);
        hole.set_cksum();
        let bytes = [hole.as_bytes().as_slice(), &archive(&[("after", 1)])].concat();
        let found = list(bytes.as_slice(), WIDE);
        assert_eq!((found.entries.len(), found.complete), (0, false));

        let name = "n".repeat(5 << 20);
        let wide = ListLimits { names: usize::MAX, bytes: 1 << 30, ..WIDE };
        let found = list(archive(&[("before", 1), (&name, 1)]).as_slice(), wide);
        assert_eq!((found.entries.len(), found.complete), (1, false));
        let mut links = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        links.append_link(&mut header, "link", "t".repeat(2000)).unwrap();
        let found = list(links.into_inner().unwrap().as_slice(), WIDE);
        assert_eq!((found.entries.len(), found.complete), (0, false), "where links lead counts as names do");
    }
}
