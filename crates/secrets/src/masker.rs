//! Masking: every known secret, and every form in which one may show, becomes `***`, wherever the chunks of a stream
//! happen to be cut. What is held back between chunks is never longer than the longest form.

mod automaton;
mod variants;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use automaton::Automaton;
use zeroize::Zeroize as _;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";

/// Replaces secrets in a stream. Feed it with [`mask_chunk`](Self::mask_chunk), end with [`finish`](Self::finish).
///
/// Overlapping and adjacent matches become one `***`, so neither a rest of one secret nor the number of
/// secrets in a row shows. A clone shares the known secrets and continues the stream on its own.
#[derive(Clone)]
pub struct Masker {
    values: BTreeSet<Vec<u8>>,
    automaton: Arc<Automaton>,
    stream: Stream,
}

impl Masker {
    /// A masker that knows `values`.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns = BTreeSet::new();
        for value in values {
            variants::of(value, &mut patterns);
        }
        let automaton = Arc::new(Automaton::new(&patterns));
        Self { values: patterns, automaton, stream: Stream::default() }
    }

    /// Learns one more value, and each line of it if it has several. Blank values are ignored.
    /// Takes effect from the first byte that has not been given out yet.
    pub fn add(&mut self, value: &str) {
        let before = self.values.len();
        variants::of(value, &mut self.values);
        if self.values.len() == before {
            return;
        }
        self.automaton = Arc::new(Automaton::new(&self.values));
        self.stream.restart(&self.automaton);
    }

    /// Masks the next piece of the stream into `out`. The beginning of what may be a secret is held back until
    /// it is known whether it is one.
    pub fn mask_chunk(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.stream.feed(&self.automaton, chunk, out);
    }

    /// Ends the stream: gives out what was held back, and starts afresh.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.stream.finish(out);
    }

    /// Masks a whole text, apart from the stream.
    pub fn mask_text(&self, text: &str) -> String {
        let mut stream = Stream::default();
        let mut out = Vec::with_capacity(text.len());
        stream.feed(&self.automaton, text.as_bytes(), &mut out);
        stream.finish(&mut out);
        // Secrets are valid UTF-8, so they only match between whole characters.
        String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// Whether a known secret shows in `text`, in any of its forms.
    pub fn contains_secret(&self, text: &str) -> bool {
        let mut state = automaton::ROOT;
        text.bytes().any(|byte| {
            state = self.automaton.next(state, byte);
            self.automaton.longest_match(state) > 0
        })
    }

    /// Whether no secret is known, so that every stream passes unchanged.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl Default for Masker {
    fn default() -> Self {
        Self::new([])
    }
}

impl Drop for Masker {
    fn drop(&mut self) {
        for mut value in std::mem::take(&mut self.values) {
            value.zeroize();
        }
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("forms", &self.values.len()).finish_non_exhaustive()
    }
}

/// Where in a stream we are. `held` are the bytes that may still become part of a secret, each with whether it is
/// part of one already.
#[derive(Clone, Default)]
struct Stream {
    state: u32,
    held: VecDeque<(u8, bool)>,
    in_mask: bool,
}

impl Stream {
    fn feed(&mut self, automaton: &Automaton, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.held.is_empty() {
                // Outside any possible secret: what cannot begin one passes in one piece.
                let plain = rest.iter().position(|b| automaton.begins(*b)).unwrap_or(rest.len());
                if plain > 0 {
                    self.in_mask = false;
                    out.extend_from_slice(&rest[..plain]);
                    rest = &rest[plain..];
                    continue;
                }
            }
            self.step(automaton, byte);
            let depth = automaton.depth(self.state);
            while self.held.len() > depth {
                self.give(out);
            }
            rest = tail;
        }
    }

    fn step(&mut self, automaton: &Automaton, byte: u8) {
        self.state = automaton.next(self.state, byte);
        self.held.push_back((byte, false));
        let matched = automaton.longest_match(self.state);
        for (_, masked) in self.held.iter_mut().rev().take(matched) {
            *masked = true;
        }
    }

    fn give(&mut self, out: &mut Vec<u8>) {
        match self.held.pop_front() {
            Some((_, true)) if self.in_mask => {}
            Some((_, true)) => {
                self.in_mask = true;
                out.extend_from_slice(MASK);
            }
            Some((byte, false)) => {
                self.in_mask = false;
                out.push(byte);
            }
            None => {}
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        while !self.held.is_empty() {
            self.give(out);
        }
        *self = Self::default();
    }

    /// Reads what is held back again, under a new set of patterns.
    fn restart(&mut self, automaton: &Automaton) {
        self.state = automaton::ROOT;
        let held = std::mem::take(&mut self.held);
        for (byte, masked) in held {
            self.step(automaton, byte);
            if let Some(last) = self.held.back_mut() {
                last.1 |= masked;
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for (byte, _) in &mut self.held {
            byte.zeroize();
        }
    }
}

#[cfg(test)]
mod tests;
