//! What tests share: a clock that stands until it is moved, entropy that repeats, and an honest way to skip.
//! Never a dependency of anything but tests.

mod docker;
mod fuzz;
mod memory_store;
mod node;
mod store_contract;

use std::io::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use windlass_kernel::{Clock, Entropy, Timestamp};

pub use docker::{DockerEngine, DockerStorage};
pub use fuzz::{Fuzz, fast_folder, way};
pub use memory_store::MemoryStore;
pub use node::{ask_node, node_package};
pub use store_contract::{contract_event, store_contract};

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// A clock that shows `millis` since the Unix epoch.
    pub fn at(millis: i64) -> Self {
        Self(AtomicI64::new(millis))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: std::time::Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that look random and are the same in every run.
#[derive(Debug, Default)]
pub struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let n = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            *byte = ((n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8;
        }
    }
}

/// Says that this machine cannot run a test, and why. `cargo xtask test` lists what was said at the end of the run.
pub fn skip(name: &str, reason: &str) {
    // One line, whatever a program said.
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("skipped: {name}: {reason}");
    if let Some(path) = std::env::var_os("WINDLASS_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{name}: {reason}");
    }
}
