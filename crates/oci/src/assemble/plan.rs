//! What goes into a layer: every entry of the given tar, checked, by its clean path, in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use tar::EntryType;

use super::AssembleError;

/// The most entries that a layer may have.
const MOST_ENTRIES: usize = 1_000_000;

/// Entries by path (without a leading `/`), so that a folder comes before what is in it.
pub(super) type Plan = BTreeMap<Vec<u8>, Entry>;

/// One entry of the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    File {
        /// Where its bytes begin in the spooled tar.
        offset: u64,
        size: u64,
        executable: bool,
    },
    Link {
        target: Vec<u8>,
    },
}

/// Reads a tar from its beginning. The files' bytes are not read, only where they are.
pub(super) fn read(file: &File) -> Result<Plan, AssembleError> {
    let unreadable = |e: io::Error| AssembleError::Tar(e.to_string());
    let length = file.metadata().map_err(unreadable)?.len();
    let mut archive = tar::Archive::new(file);
    let mut plan = Plan::new();
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let raw = entry.path_bytes();
        let refuse = |why| AssembleError::Entry { path: String::from_utf8_lossy(&raw).into_owned(), why };
        let Some(path) = clean(&raw).map_err(refuse)? else { continue };
        let found = match entry.header().entry_type() {
            EntryType::Directory => Entry::Folder,
            EntryType::Regular | EntryType::Continuous => Entry::File {
                offset: entry.raw_file_position(),
                size: entry.size(),
                executable: entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0),
            },
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                if target.is_empty() || leaves_root(&path, &target) {
                    return Err(refuse("the link leads out of the image's root"));
                }
                Entry::Link { target }
            }
            // A hard link becomes a copy: its order in the tar must not matter.
            EntryType::Link => {
                let target = clean(&entry.link_name_bytes().unwrap_or_default()).map_err(refuse)?;
                match target.and_then(|target| plan.get(&target)) {
                    Some(file @ Entry::File { .. }) => file.clone(),
                    _ => return Err(refuse("it is a hard link to something that is no file of the image")),
                }
            }
            EntryType::GNUSparse => return Err(refuse("it is a sparse file; pack it without `--sparse`")),
            EntryType::XGlobalHeader => continue,
            _ => return Err(refuse("only files, folders and links can be in an image")),
        };
        if matches!(found, Entry::File { offset, size, .. } if offset.saturating_add(size) > length) {
            return Err(refuse("the tar ends in the middle of it"));
        }
        plan.insert(path, found);
        if plan.len() > MOST_ENTRIES {
            return Err(refuse("there are more than a million entries"));
        }
    }
    with_parents(plan)
}

/// The path without `.` and empty components; `None` for the root itself.
fn clean(raw: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    if raw.starts_with(b"/") {
        return Err("its path is absolute; pack it with a relative one");
    }
    let mut path = Vec::with_capacity(raw.len());
    for component in raw.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        if component == b".." {
            return Err("its path contains `..`");
        }
        if component.starts_with(b".wh.") {
            return Err("names that begin with `.wh.` mean removed files in a layer");
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    Ok(if path.is_empty() { None } else { Some(path) })
}

/// Whether following `target` from `path` goes above the image's root.
fn leaves_root(path: &[u8], target: &[u8]) -> bool {
    let mut depth = if target.starts_with(b"/") { 0 } else { path.split(|b| *b == b'/').count() - 1 };
    for component in target.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// Adds the folders that were left out, and refuses what lies below something that is no folder.
fn with_parents(mut plan: Plan) -> Result<Plan, AssembleError> {
    let paths: Vec<Vec<u8>> = plan.keys().cloned().collect();
    for path in paths {
        for (at, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
            match plan.entry(path[..at].to_vec()).or_insert(Entry::Folder) {
                Entry::Folder => {}
                _ => {
                    let path = String::from_utf8_lossy(&path).into_owned();
                    return Err(AssembleError::Entry {
                        path,
                        why: "its path leads through a link or a file",
                    });
                }
            }
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"a", Some(b"a")),
            (b"./a//b/./c/", Some(b"a/b/c")),
            (b"./", None),
            (b"", None),
            (b"a..b", Some(b"a..b")),
            ("ä/ö".as_bytes(), Some("ä/ö".as_bytes())),
        ];
        for (raw, expected) in cases {
            assert_eq!(clean(raw).unwrap().as_deref(), expected, "{raw:?}");
        }
        for bad in [&b"/etc/passwd"[..], b"../a", b"a/../../b", b"a/..", b".wh.a", b"a/.wh..wh..opq"] {
            assert!(clean(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn links_may_point_anywhere_but_out() {
        for (path, target) in
            [("a", "b"), ("a/b", "../c"), ("bin", "/usr/bin"), ("a/b/c", "../../d"), ("a", "/")]
        {
            assert!(!leaves_root(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
        for (path, target) in [("a", "../b"), ("a/b", "../../c"), ("a", "/.."), ("a/b", "x/../../../c")] {
            assert!(leaves_root(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
    }
}
