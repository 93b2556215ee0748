//! A job's settings as its expressions give them. What cannot be evaluated is told in words that name the key.

use windlass_workflow::expr::{EvalError, Object, Scope, Value};
use windlass_workflow::matrix::{self, MatrixInput};
use windlass_workflow::model::{Concurrency, Job, Queue, Setting, Strategy};

use crate::concurrency::Manner;
use crate::{GroupHold, Leg};

/// Six hours, as on GitHub.
pub(crate) const DEFAULT_TIMEOUT_MINUTES: f64 = 360.0;
/// How long a job may take to end once it was told to.
pub(crate) const DEFAULT_CANCEL_TIMEOUT_MINUTES: f64 = 5.0;
/// The longest name of a concurrency group, in characters.
const MAX_GROUP: usize = 400;

/// The `strategy` of a job, evaluated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StrategySettings {
    /// The legs; `None` without a matrix.
    pub(crate) legs: Option<Vec<Leg>>,
    pub(crate) fail_fast: bool,
    pub(crate) max_parallel: Option<usize>,
}

/// What one leg's expressions give.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JobSettings {
    pub(crate) name: String,
    pub(crate) labels: Vec<String>,
    pub(crate) continue_on_error: bool,
    pub(crate) timeout_minutes: f64,
    pub(crate) cancel_timeout_minutes: f64,
    pub(crate) environment: Option<String>,
    pub(crate) deployment: bool,
    pub(crate) group: Option<GroupHold>,
}

fn at(key: &'static str) -> impl Fn(EvalError) -> String {
    move |e| format!("`{key}` could not be evaluated: {e}")
}

/// Evaluates the strategy over the contexts that stand before expansion.
pub(crate) fn strategy(strategy: Option<&Strategy>, scope: &dyn Scope) -> Result<StrategySettings, String> {
    let Some(strategy) = strategy else {
        return Ok(StrategySettings { legs: None, fail_fast: true, max_parallel: None });
    };
    let fail_fast = boolean("strategy.fail-fast", &strategy.fail_fast, scope)?;
    let max_parallel = match &strategy.max_parallel {
        Some(setting) => Some(number("strategy.max-parallel", setting, scope)?),
        None => None,
    };
    let max_parallel = match max_parallel {
        Some(n) if n < 1.0 => return Err("`strategy.max-parallel` must be 1 or more".into()),
        other => other.map(|n| n as usize),
    };
    let legs = match &strategy.matrix {
        None => None,
        Some(matrix) => {
            let value = matrix.render(scope).map_err(at("strategy.matrix"))?;
            if value == Value::Null {
                // One expression for the whole strategy may give one without a matrix.
                return Ok(StrategySettings { legs: None, fail_fast, max_parallel });
            }
            if value.as_str().is_some() {
                return Err(
                    "`strategy.matrix` gave a text instead of a mapping; did you mean `fromJSON(…)`?".into(),
                );
            }
            let legs = MatrixInput::from_value(&value).and_then(|input| matrix::expand(&input));
            let legs = legs.map_err(|e| e.to_string())?;
            let total = legs.len();
            let leg = |(index, leg): (usize, matrix::Leg)| {
                let values = leg.values.to_json();
                Leg { values, suffix: leg.suffix, index, total }
            };
            Some(legs.into_iter().enumerate().map(leg).collect())
        }
    };
    Ok(StrategySettings { legs, fail_fast, max_parallel })
}

/// Evaluates one leg's settings.
pub(crate) fn job(job: &Job, leg: Option<&Leg>, scope: &dyn Scope) -> Result<JobSettings, String> {
    let timeout_minutes = match &job.timeout_minutes {
        Some(setting) => number("timeout-minutes", setting, scope)?,
        None => DEFAULT_TIMEOUT_MINUTES,
    };
    if timeout_minutes <= 0.0 {
        return Err("`timeout-minutes` must be more than 0".into());
    }
    let cancel_timeout_minutes = match &job.cancel_timeout_minutes {
        Some(setting) => number("cancel-timeout-minutes", setting, scope)?,
        None => DEFAULT_CANCEL_TIMEOUT_MINUTES,
    };
    if cancel_timeout_minutes < 0.0 {
        return Err("`cancel-timeout-minutes` must be 0 or more".into());
    }
    let (environment, deployment) = environment(job, scope)?;
    Ok(JobSettings {
        name: name(job, leg.map_or("", |leg| &leg.suffix), scope)?,
        labels: labels(job, scope)?,
        continue_on_error: boolean("continue-on-error", &job.continue_on_error, scope)?,
        timeout_minutes,
        cancel_timeout_minutes,
        deployment,
        environment,
        group: job.concurrency.as_ref().map(|c| group(c, scope)).transpose()?,
    })
}

/// The environment of a job, if it has one, and whether what is done there is a deployment.
fn environment(job: &Job, scope: &dyn Scope) -> Result<(Option<String>, bool), String> {
    let Some(environment) = &job.environment else { return Ok((None, true)) };
    let value = environment.name.render(scope).map_err(at("environment"))?;
    let (name, deployment) = match &value {
        Value::Object(given) => {
            if let Some(other) = given.keys().find(|key| !["name", "deployment"].contains(key)) {
                return Err(format!(
                    "`environment` gave an object with '{other}': write that as a key of its own"
                ));
            }
            let deployment =
                given.get("deployment").map_or(Ok(true), |value| truth("environment.deployment", value))?;
            (given.get("name").unwrap_or(&Value::Null).to_text(), deployment)
        }
        name => (name.to_text(), boolean("environment.deployment", &environment.deployment, scope)?),
    };
    Ok((Some(name.to_string()).filter(|name| !name.is_empty()), deployment))
}

/// Evaluates a `concurrency`.
pub(crate) fn group(concurrency: &Concurrency, scope: &dyn Scope) -> Result<GroupHold, String> {
    let value = concurrency.group.render(scope).map_err(at("concurrency.group"))?;
    // One expression may give the whole mapping.
    let (name, given) = match &value {
        Value::Object(given) => (given.get("group").unwrap_or(&Value::Null).to_text(), Some(given)),
        name => (name.to_text(), None),
    };
    if name.trim().is_empty() {
        return Err("Concurrency group name cannot be empty".into());
    }
    if name.chars().count() > MAX_GROUP {
        return Err(format!("`concurrency.group` is longer than {MAX_GROUP} characters"));
    }
    let (cancel_in_progress, queued) = match given {
        None => {
            let cancels = boolean("concurrency.cancel-in-progress", &concurrency.cancel_in_progress, scope)?;
            (cancels, concurrency.queue == Queue::Max)
        }
        Some(given) => {
            let known = ["group", "cancel-in-progress", "queue"];
            if let Some(other) = given.keys().find(|key| !known.contains(key)) {
                return Err(format!(
                    "`concurrency` gave an object with '{other}': it may have {}",
                    known.join(", ")
                ));
            }
            let cancels = given.get("cancel-in-progress");
            let cancels =
                cancels.map_or(Ok(false), |value| truth("concurrency.cancel-in-progress", value))?;
            let queued = match given.get("queue").map(Value::to_text).as_deref() {
                None | Some("single") => false,
                Some("max") => true,
                Some(other) => {
                    return Err(format!("`concurrency.queue` must be single or max, not '{other}'"));
                }
            };
            (cancels, queued)
        }
    };
    if queued && cancel_in_progress {
        return Err("'queue: max' cannot be combined with 'cancel-in-progress: true'.".into());
    }
    Ok(GroupHold { name: name.to_string(), manner: Manner { cancel_in_progress, queued }, joined: false })
}

fn name(job: &Job, suffix: &str, scope: &dyn Scope) -> Result<String, String> {
    let with_suffix =
        |name: &str| if suffix.is_empty() { name.to_owned() } else { format!("{name} {suffix}") };
    let name = match &job.name {
        None => with_suffix(&job.id),
        Some(name) => match name.literal() {
            Some("") => with_suffix(&job.id),
            Some(literal) => with_suffix(literal),
            None => {
                let text = name.render_text(scope).map_err(at("name"))?;
                if text.trim().is_empty() { with_suffix(&job.id) } else { text.to_string() }
            }
        },
    };
    Ok(matrix::cut(&name))
}

fn labels(job: &Job, scope: &dyn Scope) -> Result<Vec<String>, String> {
    let mut labels = Vec::new();
    // A job that calls a workflow runs nowhere itself.
    let Some(runs_on) = &job.runs_on else { return Ok(labels) };
    let mut of_group = runs_on.group.is_some();
    for label in &runs_on.labels {
        match label.render(scope).map_err(at("runs-on"))? {
            Value::Array(items) => labels.extend(items.iter().map(|item| item.to_text().to_string())),
            Value::Object(given) if runs_on.labels.len() == 1 => {
                of_group |= given.contains_key("group");
                labels.extend(of_object(&given)?);
            }
            Value::Object(_) => return Err("`runs-on` gave an object as one of several labels".into()),
            scalar => labels.push(scalar.to_text().to_string()),
        }
    }
    labels.retain(|label| !label.trim().is_empty());
    if labels.is_empty() && !of_group { Err("`runs-on` gave no label".into()) } else { Ok(labels) }
}

/// The labels of an object that one expression gave for the whole of `runs-on`. As where it is written out, a group has
/// no part in which runner takes the job.
fn of_object(given: &Object) -> Result<Vec<String>, String> {
    if let Some(other) = given.keys().find(|key| !["group", "labels"].contains(key)) {
        return Err(format!("`runs-on` gave an object with '{other}': it may have group, labels"));
    }
    Ok(match given.get("labels") {
        Some(Value::Array(items)) => items.iter().map(|item| item.to_text().to_string()).collect(),
        Some(label) => vec![label.to_text().to_string()],
        None => Vec::new(),
    })
}

fn truth(key: &'static str, value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        other => Err(format!("`{key}` must be true or false, not '{}'", other.to_text())),
    }
}

fn boolean(key: &'static str, setting: &Setting<bool>, scope: &dyn Scope) -> Result<bool, String> {
    match setting {
        Setting::Literal(value) => Ok(*value),
        Setting::Expression(template) => truth(key, &template.render(scope).map_err(at(key))?),
    }
}

fn number(key: &'static str, setting: &Setting<f64>, scope: &dyn Scope) -> Result<f64, String> {
    match setting {
        Setting::Literal(value) => Ok(*value),
        Setting::Expression(template) => {
            let value = template.render(scope).map_err(at(key))?;
            let number = if value.as_str().is_some_and(str::is_empty) { f64::NAN } else { value.to_number() };
            if number.is_finite() {
                Ok(number)
            } else {
                Err(format!("`{key}` must be a number, not '{}'", value.to_text()))
            }
        }
    }
}
