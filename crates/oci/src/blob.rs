//! The port to content-addressed bytes. A blob exists only once its bytes were seen to hash to its digest.

mod file;
mod object;

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use windlass_kernel::{Algorithm, Digest, Entropy, Timestamp};

pub use file::FileBlobs;
pub use object::{ObjectBlobs, ObjectConfig};

/// Bytes on their way.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// An upload in progress: 128 random bits, so that nobody finds another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

/// A blob, opened for reading.
pub struct Blob {
    /// The whole blob's size in bytes, also when only a part is read.
    pub size: u64,
    /// The bytes. When the whole blob is read, its last bytes come only after its digest was found right.
    pub bytes: ByteStream,
}

/// A blob that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it was stored last.
    pub stored_at: Timestamp,
}

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No such upload: it was finished, cancelled or swept, or never was.
    #[error("there is no upload {0}: it ended or was swept; begin a new one")]
    UnknownUpload(UploadId),
    /// A chunk does not continue where the last one ended.
    #[error("the upload stands at byte {size}, the chunk begins at {start}")]
    OutOfOrder {
        /// What is kept so far.
        size: u64,
        /// Where the chunk wanted to begin.
        start: u64,
    },
    /// What was uploaded is not what was announced.
    #[error("the bytes hash to {found}, not to {expected}; nothing was kept")]
    WrongDigest {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// No such blob.
    #[error("there is no blob {0}")]
    Unknown(Digest),
    /// The part asked for lies outside.
    #[error("the blob has {size} bytes; the part asked for lies outside")]
    OutOfRange {
        /// The blob's size.
        size: u64,
    },
    /// The disk gave other bytes than were written.
    #[error(
        "blob {digest} is corrupt: its bytes hash to {found}. It was set aside as {aside}; push the image again (or build it again) to put it right, and check the disk"
    )]
    Corrupt {
        /// The blob.
        digest: Digest,
        /// What its bytes hash to.
        found: Digest,
        /// Where it lies now.
        aside: String,
    },
    /// There is no room left.
    #[error(
        "the disk that holds the blobs is full: free some space and push again; what was kept before is whole"
    )]
    Full,
    /// More came than is allowed.
    #[error("more than {limit} bytes came; nothing was kept")]
    TooLarge {
        /// The most that is allowed.
        limit: u64,
    },
    /// The sender stopped.
    #[error("the bytes stopped coming: {0}")]
    Interrupted(String),
    /// No bytes came for too long.
    #[error(
        "no bytes came for {seconds} s: the upload was cut off; what came before is kept, go on from there"
    )]
    Stalled {
        /// How long was waited.
        seconds: u64,
    },
    /// The object store failed.
    #[error("{doing} failed: {why}")]
    Remote {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        why: String,
    },
    /// The file system failed.
    #[error("{doing} failed: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Where blobs are kept.
#[async_trait]
pub trait BlobStore: Send + Sync + fmt::Debug {
    /// Begins an upload.
    async fn begin(&self) -> Result<UploadId, BlobError>;
    /// Appends to an upload, which must stand at byte `start` if that is given; answers how many bytes it holds now.
    /// What came before an interruption is kept, so that the client may go on from there.
    async fn append(&self, upload: &UploadId, start: Option<u64>, body: ByteStream)
    -> Result<u64, BlobError>;
    /// How many bytes an upload holds.
    async fn uploaded(&self, upload: &UploadId) -> Result<u64, BlobError>;
    /// An upload's file, to read what [`append`](Self::append) wrote. It can be read to its end, also when the upload ends.
    async fn open_upload(&self, upload: &UploadId) -> Result<File, BlobError>;
    /// Turns an upload into the blob `digest`, if its bytes are that; answers its size. The upload ends either way.
    async fn finish(&self, upload: &UploadId, digest: &Digest) -> Result<u64, BlobError>;
    /// As [`finish`](Self::finish), without waiting for the disk: the blob is there at once and outlives this process.
    /// That it outlives the machine's power is certain once it was [settled](Self::settle).
    async fn finish_early(&self, upload: &UploadId, digest: &Digest) -> Result<u64, BlobError> {
        self.finish(upload, digest).await
    }
    /// Makes these last, where they were finished early; all that were, if none are named.
    async fn settle(&self, _only: Option<&[Digest]>) -> Result<(), BlobError> {
        Ok(())
    }
    /// Ends an upload without a blob.
    async fn cancel(&self, upload: &UploadId) -> Result<(), BlobError>;
    /// A blob's size, if it is there.
    async fn stat(&self, digest: &Digest) -> Result<Option<u64>, BlobError>;
    /// Opens a blob, or a part of it. Only the whole is checked against its digest.
    async fn open(&self, digest: &Digest, part: Option<Range<u64>>) -> Result<Blob, BlobError>;
    /// Removes a blob; false if it was not there.
    async fn delete(&self, digest: &Digest) -> Result<bool, BlobError>;
    /// When a blob was stored last, if it is there.
    async fn stored_at(&self, digest: &Digest) -> Result<Option<Timestamp>, BlobError>;
    /// Reads a blob from where it lies and hashes all of it, whatever is remembered of it; answers its size. One that
    /// is corrupt is set aside, as when it is read.
    async fn check(&self, digest: &Digest) -> Result<u64, BlobError>;
    /// All blobs, in the order of their digests.
    async fn list(&self) -> Result<Vec<StoredBlob>, BlobError>;
    /// Removes uploads that nobody has touched for `idle`; answers how many.
    async fn sweep(&self, idle: Duration) -> Result<usize, BlobError>;
}

/// A stream of one chunk.
pub fn one_chunk(bytes: Bytes) -> ByteStream {
    futures_util::stream::iter([Ok(bytes)]).boxed()
}

impl dyn BlobStore + '_ {
    /// Stores bytes that are in memory; answers their digest.
    pub async fn put(&self, bytes: Bytes) -> Result<Digest, BlobError> {
        let digest = Digest::sha256(&bytes);
        let upload = self.begin().await?;
        self.append(&upload, Some(0), one_chunk(bytes)).await?;
        self.finish(&upload, &digest).await?;
        Ok(digest)
    }

    /// A small blob's bytes, checked against its digest; refused above `limit` bytes.
    pub async fn read(&self, digest: &Digest, limit: u64) -> Result<Bytes, BlobError> {
        let mut blob = self.open(digest, None).await?;
        if blob.size > limit {
            return Err(BlobError::TooLarge { limit });
        }
        let mut bytes = Vec::with_capacity(blob.size as usize);
        while let Some(chunk) = blob.bytes.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes.into())
    }
}

impl BlobError {
    /// A failure of the file system; a full disk gets its own error.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { doing, source },
        }
    }
}

/// An algorithm's name, which is that of its folder too.
fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha256 => "sha256",
        Algorithm::Sha512 => "sha512",
    }
}

impl UploadId {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut random = [0u8; 16];
        entropy.fill(&mut random);
        Self(hex::encode(random))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UploadId {
    type Err = ();

    /// Only what [`UploadId::new`] makes, since it becomes a file's name.
    fn from_str(text: &str) -> Result<Self, ()> {
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 32 && text.bytes().all(lower) { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("size", &self.size).finish_non_exhaustive()
    }
}
