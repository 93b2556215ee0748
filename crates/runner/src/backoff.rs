//! Waiting longer after each failure, without end: control may be away for minutes, and jobs go on.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long to wait after the next failure.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    told: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST, told: false }
    }
}

impl Backoff {
    /// All is well again.
    pub(crate) fn reset(&mut self) {
        if self.told {
            tracing::info!("control answers again");
        }
        *self = Self::default();
    }

    /// Waits; says why at the first failure that took long enough to matter.
    pub(crate) async fn wait(&mut self, why: &str) {
        if self.next > Duration::from_secs(1) && !self.told {
            tracing::warn!(why, "control cannot be reached; trying on");
            self.told = true;
        }
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST);
    }
}
