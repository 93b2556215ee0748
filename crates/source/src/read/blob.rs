//! Folders and files.

use super::{fields, strange};
use crate::objects::Object;
use crate::{RepoPath, Repository, Sha, SourceError, git};

const TREE_LIMIT: usize = 16 << 20;

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A file that may be run.
    Executable,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A commit of another repository.
    Submodule,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its name within the folder.
    pub name: String,
    /// Its path from the repository's root.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The object's id.
    pub sha: Sha,
    /// A file's or a link's size in bytes.
    pub size: Option<u64>,
}

/// A file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The object's id.
    pub sha: Sha,
    /// Its whole size in bytes.
    pub size: u64,
    /// Its content, up to the limit asked for.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// Whether there is more than `bytes` holds.
    pub fn truncated(&self) -> bool {
        (self.bytes.len() as u64) < self.size
    }

    /// The text, if it is complete and UTF-8 without NUL.
    pub fn text(&self) -> Option<&str> {
        if self.truncated() || self.bytes.contains(&0) {
            return None;
        }
        std::str::from_utf8(&self.bytes).ok()
    }
}

impl Repository {
    /// A folder's entries at a commit, folders first; none if there is no such folder.
    pub async fn tree(&self, at: &Sha, path: &RepoPath) -> Result<Option<Vec<TreeEntry>>, SourceError> {
        let object = format!("{at}:{path}");
        let output = git::run(self.path(), &["ls-tree", "-z", "--long", &object], TREE_LIMIT).await?;
        if output.code == Some(128) {
            return Ok(None);
        }
        let out = output.complete(TREE_LIMIT)?;
        let mut entries = fields(&out).map(|line| entry(&line, path)).collect::<Result<Vec<_>, _>>()?;
        entries.sort_by(|a, b| {
            let file = |e: &TreeEntry| e.kind != EntryKind::Folder;
            file(a).cmp(&file(b)).then_with(|| a.name.cmp(&b.name))
        });
        Ok(Some(entries))
    }

    /// A file's content at a commit, at most `limit` bytes of it; none if there is no such file.
    pub async fn blob(&self, at: &Sha, path: &RepoPath, limit: usize) -> Result<Option<Blob>, SourceError> {
        Ok(self.blobs(at, std::slice::from_ref(path), limit).await?.pop().flatten())
    }

    /// The files directly in `folder` whose name ends in one of `endings`, with their content, by path.
    /// For `.github/workflows` this is one look at the folder and one batch.
    pub async fn files_in(
        &self,
        at: &Sha,
        folder: &RepoPath,
        endings: &[&str],
        limit: usize,
    ) -> Result<Vec<(RepoPath, Blob)>, SourceError> {
        let name = format!("{at}:{folder}");
        let read = self.objects().read(self.path(), &[name], TREE_LIMIT).await?;
        let Some(object) = read.into_iter().flatten().next().filter(|o| o.kind == "tree") else {
            return Ok(Vec::new());
        };
        if object.size > TREE_LIMIT as u64 {
            return Err(SourceError::TooLarge { command: "cat-file".into(), limit: TREE_LIMIT });
        }
        let entries =
            raw_tree(&object.bytes).ok_or_else(|| strange("cat-file", format!("the tree {at}:{folder}")))?;
        let mut wanted = Vec::new();
        for (name, sha) in entries {
            if endings.iter().any(|end| name.ends_with(end))
                && let Ok(path) = folder.entry(&name).parse::<RepoPath>()
            {
                wanted.push((path, sha));
            }
        }
        wanted.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        let names: Vec<String> = wanted.iter().map(|(_, sha)| sha.to_string()).collect();
        let blobs = self.read_blobs(&names, limit).await?;
        Ok(wanted.into_iter().zip(blobs).filter_map(|((path, _), blob)| Some((path, blob?))).collect())
    }

    /// Several files' contents at a commit; at most `limit` bytes of each.
    pub async fn blobs(
        &self,
        at: &Sha,
        paths: &[RepoPath],
        limit: usize,
    ) -> Result<Vec<Option<Blob>>, SourceError> {
        // A path holds no line break, so it cannot ask for a second object.
        let names: Vec<String> = paths.iter().map(|path| format!("{at}:{path}")).collect();
        self.read_blobs(&names, limit).await
    }

    async fn read_blobs(&self, names: &[String], limit: usize) -> Result<Vec<Option<Blob>>, SourceError> {
        let read = self.objects().read(self.path(), names, limit).await?;
        let blob = |o: Object| Blob { sha: o.sha, size: o.size, bytes: o.bytes };
        Ok(read.into_iter().map(|found| found.filter(|o| o.kind == "blob").map(blob)).collect())
    }
}

/// The files of a tree object, executable or not: `MODE NAME`, NUL, and the 20 bytes of the id (repositories here are
/// made with SHA-1).
fn raw_tree(mut bytes: &[u8]) -> Option<Vec<(String, Sha)>> {
    let mut files = Vec::new();
    while !bytes.is_empty() {
        let nul = bytes.iter().position(|b| *b == 0)?;
        let (mode, name) = std::str::from_utf8(&bytes[..nul])
            .ok()
            .map_or(("", ""), |t| t.split_once(' ').unwrap_or_default());
        let id = bytes.get(nul + 1..nul + 21)?;
        if ["100644", "100664", "100755"].contains(&mode) {
            files.push((name.to_owned(), hex::encode(id).parse().ok()?));
        }
        bytes = &bytes[nul + 21..];
    }
    Some(files)
}

/// `MODE TYPE SHA SIZE\tNAME`, the size padded with spaces.
fn entry(line: &str, folder: &RepoPath) -> Result<TreeEntry, SourceError> {
    let bad = || strange("ls-tree", line);
    let (meta, name) = line.split_once('\t').ok_or_else(bad)?;
    let words: Vec<&str> = meta.split_whitespace().collect();
    let [mode, _, sha, size] = words[..] else { return Err(bad()) };
    let kind = match mode {
        "040000" => EntryKind::Folder,
        "120000" => EntryKind::Link,
        "160000" => EntryKind::Submodule,
        "100755" => EntryKind::Executable,
        _ => EntryKind::File,
    };
    Ok(TreeEntry {
        name: name.to_owned(),
        path: folder.entry(name),
        kind,
        sha: sha.parse().map_err(|_| bad())?,
        size: size.parse().ok(),
    })
}
