//! Tells whoever the job is for what happens: updates in order, each until it is acknowledged, and heartbeats.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use windlass_api::runner::{JobHappening, JobUpdate};
use windlass_kernel::Clock;

use crate::backoff::Backoff;
use crate::control::{Control, ControlError};
use crate::local::Listener;
use crate::stop::{Stop, StopSwitch};

/// The most updates in one call.
const BATCH: usize = 200;
/// How long what is told gathers before a call: a job that is over by then is told of in one.
const FIRST: Duration = Duration::from_millis(12);
const GATHER: Duration = Duration::from_millis(80);
/// The most text in one call, in bytes; one update that holds more goes alone.
const LARGEST: usize = 1 << 20;

/// Where happenings are dropped to be reported. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reporter {
    queue: Arc<Mutex<Queue>>,
    wake: Arc<Notify>,
    clock: Arc<dyn Clock>,
    /// Who hears it at once, in place of control.
    listener: Option<Arc<dyn Listener>>,
}

#[derive(Default)]
struct Queue {
    next: u64,
    waiting: VecDeque<JobUpdate>,
    last: bool,
}

impl Reporter {
    /// A reporter with an empty queue.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { queue: Arc::default(), wake: Arc::default(), clock, listener: None }
    }

    /// A reporter whose happenings are heard at once; it needs not [run](Self::run).
    pub(crate) fn heard(listener: Arc<dyn Listener>, clock: Arc<dyn Clock>) -> Self {
        Self { listener: Some(listener), ..Self::new(clock) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports something. Nothing is taken after [`JobHappening::Finished`].
    pub(crate) fn tell(&self, what: JobHappening) {
        if let Some(listener) = &self.listener {
            return listener.happened(what);
        }
        let mut queue = self.queue();
        if queue.last {
            return;
        }
        queue.next += 1;
        queue.last = matches!(what, JobHappening::Finished { .. });
        let update = JobUpdate { seq: queue.next, at: self.clock.now(), what };
        queue.waiting.push_back(update);
        drop(queue);
        self.wake.notify_one();
    }

    /// Sends what is told until the job's end is acknowledged, or the lease is lost.
    pub(crate) async fn run(self, control: Arc<dyn Control>, stop: StopSwitch, lease: Duration) {
        let beat = (lease / 3).max(Duration::from_millis(200));
        let mut backoff = Backoff::default();
        let _ = tokio::time::timeout(FIRST, self.last_is_told()).await;
        loop {
            let batch = self.batch();
            match control.updates(&batch).await {
                Ok(reply) => {
                    if reply.lost {
                        stop.set(Stop::Lost);
                        return;
                    }
                    if let Some(why) = reply.cancel {
                        stop.set(Stop::Cancelled(why));
                    }
                    let before = batch.first().map_or(0, |update| update.seq);
                    if self.acknowledge(reply.acknowledged) {
                        return;
                    }
                    if before > reply.acknowledged {
                        backoff.wait("updates are not acknowledged").await;
                        continue;
                    }
                    backoff.reset();
                }
                Err(ControlError::Refused { detail, .. }) => {
                    tracing::error!(reason = %detail, "updates are refused: the job is not ours any more");
                    stop.set(Stop::Lost);
                    return;
                }
                Err(e) => {
                    backoff.wait(&format!("reporting: {e}")).await;
                    continue;
                }
            }
            let idle = self.queue().waiting.is_empty();
            if idle {
                let _ = tokio::time::timeout(beat, self.wake.notified()).await;
            }
            // Short steps gather, but for the end, which somebody waits for: each call is a transaction.
            let _ = tokio::time::timeout(GATHER, self.last_is_told()).await;
        }
    }

    /// Waits until the job's end is among what is told.
    async fn last_is_told(&self) {
        while !self.queue().last {
            self.wake.notified().await;
        }
    }

    /// The next updates, as many as one call may carry; at least one, if there is any.
    fn batch(&self) -> Vec<JobUpdate> {
        let queue = self.queue();
        let mut size = 0;
        let fits = |update: &&JobUpdate| {
            let first = size == 0;
            size += weight(&update.what);
            first || size <= LARGEST
        };
        queue.waiting.iter().take(BATCH).take_while(fits).cloned().collect()
    }

    /// Forgets what was acknowledged; true once the last update was.
    fn acknowledge(&self, upto: u64) -> bool {
        let mut queue = self.queue();
        while queue.waiting.front().is_some_and(|update| update.seq <= upto) {
            queue.waiting.pop_front();
        }
        queue.last && queue.waiting.is_empty()
    }
}

/// How much text an update holds, about.
fn weight(what: &JobHappening) -> usize {
    let text = match what {
        JobHappening::Summary { markdown } => markdown.len(),
        JobHappening::Annotation { annotation } => annotation.message.len(),
        JobHappening::Finished { outputs, .. } => outputs.values().map(String::len).sum(),
        JobHappening::Started { .. } | JobHappening::Step { .. } => 0,
    };
    text + 512
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::MemoryControl;
    use windlass_api::Conclusion;
    use windlass_testkit::TestClock;

    fn finished() -> JobHappening {
        JobHappening::Finished {
            conclusion: Conclusion::Success,
            reason: None,
            outputs: std::collections::BTreeMap::new(),
            environment_url: None,
        }
    }

    #[tokio::test]
    async fn everything_arrives_once_and_in_order_although_nobody_answers_for_a_while() {
        let control = Arc::new(MemoryControl::default());
        control.go_away_for(3);
        let reporter = Reporter::new(Arc::new(TestClock::at(0)));
        for n in 0..500 {
            reporter.tell(JobHappening::Summary { markdown: n.to_string() });
        }
        reporter.tell(finished());
        reporter.tell(JobHappening::Summary { markdown: "too late".into() });
        reporter.run(control.clone(), StopSwitch::default(), Duration::from_secs(30)).await;
        let got = control.happenings();
        assert_eq!(got.len(), 501);
        assert!(got.iter().take(500).enumerate().all(
            |(n, what)| matches!(what, JobHappening::Summary { markdown } if *markdown == n.to_string())
        ));
    }

    #[test]
    fn large_summaries_go_one_by_one() {
        let reporter = Reporter::new(Arc::new(TestClock::at(0)));
        for _ in 0..3 {
            reporter.tell(JobHappening::Summary { markdown: "x".repeat(LARGEST) });
        }
        assert_eq!(reporter.batch().len(), 1);
    }

    #[tokio::test]
    async fn a_heartbeat_brings_the_cancellation_and_the_loss() {
        let control = Arc::new(MemoryControl::default());
        let stop = StopSwitch::default();
        let reporter = Reporter::new(Arc::new(TestClock::at(0)));
        let task = tokio::spawn(reporter.run(control.clone(), stop.clone(), Duration::from_millis(300)));
        control.cancel("asked by ann");
        assert_eq!(stop.until(Stop::is_stop).await.reason(), Some("asked by ann"));
        control.lose();
        assert_eq!(stop.until(Stop::is_final).await, Stop::Lost);
        task.await.unwrap();
    }
}
