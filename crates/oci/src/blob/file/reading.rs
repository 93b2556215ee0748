//! Blobs' files on their way out. The next bytes are read while the last ones are sent; a blob's digest is checked on
//! the way, unless the very same file was found right a short while ago.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinHandle;
use windlass_kernel::{Digest, Timestamp};

use super::upload::hash_file;
use super::{CHUNK, FileBlobs, blocking};
use crate::blob::{Blob, BlobError, ByteStream, one_chunk};
use crate::hashing::Hasher;

/// Blobs up to this size are read and checked before the first byte is sent.
const SMALL: u64 = 256 << 10;
/// How long a file that was found right is not hashed again. What rots meanwhile is found by the next look: a page that
/// was read this lately comes from memory, as a rule.
const TRUSTED: Duration = Duration::from_mins(10);
/// How many files are remembered.
const MOST_KNOWN: usize = 100_000;

/// Files that were found right lately.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<Digest, (Stamp, Timestamp)>>);

/// What changes when a file is written to or replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { inode: metadata.ino(), size: metadata.len(), changed }
    }
}

impl Known {
    pub(super) fn remember(&self, digest: &Digest, metadata: &fs::Metadata, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.retain(|_, (_, at)| now.since(*at) < TRUSTED);
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
        }
        known.insert(digest.clone(), (Stamp::of(metadata), now));
    }

    fn holds(&self, digest: &Digest, metadata: &fs::Metadata, now: Timestamp) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(digest).is_some_and(|(stamp, at)| *stamp == Stamp::of(metadata) && now.since(*at) < TRUSTED)
    }
}

/// A blob that was opened.
enum Opened {
    Missing,
    Whole(Bytes),
    Wrong(Digest),
    Large(File, u64, bool),
}

/// A file on its way out.
struct Reading {
    /// The chunk that is being read.
    next: JoinHandle<io::Result<Step>>,
    /// The chunk that is held back until what follows was found right.
    held: Option<Bytes>,
    /// What the blob must hash to, where that is to be seen.
    digest: Option<Digest>,
    from: Vec<PathBuf>,
    aside: PathBuf,
}

struct Step {
    file: File,
    hasher: Option<Hasher>,
    chunk: Bytes,
    left: u64,
}

impl FileBlobs {
    pub(super) async fn read(&self, digest: &Digest, part: Option<Range<u64>>) -> Result<Blob, BlobError> {
        let (places, wanted, known, now) =
            (self.places(digest), digest.clone(), self.known.clone(), self.clock.now());
        let range = part.clone();
        let open = move || {
            let Some(mut file) = first(&places)? else { return Ok(Opened::Missing) };
            let metadata = file.metadata()?;
            let (size, trusted) = (metadata.len(), known.holds(&wanted, &metadata, now));
            if size > SMALL || range.is_some() {
                if let Some(range) = range.filter(|r| r.start < r.end && r.end <= size) {
                    file.seek(SeekFrom::Start(range.start))?;
                }
                return Ok(Opened::Large(file, size, trusted));
            }
            let mut bytes = Vec::with_capacity(size as usize);
            file.read_to_end(&mut bytes)?;
            if !trusted {
                let found = Digest::of(wanted.algorithm(), &bytes);
                if found != wanted {
                    return Ok(Opened::Wrong(found));
                }
                known.remember(&wanted, &metadata, now);
            }
            Ok(Opened::Whole(bytes.into()))
        };
        match blocking("reading a blob", open).await? {
            Opened::Missing => Err(BlobError::Unknown(digest.clone())),
            Opened::Wrong(found) => {
                Err(set_aside(&self.places(digest), &self.aside(digest), digest.clone(), found))
            }
            Opened::Whole(bytes) => Ok(Blob { size: bytes.len() as u64, bytes: one_chunk(bytes) }),
            Opened::Large(file, size, trusted) => {
                let range = part.clone().unwrap_or(0..size);
                if range.end > size || (range.start >= range.end && part.is_some()) {
                    return Err(BlobError::OutOfRange { size });
                }
                let check = (part.is_none() && !trusted).then(|| digest.clone());
                Ok(Blob { size, bytes: self.stream(digest, file, range.end - range.start, check) })
            }
        }
    }

    /// Hashes the file as it lies on the disk now.
    pub(super) async fn check_now(&self, digest: &Digest) -> Result<u64, BlobError> {
        // What does not lie on the disk yet is not what is asked about.
        self.fresh.settle(Some(std::slice::from_ref(digest))).await?;
        let (path, algorithm) = (self.path(digest), digest.algorithm());
        let look = move || {
            let Some(file) = first(&[path])? else { return Ok(None) };
            // What memory holds of the file is not what is asked about.
            let _ =
                nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED);
            let metadata = file.metadata()?;
            Ok(Some((metadata, hash_file(file, algorithm)?)))
        };
        let found = blocking("checking a blob", look).await?;
        let (metadata, found) = found.ok_or_else(|| BlobError::Unknown(digest.clone()))?;
        if found != *digest {
            return Err(set_aside(&self.places(digest), &self.aside(digest), digest.clone(), found));
        }
        self.known.remember(digest, &metadata, self.clock.now());
        Ok(metadata.len())
    }

    /// The bytes; with `check`, the last chunk is held back until the digest was found right.
    fn stream(&self, digest: &Digest, file: File, left: u64, check: Option<Digest>) -> ByteStream {
        let hasher = check.as_ref().map(|digest| Hasher::new(digest.algorithm()));
        let (from, aside) = (self.places(digest), self.aside(digest));
        let (known, clock) = (self.known.clone(), self.clock.clone());
        let start = Reading { next: read_on(file, hasher, left), held: None, digest: check, from, aside };
        stream::try_unfold(Some(start), move |reading| {
            let (known, clock) = (known.clone(), clock.clone());
            async move {
                let Some(mut reading) = reading else { return Ok(None) };
                loop {
                    let step = (&mut reading.next).await.unwrap_or_else(|e| Err(io::Error::other(e)));
                    let step = step.map_err(BlobError::io("reading a blob"))?;
                    if step.chunk.is_empty() {
                        let (Some(digest), Some(hasher)) = (reading.digest.take(), step.hasher) else {
                            return Ok(None);
                        };
                        let found = hasher.finish();
                        if found != digest {
                            return Err(set_aside(&reading.from, &reading.aside, digest, found));
                        }
                        if let Ok(metadata) = step.file.metadata() {
                            known.remember(&digest, &metadata, clock.now());
                        }
                        return Ok(reading.held.map(|last| (last, None)));
                    }
                    let ready = if reading.digest.is_some() {
                        reading.held.replace(step.chunk)
                    } else {
                        Some(step.chunk)
                    };
                    reading.next = read_on(step.file, step.hasher, step.left);
                    if let Some(ready) = ready {
                        return Ok(Some((ready, Some(reading))));
                    }
                }
            }
        })
        .boxed()
    }
}

/// Opens the first of these files that is there.
fn first(places: &[PathBuf]) -> io::Result<Option<File>> {
    for place in places {
        match File::open(place) {
            Ok(file) => return Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// Reads the next chunk on a thread that may wait; an empty one is the end.
fn read_on(mut file: File, mut hasher: Option<Hasher>, left: u64) -> JoinHandle<io::Result<Step>> {
    tokio::task::spawn_blocking(move || {
        let wanted = left.min(CHUNK as u64);
        let mut bytes = Vec::with_capacity(wanted as usize);
        (&mut file).take(wanted).read_to_end(&mut bytes)?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&bytes);
        }
        let left = left - bytes.len() as u64;
        Ok(Step { file, hasher, chunk: bytes.into(), left })
    })
}

/// Takes a corrupt blob out of the way, so that it can be stored again; kept, so that it can be looked at.
fn set_aside(from: &[PathBuf], to: &Path, digest: Digest, found: Digest) -> BlobError {
    tracing::error!(%digest, %found, "a blob is corrupt on disk");
    // The first that is there is the one that was read.
    let mut moved = Ok(());
    for from in from {
        moved = fs::rename(from, to);
        if moved.is_ok() {
            break;
        }
    }
    if let Err(error) = moved {
        tracing::error!(%digest, %error, "the corrupt blob could not be set aside");
    }
    BlobError::Corrupt { digest, found, aside: to.display().to_string() }
}
