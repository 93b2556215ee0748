//! Blobs in an S3-compatible object store: `PREFIX/sha256/ab/abcd…`, corrupt ones in `PREFIX/corrupt/`.
//!
//! Uploads are gathered in a folder on this machine, where they are verified first: an object appears in one piece,
//! under its right digest, and an upload that is broken off costs the object store nothing.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutPayload};
use tokio::io::AsyncReadExt as _;
use windlass_kernel::{Clock, Digest, Entropy, Timestamp};

use super::{Blob, BlobError, BlobStore, ByteStream, FileBlobs, StoredBlob, UploadId, algorithm};
use crate::hashing::Hasher;

/// Blobs up to this size go up in one request; larger ones in parts of it (S3 takes at least 5 MiB, at most 10,000 parts).
const PART: usize = 16 << 20;
/// The largest blob, in bytes: ten thousand parts.
const LARGEST: u64 = PART as u64 * 10_000;

/// Where in an object store blobs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectConfig {
    bucket: String,
    prefix: String,
}

/// Blobs in an object store.
pub struct ObjectBlobs {
    store: AmazonS3,
    prefix: String,
    spool: FileBlobs,
}

impl ObjectConfig {
    /// Reads `s3://BUCKET[/PREFIX]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` is not a place for blobs: {why}; write s3://BUCKET/PREFIX");
        let rest = text.strip_prefix("s3://").ok_or_else(|| wrong("only s3:// is known"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if bucket.len() < 3 || !bucket.bytes().all(plain) {
            return Err(wrong("the bucket's name is missing or has characters that buckets do not have"));
        }
        let prefix = prefix.trim_matches('/');
        if !prefix.is_empty() && prefix.split('/').any(|part| part.is_empty() || part == "." || part == "..")
        {
            return Err(wrong("the prefix has empty parts or dots"));
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Debug for ObjectBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBlobs").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl ObjectBlobs {
    /// Blobs in the bucket of `config`; how it is reached stands in the usual variables (`AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …). Uploads are gathered in `spool`.
    pub fn from_env(
        config: &ObjectConfig,
        spool: &FilePath,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, BlobError> {
        Self::with(AmazonS3Builder::from_env(), config, spool, clock, entropy)
    }

    /// As [`from_env`](Self::from_env), with an endpoint and keys that are given here.
    pub fn at(
        endpoint: &str,
        (key, secret): (&str, &str),
        config: &ObjectConfig,
        spool: &FilePath,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, BlobError> {
        let builder = AmazonS3Builder::new().with_endpoint(endpoint).with_region("us-east-1");
        let builder = builder.with_access_key_id(key).with_secret_access_key(secret).with_allow_http(true);
        Self::with(builder, config, spool, clock, entropy)
    }

    fn with(
        builder: AmazonS3Builder,
        config: &ObjectConfig,
        spool: &FilePath,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, BlobError> {
        // A blob may take long as long as it moves.
        let client = ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(Duration::from_secs(10))
            .with_read_timeout(Duration::from_mins(1));
        let builder = builder.with_bucket_name(&config.bucket).with_client_options(client);
        // Plain HTTP is spoken only where the operator writes it into the endpoint's address.
        let store = builder.with_allow_http(true).build().map_err(remote("opening the object store"))?;
        // What lies there whole was verified, but its way to the object store was not seen to its end: nobody was told
        // that it is kept.
        let left = ["sha256", "sha512"].map(|name| spool.join(name));
        for folder in left.iter().filter(|folder| folder.exists()) {
            std::fs::remove_dir_all(folder).map_err(BlobError::io("clearing the uploads' folder"))?;
        }
        Ok(Self { store, prefix: config.prefix.clone(), spool: FileBlobs::open(spool, clock, entropy)? })
    }

    fn key(&self, digest: &Digest) -> Path {
        let (kind, hex) = (algorithm(digest.algorithm()), digest.hex());
        Path::from(format!("{}/{kind}/{}/{hex}", self.prefix, &hex[..2]))
    }

    /// Sends a verified file, in parts if it is large.
    async fn send(&self, digest: &Digest, file: &FilePath, size: u64) -> Result<(), BlobError> {
        let key = self.key(digest);
        let mut file = tokio::fs::File::open(file).await.map_err(BlobError::io("reading an upload"))?;
        if size <= PART as u64 {
            let bytes = part(&mut file, size as usize).await?;
            self.store.put(&key, PutPayload::from_bytes(bytes)).await.map_err(remote("storing a blob"))?;
            return Ok(());
        }
        let mut upload = self.store.put_multipart(&key).await.map_err(remote("storing a blob"))?;
        let sent = parts(&mut *upload, &mut file).await;
        if sent.is_err() {
            // What failed counts; parts that stay behind are removed by the bucket's own rules.
            let _ = upload.abort().await;
        }
        sent
    }

    async fn open_object(&self, digest: &Digest, part: Option<Range<u64>>) -> Result<Blob, BlobError> {
        let key = self.key(digest);
        let options = object_store::GetOptions { range: part.map(Into::into), ..Default::default() };
        let found = match self.store.get_opts(&key, options).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err(BlobError::Unknown(digest.clone())),
            Err(error) => return Err(remote("reading a blob")(error)),
        };
        let size = found.meta.size;
        let bytes = found.into_stream().map_err(remote("reading a blob")).boxed();
        Ok(Blob { size, bytes })
    }

    /// The whole; the last chunk is held back until the digest was found right.
    fn verified(&self, digest: &Digest, bytes: ByteStream) -> ByteStream {
        struct Checking {
            bytes: ByteStream,
            hasher: Hasher,
            held: Option<Bytes>,
        }
        let (digest, from) = (digest.clone(), self.key(digest));
        let aside = Path::from(format!("{}/corrupt/{}", self.prefix, digest.hex()));
        let store = self.store.clone();
        let start = Checking { bytes, hasher: Hasher::new(digest.algorithm()), held: None };
        stream::try_unfold(Some(start), move |checking| {
            let (store, digest, from, aside) = (store.clone(), digest.clone(), from.clone(), aside.clone());
            async move {
                let Some(mut checking) = checking else { return Ok(None) };
                while let Some(chunk) = checking.bytes.next().await {
                    let chunk = chunk?;
                    checking.hasher.update(&chunk);
                    if let Some(ready) = checking.held.replace(chunk) {
                        return Ok(Some((ready, Some(checking))));
                    }
                }
                let found = checking.hasher.finish();
                if found == digest {
                    return Ok(checking.held.map(|last| (last, None)));
                }
                tracing::error!(%digest, %found, "a blob is corrupt in the object store");
                if let Err(error) = store.rename(&from, &aside).await {
                    tracing::error!(%digest, %error, "the corrupt blob could not be set aside");
                }
                Err(BlobError::Corrupt { digest, found, aside: aside.to_string() })
            }
        })
        .boxed()
    }
}

/// Reads up to `size` bytes.
async fn part(file: &mut tokio::fs::File, size: usize) -> Result<Bytes, BlobError> {
    let mut bytes = Vec::with_capacity(size);
    let mut limited = file.take(size as u64);
    limited.read_to_end(&mut bytes).await.map_err(BlobError::io("reading an upload"))?;
    Ok(bytes.into())
}

/// Sends a file part by part; one is on its way while the next is read.
async fn parts(upload: &mut dyn MultipartUpload, file: &mut tokio::fs::File) -> Result<(), BlobError> {
    let mut sending = None;
    loop {
        let bytes = part(file, PART).await?;
        let end = bytes.is_empty();
        let next = (!end).then(|| tokio::spawn(upload.put_part(PutPayload::from_bytes(bytes))));
        if let Some(sent) = std::mem::replace(&mut sending, next) {
            let sent: Result<object_store::Result<()>, tokio::task::JoinError> = sent.await;
            sent.map_err(|e| BlobError::io("storing a blob")(io::Error::other(e)))?
                .map_err(remote("storing a blob"))?;
        }
        if end {
            upload.complete().await.map_err(remote("storing a blob"))?;
            return Ok(());
        }
    }
}

fn remote(doing: &'static str) -> impl Fn(object_store::Error) -> BlobError {
    move |error| {
        // The innermost cause: what the store or the network said.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        BlobError::Remote { doing, why: cause.to_string() }
    }
}

#[async_trait]
impl BlobStore for ObjectBlobs {
    async fn begin(&self) -> Result<UploadId, BlobError> {
        self.spool.begin().await
    }

    async fn append(&self, id: &UploadId, start: Option<u64>, body: ByteStream) -> Result<u64, BlobError> {
        self.spool.append(id, start, body).await
    }

    async fn uploaded(&self, id: &UploadId) -> Result<u64, BlobError> {
        self.spool.uploaded(id).await
    }

    async fn open_upload(&self, id: &UploadId) -> Result<std::fs::File, BlobError> {
        self.spool.open_upload(id).await
    }

    async fn finish(&self, id: &UploadId, digest: &Digest) -> Result<u64, BlobError> {
        let size = self.spool.finish(id, digest).await?;
        let sent = if size > LARGEST {
            Err(BlobError::TooLarge { limit: LARGEST })
        } else {
            self.send(digest, &self.spool.path(digest), size).await
        };
        // Another upload of the same blob may have taken it away already.
        let _ = self.spool.delete(digest).await;
        match sent {
            Err(BlobError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                // Two at once: the other one has sent it, or has failed to.
                self.stat(digest).await?.ok_or_else(|| BlobError::Unknown(digest.clone()))
            }
            other => other.map(|()| size),
        }
    }

    async fn cancel(&self, id: &UploadId) -> Result<(), BlobError> {
        self.spool.cancel(id).await
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        match self.store.head(&self.key(digest)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(remote("looking for a blob")(error)),
        }
    }

    async fn stored_at(&self, digest: &Digest) -> Result<Option<Timestamp>, BlobError> {
        match self.store.head(&self.key(digest)).await {
            Ok(meta) => Ok(Some(Timestamp::from_millis(meta.last_modified.timestamp_millis()))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(remote("looking for a blob")(error)),
        }
    }

    async fn open(&self, digest: &Digest, part: Option<Range<u64>>) -> Result<Blob, BlobError> {
        if let Some(part) = part {
            let size = self.stat(digest).await?.ok_or_else(|| BlobError::Unknown(digest.clone()))?;
            if part.start >= part.end || part.end > size {
                return Err(BlobError::OutOfRange { size });
            }
            return Ok(Blob { size, ..self.open_object(digest, Some(part)).await? });
        }
        let Blob { size, bytes } = self.open_object(digest, None).await?;
        Ok(Blob { size, bytes: self.verified(digest, bytes) })
    }

    async fn check(&self, digest: &Digest) -> Result<u64, BlobError> {
        let Blob { size, mut bytes } = self.open(digest, None).await?;
        while let Some(chunk) = bytes.next().await {
            chunk?;
        }
        Ok(size)
    }

    async fn delete(&self, digest: &Digest) -> Result<bool, BlobError> {
        // The object store does not say whether there was something to remove.
        let there = self.stat(digest).await?.is_some();
        match self.store.delete(&self.key(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(there),
            Err(error) => Err(remote("removing a blob")(error)),
        }
    }

    async fn list(&self) -> Result<Vec<StoredBlob>, BlobError> {
        let mut found = Vec::new();
        for name in ["sha256", "sha512"] {
            let prefix = Path::from(format!("{}/{name}", self.prefix));
            let mut objects = self.store.list(Some(&prefix));
            while let Some(meta) = objects.next().await {
                let meta = meta.map_err(remote("listing the blobs"))?;
                let hex = meta.location.filename().unwrap_or_default();
                if let Ok(digest) = format!("{name}:{hex}").parse() {
                    let stored_at = Timestamp::from_millis(meta.last_modified.timestamp_millis());
                    found.push(StoredBlob { digest, size: meta.size, stored_at });
                }
            }
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }

    async fn sweep(&self, idle: Duration) -> Result<usize, BlobError> {
        self.spool.sweep(idle).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_strange_ones_refused() {
        let read = |text: &str| ObjectConfig::parse(text).map(|c| (c.bucket, c.prefix));
        assert_eq!(read("s3://images/team/a/"), Ok(("images".into(), "team/a".into())));
        assert_eq!(read("s3://images"), Ok(("images".into(), String::new())));
        for bad in [
            "",
            "images",
            "gs://images",
            "s3://",
            "s3://a",
            "s3://Images",
            "s3://images/a//b",
            "s3://images/../b",
        ] {
            assert!(read(bad).unwrap_err().contains("s3://BUCKET/PREFIX"), "{bad}");
        }
    }
}
