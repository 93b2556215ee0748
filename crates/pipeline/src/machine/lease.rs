//! A job in a runner's hands: the lease, the runner's reports, and what happens when the runner is gone.

use std::collections::BTreeMap;

use serde_json::json;
use windlass_kernel::{Actor, JobId, Timestamp};

use super::Machine;
use crate::due;
use crate::{Action, Conclusion, InvalidTransition, Job, JobState, Lease, MAX_TRIES, Report, StepRecord};

/// The most of each that a job keeps; what is more is dropped, and a runner sends less anyway.
const MAX_STEPS: usize = 1_000;
const MAX_ANNOTATIONS: usize = 50;
const MAX_SUMMARY: usize = 1024 * 1024;
const MAX_OUTPUTS: usize = 1024 * 1024;

impl Machine<'_> {
    pub(super) fn leased(
        &mut self,
        id: JobId,
        runner: String,
        until: Timestamp,
    ) -> Result<(), InvalidTransition> {
        let i = self.index(id)?;
        let job = &mut self.run.jobs[i];
        if !matches!(job.state, JobState::Queued { .. }) {
            return Err(self.job_refuses(i, "a lease"));
        }
        job.tries += 1;
        job.acknowledged = 0;
        job.state = JobState::Leased { lease: Lease { runner, until } };
        Ok(())
    }

    /// The job's index, if `hand_out` is the one that stands.
    fn held(&self, id: JobId, hand_out: u32) -> Result<usize, InvalidTransition> {
        let i = self.index(id)?;
        let job = &self.run.jobs[i];
        if job.tries != hand_out || job.lease().is_none() {
            return Err(InvalidTransition::LeaseGone { job: id, hand_out });
        }
        Ok(i)
    }

    pub(super) fn renewed(
        &mut self,
        id: JobId,
        hand_out: u32,
        until: Timestamp,
    ) -> Result<(), InvalidTransition> {
        let i = self.held(id, hand_out)?;
        if let JobState::Leased { lease } | JobState::Running { lease, .. } = &mut self.run.jobs[i].state {
            lease.until = lease.until.max(until);
        }
        Ok(())
    }

    pub(super) fn reported(
        &mut self,
        id: JobId,
        hand_out: u32,
        seq: u64,
        at: Timestamp,
        report: Report,
    ) -> Result<(), InvalidTransition> {
        let i = self.index(id)?;
        let job = &self.run.jobs[i];
        if job.tries == hand_out && hand_out > 0 && seq <= job.acknowledged {
            // Told before.
            return Ok(());
        }
        let i = self.held(id, hand_out)?;
        let expected = self.run.jobs[i].acknowledged + 1;
        if seq != expected {
            return Err(InvalidTransition::Gap { job: id, expected, found: seq });
        }
        self.run.jobs[i].acknowledged = seq;
        // A runner's clock may run ahead of ours.
        let at = at.min(self.now);
        match report {
            Report::Started { sandbox } => self.started(i, sandbox, at),
            Report::Step(step) => record(&mut self.run.jobs[i], step),
            Report::Annotation(annotation) => {
                let kept = &mut self.run.jobs[i].annotations;
                if kept.len() < MAX_ANNOTATIONS {
                    kept.push(annotation);
                }
            }
            Report::Summary(markdown) => append(&mut self.run.jobs[i].summary, &markdown),
            Report::Finished { conclusion, reason, outputs, environment_url } => {
                self.run.jobs[i].environment_url = environment_url;
                self.finished(i, conclusion, reason, outputs, at);
            }
        }
        Ok(())
    }

    fn started(&mut self, i: usize, sandbox: String, at: Timestamp) {
        let job = &mut self.run.jobs[i];
        let JobState::Leased { lease } = &job.state else { return };
        let lease = lease.clone();
        let runner = lease.runner.clone();
        job.started_at = Some(at);
        job.sandbox = Some(sandbox.clone());
        job.state = JobState::Running { lease, started: at };
        let first = self.run.started_at.is_none();
        self.run.started_at.get_or_insert(at);
        if first {
            self.emit_run(Actor::System, "run.started", json!({}));
        }
        self.emit_job(i, "job.started", json!({"runner": runner, "sandbox": sandbox}));
    }

    fn finished(
        &mut self,
        i: usize,
        conclusion: Conclusion,
        reason: Option<String>,
        mut outputs: BTreeMap<String, String>,
        at: Timestamp,
    ) {
        outputs.retain(|_, value| !value.is_empty());
        let size: usize = outputs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let job = &mut self.run.jobs[i];
        if size > MAX_OUTPUTS {
            let reason = "its outputs are larger than 1 MB together".to_owned();
            return self.complete(i, Conclusion::Failure, Some(reason), at);
        }
        job.outputs = outputs;
        let (conclusion, reason) = match conclusion {
            // Neither is an end that a runner can tell of.
            Conclusion::StartupFailure | Conclusion::Skipped => (Conclusion::Failure, reason),
            Conclusion::Cancelled => (Conclusion::Cancelled, reason.or_else(|| job.stopping.clone())),
            other => (other, reason),
        };
        self.complete(i, conclusion, reason, at);
    }

    pub(super) fn lease_lost(
        &mut self,
        id: JobId,
        hand_out: u32,
        why: &str,
    ) -> Result<(), InvalidTransition> {
        let i = self.held(id, hand_out)?;
        let job = &mut self.run.jobs[i];
        if let Some(stopping) = &job.stopping {
            let reason = format!("{stopping}; its runner was lost meanwhile: {why}");
            self.complete(i, Conclusion::Cancelled, Some(reason), self.now);
            return Ok(());
        }
        if job.tries >= MAX_TRIES {
            let reason = format!("its runner was lost {MAX_TRIES} times; the last time: {why}");
            self.complete(i, Conclusion::Failure, Some(reason), self.now);
            return Ok(());
        }
        let note = format!("queued again (try {} of {MAX_TRIES}): {why}", job.tries + 1);
        job.note = Some(note.clone());
        job.steps.clear();
        job.annotations.clear();
        job.summary.clear();
        (job.started_at, job.sandbox) = (None, None);
        self.emit_job(i, "job.requeued", json!({"reason": note}));
        self.queue(i);
        Ok(())
    }

    pub(super) fn timed_out(&mut self, id: JobId) -> Result<(), InvalidTransition> {
        let i = self.index(id)?;
        let job = &self.run.jobs[i];
        if job.lease().is_none() {
            return Err(self.job_refuses(i, "a time-out"));
        }
        let reason = format!("it took longer than its limit of {} minutes", job.timeout_minutes);
        self.actions.push(Action::CancelJob { job: id, reason: reason.clone() });
        self.complete(i, Conclusion::Cancelled, Some(reason), self.now);
        Ok(())
    }
}

impl Machine<'_> {
    /// A job waited for a runner, or lingered after it was told to stop, for longer than a job may.
    pub(super) fn expired(&mut self, id: JobId) -> Result<(), InvalidTransition> {
        let i = self.index(id)?;
        let job = &self.run.jobs[i];
        let Some(reason) = due::expired(job, self.now) else {
            return Err(self.job_refuses(i, "the end of its patience"));
        };
        let conclusion = match job.stopping {
            Some(_) => Conclusion::Cancelled,
            None => Conclusion::Failure,
        };
        self.complete(i, conclusion, Some(reason), self.now);
        Ok(())
    }
}

/// Keeps a step's newest record, in the order of the numbers.
fn record(job: &mut Job, step: StepRecord) {
    match job.steps.binary_search_by_key(&step.number, |known| known.number) {
        Ok(place) => job.steps[place] = step,
        Err(place) if job.steps.len() < MAX_STEPS => job.steps.insert(place, step),
        Err(_) => {}
    }
}

fn append(summary: &mut String, markdown: &str) {
    let room = MAX_SUMMARY.saturating_sub(summary.len());
    let end = (0..=markdown.len().min(room)).rev().find(|end| markdown.is_char_boundary(*end)).unwrap_or(0);
    summary.push_str(&markdown[..end]);
}
