//! A small fuzzer: inputs of a kept corpus (`fuzz/NAME`), changed at random, given to a target that must not panic. What
//! the target answers with is taken as the way that an input went; inputs that go a new way are changed further.
//!
//! In an ordinary test run a target sees its corpus and some changes of it, the same every time. With
//! `WINDLASS_FUZZ_SECONDS` it runs that long (`cargo xtask fuzz`), and with `WINDLASS_FUZZ_KEEP` the small inputs that
//! went new ways are added to the corpus.

mod change;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use change::Changes;

/// How many changed inputs an ordinary test run sees.
const FEW: usize = 600;
/// How long one input may take before the run is ended for it.
const HANG: Duration = Duration::from_secs(30);
/// How many inputs are changed further at most.
const MOST: usize = 6_000;
/// The largest input that is kept, and how many are, in the corpus.
const KEPT: (usize, usize) = (512, 60);

/// What is fuzzed, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Fuzz<'a> {
    /// Its name, which is its folder's below `fuzz/`.
    pub name: &'a str,
    /// Words that mean something to it.
    pub words: &'a [&'a str],
    /// The longest input, in bytes.
    pub longest: usize,
}

/// An input that is being run, and since when.
type Current = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

struct Run<'a, T> {
    fuzz: Fuzz<'a>,
    target: T,
    current: Current,
    seen: HashSet<u64>,
    inputs: Vec<Vec<u8>>,
    count: u64,
    slowest: (Duration, Vec<u8>),
}

/// A folder for what a target writes: in memory where there is such a place, since it writes much.
pub fn fast_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// The hash of a message but for its digits and whatever stands between its first quote and its last: which one it is.
pub fn way(text: &str) -> u64 {
    let quote = |c| matches!(c, '\'' | '"' | '`');
    let (before, behind) = (text.find(quote).unwrap_or(text.len()), text.rfind(quote).unwrap_or(text.len()));
    let mut hasher = DefaultHasher::new();
    let kept = text[..before].chars().chain(text[behind..].chars()).filter(|c| !c.is_ascii_digit());
    kept.for_each(|c| c.hash(&mut hasher));
    hasher.finish()
}

impl Fuzz<'_> {
    /// Runs the target; panics with the input, made small, if the target panics. What it answers tells inputs apart.
    pub fn run(self, target: impl Fn(&[u8]) -> u64) {
        let corpus = corpus(self.name);
        assert!(!corpus.is_empty(), "fuzz/{} holds no input", self.name);
        let seconds = std::env::var("WINDLASS_FUZZ_SECONDS").ok().and_then(|text| text.parse::<u64>().ok());
        let current = Current::default();
        if seconds.is_some() {
            watch(self.name.to_owned(), Arc::clone(&current));
        }
        let begin = Instant::now();
        let end = seconds.map(|seconds| begin + Duration::from_secs(seconds));
        let mut run = Run {
            fuzz: self,
            target,
            current,
            seen: HashSet::new(),
            inputs: Vec::new(),
            count: 0,
            slowest: <_>::default(),
        };
        for input in &corpus {
            run.one(input);
            run.inputs.push(input.clone());
        }
        let known = run.inputs.len();
        let mut changes =
            Changes::new(if end.is_some() { std::process::id().into() } else { 7 }, self.words, self.longest);
        while end.map_or(run.count < (corpus.len() + FEW) as u64, |end| Instant::now() < end) {
            let input = changes.next(&run.inputs);
            if run.one(&input) && run.inputs.len() < MOST {
                run.inputs.push(input);
            }
        }
        if end.is_some() {
            run.tell(begin.elapsed(), known);
            if std::env::var_os("WINDLASS_FUZZ_KEEP").is_some() {
                run.keep(known);
            }
        }
    }
}

impl<T: Fn(&[u8]) -> u64> Run<'_, T> {
    /// Runs one input; whether it went a new way.
    fn one(&mut self, input: &[u8]) -> bool {
        let since = Instant::now();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((since, input.to_owned()));
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target)(input)));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.count += 1;
        let took = since.elapsed();
        if took > self.slowest.0 {
            self.slowest = (took, input.to_owned());
        }
        match outcome {
            Ok(way) => self.seen.insert(way),
            Err(_) => {
                let small = self.smaller(input.to_owned());
                let place = saved(self.fuzz.name, &small);
                panic!(
                    "fuzz {}: this input panics (it is kept in {}): {}",
                    self.fuzz.name,
                    place.display(),
                    shown(&small)
                );
            }
        }
    }

    /// A part of the input that panics too, found by leaving out ever smaller pieces.
    fn smaller(&self, mut input: Vec<u8>) -> Vec<u8> {
        let mut tries = 3_000;
        let mut piece = input.len() / 2;
        while piece > 0 && tries > 0 {
            let mut at = 0;
            while at < input.len() && tries > 0 {
                tries -= 1;
                let mut shorter = input.clone();
                shorter.drain(at..(at + piece).min(input.len()));
                if catch_unwind(AssertUnwindSafe(|| (self.target)(&shorter))).is_err() {
                    input = shorter;
                } else {
                    at += piece;
                }
            }
            piece /= 2;
        }
        input
    }

    fn tell(&self, took: Duration, known: usize) {
        println!(
            "fuzz {}: {} s, {} inputs, {} of the corpus, {} more went new ways; the slowest took {} ms (it is kept in {}); peak memory {}",
            self.fuzz.name,
            took.as_secs(),
            self.count,
            known,
            self.inputs.len() - known,
            self.slowest.0.as_millis(),
            saved(self.fuzz.name, &self.slowest.1).display(),
            peak(),
        );
    }

    /// Adds the smallest of the new inputs to the corpus.
    fn keep(&self, known: usize) {
        let mut new: Vec<&Vec<u8>> =
            self.inputs[known..].iter().filter(|input| input.len() <= KEPT.0).collect();
        new.sort_by_key(|input| input.len());
        for input in new.into_iter().take(KEPT.1.saturating_sub(known)) {
            let place = folder(self.fuzz.name).join(name_of(input));
            std::fs::write(&place, input).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        }
    }
}

/// Ends the process when an input takes too long: nothing else can.
fn watch(name: String, current: Current) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let current = current.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((since, input)) = current.as_ref()
                && since.elapsed() > HANG
            {
                let place = saved(&name, input);
                eprintln!(
                    "fuzz {name}: this input takes more than 30 s (it is kept in {}): {}",
                    place.display(),
                    shown(input)
                );
                std::process::exit(101);
            }
        }
    });
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(name)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = folder(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .collect()
}

fn name_of(input: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn saved(name: &str, input: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join("windlass-fuzz");
    let _ = std::fs::create_dir_all(&folder);
    let place = folder.join(format!("{name}-{}", name_of(input)));
    let _ = std::fs::write(&place, input);
    place
}

fn shown(input: &[u8]) -> String {
    input.iter().take(400).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect()
}

/// The process's largest size so far, as the kernel tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_found_and_made_small() {
        let fuzz = Fuzz { name: "testkit-own", words: &["bug"], longest: 200 };
        let target = |input: &[u8]| {
            assert!(!input.windows(3).any(|piece| piece == b"bug"), "found");
            input.len() as u64
        };
        let (current, seen, slowest) = <_>::default();
        let mut run = Run { fuzz, target, current, seen, inputs: vec![b"abc".to_vec()], count: 0, slowest };
        assert!(run.one(b"abc") && !run.one(b"xyz") && run.one(b"longer"), "lengths are the ways");
        let mut changes = Changes::new(7, fuzz.words, fuzz.longest);
        let found = (0..10_000)
            .map(|_| changes.next(&run.inputs))
            .find(|input| input.windows(3).any(|p| p == b"bug"));
        let found = found.expect("the word is put in");
        assert!(found.len() <= fuzz.longest);
        assert_eq!(run.smaller([b"before ".as_slice(), &found, b" behind"].concat()), b"bug");
        let panic = catch_unwind(AssertUnwindSafe(|| run.one(&found))).unwrap_err();
        let text = panic.downcast_ref::<String>().expect("a message");
        assert!(text.ends_with(": bug"), "{text}");
    }

    #[test]
    fn the_same_seed_gives_the_same_changes() {
        let inputs = [b"one\ntwo\n".to_vec(), b"three".to_vec()];
        let drawn = |seed| {
            let mut changes = Changes::new(seed, &["w"], 100);
            (0..100).map(|_| changes.next(&inputs)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}
