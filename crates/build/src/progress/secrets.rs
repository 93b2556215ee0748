//! Secrets of a build never show in what is heard of it.

use std::fmt;

/// What stands where a secret was.
const MASK: &str = "***";
/// Shorter ones would mask half of every line, and hide nothing.
const SHORTEST: usize = 4;

/// The texts that must not be seen.
#[derive(Default)]
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// The secrets' values; each of their lines is one too.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for value in values {
            let text = String::from_utf8_lossy(value);
            let lines = text.lines().map(str::trim).filter(|line| line.chars().count() >= SHORTEST);
            texts.extend(lines.map(str::to_owned));
        }
        // One that holds another goes first.
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        texts.dedup();
        Self(texts)
    }

    /// The text without them.
    pub(crate) fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret) {
                text = text.replace(secret, MASK);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_secret_is_masked() {
        let secrets = Secrets::new([&b"first-line\nsecond\n"[..], b"second-longer", b"abc"]);
        assert_eq!(secrets.mask("x first-line y second z second-longer abc"), "x *** y *** z *** abc");
    }
}
