//! Keys of the cache: what a step is made of, hashed. Two steps with one key leave the same layer.

use std::fmt;

use sha2::{Digest as _, Sha256};
use windlass_kernel::Digest;

/// A step's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The key that is written so.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        Some(Self(hex::decode(text).ok()?.try_into().ok()?))
    }

    /// In file names.
    pub(crate) fn hex(self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex()[..12])
    }
}

/// A key in the making. Every field has its length in front: no two lists of fields hash alike.
#[derive(Clone)]
pub(crate) struct KeyMaker(Sha256);

/// Changes whenever a step would leave another layer than it did.
const VERSION: &[u8] = b"windlass build 2";

impl KeyMaker {
    /// A key of this kind of step.
    pub(crate) fn new(kind: &str) -> Self {
        Self(Sha256::new()).field(VERSION).field(kind.as_bytes())
    }

    pub(crate) fn field(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.field(text.as_bytes())
    }

    pub(crate) fn key(self, key: Key) -> Self {
        self.field(&key.0)
    }

    pub(crate) fn list<'a>(self, list: impl IntoIterator<Item = &'a str>) -> Self {
        let mut inner = Self(Sha256::new());
        for text in list {
            inner = inner.text(text);
        }
        let hash: [u8; 32] = inner.0.finalize().into();
        self.field(&hash)
    }

    pub(crate) fn done(self) -> Key {
        Key(self.0.finalize().into())
    }
}

/// The key of an image's layers.
pub(crate) fn of_layers<'a>(diff_ids: impl IntoIterator<Item = &'a Digest>) -> Key {
    let texts: Vec<String> = diff_ids.into_iter().map(ToString::to_string).collect();
    KeyMaker::new("layers").list(texts.iter().map(String::as_str)).done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let make = |fields: &[&str]| fields.iter().fold(KeyMaker::new("x"), |key, f| key.text(f)).done();
        assert_ne!(make(&["ab", "c"]), make(&["a", "bc"]));
        assert_ne!(make(&["ab"]), make(&["ab", ""]));
        assert_ne!(KeyMaker::new("a").list(["b", "c"]).done(), KeyMaker::new("a").list(["bc"]).done());
        assert_eq!(make(&["ab", "c"]), make(&["ab", "c"]));
    }
}
