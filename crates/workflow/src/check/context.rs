//! What the contexts hold, as far as the file tells.

use std::collections::HashMap;
use std::rc::Rc;

use super::kind::{Kind, Shape};
use crate::action::ActionMeta;
use crate::model::{Job, JobKind, Map, Services, Step, Strategy, Tree, Workflow};
use crate::trigger::{CallInputKind, InputKind};

/// What stands in `github`, but for what is not a text.
const GITHUB: [&str; 43] = [
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "action_status",
    "actor",
    "actor_id",
    "api_url",
    "artifacts",
    "artifacts_list",
    "base_ref",
    "env",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "output",
    "path",
    "ref",
    "ref_name",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "repositoryUrl",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "secret_source",
    "server_url",
    "sha",
    "state",
    "step_summary",
    "token",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "workspace",
];

/// What the contexts hold at some place of a file.
pub(super) struct Contexts {
    fixed: Rc<HashMap<&'static str, Kind>>,
    /// Those that are a job's own.
    pub(super) own: HashMap<&'static str, Kind>,
}

impl Contexts {
    /// What a workflow's expressions find everywhere.
    pub(super) fn of_workflow(workflow: &Workflow) -> Self {
        let mut fixed = everywhere();
        fixed.insert("inputs", inputs(workflow));
        fixed.insert("jobs", jobs(workflow));
        Self { fixed: Rc::new(fixed), own: HashMap::new() }
    }

    /// What a composite action's expressions find.
    pub(super) fn of_action(action: &ActionMeta) -> Self {
        let mut fixed = everywhere();
        let texts = action.inputs.iter().map(|input| (input.name.value.clone(), Kind::Text));
        fixed.insert("inputs", Kind::object(Shape::exact(texts)));
        Self { fixed: Rc::new(fixed), own: HashMap::new() }
    }

    /// What a job's expressions find, before its first step.
    pub(super) fn of_job(&self, job: &Job) -> Self {
        let jobs = self.get("jobs");
        let needs = job.needs.iter().filter_map(|need| match &jobs {
            Kind::Object(jobs) => Some((need.value.clone(), jobs.get(need)?.clone())),
            _ => None,
        });
        let own = HashMap::from([
            ("needs", Kind::object(Shape::exact(needs))),
            ("matrix", matrix(job.strategy.as_ref())),
            ("job", job_itself(&job.services)),
            ("steps", Kind::object(Shape::default())),
        ]);
        Self { fixed: self.fixed.clone(), own }
    }

    /// What a context holds.
    pub(super) fn get(&self, name: &str) -> Kind {
        self.own.get(name).or_else(|| self.fixed.get(name)).cloned().unwrap_or(Kind::Any)
    }

    /// A step is over: what comes behind it may read it.
    pub(super) fn step_is_over(&mut self, step: &Step) {
        let Some(id) = &step.id else { return };
        if let Some(Kind::Object(steps)) = self.own.get_mut("steps") {
            let state = [("outputs", Kind::texts()), ("outcome", Kind::Text), ("conclusion", Kind::Text)];
            Rc::make_mut(steps).insert(id, Kind::object(Shape::exact(state)));
        }
    }
}

fn texts<'a>(names: impl IntoIterator<Item = &'a str>) -> Shape {
    Shape::exact(names.into_iter().map(|name| (name, Kind::Text)))
}

fn everywhere() -> HashMap<&'static str, Kind> {
    let mut github = texts(GITHUB);
    github.insert("event", Kind::Any);
    github.insert("ref_protected", Kind::Boolean);
    let strategy = [
        ("fail-fast", Kind::Boolean),
        ("job-index", Kind::Number),
        ("job-total", Kind::Number),
        ("max-parallel", Kind::Number),
    ];
    let runner = ["name", "os", "arch", "temp", "tool_cache", "debug", "environment", "workspace"];
    HashMap::from([
        ("github", Kind::object(github)),
        ("env", Kind::texts()),
        ("vars", Kind::texts()),
        ("secrets", Kind::texts()),
        ("runner", Kind::object(texts(runner))),
        ("strategy", Kind::object(Shape::exact(strategy))),
        ("job", job_itself(&Services::default())),
    ])
}

/// `inputs`: those of a start by hand and those of a call.
fn inputs(workflow: &Workflow) -> Kind {
    let mut shape = Shape::default();
    for input in workflow.on.dispatch_inputs().unwrap_or(&[]) {
        shape.insert(
            &input.name,
            match input.kind {
                InputKind::Boolean => Kind::Boolean,
                InputKind::Number => Kind::Number,
                InputKind::String | InputKind::Choice(_) | InputKind::Environment => Kind::Text,
            },
        );
    }
    for input in workflow.on.call.iter().flat_map(|called| &called.inputs) {
        let kind = match input.kind {
            CallInputKind::Boolean => Kind::Boolean,
            CallInputKind::Number => Kind::Number,
            CallInputKind::String => Kind::Text,
        };
        let both = shape.get(&input.name).map(|other| other.union(&kind));
        shape.insert(&input.name, both.unwrap_or(kind));
    }
    Kind::object(shape)
}

/// `jobs`, which the outputs of a called workflow may read.
fn jobs(workflow: &Workflow) -> Kind {
    let jobs = workflow.jobs.iter().map(|job| (job.id.value.clone(), result_of(job)));
    Kind::object(Shape::exact(jobs))
}

/// What another job sees of a job.
fn result_of(job: &Job) -> Kind {
    let outputs = match (&job.kind, &job.outputs) {
        (JobKind::Steps(_), Map::Entries(entries)) => {
            Kind::object(texts(entries.iter().map(|entry| entry.name.as_str())))
        }
        _ => Kind::texts(),
    };
    Kind::object(Shape::exact([("outputs", outputs), ("result", Kind::Text)]))
}

fn job_itself(services: &Services) -> Kind {
    let container = || [("id", Kind::Text), ("network", Kind::Text)];
    let service = || Kind::object(Shape::exact(container().into_iter().chain([("ports", Kind::texts())])));
    let services = match services {
        Services::Written(services) => {
            Shape::exact(services.iter().map(|found| (found.id.value.clone(), service())))
        }
        Services::Expression(_) => Shape::default().and_any(service()),
    };
    let mut job = texts([
        "status",
        "check_run_id",
        "workflow_ref",
        "workflow_sha",
        "workflow_repository",
        "workflow_file_path",
    ]);
    job.insert("container", Kind::object(Shape::exact(container())));
    job.insert("services", Kind::object(services));
    Kind::object(job)
}

/// `matrix`: its vectors and what includes add.
fn matrix(strategy: Option<&Strategy>) -> Kind {
    let Some(strategy) = strategy else { return Kind::Null };
    let entries = match &strategy.matrix {
        None => return Kind::Null,
        Some(Tree::Mapping(entries)) => entries,
        Some(_) => return Kind::Any,
    };
    let mut shape = Shape::default();
    let mut open = false;
    for (name, tree) in entries {
        match (name.to_ascii_lowercase().as_str(), tree) {
            ("exclude", _) => {}
            ("include", Tree::Sequence(items)) => {
                for item in items {
                    match item {
                        Tree::Mapping(pairs) => {
                            for (name, tree) in pairs {
                                let kind = Kind::of_tree(tree);
                                let both = shape.get(name).map(|other| other.union(&kind));
                                shape.insert(name, both.unwrap_or(kind));
                            }
                        }
                        _ => open = true,
                    }
                }
            }
            ("include", _) => open = true,
            (_, Tree::Sequence(items)) => {
                let kind = Kind::of_items(items);
                let both = shape.get(name).map(|other| other.union(&kind));
                shape.insert(name, both.unwrap_or(kind));
            }
            (_, _) => shape.insert(name, Kind::Any),
        }
    }
    Kind::object(if open { shape.and_any(Kind::Any) } else { shape })
}
