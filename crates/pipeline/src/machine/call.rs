//! Jobs that call a workflow: what they give it, how its jobs come to be, and what comes of them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use windlass_kernel::JobId;
use windlass_workflow::expr::Value;
use windlass_workflow::model::{Call, Job as JobModel, Workflow};

use super::Machine;
use crate::frame::{Frame, together};
use crate::scope::RunScope;
use crate::{CallState, Conclusion, Job, JobState, settings};

impl Machine<'_> {
    /// A job of a frame, before anything of it was evaluated.
    pub(super) fn fresh(&mut self, frame: Frame, job: &JobModel) -> Job {
        let needs = job.needs.iter().map(|need| need.value.clone()).collect();
        let mut fresh = Job::waiting((self.new_job_id)(), &job.id, needs);
        // A name without expressions is known before the job's turn comes.
        if let Some(name) = job.name.as_ref().and_then(|name| name.value.literal()) {
            name.clone_into(&mut fresh.name);
        }
        fresh.name = self.full_name(frame, &fresh.name);
        fresh.parent = frame;
        fresh
    }

    /// A job's name with its caller's before it.
    pub(super) fn full_name(&self, frame: Frame, name: &str) -> String {
        match frame.and_then(|id| self.run.job(id)) {
            Some(caller) => format!("{} / {name}", caller.name),
            None => name.to_owned(),
        }
    }

    /// What a job's call stands for: which workflow, with what inputs.
    pub(super) fn call_of(
        &mut self,
        frame: Frame,
        call: &Call,
        scope: &RunScope,
    ) -> Result<CallState, String> {
        let name = call.workflow.value.to_string();
        let missing = || format!("the workflow '{name}' was not loaded when the run was made");
        let calls = match self.run.source(frame).map_err(|_| missing())? {
            None => Some(&self.run.calls),
            Some(place) => self.run.called.get(place).map(|called| &called.calls),
        };
        let source = calls.and_then(|calls| calls.get(&name)).copied().ok_or_else(missing)?;
        let workflow = self.models.at(&self.run, Some(source)).ok_or_else(missing)?;
        let called = workflow.on.call.as_ref().ok_or_else(missing)?;
        let given = call.with.render(scope).map_err(|e| format!("`with` could not be evaluated: {e}"))?;
        let given: Vec<(String, Value)> = match &given {
            Value::Null => Vec::new(),
            Value::Object(object) => {
                object.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
            }
            other => return Err(format!("`with` must give a mapping, not '{}'", other.to_text())),
        };
        let outer = RunScope::of_frame(&self.run, frame);
        let inputs = called.inputs(&given, &outer).map_err(|wrong| wrong.join(" "))?;
        let inputs: BTreeMap<String, Json> = inputs.iter().map(|(k, v)| (k.clone(), v.to_json())).collect();
        let mut state = CallState { source, inputs: json!(inputs), group: None };
        if let Some(concurrency) = &workflow.concurrency {
            let group = settings::group(concurrency, &outer.within(&state))?;
            state.group = Some(self.run.fenced(group));
        }
        Ok(state)
    }

    /// The called workflow's turn has come: its jobs are made, unless a re-run kept them.
    pub(super) fn begin_call(&mut self, i: usize) {
        let id = self.run.jobs[i].id;
        let Some(workflow) = self.model(Some(id)) else {
            let reason = "the workflow that it calls is gone".to_owned();
            return self.complete(i, Conclusion::Failure, Some(reason), self.now);
        };
        if let Err(reason) = self.room_for(workflow.jobs.len()) {
            return self.complete(i, Conclusion::Failure, Some(reason), self.now);
        }
        let now = self.now;
        let job = &mut self.run.jobs[i];
        job.state = JobState::Calling { started: now };
        job.started_at = Some(now);
        if self.run.within(Some(id)).next().is_none() {
            let jobs: Vec<Job> = workflow.jobs.iter().map(|job| self.fresh(Some(id), job)).collect();
            let behind = i + 1;
            self.run.jobs.splice(behind..behind, jobs);
        }
        self.unsettled = true;
        self.emit_job(i, "job.started", json!({"calls": workflow.file}));
    }

    /// Calls whose jobs have all ended end as well.
    pub(super) fn end_calls(&mut self) {
        let calling = |job: &&Job| matches!(job.state, JobState::Calling { .. });
        // The inner ones stand behind those that called them.
        let calls: Vec<JobId> = self.run.jobs.iter().rev().filter(calling).map(|job| job.id).collect();
        for id in calls {
            if !self.run.within(Some(id)).all(Job::is_completed) {
                continue;
            }
            let conclusion = together(self.run.within(Some(id))).unwrap_or(Conclusion::Skipped);
            let Ok(i) = self.index(id) else { continue };
            match self.model(Some(id)).map(|workflow| self.call_outputs(id, &workflow)) {
                Some(Ok(outputs)) => {
                    self.run.jobs[i].outputs = outputs;
                    let reason = self.call_reason(id, conclusion);
                    self.complete(i, conclusion, reason, self.now);
                }
                Some(Err(reason)) => self.complete(i, Conclusion::Failure, Some(reason), self.now),
                None => self.complete(i, conclusion, None, self.now),
            }
        }
    }

    fn call_reason(&self, id: JobId, conclusion: Conclusion) -> Option<String> {
        let worst = self.run.within(Some(id)).find(|job| job.result() == Some(conclusion))?;
        (conclusion != Conclusion::Success)
            .then(|| format!("'{}' ended with {}", worst.name, conclusion.as_str()))
    }

    fn call_outputs(&self, id: JobId, workflow: &Workflow) -> Result<BTreeMap<String, String>, String> {
        let scope = RunScope::of_frame(&self.run, Some(id)).with_jobs(&self.run, Some(id), workflow);
        let mut outputs = BTreeMap::new();
        for output in workflow.on.call.iter().flat_map(|call| &call.outputs) {
            let name = &output.name.value;
            let value = output.value.render_text(&scope);
            let value = value.map_err(|e| format!("the output {name} could not be evaluated: {e}"))?;
            if !value.is_empty() {
                outputs.insert(name.clone(), value.to_string());
            }
        }
        Ok(outputs)
    }
}
