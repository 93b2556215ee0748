//! What the expressions of a run's and a job's settings are evaluated over.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use windlass_workflow::expr::{EvalError, Scope, StatusFunction, Value};
use windlass_workflow::model::Workflow;

use crate::frame::Frame;
use crate::{CallState, Conclusion, Job, Leg, Run};

/// The contexts of a run, and of one of its jobs.
#[derive(Clone, Debug)]
pub(crate) struct RunScope {
    github: Value,
    inputs: Value,
    vars: Value,
    needs: Option<Value>,
    strategy: Option<Value>,
    matrix: Option<Value>,
    jobs: Option<Value>,
    secrets: Option<Value>,
    status: Option<Status>,
}

/// What the status functions of a job answer from.
#[derive(Clone, Debug)]
struct Status {
    /// All that the job needs, directly or not.
    ancestors: Vec<(String, Conclusion)>,
    cancelled: bool,
}

impl RunScope {
    /// The contexts of a frame: the run's own, with the inputs that the call was given.
    pub(crate) fn of_frame(run: &Run, frame: Frame) -> Self {
        let call = frame.and_then(|id| run.job(id)).and_then(|job| job.call.as_ref());
        let scope = Self::of_run(run);
        call.map_or(scope.clone(), |call| scope.within(call))
    }

    /// The same within a called workflow.
    pub(crate) fn within(&self, call: &CallState) -> Self {
        Self { inputs: Value::from(&call.inputs), ..self.clone() }
    }

    /// The contexts of the run itself.
    pub(crate) fn of_run(run: &Run) -> Self {
        let object = |json: &Json| match json {
            Json::Null => Value::empty_object(),
            json => Value::from(json),
        };
        Self {
            github: object(&run.github),
            inputs: object(&run.inputs),
            vars: object(&run.vars),
            needs: None,
            strategy: None,
            matrix: None,
            jobs: None,
            secrets: None,
            status: None,
        }
    }

    /// The same, with `jobs`: what the outputs of a called workflow are made of.
    pub(crate) fn with_jobs(&self, run: &Run, frame: Frame, workflow: &Workflow) -> Self {
        let keys: Vec<String> = workflow.jobs.iter().map(|job| job.id.value.clone()).collect();
        Self { jobs: Some(Value::from(needs_context(run, frame, &keys))), ..self.clone() }
    }

    /// The same, with `secrets`.
    pub(crate) fn with_secrets(&self, secrets: Value) -> Self {
        Self { secrets: Some(secrets), ..self.clone() }
    }

    /// The same, for a job that was not expanded yet: with `needs` and the status functions.
    pub(crate) fn for_job(
        &self,
        run: &Run,
        frame: Frame,
        workflow: &Workflow,
        key: &str,
        needs: &[String],
    ) -> Self {
        let ancestors = workflow.ancestors(key);
        let ancestors = ancestors.iter().map(|job| {
            let result = run.result_in(frame, &job.id).unwrap_or(Conclusion::Skipped);
            (job.id.value.clone(), result)
        });
        let status = Status { ancestors: ancestors.collect(), cancelled: run.cancellation.is_some() };
        Self {
            needs: Some(Value::from(needs_context(run, frame, needs))),
            status: Some(status),
            ..self.clone()
        }
    }

    /// The same, for one leg: with `strategy` and `matrix`.
    pub(crate) fn for_leg(&self, leg: Option<&Leg>, fail_fast: bool, max_parallel: Option<usize>) -> Self {
        Self {
            strategy: Some(Value::from(strategy_context(leg, fail_fast, max_parallel))),
            matrix: Some(leg.map_or(Value::Null, |leg| Value::from(&leg.values))),
            ..self.clone()
        }
    }
}

impl Scope for RunScope {
    fn context(&self, name: &str) -> Option<Value> {
        match name {
            "github" => Some(self.github.clone()),
            "inputs" => Some(self.inputs.clone()),
            "vars" => Some(self.vars.clone()),
            "needs" => self.needs.clone(),
            "strategy" => self.strategy.clone(),
            "matrix" => self.matrix.clone(),
            "jobs" => self.jobs.clone(),
            "secrets" => self.secrets.clone(),
            _ => None,
        }
    }

    fn status(&self, function: StatusFunction, arguments: &[Value]) -> Result<Value, EvalError> {
        let name = function.name();
        let status = self
            .status
            .as_ref()
            .ok_or_else(|| EvalError::new(format!("the function '{name}' is not available here")))?;
        let asked = arguments.iter().map(Value::to_text).collect::<Vec<_>>();
        let known = |key: &str| status.ancestors.iter().any(|(own, _)| own.eq_ignore_ascii_case(key));
        if let Some(unknown) = asked.iter().find(|key| !known(key)) {
            return Err(EvalError::new(format!("{name}: this job does not need the job '{unknown}'")));
        }
        let mut heeded = status
            .ancestors
            .iter()
            .filter(|(key, _)| asked.is_empty() || asked.iter().any(|a| a.eq_ignore_ascii_case(key)))
            .map(|(_, conclusion)| *conclusion);
        Ok(Value::Bool(match function {
            StatusFunction::Always => true,
            StatusFunction::Cancelled => status.cancelled,
            StatusFunction::Success => !status.cancelled && heeded.all(|c| c == Conclusion::Success),
            StatusFunction::Failure => heeded.any(|c| c == Conclusion::Failure),
        }))
    }
}

/// The `needs` context: each job's result and the outputs of its legs, the last to finish first heard.
pub(crate) fn needs_context(run: &Run, frame: Frame, needs: &[String]) -> Json {
    let entries = needs.iter().map(|key| {
        let result = run.result_in(frame, key).map_or(Json::Null, |c| c.as_str().into());
        (key.clone(), json!({"result": result, "outputs": outputs(run, frame, key)}))
    });
    Json::Object(entries.collect())
}

fn outputs<'a>(run: &'a Run, frame: Frame, key: &'a str) -> BTreeMap<&'a str, &'a str> {
    let mut legs: Vec<&Job> = run.legs(frame, key).collect();
    legs.sort_by_key(|job| job.finished_at());
    legs.iter().flat_map(|job| &job.outputs).map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The `strategy` context.
pub(crate) fn strategy_context(leg: Option<&Leg>, fail_fast: bool, max_parallel: Option<usize>) -> Json {
    let total = leg.map_or(1, |leg| leg.total);
    json!({
        "fail-fast": fail_fast,
        "job-index": leg.map_or(0, |leg| leg.index),
        "job-total": total,
        "max-parallel": max_parallel.unwrap_or(total),
    })
}
