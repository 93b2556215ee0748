//! The run's machine. Each event is one method; whatever ends or frees a job marks the run unsettled, and
//! [`Machine::finish`] then moves everything on that can move.

mod again;
mod call;
mod cancel;
mod lease;
mod schedule;
mod start;

use std::sync::Arc;

use serde_json::{Value as Json, json};
use windlass_kernel::{Actor, JobId, Timestamp};
use windlass_workflow::model::Workflow;

use crate::concurrency::Member;
use crate::frame::{Frame, Models, together};
use crate::{Action, Conclusion, InvalidTransition, JobState, Run, RunEvent, RunState, WaitingFor};

/// What follows when `event` happens to `run`: the run as it then stands and what is to be done, in order. `run` itself
/// is untouched, so an error changes nothing. `new_job_id` gives ids for the legs of a matrix and for a re-run.
pub fn step(
    run: &Run,
    event: RunEvent,
    now: Timestamp,
    new_job_id: &mut dyn FnMut() -> JobId,
) -> Result<(Run, Vec<Action>), InvalidTransition> {
    step_with(run, event, now, new_job_id, &mut Models::default())
}

/// [`step`], for a shell that follows a run from its beginning to its end: `models` are the workflows of this run that
/// were read already, which are not read again.
pub fn step_with(
    run: &Run,
    event: RunEvent,
    now: Timestamp,
    new_job_id: &mut dyn FnMut() -> JobId,
    models: &mut Models,
) -> Result<(Run, Vec<Action>), InvalidTransition> {
    let mut machine = Machine::new(run.clone(), now, new_job_id, models);
    match event {
        RunEvent::Leased { job, runner, until } => machine.leased(job, runner, until)?,
        RunEvent::Renewed { job, hand_out, until } => machine.renewed(job, hand_out, until)?,
        RunEvent::Reported { job, hand_out, seq, at, report } => {
            machine.reported(job, hand_out, seq, at, report)?;
        }
        RunEvent::GatePassed { job } => machine.gate_passed(job)?,
        RunEvent::GateRejected { job, reason } => machine.gate_rejected(job, reason)?,
        RunEvent::GroupAdmitted { job: None, group } => machine.run_admitted(&group)?,
        RunEvent::GroupAdmitted { job: Some(job), group } => machine.job_admitted(job, &group)?,
        RunEvent::GroupCancelled { job: None, reason } => {
            machine.cancel_requested(Actor::System, reason, false)?;
        }
        RunEvent::GroupCancelled { job: Some(job), reason } => machine.job_cancelled(job, reason)?,
        RunEvent::CancelRequested { by, reason, force } => machine.cancel_requested(by, reason, force)?,
        RunEvent::LeaseLost { job, hand_out, reason } => machine.lease_lost(job, hand_out, &reason)?,
        RunEvent::TimedOut { job } => machine.timed_out(job)?,
        RunEvent::Expired { job } => machine.expired(job)?,
        RunEvent::Rerun { by, which } => machine.rerun(by, which)?,
        RunEvent::Approved { by, comment } => machine.approved(by, &comment)?,
    }
    Ok(machine.finish())
}

/// The most jobs of a run, the jobs of called workflows and the legs of matrices counted one by one.
const MAX_JOBS: usize = 2_000;

pub(crate) struct Machine<'a> {
    run: Run,
    actions: Vec<Action>,
    now: Timestamp,
    new_job_id: &'a mut dyn FnMut() -> JobId,
    models: &'a mut Models,
    /// Something ended or was freed: others may go on.
    unsettled: bool,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(
        run: Run,
        now: Timestamp,
        new_job_id: &'a mut dyn FnMut() -> JobId,
        models: &'a mut Models,
    ) -> Self {
        Self { run, actions: Vec::new(), now, new_job_id, models, unsettled: false }
    }

    pub(crate) fn finish(mut self) -> (Run, Vec<Action>) {
        self.settle();
        (self.run, self.actions)
    }

    /// The workflow that the jobs of a frame are of.
    fn model(&mut self, frame: Frame) -> Option<Arc<Workflow>> {
        self.models.of(&self.run, frame)
    }

    fn index(&self, id: JobId) -> Result<usize, InvalidTransition> {
        self.run.jobs.iter().position(|job| job.id == id).ok_or(InvalidTransition::UnknownJob(id))
    }

    fn job_refuses(&self, i: usize, event: &'static str) -> InvalidTransition {
        let job = &self.run.jobs[i];
        InvalidTransition::Job { job: job.id, event, state: job.state_name() }
    }

    fn run_refuses(&self, event: &'static str) -> InvalidTransition {
        InvalidTransition::Run { event, state: self.run.state_name() }
    }

    fn emit(&mut self, actor: Actor, kind: &'static str, subject: String, data: Json) {
        self.actions.push(Action::Emit { actor, kind, subject, data });
    }

    fn emit_run(&mut self, actor: Actor, kind: &'static str, more: Json) {
        let run = &self.run;
        let mut data = json!({
            "run": run.id.to_string(),
            "number": run.number,
            "attempt": run.attempt,
            "workflow": run.workflow.name,
            "file": run.workflow.file,
            "ref": run.git_ref,
            "sha": run.sha,
        });
        extend(&mut data, more);
        let subject = run.id.to_string();
        self.emit(actor, kind, subject, data);
    }

    fn emit_job(&mut self, i: usize, kind: &'static str, more: Json) {
        let job = &self.run.jobs[i];
        let mut data = json!({
            "run": self.run.id.to_string(),
            "job": job.id.to_string(),
            "key": job.key,
            "name": job.name,
            "attempt": self.run.attempt,
        });
        extend(&mut data, more);
        let subject = job.id.to_string();
        self.emit(Actor::System, kind, subject, data);
    }

    /// Why a run cannot have so many jobs more, if it cannot.
    fn room_for(&self, more: usize) -> Result<(), String> {
        if self.run.jobs.len() + more <= MAX_JOBS {
            return Ok(());
        }
        Err(format!(
            "its run would have more than {MAX_JOBS} jobs, with those of matrices and called workflows"
        ))
    }

    fn member(&self, i: usize) -> Member {
        Member { run: self.run.id, job: Some(self.run.jobs[i].id) }
    }

    /// A job ends. One that has ended stays as it is.
    fn complete(&mut self, i: usize, conclusion: Conclusion, reason: Option<String>, at: Timestamp) {
        if self.run.jobs[i].is_completed() {
            return;
        }
        let member = self.member(i);
        let job = &mut self.run.jobs[i];
        for group in job.groups_mut().filter(|group| group.joined) {
            group.joined = false;
            self.actions.push(Action::LeaveGroup { member, group: group.name.clone() });
        }
        job.state = JobState::Completed { conclusion, reason: reason.clone(), at };
        let (id, environment) = (job.id, job.environment.clone());
        self.unsettled = true;
        let more = json!({"conclusion": conclusion.as_str(), "reason": reason, "environment": environment});
        self.emit_job(i, "job.completed", more);
        // A call that a re-run kept, and that ends before it goes on again: so do the jobs in it.
        for inner in i + 1..self.run.jobs.len() {
            if self.run.jobs[inner].parent == Some(id) {
                self.complete(inner, Conclusion::Cancelled, reason.clone(), at);
            }
        }
        self.fail_fast(i);
    }

    /// A leg's failure that counts stops the other legs.
    fn fail_fast(&mut self, i: usize) {
        let job = &self.run.jobs[i];
        if job.result() != Some(Conclusion::Failure) || !job.fail_fast || job.leg.is_none() {
            return;
        }
        let (key, frame) = (job.key.clone(), job.parent);
        let reason = format!("'{}' failed (fail-fast)", job.name);
        for sibling in 0..self.run.jobs.len() {
            let job = &self.run.jobs[sibling];
            if job.key == key && job.parent == frame {
                self.stop(sibling, &reason);
            }
        }
    }

    /// A job shall end: at once if no runner has it, else its runner is told.
    fn stop(&mut self, i: usize, reason: &str) {
        let job = &mut self.run.jobs[i];
        match job.state {
            JobState::Completed { .. } => {}
            JobState::Leased { .. } | JobState::Running { .. } => {
                if job.stopping.is_none() {
                    job.stopping = Some(reason.to_owned());
                    job.stopping_at = Some(self.now);
                    self.actions.push(Action::CancelJob { job: job.id, reason: reason.to_owned() });
                }
            }
            JobState::Calling { .. } => {
                let id = job.id;
                // It ends when they have.
                for inner in 0..self.run.jobs.len() {
                    if self.run.jobs[inner].parent == Some(id) {
                        self.stop(inner, reason);
                    }
                }
            }
            JobState::Waiting { .. } | JobState::Queued { .. } => {
                self.complete(i, Conclusion::Cancelled, Some(reason.to_owned()), self.now);
            }
        }
    }

    fn wait(&mut self, i: usize, for_what: WaitingFor) {
        self.run.jobs[i].state = JobState::Waiting { for_what };
        let reason = self.run.jobs[i].reason();
        self.emit_job(i, "job.waiting", json!({"reason": reason}));
    }

    /// The run ends, once all its jobs have.
    fn complete_run(&mut self, conclusion: Conclusion) {
        let member = Member { run: self.run.id, job: None };
        if let Some(group) = self.run.group.as_mut().filter(|group| group.joined) {
            group.joined = false;
            self.actions.push(Action::LeaveGroup { member, group: group.name.clone() });
        }
        self.run.state = RunState::Completed { conclusion, at: self.now };
        self.emit_run(Actor::System, "run.completed", json!({"conclusion": conclusion.as_str()}));
    }

    /// A failure that counts, then a cancellation, then success; skipped if all jobs were.
    fn conclusion(&self) -> Conclusion {
        let mut own = self.run.within(None);
        if self.run.cancellation.is_some() && own.any(|job| job.result() == Some(Conclusion::Cancelled)) {
            return Conclusion::Cancelled;
        }
        together(self.run.within(None)).unwrap_or(Conclusion::Skipped)
    }
}

fn extend(data: &mut Json, more: Json) {
    if let (Json::Object(data), Json::Object(more)) = (data, more) {
        data.extend(more);
    }
}
