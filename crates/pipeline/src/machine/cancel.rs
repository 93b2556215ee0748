//! How a run or a job is brought to its end.

use serde_json::json;
use windlass_kernel::{Actor, JobId};

use super::Machine;
use crate::scope::RunScope;
use crate::{Cancellation, Conclusion, InvalidTransition, Job, JobState, RunState};

impl Machine<'_> {
    pub(super) fn cancel_requested(
        &mut self,
        by: Actor,
        reason: String,
        force: bool,
    ) -> Result<(), InvalidTransition> {
        if self.run.is_completed() {
            return Err(self.run_refuses("a cancellation"));
        }
        if self.run.cancellation.is_none() {
            self.run.cancellation =
                Some(Cancellation { by: by.clone(), reason: reason.clone(), at: self.now });
            self.emit_run(by, "run.cancelled", json!({"reason": reason}));
        } else if !force {
            return Ok(());
        }
        self.unsettled = true;
        if let RunState::Waiting { .. } | RunState::Held { .. } = self.run.state {
            // Nothing of it has begun, so there is nothing to clean up either.
            for i in 0..self.run.jobs.len() {
                self.complete(i, Conclusion::Cancelled, Some(reason.clone()), self.now);
            }
            self.complete_run(Conclusion::Cancelled);
            return Ok(());
        }
        for i in 0..self.run.jobs.len() {
            // The jobs of a call are asked one by one.
            let calls = matches!(self.run.jobs[i].state, JobState::Calling { .. });
            if force || !(calls || self.goes_on(i)) {
                self.stop(i, &reason);
            }
        }
        Ok(())
    }

    /// Whether a job of a cancelled run goes on: its condition still holds (`always()`, `cancelled()`), or may hold
    /// once what it needs has ended.
    fn goes_on(&mut self, i: usize) -> bool {
        let frame = self.run.jobs[i].parent;
        let Some(workflow) = self.model(frame) else { return false };
        let job: &Job = &self.run.jobs[i];
        let Some(model) = workflow.job(&job.key) else { return false };
        let asks = model.condition.as_ref().is_some_and(|condition| !condition.implies_success());
        if job.waits_for_needs() {
            return asks;
        }
        let scope = RunScope::of_frame(&self.run, frame);
        let scope = scope.for_job(&self.run, frame, &workflow, &job.key, &job.needs);
        asks && self.condition(frame, model, &scope).is_ok()
    }

    /// A newer one takes the job's place in its concurrency group.
    pub(super) fn job_cancelled(&mut self, id: JobId, reason: String) -> Result<(), InvalidTransition> {
        let i = self.index(id)?;
        if !self.run.jobs[i].groups().any(|group| group.joined) {
            return Err(self.job_refuses(i, "a concurrency group's cancellation"));
        }
        self.stop(i, &reason);
        Ok(())
    }
}
