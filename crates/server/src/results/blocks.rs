//! Blocks of uploads on the disk, until their list says in which order they are the content. They come in any order, at
//! the same time, and again; each is a file that appears whole.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;
use windlass_api::{ErrorCode, Problem};
use windlass_web::Answer;

use crate::context::internal;

/// The most blocks of an upload (as Azure has it).
const MOST: u64 = 50_000;
/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Blocks below a folder: one folder for each upload.
#[derive(Debug)]
pub(super) struct Blocks {
    root: PathBuf,
    /// What each upload holds, with what is on its way.
    held: Mutex<HashMap<u64, Held>>,
    /// Looking at what is on the disk: not while another block of the same upload begins.
    counting: tokio::sync::Mutex<()>,
    parts: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    bytes: u64,
    blocks: u64,
}

fn failed(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Problem::new(
            ErrorCode::StorageFull,
            "the disk that holds uploads is full; free some space and try again",
        ),
        _ => internal("a block of an upload cannot be kept", error),
    }
}

impl Blocks {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            held: Mutex::default(),
            counting: tokio::sync::Mutex::default(),
            parts: AtomicU64::new(0),
        }
    }

    fn folder(&self, upload: u64) -> PathBuf {
        self.root.join(upload.to_string())
    }

    /// Adds to what an upload holds, unless that is too much.
    fn take(&self, upload: u64, bytes: u64, blocks: u64, largest: u64) -> Answer<()> {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.entry(upload).or_default();
        if held.bytes + bytes > largest {
            let text = format!("an upload has {} GiB at most; nothing more was kept", largest >> 30);
            return Err(Problem::new(ErrorCode::TooLarge, text));
        }
        if held.blocks + blocks > MOST {
            let text = format!("an upload has {MOST} blocks at most: send larger ones");
            return Err(Problem::new(ErrorCode::TooLarge, text));
        }
        held.bytes += bytes;
        held.blocks += blocks;
        Ok(())
    }

    fn give_back(&self, upload: u64, bytes: u64, blocks: u64) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(&upload) {
            held.bytes = held.bytes.saturating_sub(bytes);
            held.blocks = held.blocks.saturating_sub(blocks);
        }
    }

    /// Counts what a control before this one took in.
    async fn recount(&self, upload: u64) -> io::Result<()> {
        let _counting = self.counting.lock().await;
        let known = || self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&upload);
        if known() {
            return Ok(());
        }
        let mut held = Held::default();
        let mut entries = tokio::fs::read_dir(self.folder(upload)).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_name().to_string_lossy().starts_with('.') {
                // A block that was cut off.
                tokio::fs::remove_file(entry.path()).await?;
                continue;
            }
            held.bytes += entry.metadata().await?.len();
            held.blocks += 1;
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).entry(upload).or_insert(held);
        Ok(())
    }

    /// Keeps a block under `name`, in the place of an earlier one of that name.
    pub(super) async fn write(&self, upload: u64, name: &str, body: Body, largest: u64) -> Answer<()> {
        let folder = self.folder(upload);
        tokio::fs::create_dir_all(&folder).await.map_err(|e| failed(&e))?;
        self.recount(upload).await.map_err(|e| failed(&e))?;
        self.take(upload, 0, 1, largest)?;
        let part = folder.join(format!(".{}", self.parts.fetch_add(1, Ordering::Relaxed)));
        let mut taken = 0;
        let outcome = self.receive(upload, &part, body, largest, &mut taken).await;
        let target = folder.join(name);
        let replaced = tokio::fs::metadata(&target).await.map(|m| m.len()).ok();
        let named = match outcome {
            Ok(()) => tokio::fs::rename(&part, &target).await.map_err(|e| failed(&e)),
            Err(problem) => Err(problem),
        };
        if named.is_err() {
            let _ = tokio::fs::remove_file(&part).await;
            self.give_back(upload, taken, 1);
        } else if let Some(replaced) = replaced {
            self.give_back(upload, replaced, 1);
        }
        named
    }

    async fn receive(
        &self,
        upload: u64,
        part: &std::path::Path,
        body: Body,
        largest: u64,
        taken: &mut u64,
    ) -> Answer<()> {
        let mut file = File::create(part).await.map_err(|e| failed(&e))?;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| Problem::invalid(format!("the bytes stopped coming: {e}")))?;
            self.take(upload, chunk.len() as u64, 0, largest)?;
            *taken += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(|e| failed(&e))?;
        }
        file.flush().await.map_err(|e| failed(&e))
    }

    /// The names and sizes of an upload's blocks, in the order of their names.
    pub(super) async fn list(&self, upload: u64) -> Answer<Vec<(String, u64)>> {
        let mut found = Vec::new();
        let mut entries = match tokio::fs::read_dir(self.folder(upload)).await {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(e) => return Err(failed(&e)),
        };
        while let Some(entry) = entries.next_entry().await.map_err(|e| failed(&e))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                found.push((name, entry.metadata().await.map_err(|e| failed(&e))?.len()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The blocks of these names, one behind the other.
    pub(super) fn read(&self, upload: u64, names: Vec<String>) -> Body {
        let folder = self.folder(upload);
        let files = stream::iter(names).then(move |name| {
            let path = folder.join(name);
            async move { File::open(path).await.map(|file| ReaderStream::with_capacity(file, CHUNK)) }
        });
        Body::from_stream(files.try_flatten())
    }

    /// Removes an upload's blocks.
    pub(super) async fn remove(&self, upload: u64) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&upload);
        match tokio::fs::remove_dir_all(self.folder(upload)).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(upload, error = %e, "an upload's blocks cannot be removed");
            }
            _ => {}
        }
    }

    /// The uploads that have blocks.
    pub(super) async fn uploads(&self) -> Vec<u64> {
        let mut found = Vec::new();
        let Ok(mut entries) = tokio::fs::read_dir(&self.root).await else { return found };
        while let Ok(Some(entry)) = entries.next_entry().await {
            found.extend(entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    async fn text(body: Body) -> String {
        String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn blocks_come_in_any_order_and_again_and_are_read_in_the_lists() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = Blocks::new(dir.path().join("uploads"));
        for (name, content) in [("b", "world"), ("a", "x"), ("a", "hello ")] {
            blocks.write(7, name, Body::from(content), 100).await.unwrap();
        }
        assert_eq!(blocks.list(7).await.unwrap(), [("a".to_owned(), 6), ("b".to_owned(), 5)]);
        assert_eq!(text(blocks.read(7, vec!["a".into(), "b".into()])).await, "hello world");
        assert_eq!(blocks.uploads().await, [7]);
        blocks.remove(7).await;
        assert!(blocks.list(7).await.unwrap().is_empty() && blocks.uploads().await.is_empty());
    }

    #[tokio::test]
    async fn the_limit_holds_over_all_blocks_and_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("uploads");
        let blocks = Blocks::new(root.clone());
        blocks.write(1, "a", Body::from("12345"), 10).await.unwrap();
        // A repeated block counts once.
        blocks.write(1, "a", Body::from("12345"), 10).await.unwrap();
        let again = Blocks::new(root);
        let refused = again.write(1, "b", Body::from("123456"), 10).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::TooLarge);
        // What was refused counts no more, and nothing of it is left.
        again.write(1, "b", Body::from("12345"), 10).await.unwrap();
        assert_eq!(again.list(1).await.unwrap().len(), 2);
        assert_eq!(std::fs::read_dir(again.folder(1)).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn many_blocks_may_be_the_first_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = Blocks::new(dir.path().join("uploads"));
        for upload in 0..20 {
            let all = (0..8).map(|n| {
                let slowly = stream::iter(0..20).then(|_| async {
                    tokio::task::yield_now().await;
                    Ok::<_, io::Error>(Bytes::from("x"))
                });
                let (blocks, name) = (&blocks, format!("b{n}"));
                async move { blocks.write(upload, &name, Body::from_stream(slowly), 1000).await }
            });
            for outcome in futures_util::future::join_all(all).await {
                outcome.unwrap();
            }
            assert_eq!(blocks.list(upload).await.unwrap().len(), 8);
        }
    }

    #[tokio::test]
    async fn a_block_that_is_cut_off_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = Blocks::new(dir.path().join("uploads"));
        let cut = stream::iter([Ok(Bytes::from("abc")), Err(io::Error::other("gone"))]);
        assert!(blocks.write(1, "a", Body::from_stream(cut), 100).await.is_err());
        assert!(blocks.list(1).await.unwrap().is_empty());
        assert_eq!(std::fs::read_dir(blocks.folder(1)).unwrap().count(), 0);
    }
}
