//! Which secrets a job of a called workflow gets: those that its caller hands on, by name or all.

use std::collections::BTreeMap;

use windlass_kernel::{JobId, Secret};
use windlass_workflow::expr::{Object, Value};
use windlass_workflow::model::CallSecrets;

use crate::scope::RunScope;
use crate::{Job, Run};

/// Secrets by name.
type Secrets = BTreeMap<String, Secret<String>>;

/// What is left of the run's secrets for a job: all of them, unless a call on the way hands on some only. A secret of an
/// environment is none of these: a caller cannot hand it on.
///
/// # Errors
/// What could not be evaluated, in words, without any secret.
pub fn secrets(run: &Run, job: JobId, given: Secrets) -> Result<Secrets, String> {
    let Some(job) = run.job(job) else { return Ok(given) };
    let callers: Vec<&Job> = run.callers(job).collect();
    let mut secrets = given;
    for caller in callers.into_iter().rev() {
        secrets = handed_on(run, caller, secrets)?;
    }
    Ok(secrets)
}

fn handed_on(run: &Run, caller: &Job, secrets: Secrets) -> Result<Secrets, String> {
    let missing = || format!("the workflow that '{}' is of is gone", caller.name);
    let workflow = run.model_of(caller.parent).ok_or_else(missing)?;
    let model = workflow.job(&caller.key).ok_or_else(missing)?;
    let call = model.call().ok_or_else(missing)?;
    let CallSecrets::Named(named) = &call.secrets else { return Ok(secrets) };
    let mut object = Object::new();
    for (name, value) in &secrets {
        object.insert(name, Value::from(value.expose().clone()));
    }
    let scope = RunScope::of_frame(run, caller.parent)
        .for_job(run, caller.parent, &workflow, &caller.key, &caller.needs)
        .for_leg(caller.leg.as_ref(), caller.fail_fast, caller.max_parallel)
        .with_secrets(Value::from(object));
    // Its message would tell what it read.
    let rendered = named.render(&scope);
    let rendered = rendered.map_err(|_| format!("`secrets` of '{}' could not be evaluated", caller.name))?;
    let set = rendered.into_iter().map(|(name, value)| (name, value.to_text().to_string()));
    Ok(set.filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, Secret::new(value))).collect())
}
