//! Digests computed while bytes pass by.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256, Sha512};
use windlass_kernel::{Algorithm, Digest};

/// A digest in the making.
#[derive(Clone, Debug)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(h) => h.update(bytes),
            Self::Sha512(h) => h.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        let text = match self {
            Self::Sha256(h) => format!("sha256:{}", hex::encode(h.finalize())),
            Self::Sha512(h) => format!("sha512:{}", hex::encode(h.finalize())),
        };
        text.parse().expect("a hash in hexadecimal is a digest")
    }
}

/// The SHA-256 of all that can be read.
pub fn digest_of(from: &mut dyn Read) -> io::Result<Digest> {
    let mut hashing = Hashing::new(from);
    io::copy(&mut hashing, &mut io::sink())?;
    Ok(hashing.finish().1)
}

/// Passes bytes on and keeps their SHA-256 and their number.
#[derive(Debug)]
pub(crate) struct Hashing<T> {
    pub(crate) inner: T,
    hasher: Hasher,
    pub(crate) count: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self::with(inner, Algorithm::Sha256)
    }

    pub(crate) fn with(inner: T, algorithm: Algorithm) -> Self {
        Self { inner, hasher: Hasher::new(algorithm), count: 0 }
    }

    pub(crate) fn finish(self) -> (T, Digest, u64) {
        (self.inner, self.hasher.finish(), self.count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.count += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.count += n as u64;
        Ok(n)
    }
}
