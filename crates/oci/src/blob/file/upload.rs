//! An upload in progress: bytes are gathered, and written and hashed on another thread while the next ones come.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;
use windlass_kernel::{Algorithm, Digest};

use super::{CHUNK, blocking};
use crate::blob::{BlobError, ByteStream, UploadId};
use crate::hashing::{Hasher, Hashing};

/// Bytes that are gathered before they are written.
const BATCH: usize = 512 << 10;

pub(super) struct Upload {
    file: Arc<fs::File>,
    pub(super) size: u64,
    /// The digest so far; none when it must be computed from the file at the end (after a restart or a failed write).
    hasher: Option<Hasher>,
    /// A write that goes on.
    writing: Option<JoinHandle<io::Result<Option<Hasher>>>>,
    /// A write was begun and not seen to end: what the file holds must be looked up.
    unsure: bool,
    pub(super) over: bool,
}

impl Upload {
    /// One that begins.
    pub(super) fn fresh(file: fs::File) -> Self {
        let hasher = Some(Hasher::new(Algorithm::Sha256));
        Self { file: Arc::new(file), size: 0, hasher, writing: None, unsure: false, over: false }
    }

    /// One that was there before Windlass was started.
    pub(super) fn found(file: fs::File) -> Self {
        Self { file: Arc::new(file), size: 0, hasher: None, writing: None, unsure: true, over: false }
    }

    pub(super) fn file(&self) -> Arc<fs::File> {
        self.file.clone()
    }

    pub(super) async fn settle(&mut self, id: &UploadId) -> Result<(), BlobError> {
        if self.over {
            return Err(BlobError::UnknownUpload(id.clone()));
        }
        if self.unsure {
            if let Some(writing) = self.writing.take() {
                let _ = writing.await; // what failed before shows in the length
            }
            self.size = self.file.metadata().map_err(BlobError::io("reading an upload's size"))?.len();
            self.hasher = None;
            self.unsure = false;
        }
        Ok(())
    }

    /// Takes in what comes, to its end or to the first failure; what came before that is kept.
    pub(super) async fn append(&mut self, mut body: ByteStream) -> Result<u64, BlobError> {
        let (mut batch, mut length) = (Vec::new(), 0);
        // Whoever drops this half-way leaves an upload that must be looked at again.
        self.unsure = true;
        let outcome = loop {
            match body.next().await {
                Some(Ok(chunk)) => {
                    length += chunk.len();
                    batch.push(chunk);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
            if length >= BATCH {
                self.written().await?;
                self.write(std::mem::take(&mut batch), length);
                length = 0;
            }
        };
        self.written().await?;
        if length > 0 {
            self.write(batch, length);
            self.written().await?;
        }
        self.unsure = false;
        outcome.map(|()| self.size)
    }

    /// Begins to write; [`written`](Self::written) waits for its end.
    fn write(&mut self, batch: Vec<Bytes>, length: usize) {
        let (file, mut hasher) = (self.file.clone(), self.hasher.take());
        self.size += length as u64;
        self.writing = Some(tokio::task::spawn_blocking(move || {
            for bytes in &batch {
                (&*file).write_all(bytes)?;
                if let Some(hasher) = &mut hasher {
                    hasher.update(bytes);
                }
            }
            Ok(hasher)
        }));
    }

    async fn written(&mut self) -> Result<(), BlobError> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let outcome = writing.await.unwrap_or_else(|e| Err(io::Error::other(e)));
        self.writing = None;
        self.hasher = outcome.map_err(BlobError::io("writing an upload"))?;
        Ok(())
    }

    /// The digest of what was uploaded; read again only when it was not computed on the way.
    pub(super) async fn digest(&self, algorithm: Algorithm, path: &Path) -> Result<Digest, BlobError> {
        match (&self.hasher, algorithm) {
            (Some(hasher), Algorithm::Sha256) => Ok(hasher.clone().finish()),
            _ => {
                let path = path.to_owned();
                blocking("hashing an upload", move || hash_file(fs::File::open(path)?, algorithm)).await
            }
        }
    }
}

/// The digest of a file's bytes.
pub(super) fn hash_file(file: fs::File, algorithm: Algorithm) -> io::Result<Digest> {
    let mut file = Hashing::with(file, algorithm);
    let mut buffer = vec![0; CHUNK];
    while file.read(&mut buffer)? > 0 {}
    Ok(file.finish().1)
}
