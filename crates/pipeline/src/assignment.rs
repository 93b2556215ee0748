use serde_json::{Value as Json, json};
use windlass_kernel::JobId;

use crate::{Job, Run, scope};

/// What a runner needs to know of a job, as JSON contexts.
#[derive(Clone, Debug, PartialEq)]
pub struct JobContext {
    /// The job's key in the workflow file.
    pub key: String,
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

/// What the runner of `job` needs to know; `None` if the run has no such job.
pub fn assignment(run: &Run, job: JobId) -> Option<JobContext> {
    let job: &Job = run.job(job)?;
    let object = |json: &Json| if json.is_null() { json!({}) } else { json.clone() };
    Some(JobContext {
        key: job.key.clone(),
        name: job.name.clone(),
        github: object(&run.github),
        needs: scope::needs_context(run, &job.needs),
        strategy: scope::strategy_context(job.leg.as_ref(), job.fail_fast, job.max_parallel),
        matrix: job.leg.as_ref().map_or(Json::Null, |leg| leg.values.clone()),
        inputs: object(&run.inputs),
        vars: object(&run.vars),
        timeout_minutes: job.timeout_minutes,
        environment: job.environment.clone(),
    })
}
