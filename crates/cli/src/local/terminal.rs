//! The same on a terminal: lines pass above, and below them stands the tree of jobs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use windlass_api::{JobView, RunDetail, StepView};
use windlass_server::local::{AfterFailure, Audience, FailedStep};

use super::screen::Screen;
use crate::live::Live;
use crate::{show, tree};

/// A terminal that lines and a tree share.
#[derive(Debug)]
pub(super) struct Terminal {
    screen: Arc<Screen>,
    live: Mutex<Live>,
    /// How many shells want the terminal for themselves: then lines wait, and nothing is drawn.
    lent: AtomicUsize,
}

impl Terminal {
    /// None where nothing can be drawn again.
    pub(super) fn if_moving(screen: &Arc<Screen>, json: bool) -> Option<Self> {
        let live = Live::new();
        if json || !live.moving() {
            return None;
        }
        screen.hold();
        Some(Self { screen: screen.clone(), live: Mutex::new(live), lent: AtomicUsize::new(0) })
    }

    fn put(&self) {
        let text = self.screen.take();
        let text = String::from_utf8_lossy(&text);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if !text.is_empty() {
            // A terminal that has gone away is noticed by the signal that says so.
            let _ = self.live.lock().unwrap_or_else(PoisonError::into_inner).say(text);
        }
    }
}

#[async_trait::async_trait]
impl Audience for Terminal {
    fn line(&self, job: &str, step: &str, line: &[u8]) {
        self.screen.line(job, step, line);
    }

    fn pause(&self) {}

    fn step(&self, job: &str, step: &StepView) {
        self.screen.step(job, step);
    }

    fn job(&self, workflow: &str, job: &JobView) {
        self.screen.job(workflow, job);
    }

    fn run(&self, run: &RunDetail) {
        self.screen.run(run);
    }

    fn note(&self, text: &str) {
        self.put();
        let _ = self.live.lock().unwrap_or_else(PoisonError::into_inner).say(&format!("windlass: {text}"));
    }

    fn looks(&self) -> bool {
        true
    }

    fn look(&self, runs: &[RunDetail]) {
        if self.lent.load(Ordering::Relaxed) > 0 {
            return;
        }
        self.put();
        let lines: Vec<String> = runs.iter().flat_map(|run| tree::lines(run, show::now())).collect();
        let _ = self.live.lock().unwrap_or_else(PoisonError::into_inner).draw(&lines);
    }

    async fn failed(&self, job: &str, step: FailedStep) -> AfterFailure {
        if self.lent.fetch_add(1, Ordering::Relaxed) == 0 {
            self.put();
            self.live.lock().unwrap_or_else(PoisonError::into_inner).leave();
        }
        let answer = self.screen.failed(job, step).await;
        self.lent.fetch_sub(1, Ordering::Relaxed);
        answer
    }
}
