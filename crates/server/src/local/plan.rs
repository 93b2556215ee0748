//! Which workflows and jobs a local run is of. What cannot run is said here, before anything does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_pipeline::Loaded;
use windlass_workflow::model::{StepKind, Workflow};
use windlass_workflow::{Diagnostic, parse_bytes};

use super::LocalRequest;
use super::event::LocalEvent;
use super::place::{Places, Where};
use super::repository::Repository;
use super::source;

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// The runs, in the order of their files.
    pub runs: Vec<PlannedRun>,
    pub(super) request: Arc<LocalRequest>,
    pub(super) repository: Repository,
    pub(super) places: Arc<Places>,
    pub(super) actor: String,
}

/// A run of one workflow.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// The workflow's file, from the repository's root.
    pub file: String,
    /// The workflow's name.
    pub name: String,
    /// Its jobs that were asked for, with those that they need, in the file's order.
    pub jobs: Vec<PlannedJob>,
    /// Why it runs.
    pub why: String,
    /// Warnings and notes about its file.
    pub findings: Vec<Diagnostic>,
    /// The file's text.
    pub text: String,
    pub(super) workflow: Arc<Workflow>,
    pub(super) event: LocalEvent,
    pub(super) inputs: Value,
    pub(super) called: Loaded,
    /// Whether some of its jobs were not asked for.
    pub(super) partly: bool,
}

/// A job, before its matrix is expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedJob {
    /// Its id.
    pub id: String,
    /// The ids of the jobs that it needs.
    pub needs: Vec<String>,
    /// What is said of where it runs; none while that is an expression, or it calls a workflow.
    pub place: Option<String>,
    /// The workflow that it calls.
    pub calls: Option<String>,
    /// Whether it has a matrix.
    pub matrix: bool,
}

/// Why nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Something that was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// No workflow runs on the event; why not, by file.
    #[error("{0}")]
    Nothing(String),
    /// What was asked for does not fit the workflow.
    #[error("{0}")]
    Unfit(String),
    /// A workflow has errors.
    #[error("{file} cannot be used: it has errors")]
    Invalid {
        /// The file.
        file: String,
        /// Its text.
        text: String,
        /// What is wrong with it.
        findings: Vec<Diagnostic>,
    },
}

struct Read {
    file: String,
    text: String,
    workflow: Option<Workflow>,
    findings: Vec<Diagnostic>,
}

/// Decides what a request means.
///
/// # Errors
/// When nothing runs, or not all of what was asked for can.
pub fn plan(request: LocalRequest) -> Result<Plan, PlanError> {
    let folder = &request.folder;
    let repository = Repository::around(folder)
        .map_err(|e| PlanError::NotFound(format!("{} cannot be used: {e}", folder.display())))?;
    let files = files(&request, &repository)?;
    // A file that was named runs whatever its filters say: that is what naming it is for.
    let named = request.workflows.as_ref().is_some_and(|path| path.is_file());
    let read: Vec<Read> = files.iter().map(|path| read(path, &repository.root)).collect::<Result<_, _>>()?;
    let actor = actor(&request);
    let places = Arc::new(Places::new(request.places.clone(), &request.exe, &request.store));
    let mut events = BTreeMap::new();
    let (mut runs, mut reasons) = (Vec::new(), Vec::new());
    let mut invalid = None;
    for found in read {
        let Some(workflow) = found.workflow else {
            invalid.get_or_insert((found.file, found.text, found.findings));
            continue;
        };
        let name = event_name(&request, &workflow, named);
        let event = events.entry(name.clone()).or_insert_with(|| {
            LocalEvent::new(&name, &repository, &actor, request.payload.as_ref(), &request.inputs)
        });
        let decision = event.decide(&workflow);
        if !(decision.run || named && workflow.on.names().contains(&name.as_str())) {
            reasons.push(format!("  {}: {}", found.file, decision.reason));
            continue;
        }
        let wanted = wanted(&workflow, &request.jobs);
        if wanted.is_empty() {
            let ids: Vec<&str> = workflow.jobs.iter().map(|job| job.id.value.as_str()).collect();
            reasons.push(format!("  {}: its jobs are {}", found.file, ids.join(", ")));
            continue;
        }
        let inputs = inputs(&request, event, &workflow, &found.file)?;
        let called = source::called(&found.file, &found.text, &workflow, &repository, &request.repositories);
        runs.push(PlannedRun {
            name: workflow.display_name().to_owned(),
            jobs: jobs(&workflow, &wanted, &places, &found.file, request.plans_only)?,
            why: if decision.run { decision.reason } else { format!("named, although {}", decision.reason) },
            partly: wanted.len() < workflow.jobs.len(),
            file: found.file,
            findings: found.findings,
            text: found.text,
            event: event.clone(),
            workflow: Arc::new(workflow),
            inputs,
            called,
        });
    }
    match invalid {
        // Asked for one job that another file has, one need not mend this file first.
        Some((file, text, findings)) if request.jobs.is_empty() || runs.is_empty() => {
            return Err(PlanError::Invalid { file, text, findings });
        }
        _ => {}
    }
    if runs.is_empty() {
        return Err(nothing(&request, &reasons));
    }
    Ok(Plan { runs, request: Arc::new(request), repository, places, actor })
}

fn nothing(request: &LocalRequest, reasons: &[String]) -> PlanError {
    let event = request.event.as_deref().unwrap_or("push");
    let reasons = reasons.join("\n");
    if request.jobs.is_empty() {
        return PlanError::Nothing(format!(
            "no workflow runs on {event} here:\n{reasons}\nname another event (windlass run pull_request), or a file that is to \
             run all the same (-W FILE)"
        ));
    }
    PlanError::NotFound(format!(
        "no workflow that runs on {event} has the job {}:\n{reasons}",
        request.jobs.join(", ")
    ))
}

/// `push`, unless another was named; a file that was named decides by itself what it is started by.
fn event_name(request: &LocalRequest, workflow: &Workflow, named: bool) -> String {
    if let Some(event) = &request.event {
        return event.clone();
    }
    let names = workflow.on.names();
    let first = names.first().filter(|_| named && !names.contains(&"push"));
    (*first.unwrap_or(&"push")).to_owned()
}

fn actor(request: &LocalRequest) -> String {
    let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
    request.actor.clone().or_else(user).unwrap_or_else(|| "local".to_owned())
}

fn files(request: &LocalRequest, repository: &Repository) -> Result<Vec<PathBuf>, PlanError> {
    let folder = match &request.workflows {
        Some(path) if path.is_file() => return Ok(vec![path.clone()]),
        Some(path) => path.clone(),
        None => repository.root.join(".github/workflows"),
    };
    let missing = |why: &dyn std::fmt::Display| {
        PlanError::NotFound(format!(
            "no workflows in {}: {why}; name a file or folder with -W",
            folder.display()
        ))
    };
    let entries = std::fs::read_dir(&folder).map_err(|e| missing(&e))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yml" || e == "yaml") && path.is_file());
    files.sort();
    if files.is_empty() {
        return Err(missing(&"it has no *.yml or *.yaml"));
    }
    Ok(files)
}

fn read(path: &Path, root: &Path) -> Result<Read, PlanError> {
    let text = source::read(path).map_err(PlanError::NotFound)?;
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let file = whole.strip_prefix(root).unwrap_or(path).display().to_string();
    let parsed = parse_bytes(&file, text.as_bytes());
    Ok(Read { file, text, workflow: parsed.workflow, findings: parsed.diagnostics })
}

/// The ids of the jobs that are wanted, with all that they need.
fn wanted(workflow: &Workflow, named: &[String]) -> BTreeSet<String> {
    let all = workflow.jobs.iter();
    if named.is_empty() {
        return all.map(|job| job.id.value.clone()).collect();
    }
    let of_name = all.filter(|job| named.iter().any(|name| name.eq_ignore_ascii_case(&job.id.value)));
    let ids: Vec<&String> = of_name.map(|job| &job.id.value).collect();
    let above = ids.iter().flat_map(|id| workflow.ancestors(id)).map(|job| job.id.value.clone());
    above.chain(ids.iter().map(|id| (*id).clone())).collect()
}

fn inputs(
    request: &LocalRequest,
    event: &LocalEvent,
    workflow: &Workflow,
    file: &str,
) -> Result<Value, PlanError> {
    if event.name != "workflow_dispatch" {
        return match request.inputs.keys().next() {
            Some(name) => Err(PlanError::Unfit(format!(
                "--input {name}: only workflow_dispatch has inputs; this run is of {}",
                event.name
            ))),
            None => Ok(Value::Null),
        };
    }
    let of_line = request.inputs.iter().map(|(name, value)| (name.clone(), json!(value)));
    let mut given: BTreeMap<String, Value> = of_line.collect();
    if let Some(of_event) = event.payload.get("inputs").and_then(Value::as_object) {
        for (name, value) in of_event {
            given.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    let checked = workflow.on.check_inputs(&given);
    let checked = checked.map_err(|wrong| PlanError::Unfit(format!("{file}: {}", wrong.join("; "))))?;
    let map: BTreeMap<String, Value> =
        checked.iter().map(|(name, value)| (name.clone(), value.to_json())).collect();
    Ok(json!(map))
}

fn jobs(
    workflow: &Workflow,
    wanted: &BTreeSet<String>,
    places: &Places,
    file: &str,
    plans_only: bool,
) -> Result<Vec<PlannedJob>, PlanError> {
    let mut planned = Vec::new();
    for job in workflow.jobs.iter().filter(|job| wanted.contains(&job.id.value)) {
        let labels = job.runs_on.as_ref().map(|on| {
            let texts = on.labels.iter().map(|label| label.value.literal().map(str::to_owned));
            texts.collect::<Option<Vec<String>>>()
        });
        let place = match labels.flatten() {
            None => None,
            Some(labels) => match places.of(&labels) {
                Ok(Where::Sandbox) => Some("sandbox".to_owned()),
                Ok(Where::Host) => Some("host".to_owned()),
                Ok(Where::Docker(image)) => Some(format!("docker:{image}")),
                Err(label) if plans_only => Some(format!("nobody here serves `{label}`")),
                Err(label) => {
                    let at = job.runs_on.as_ref().map_or(job.span, |on| on.span).start;
                    return Err(PlanError::Unfit(format!(
                        "{file}:{}:{}: job `{}`: {}",
                        at.line,
                        at.column,
                        job.id.value,
                        Places::unserved(label)
                    )));
                }
            },
        };
        planned.push(PlannedJob {
            id: job.id.value.clone(),
            needs: job.needs.iter().map(|need| need.value.clone()).collect(),
            place,
            calls: job.call().map(|call| call.workflow.value.to_string()),
            matrix: job.strategy.as_ref().is_some_and(|strategy| strategy.matrix.is_some()),
        });
    }
    Ok(planned)
}

impl PlannedRun {
    /// How many steps a job has, by its id; for dry runs.
    pub fn steps(&self, id: &str) -> Vec<String> {
        let Some(job) = self.workflow.job(id) else { return Vec::new() };
        let steps = job.steps().iter().map(|step| {
            let own = step.name.as_ref().map(|name| name.value.text().to_owned());
            own.unwrap_or_else(|| match &step.kind {
                StepKind::Run(run) => {
                    let first = run.script.value.text().trim_start().lines().next().unwrap_or_default();
                    format!("Run {}", first.trim_end())
                }
                StepKind::Uses(uses) => format!("Run {}", uses.action.value),
                _ => "(waits for steps in the background)".to_owned(),
            })
        });
        steps.collect()
    }
}
