//! Packing a layer so that only names, bytes, links and the executable bit count: entries in order, times zero,
//! one owner, two modes for files, a gzip header without time or system.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use windlass_kernel::Digest;

use super::plan::{Entry, Plan};
use crate::ByteStream;
use crate::hashing::Hashing;

/// Bytes handed over at a time, and how many such pieces may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;

/// gzip's own default. A constant, since another level gives other bytes and so another digest.
const LEVEL: u32 = 6;

/// "Unknown" in a gzip header (RFC 1952, 2.3.1).
const NO_SYSTEM: u8 = 255;

/// A packed layer.
#[derive(Debug)]
pub(super) struct Layer {
    /// Of the compressed bytes.
    pub(super) digest: Digest,
    /// Of the tar within.
    pub(super) diff_id: Digest,
    /// The compressed bytes.
    pub(super) size: u64,
}

/// Carries bytes from the packing thread to the store.
pub(super) struct Pieces {
    sender: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
}

/// A writer for the packing thread, and what it writes as a stream.
pub(super) fn channel() -> (Pieces, ByteStream) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let packed = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (Ok(piece), receiver))
    });
    (Pieces { sender, buffer: Vec::with_capacity(PIECE) }, packed.boxed())
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        self.sender.blocking_send(piece.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Packs the plan's entries, with the files' bytes from `source`.
pub(super) fn pack<W: Write>(plan: &Plan, source: &File, owner: (u32, u32), out: W) -> io::Result<Layer> {
    let gzip = GzBuilder::new().mtime(0).operating_system(NO_SYSTEM);
    let gzip = gzip.write(Hashing::new(out), Compression::new(LEVEL));
    let mut tar = tar::Builder::new(Hashing::new(gzip));
    for (path, entry) in plan {
        append(&mut tar, path, entry, source, owner)?;
    }
    let (gzip, diff_id, _) = tar.into_inner()?.finish();
    let (mut out, digest, size) = gzip.finish()?.finish();
    out.flush()?;
    Ok(Layer { digest, diff_id, size })
}

fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &[u8],
    entry: &Entry,
    mut source: &File,
    owner: (u32, u32),
) -> io::Result<()> {
    let path = Path::new(OsStr::from_bytes(path));
    let mut header = tar::Header::new_ustar();
    header.set_mtime(0);
    header.set_uid(owner.0.into());
    header.set_gid(owner.1.into());
    header.set_size(0);
    match entry {
        Entry::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            tar.append_data(&mut header, path, io::empty())
        }
        Entry::File { offset, size, executable } => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            header.set_size(*size);
            source.seek(SeekFrom::Start(*offset))?;
            let mut bytes = Hashing::new(source.take(*size));
            tar.append_data(&mut header, path, &mut bytes)?;
            if bytes.count == *size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        Entry::Link { target } => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            tar.append_link(&mut header, path, Path::new(OsStr::from_bytes(target)))
        }
    }
}
