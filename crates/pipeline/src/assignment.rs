use serde_json::{Value as Json, json};
use windlass_kernel::JobId;

use crate::{Job, Run, scope};

/// What a runner needs to know of a job, as JSON contexts.
#[derive(Clone, Debug, PartialEq)]
pub struct JobContext {
    /// The job's key in the workflow file.
    pub key: String,
    /// The workflow that the job is of: the run's own, or one that it calls.
    pub workflow: JobWorkflow,
    /// The job's name.
    pub name: String,
    /// The `github` context.
    pub github: Json,
    /// The `needs` context.
    pub needs: Json,
    /// The `strategy` context.
    pub strategy: Json,
    /// The `matrix` context; null without a matrix.
    pub matrix: Json,
    /// The `inputs` context.
    pub inputs: Json,
    /// The `vars` context, without the environment's own variables.
    pub vars: Json,
    /// The time limit in minutes.
    pub timeout_minutes: f64,
    /// The environment's name.
    pub environment: Option<String>,
}

/// The workflow that a job is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobWorkflow {
    /// Its file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// The repository that it is from, as `owner/name`; none for the run's own.
    pub repository: Option<String>,
    /// The ref that it was named by; none for the run's own.
    pub git_ref: Option<String>,
    /// The commit that it is from.
    pub sha: String,
}

/// What the runner of `job` needs to know; `None` if the run has no such job.
pub fn assignment(run: &Run, job: JobId) -> Option<JobContext> {
    let job: &Job = run.job(job)?;
    let scope = run.source(job.parent).ok()?;
    let (file, text) = run.text_of(scope)?;
    let called = scope.and_then(|place| run.called.get(place));
    let inputs = match job.parent.and_then(|id| run.job(id)).and_then(|caller| caller.call.as_ref()) {
        Some(call) => &call.inputs,
        None => &run.inputs,
    };
    let object = |json: &Json| if json.is_null() { json!({}) } else { json.clone() };
    Some(JobContext {
        key: job.key.clone(),
        name: job.name.clone(),
        workflow: JobWorkflow {
            file: file.to_owned(),
            text: text.to_owned(),
            repository: called.and_then(|called| called.repository.clone()),
            git_ref: called.and_then(|called| called.git_ref.clone()),
            sha: called.map_or_else(|| run.sha.clone(), |called| called.sha.clone()),
        },
        github: object(&run.github),
        needs: scope::needs_context(run, job.parent, &job.needs),
        strategy: scope::strategy_context(job.leg.as_ref(), job.fail_fast, job.max_parallel),
        matrix: job.leg.as_ref().map_or(Json::Null, |leg| leg.values.clone()),
        inputs: object(inputs),
        vars: object(&run.vars),
        timeout_minutes: job.timeout_minutes,
        environment: job.environment.clone(),
    })
}
