//! What can go on goes on: conditions, expansion of matrices, `max-parallel`, gates, groups, the queue.

use serde_json::json;
use windlass_workflow::model::{Job as JobModel, Workflow};
use windlass_workflow::template::Condition;

use super::Machine;
use super::start::same;
use crate::frame::Frame;
use crate::scope::RunScope;
use crate::settings::{self, StrategySettings};
use crate::{Action, Conclusion, InvalidTransition, Job, JobState, Leg, RunState, WaitingFor};

impl Machine<'_> {
    /// Moves on until nothing more can. It ends, because jobs only ever move forward here.
    pub(super) fn settle(&mut self) {
        if !self.unsettled || self.run.state != RunState::Active {
            return;
        }
        while std::mem::take(&mut self.unsettled) {
            // Most of a run's events find no job that waits for others: those need no look at a workflow.
            for frame in self.open_frames() {
                let Some(workflow) = self.model(frame) else { continue };
                let scope = RunScope::of_frame(&self.run, frame);
                for job in workflow.topological() {
                    self.open(frame, &workflow, job, &scope);
                }
            }
            self.fill_slots();
            self.end_calls();
        }
        if self.run.jobs.iter().all(Job::is_completed) {
            self.complete_run(self.conclusion());
        }
    }

    /// The frames with jobs that wait for others, where the call goes on.
    fn open_frames(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for job in self.run.jobs.iter().filter(|job| job.waits_for_needs()) {
            let caller = job.parent.map(|id| self.run.job(id).map(|caller| &caller.state));
            let goes_on = matches!(caller, None | Some(Some(JobState::Calling { .. })));
            if goes_on && !frames.contains(&job.parent) {
                frames.push(job.parent);
            }
        }
        frames
    }

    fn waiting(&self, frame: Frame, key: &str) -> Vec<usize> {
        let jobs = self.run.jobs.iter().enumerate();
        let waits = |job: &Job| job.parent == frame && job.key == key && job.waits_for_needs();
        jobs.filter(|(_, job)| waits(job)).map(|(i, _)| i).collect()
    }

    /// Decides about the jobs of a key, once all that they need has ended.
    fn open(&mut self, frame: Frame, workflow: &Workflow, model: &JobModel, scope: &RunScope) {
        let waiting = self.waiting(frame, &model.id);
        if waiting.is_empty() || model.needs.iter().any(|need| self.run.result_in(frame, need).is_none()) {
            return;
        }
        let needs: Vec<String> = model.needs.iter().map(|need| need.value.clone()).collect();
        let scope = scope.for_job(&self.run, frame, workflow, &model.id, &needs);
        if let Err((conclusion, reason)) = self.condition(frame, model, &scope) {
            for i in waiting {
                self.complete(i, conclusion, Some(reason.clone()), self.now);
            }
            return;
        }
        match settings::strategy(model.strategy.as_ref(), &scope) {
            Ok(strategy) => self.expand(model, &waiting, strategy, &scope),
            Err(reason) => {
                for i in waiting {
                    self.complete(i, Conclusion::Failure, Some(reason.clone()), self.now);
                }
            }
        }
    }

    /// Whether the job's `if` holds; if not, how the job ends and why.
    pub(super) fn condition(
        &self,
        frame: Frame,
        model: &JobModel,
        scope: &RunScope,
    ) -> Result<(), (Conclusion, String)> {
        let parsed;
        let condition = match &model.condition {
            Some(condition) => &condition.value,
            None => {
                parsed = Condition::parse("").map_err(|e| (Conclusion::Failure, e.message))?;
                &parsed
            }
        };
        match condition.evaluate(scope) {
            Ok(verdict) if verdict.holds => Ok(()),
            Ok(verdict) => match &self.run.cancellation {
                Some(cancellation) => Err((Conclusion::Cancelled, cancellation.reason.clone())),
                None => Err((Conclusion::Skipped, self.unmet(frame, model, &verdict.explained))),
            },
            Err(e) => Err((Conclusion::Failure, format!("its condition could not be evaluated: {e}"))),
        }
    }

    fn unmet(&self, frame: Frame, model: &JobModel, explained: &str) -> String {
        let ended = |key: &str| self.run.result_in(frame, key).filter(|c| *c != Conclusion::Success);
        let blame = model
            .needs
            .iter()
            .find_map(|need| Some(format!("'{}' ended with {}", need.value, ended(need)?.as_str())));
        match (&model.condition, blame) {
            (None, Some(blame)) => blame,
            (None, None) => "a job that it depends on did not succeed".to_owned(),
            (Some(condition), blame) => {
                let blame = blame.map(|blame| format!(" ({blame})")).unwrap_or_default();
                format!("its condition `{}` is not met: {explained}{blame}", condition.text().trim())
            }
        }
    }

    fn expand(&mut self, model: &JobModel, waiting: &[usize], strategy: StrategySettings, scope: &RunScope) {
        let Some(first) = waiting.first().copied() else { return };
        let kept = self.run.jobs[first].leg.is_some();
        let indices: Vec<usize> = match &strategy.legs {
            // The legs of a re-run have their combinations already.
            Some(_) if kept => waiting.to_vec(),
            None => waiting.to_vec(),
            Some(legs) if legs.is_empty() => {
                let reason = "its matrix has no combination left".to_owned();
                return self.complete(first, Conclusion::Skipped, Some(reason), self.now);
            }
            Some(legs) => {
                // The job itself becomes the first leg.
                if let Err(reason) = self.room_for(legs.len() - 1) {
                    return self.complete(first, Conclusion::Failure, Some(reason), self.now);
                }
                self.insert_legs(first, legs)
            }
        };
        for i in &indices {
            let job = &mut self.run.jobs[*i];
            (job.fail_fast, job.max_parallel) = (strategy.fail_fast, strategy.max_parallel);
        }
        let ids: Vec<_> = indices.iter().map(|i| self.run.jobs[*i].id).collect();
        for id in ids {
            let Some(i) = self.run.jobs.iter().position(|job| job.id == id) else { continue };
            // A leg before it may have failed and cancelled it.
            if self.run.jobs[i].waits_for_needs() {
                self.prepare(i, model, scope);
            }
        }
    }

    fn insert_legs(&mut self, first: usize, legs: &[Leg]) -> Vec<usize> {
        let pattern = self.run.jobs[first].clone();
        self.run.jobs[first].leg = legs.first().cloned();
        for (place, leg) in legs.iter().enumerate().skip(1) {
            let id = (self.new_job_id)();
            self.run.jobs.insert(first + place, Job { id, leg: Some(leg.clone()), ..pattern.clone() });
        }
        // The names of all, in case one is told of before it is evaluated.
        for (place, leg) in legs.iter().enumerate() {
            let name = format!("{} {}", pattern.name, leg.suffix);
            name.trim_end().clone_into(&mut self.run.jobs[first + place].name);
        }
        (first..first + legs.len()).collect()
    }

    /// Evaluates the settings of a leg; it then waits for a place among its siblings.
    fn prepare(&mut self, i: usize, model: &JobModel, scope: &RunScope) {
        let job = &mut self.run.jobs[i];
        let scope = scope.for_leg(job.leg.as_ref(), job.fail_fast, job.max_parallel);
        let (frame, leg) = (job.parent, job.leg.clone());
        let call = model.call().map(|call| self.call_of(frame, call, &scope)).transpose();
        let settings = settings::job(model, leg.as_ref(), &scope).and_then(|settings| Ok((settings, call?)));
        match settings {
            Ok((settings, call)) => {
                let name = self.full_name(frame, &settings.name);
                let group = settings.group.map(|group| self.run.fenced(group));
                let job = &mut self.run.jobs[i];
                job.name = name;
                job.call = call;
                job.cancel_timeout_minutes = settings.cancel_timeout_minutes;
                job.deployment = settings.deployment;
                job.labels = settings.labels;
                job.continue_on_error = settings.continue_on_error;
                job.timeout_minutes = settings.timeout_minutes;
                job.environment = settings.environment;
                job.group = group;
                job.state = JobState::Waiting { for_what: WaitingFor::Siblings };
            }
            Err(reason) => self.complete(i, Conclusion::Failure, Some(reason), self.now),
        }
    }

    /// Lets legs go on as far as `max-parallel` allows.
    fn fill_slots(&mut self) {
        let waiting: Vec<_> =
            self.run.jobs.iter().filter(|job| job.waits_for_siblings()).map(|job| job.id).collect();
        for id in waiting {
            // The jobs of a workflow that is called in between take places in the list.
            let Ok(i) = self.index(id) else { continue };
            let job = &self.run.jobs[i];
            let busy = |other: &&Job| {
                (other.parent, &other.key) == (job.parent, &job.key)
                    && !(other.is_completed() || other.waits_for_siblings() || other.waits_for_needs())
            };
            let room = job.max_parallel.is_none_or(|most| self.run.jobs.iter().filter(busy).count() < most);
            if room && job.waits_for_siblings() {
                self.ask_gate(i);
            }
        }
    }

    /// First the environment's rules, then the groups: what waits for a person holds no place that others want.
    fn ask_gate(&mut self, i: usize) {
        let now = self.now;
        let job = &mut self.run.jobs[i];
        match job.environment.clone() {
            Some(environment) => {
                job.at_gate_since = Some(now);
                self.actions.push(Action::AskGate { job: job.id, environment: environment.clone() });
                self.wait(i, WaitingFor::Gate { environment });
            }
            None => self.join_groups(i),
        }
    }

    /// Joins the job's groups, one after the other; with all of them, its turn has come.
    fn join_groups(&mut self, i: usize) {
        let member = self.member(i);
        let job = &self.run.jobs[i];
        // To wait for a group that its own run, a caller or itself holds would be to wait for ever.
        let outer = self.run.callers(job).flat_map(Job::groups).chain(&self.run.group);
        let mut held: Vec<String> =
            outer.filter(|group| group.joined).map(|group| group.name.to_lowercase()).collect();
        let mut next = None;
        for group in self.run.jobs[i].groups_mut() {
            let name = group.name.to_lowercase();
            if !group.joined && !held.contains(&name) {
                group.joined = true;
                next = Some((group.name.clone(), group.manner));
                break;
            }
            held.push(name);
        }
        if let Some((group, manner)) = next {
            self.actions.push(Action::JoinGroup { member, group: group.clone(), manner });
            return self.wait(i, WaitingFor::Group { group });
        }
        if self.run.jobs[i].call.is_some() { self.begin_call(i) } else { self.queue(i) }
    }

    pub(super) fn queue(&mut self, i: usize) {
        let now = self.now;
        let job = &mut self.run.jobs[i];
        job.state = JobState::Queued { at: now };
        job.queued_at = Some(now);
        let (id, labels) = (job.id, job.labels.clone());
        self.actions.push(Action::Queue { job: id, labels: labels.clone() });
        self.emit_job(i, "job.queued", json!({"labels": labels}));
    }

    pub(super) fn gate_passed(&mut self, id: windlass_kernel::JobId) -> Result<(), InvalidTransition> {
        let i = self.index(id)?;
        if !matches!(self.run.jobs[i].state, JobState::Waiting { for_what: WaitingFor::Gate { .. } }) {
            return Err(self.job_refuses(i, "a passed gate"));
        }
        self.join_groups(i);
        Ok(())
    }

    pub(super) fn gate_rejected(
        &mut self,
        id: windlass_kernel::JobId,
        reason: String,
    ) -> Result<(), InvalidTransition> {
        let i = self.index(id)?;
        if !matches!(self.run.jobs[i].state, JobState::Waiting { for_what: WaitingFor::Gate { .. } }) {
            return Err(self.job_refuses(i, "a rejected gate"));
        }
        self.complete(i, Conclusion::Failure, Some(reason), self.now);
        Ok(())
    }

    pub(super) fn job_admitted(
        &mut self,
        id: windlass_kernel::JobId,
        group: &str,
    ) -> Result<(), InvalidTransition> {
        let i = self.index(id)?;
        let job = &self.run.jobs[i];
        match &job.state {
            JobState::Waiting { for_what: WaitingFor::Group { group: awaited } } if same(awaited, group) => {
                self.join_groups(i);
            }
            // The group may say so twice.
            JobState::Waiting { for_what: WaitingFor::Group { .. } }
            | JobState::Queued { .. }
            | JobState::Leased { .. }
            | JobState::Running { .. }
            | JobState::Calling { .. }
                if job.groups().any(|own| own.joined && same(&own.name, group)) => {}
            _ => return Err(self.job_refuses(i, "the turn in a concurrency group")),
        }
        Ok(())
    }
}
