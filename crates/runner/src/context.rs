//! What expressions of a job read: its contexts, the steps that ran, how the job stands.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_api::Conclusion;
use windlass_api::runner::Assignment;
use windlass_workflow::expr::{EvalError, Object, Scope, StatusFunction, Value};
use windlass_workflow::model::{Map, Setting};
use windlass_workflow::template::Template;

use crate::place::{Layout, Patience, Place};
use crate::stop::StopSwitch;
use crate::tool::{Hashing, Request};

/// How a job, or a composite action, stands. It only worsens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Success,
    Failure,
    Cancelled,
}

/// The contexts that do not change while the job runs.
pub(crate) struct JobContexts {
    pub(crate) github: Object,
    runner: Value,
    fixed: BTreeMap<&'static str, Value>,
    secrets: Value,
    /// What was started for the job: `job.container`, `job.services`.
    pub(crate) job: std::sync::OnceLock<Vec<(&'static str, Value)>>,
}

/// What a step left for the others.
#[derive(Clone, Debug)]
pub(crate) struct StepResult {
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) outcome: Conclusion,
    pub(crate) conclusion: Conclusion,
}

/// Steps that see each other: those of the job, or of one use of a composite action.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) steps: BTreeMap<String, StepResult>,
    /// `github.action`: what the step under way is called.
    pub(crate) action: String,
    /// Stops these steps alone, not the job.
    pub(crate) own: StopSwitch,
    /// Set within a composite action.
    pub(crate) composite: Option<CompositeFrame>,
}

/// What is different within a composite action.
#[derive(Clone, Debug)]
pub(crate) struct CompositeFrame {
    pub(crate) inputs: Value,
    /// The action's folder.
    pub(crate) path: String,
    /// `OWNER/REPO` and the ref; empty for an action of the workspace.
    pub(crate) repository: String,
    pub(crate) git_ref: String,
    /// What `$/` means there; none: what it means in the workflow.
    pub(crate) root: Option<OwnRoot>,
    /// The environment of the step that uses it.
    pub(crate) env: BTreeMap<String, String>,
    /// What that step, and those around it, set themselves.
    pub(crate) own: BTreeMap<String, String>,
    /// The end of that step's time.
    pub(crate) deadline: Option<tokio::time::Instant>,
    pub(crate) failed: bool,
    /// How deep it is nested, from 1.
    pub(crate) depth: u32,
}

/// The repository that a file is from, as the job has it.
#[derive(Clone, Debug)]
pub(crate) struct OwnRoot {
    pub(crate) root: std::path::PathBuf,
    pub(crate) repository: String,
    pub(crate) git_ref: String,
}

/// What one expression is evaluated over.
pub(crate) struct StepScope<'a> {
    pub(crate) contexts: &'a JobContexts,
    pub(crate) frame: &'a Frame,
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) job: Status,
    /// Where `hashFiles` looks, and how long it may; none: it is not available.
    pub(crate) place: Option<(&'a Place, &'a Patience)>,
}

/// How long `hashFiles` may take.
const HASHING: Duration = Duration::from_mins(2);

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }
}

impl JobContexts {
    /// From what control sent, and from what only the runner knows.
    pub(crate) fn new(assignment: &Assignment, layout: &Layout, runner_name: &str) -> Self {
        let text = |path: &std::path::Path| Value::from(path.to_string_lossy().into_owned());
        let mut github = match from_json(&assignment.github) {
            Value::Object(object) => (*object).clone(),
            _ => Object::new(),
        };
        github.insert("token", Value::from(steps_token(assignment).to_owned()));
        github.insert("job", Value::from(assignment.key.clone()));
        github.insert("workspace", text(&layout.workspace));
        github.insert("event_path", text(&layout.event));
        let mut runner = vec![
            ("name", Value::from(runner_name.to_owned())),
            ("os", Value::from("Linux".to_owned())),
            ("arch", Value::from(architecture().to_owned())),
            ("temp", text(&layout.temp)),
            ("tool_cache", text(&layout.tool_cache)),
            ("workspace", text(&layout.above)),
            ("environment", Value::from("self-hosted".to_owned())),
        ];
        if assignment.debug {
            runner.push(("debug", Value::from("1".to_owned())));
        }
        let token = ("GITHUB_TOKEN".to_owned(), Value::from(steps_token(assignment).to_owned()));
        let secrets = assignment
            .secrets
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.expose().clone())));
        let fixed = BTreeMap::from([
            ("needs", from_json(&assignment.needs)),
            ("strategy", from_json(&assignment.strategy)),
            ("matrix", from_json(&assignment.matrix)),
            ("inputs", from_json(&assignment.inputs)),
            ("vars", from_json(&assignment.vars)),
        ]);
        Self {
            github,
            runner: Value::object(runner),
            fixed,
            secrets: Value::object(secrets.chain([token])),
            job: std::sync::OnceLock::new(),
        }
    }
}

/// `GITHUB_TOKEN`: the token that `permissions` gives the steps, not the one that the unit reports with.
pub(crate) fn steps_token(assignment: &Assignment) -> &str {
    assignment.services.as_ref().map_or(&assignment.token, |services| &services.github_token).expose()
}

/// The processor, as the `runner` context spells it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "X64",
        "aarch64" => "ARM64",
        "x86" => "X86",
        _ => "ARM",
    }
}

/// JSON from the wire as a value of the language.
pub(crate) fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => Value::Number(n.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(s) => Value::from(s.clone()),
        serde_json::Value::Array(items) => Value::array(items.iter().map(from_json)),
        serde_json::Value::Object(entries) => {
            Value::object(entries.iter().map(|(key, value)| (key.clone(), from_json(value))))
        }
    }
}

/// How steps' ends are spelt.
pub(crate) fn spelt(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Success => "success",
        Conclusion::Failure | Conclusion::StartupFailure => "failure",
        Conclusion::Cancelled => "cancelled",
        Conclusion::Skipped => "skipped",
    }
}

impl Frame {
    /// How deep it is nested; 0 for the job's own steps.
    pub(crate) fn depth(&self) -> u32 {
        self.composite.as_ref().map_or(0, |composite| composite.depth)
    }

    fn steps_value(&self) -> Value {
        Value::object(self.steps.iter().map(|(id, step)| {
            let outputs = step.outputs.iter().map(|(name, value)| (name.clone(), Value::from(value.clone())));
            let entries = [
                ("outputs", Value::object(outputs)),
                ("outcome", Value::from(spelt(step.outcome).to_owned())),
                ("conclusion", Value::from(spelt(step.conclusion).to_owned())),
            ];
            (id.clone(), Value::object(entries))
        }))
    }
}

impl StepScope<'_> {
    /// How the steps of this frame stand.
    pub(crate) fn status(&self) -> Status {
        match &self.frame.composite {
            Some(composite) if self.job == Status::Cancelled || !composite.failed => {
                if self.job == Status::Cancelled { Status::Cancelled } else { Status::Success }
            }
            Some(_) => Status::Failure,
            None => self.job,
        }
    }

    fn github(&self) -> Value {
        let mut github = self.contexts.github.clone();
        if !self.frame.action.is_empty() {
            github.insert("action", Value::from(self.frame.action.clone()));
        }
        if let Some(composite) = &self.frame.composite {
            github.insert("action_repository", Value::from(composite.repository.clone()));
            github.insert("action_ref", Value::from(composite.git_ref.clone()));
            github.insert("action_path", Value::from(composite.path.clone()));
            github.insert("action_status", Value::from(self.status().as_str().to_owned()));
        }
        Value::Object(std::sync::Arc::new(github))
    }

    /// A mapping's texts, evaluated, in the file's order.
    pub(crate) fn map(&self, map: &Map) -> Result<Vec<(String, String)>, EvalError> {
        match map {
            Map::Entries(entries) => entries
                .iter()
                .map(|entry| Ok((entry.name.value.clone(), self.text(&entry.value.value)?)))
                .collect(),
            Map::Expression(template) => match template.value.render(self)? {
                Value::Object(object) => Ok(object
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_text().to_string()))
                    .collect()),
                Value::Null => Ok(Vec::new()),
                _ => Err(EvalError::new(format!("`{}` must give a mapping", template.value.text()))),
            },
            Map::Computed(_) => {
                let entries = map.render(self)?.into_iter();
                Ok(entries.map(|(name, value)| (name, value.to_text().to_string())).collect())
            }
        }
    }

    /// A text, evaluated.
    pub(crate) fn text(&self, template: &Template) -> Result<String, EvalError> {
        template.render_text(self).map(|text| text.to_string())
    }

    /// A yes or no, evaluated.
    pub(crate) fn flag(&self, setting: &Setting<bool>) -> Result<bool, EvalError> {
        match setting {
            Setting::Literal(value) => Ok(*value),
            Setting::Expression(template) => match template.value.render(self)? {
                Value::Bool(value) => Ok(value),
                Value::Null => Ok(false),
                other => match &*other.to_text() {
                    "true" => Ok(true),
                    "false" | "" => Ok(false),
                    text => Err(EvalError::new(format!(
                        "`{}` must be true or false, not '{text}'",
                        template.value.text()
                    ))),
                },
            },
        }
    }

    /// A number, evaluated.
    pub(crate) fn number(&self, setting: &Setting<f64>) -> Result<f64, EvalError> {
        let number = match setting {
            Setting::Literal(value) => *value,
            Setting::Expression(template) => template.value.render(self)?.to_number(),
        };
        if number.is_nan() { Err(EvalError::new("a number is needed here")) } else { Ok(number) }
    }
}

impl Scope for StepScope<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        match name {
            "github" => Some(self.github()),
            "runner" => Some(self.contexts.runner.clone()),
            "steps" => Some(self.frame.steps_value()),
            "job" => {
                let status = ("status", Value::from(self.job.as_str().to_owned()));
                let started = self.contexts.job.get().into_iter().flatten().cloned();
                Some(Value::object(std::iter::once(status).chain(started)))
            }
            "env" => {
                // Names of variables are exact: `PATH` and `Path` are two.
                let mut env = Object::exact();
                for (name, value) in self.env {
                    env.insert(name, Value::from(value.clone()));
                }
                Some(Value::Object(std::sync::Arc::new(env)))
            }
            "inputs" if self.frame.composite.is_some() => {
                self.frame.composite.as_ref().map(|composite| composite.inputs.clone())
            }
            "secrets" if self.frame.composite.is_none() => Some(self.contexts.secrets.clone()),
            "vars" | "needs" if self.frame.composite.is_some() => None,
            fixed => self.contexts.fixed.get(fixed).cloned(),
        }
    }

    fn status(&self, function: StatusFunction, _arguments: &[Value]) -> Result<Value, EvalError> {
        Ok(Value::from(match function {
            StatusFunction::Always => true,
            StatusFunction::Cancelled => self.job == Status::Cancelled,
            StatusFunction::Success => StepScope::status(self) == Status::Success,
            StatusFunction::Failure => StepScope::status(self) == Status::Failure,
        }))
    }

    fn hash_files(&self, patterns: &[String]) -> Result<String, EvalError> {
        let (place, patience) =
            self.place.ok_or_else(|| EvalError::new("the function 'hashFiles' is not available here"))?;
        let hashing = Hashing { root: place.layout.workspace.clone(), patterns: patterns.to_vec() };
        let request = Request::Hash(hashing);
        if place.is_plain() {
            let answer =
                crate::tool::answer_here(&request).unwrap_or_else(|| Ok(crate::tool::Report::default()));
            return answer.map(|report| report.text).map_err(EvalError::new);
        }
        let work = async { tokio::time::timeout(HASHING, place.tool(&request, None, patience)).await };
        // Expressions are synchronous; this thread steps aside while the tool works.
        let answer = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work));
        match answer {
            Ok(Ok(report)) => Ok(report.text),
            Ok(Err(e)) => Err(EvalError::new(format!("hashFiles({}) failed: {e}", patterns.join(", ")))),
            Err(_) => Err(EvalError::new(format!(
                "hashFiles({}) took longer than 120 seconds",
                patterns.join(", ")
            ))),
        }
    }
}
