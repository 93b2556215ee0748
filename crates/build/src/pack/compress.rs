//! Compressing a layer on all processors: gzip in pieces that are compressed apart and joined to one stream, so that the
//! bytes do not depend on how many processors there are; zstd; or not at all.

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;

use flate2::{Compress, Compression as Level, Crc, FlushCompress};

/// How layers are compressed where they go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip: what everybody can read.
    #[default]
    Gzip,
    /// Zstandard: smaller and faster, newer readers only.
    Zstd,
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uncompressed" | "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            other => Err(format!("`{other}` is no compression of layers: use gzip, zstd or uncompressed")),
        }
    }
}

impl Compression {
    /// The media type of a layer.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// In file names of the store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// gzip's own default. A constant, since another level gives other bytes and so another digest.
const LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
/// How much is compressed apart. A constant for the same reason.
const PIECE: usize = 1 << 20;

/// Compresses what `write` writes into `out`.
pub(crate) fn compress<W: Write + Send>(
    compression: Compression,
    mut out: W,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<W> {
    match compression {
        Compression::None => {
            write(&mut out)?;
            Ok(out)
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
            write(&mut encoder)?;
            encoder.finish()
        }
        Compression::Gzip => gzip(out, write),
    }
}

/// A piece on its way: what it was, and where what became of it is to be sent.
type Job = (Vec<u8>, bool, mpsc::SyncSender<io::Result<(Vec<u8>, Crc)>>);
type Done = mpsc::Receiver<io::Result<(Vec<u8>, Crc)>>;

struct Pieces {
    piece: Vec<u8>,
    jobs: mpsc::SyncSender<Job>,
    order: mpsc::SyncSender<Done>,
}

impl Pieces {
    fn send(&mut self, last: bool) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let (tell, hear) = mpsc::sync_channel(1);
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.order.send(hear).map_err(|_| gone())?;
        self.jobs.send((piece, last, tell)).map_err(|_| gone())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..n]);
        if self.piece.len() == PIECE {
            self.send(false)?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gzip<W: Write + Send>(mut out: W, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<W> {
    let processors = thread::available_parallelism().map_or(1, usize::from).min(8);
    let (jobs, work) = mpsc::sync_channel::<Job>(processors);
    let (order, ordered) = mpsc::sync_channel::<Done>(processors * 2);
    let work = std::sync::Mutex::new(work);
    // No time, no name, an unknown system (RFC 1952, 2.3).
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                loop {
                    let next = work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
                    let Ok((piece, last, tell)) = next else { return };
                    let _ = tell.send(deflate(&piece, last));
                }
            });
        }
        let joined = scope.spawn(move || join(out, ordered));
        let mut pieces = Pieces { piece: Vec::with_capacity(PIECE), jobs, order };
        let written = write(&mut pieces).and_then(|()| pieces.send(true));
        drop(pieces);
        let joined =
            joined.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the compression ended")));
        match (written, joined) {
            (Err(e), Err(j)) if e.kind() == io::ErrorKind::BrokenPipe => Err(j),
            (Err(e), _) => Err(e),
            (Ok(()), joined) => joined,
        }
    })
}

/// Writes the pieces in their order, and the end.
fn join<W: Write>(mut out: W, ordered: mpsc::Receiver<Done>) -> io::Result<W> {
    let mut sum = Crc::new();
    for done in ordered {
        let (bytes, of_piece) =
            done.recv().map_err(|_| io::Error::other("a piece of the compression was lost"))??;
        out.write_all(&bytes)?;
        sum.combine(&of_piece);
    }
    out.write_all(&sum.sum().to_le_bytes())?;
    out.write_all(&sum.amount().to_le_bytes())?;
    Ok(out)
}

fn deflate(piece: &[u8], last: bool) -> io::Result<(Vec<u8>, Crc)> {
    let mut sum = Crc::new();
    sum.update(piece);
    let mut engine = Compress::new(Level::new(LEVEL), false);
    let mut bytes = Vec::with_capacity(piece.len() / 2 + 1024);
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Full };
    loop {
        let done = engine.total_in() as usize;
        let before = engine.total_out();
        let status = engine.compress_vec(&piece[done..], &mut bytes, flush).map_err(io::Error::other)?;
        let ended = status == flate2::Status::StreamEnd;
        // A flush is over when it left room in the output.
        let flushed = !last && engine.total_in() as usize == piece.len() && bytes.len() < bytes.capacity();
        if ended || flushed {
            return Ok((bytes, sum));
        }
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.capacity().max(1024));
        } else if engine.total_out() == before && engine.total_in() as usize == done {
            return Err(io::Error::other("the compression does not go on"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decompress<'a>(compression: Compression, bytes: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match compression {
            Compression::None => Box::new(bytes),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
            Compression::Zstd => Box::new(zstd::Decoder::new(bytes)?),
        })
    }

    #[test]
    fn what_is_compressed_comes_out_again_and_the_bytes_are_always_the_same() {
        let mut seed = 1_u64;
        let mut noise = |n: usize| -> Vec<u8> {
            (0..n)
                .map(|i| {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if i % 7 < 4 { b'a' } else { (seed >> 56) as u8 }
                })
                .collect()
        };
        for size in [0, 1, 1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17] {
            let bytes = noise(size);
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let packed = |chunk: usize| {
                    compress(compression, Vec::new(), |out| {
                        bytes.chunks(chunk).try_for_each(|chunk| out.write_all(chunk))
                    })
                    .unwrap()
                };
                let first = packed(1 << 16);
                assert_eq!(first, packed(777_777), "{compression:?} {size}");
                let mut again = Vec::new();
                decompress(compression, &first[..]).unwrap().read_to_end(&mut again).unwrap();
                assert!(again == bytes, "{compression:?} {size}");
                if compression == Compression::Gzip {
                    let mut single = Vec::new();
                    flate2::read::GzDecoder::new(&first[..]).read_to_end(&mut single).unwrap();
                    assert!(single == bytes, "one member only");
                }
            }
        }
    }

    #[test]
    fn a_writer_that_fails_ends_it() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if bytes.len() > 10 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let outcome = compress(Compression::Gzip, Full, |out| out.write_all(&vec![7; 64 << 20]));
        assert_eq!(outcome.err().unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
