//! Folders and files.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::{fields, strange};
use crate::{RepoPath, Repository, Sha, SourceError, git};

const TREE_LIMIT: usize = 16 << 20;
const DEADLINE: Duration = Duration::from_mins(1);

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
        let entries = self.tree(at, folder).await?.unwrap_or_default();
        let wanted = |e: &TreeEntry| {
            matches!(e.kind, EntryKind::File | EntryKind::Executable)
                && endings.iter().any(|end| e.name.ends_with(end))
        };
        let paths: Vec<RepoPath> =
            entries.iter().filter(|e| wanted(e)).flat_map(|e| e.path.parse()).collect();
        let blobs = self.blobs(at, &paths, limit).await?;
        Ok(paths.into_iter().zip(blobs).filter_map(|(path, blob)| Some((path, blob?))).collect())
    }

    /// Several files' contents at a commit, by one process; at most `limit` bytes of each.
    pub async fn blobs(
        &self,
        at: &Sha,
        paths: &[RepoPath],
        limit: usize,
    ) -> Result<Vec<Option<Blob>>, SourceError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let work = self.read_batch(at, paths, limit);
        let late = |_| SourceError::TimedOut { command: "cat-file".into(), seconds: DEADLINE.as_secs() };
        tokio::time::timeout(DEADLINE, work).await.map_err(late)?
    }

    async fn read_batch(
        &self,
        at: &Sha,
        paths: &[RepoPath],
        limit: usize,
    ) -> Result<Vec<Option<Blob>>, SourceError> {
        let mut command = git::command(self.path(), &["cat-file", "--batch"]);
        let mut child = git::spawn(command.stdin(Stdio::piped()).stderr(Stdio::null()))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(strange("cat-file", "no pipes"));
        };
        let mut answers = BufReader::new(stdout);
        let mut blobs = Vec::with_capacity(paths.len());
        for path in paths {
            // A path holds no line break, so it cannot ask for a second object.
            stdin.write_all(format!("{at}:{path}\n").as_bytes()).await?;
            stdin.flush().await?;
            blobs.push(read_answer(&mut answers, limit).await?);
        }
        drop(stdin);
        child.wait().await?;
        Ok(blobs)
    }
}

/// `SHA TYPE SIZE`, the content and a line break; or `… missing`.
async fn read_answer(
    answers: &mut BufReader<tokio::process::ChildStdout>,
    limit: usize,
) -> Result<Option<Blob>, SourceError> {
    let mut head = String::new();
    answers.read_line(&mut head).await?;
    let words: Vec<&str> = head.trim_end().rsplitn(3, ' ').collect();
    let [size, kind, sha] = words[..] else {
        return if head.trim_end().ends_with(" missing") { Ok(None) } else { Err(strange("cat-file", head)) };
    };
    let (Ok(size), Ok(sha)) = (size.parse::<u64>(), sha.parse::<Sha>()) else {
        return if size == "missing" { Ok(None) } else { Err(strange("cat-file", head)) };
    };
    let is_file = kind == "blob";
    let mut bytes = Vec::new();
    let kept = size.min(limit as u64);
    (&mut *answers).take(kept).read_to_end(&mut bytes).await?;
    // The rest, and the line break behind it.
    tokio::io::copy(&mut (&mut *answers).take(size - kept + 1), &mut tokio::io::sink()).await?;
    Ok(is_file.then_some(Blob { sha, size, bytes }))
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
