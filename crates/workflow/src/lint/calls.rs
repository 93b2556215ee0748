//! Calls of workflows of the same repository: whether they are there, and take what they are given.

use std::collections::HashMap;

use super::{Files, Looked};
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Access, Call, CallSecrets, Job, Map, Permissions, Tree, Workflow, WorkflowRef};
use crate::supported::Admit;
use crate::trigger::Called;
use crate::yaml::Source;

/// How many workflows deep calls may be, the first caller counted.
const MAX_DEPTH: usize = 10;
/// How many workflows may be called.
const MAX_FILES: usize = 50;

pub(super) fn check(looked: &Looked<'_>, found: &mut Vec<Diagnostic>) {
    let Some(files) = looked.options.files else { return };
    for job in &looked.workflow.jobs {
        let Some(call) = job.call() else { continue };
        let Some(path) = local(&call.workflow) else { continue };
        let span = call.workflow.span;
        let mut error = |span: Span, message: String| {
            found.push(Diagnostic::error(span, message).with_rule("calls"));
        };
        let reference = &call.workflow.value;
        let Some(text) = files(path) else {
            error(span, format!("Invalid workflow reference '{reference}': there is no such file"));
            continue;
        };
        let Some(called) = read(path, &text) else {
            error(span, format!("Error calling workflow '{reference}'. The file has errors"));
            continue;
        };
        let Some(on) = &called.on.call else {
            let why = "it has no 'workflow_call' in 'on'";
            error(span, format!("Error calling workflow '{reference}'. It is not reusable: {why}"));
            continue;
        };
        names(call, on, &mut error);
        kinds(call, on, &mut error);
        allowed(looked.workflow, job, call, &called, &mut error);
        let levels = HashMap::from([(looked.workflow.file.clone(), None)]);
        let wrong = match (Chain { files, levels }).levels(path) {
            Ok(levels) if levels < MAX_DEPTH => continue,
            Ok(_) => format!("There are more than {MAX_DEPTH} levels of calls"),
            Err(wrong) => wrong,
        };
        error(span, format!("Error calling workflow '{reference}'. {wrong}"));
    }
}

fn local(reference: &WorkflowRef) -> Option<&str> {
    match reference {
        WorkflowRef::Local { path } | WorkflowRef::Own { path } => Some(path),
        WorkflowRef::Repository { .. } => None,
    }
}

fn read(path: &str, text: &str) -> Option<Workflow> {
    crate::parse::read_workflow(path, &Source::new(text), Admit::Everything).1.workflow
}

/// Inputs and secrets by their names.
fn names(call: &Call, on: &Called, error: &mut dyn FnMut(Span, String)) {
    let given = match &call.with {
        Tree::Mapping(pairs) => pairs.as_slice(),
        Tree::Literal(_) | Tree::Sequence(_) => &[],
        Tree::Expression(_) | Tree::Computed(_) => return,
    };
    let mut places: Vec<(String, Span)> =
        given.iter().map(|(name, _)| (name.value.clone(), name.span)).collect();
    let secrets = match &call.secrets {
        CallSecrets::Named(Map::Entries(entries)) => Some(entries.iter().map(|entry| &entry.name)),
        CallSecrets::Named(_) | CallSecrets::Inherit => None,
    };
    let secrets: Option<Vec<&str>> = secrets.map(|names| {
        names
            .map(|name| {
                places.push((name.value.clone(), name.span));
                name.value.as_str()
            })
            .collect()
    });
    for message in on.check_names(given.iter().map(|(name, _)| name.value.as_str()), secrets) {
        let named = places.iter().find(|(name, _)| message.contains(&format!(", {name} is not")));
        error(named.map_or(call.workflow.span, |(_, span)| *span), message);
    }
}

/// Values that are written out, and their kinds.
fn kinds(call: &Call, on: &Called, error: &mut dyn FnMut(Span, String)) {
    let Tree::Mapping(pairs) = &call.with else { return };
    for (name, tree) in pairs {
        let Tree::Literal(value) = tree else { continue };
        let input = on.inputs.iter().find(|input| input.name.eq_ignore_ascii_case(&name.value));
        if let Some(input) = input
            && input.kind.accepts(&value.value).is_none()
        {
            let shown = value.value.to_text();
            let kind = input.kind.as_str();
            error(value.span, format!("The input '{}' is a {kind}, not '{shown}'", name.value));
        }
    }
}

/// A called workflow's jobs may only lower what the caller's token may do.
fn allowed(
    workflow: &Workflow,
    job: &Job,
    call: &Call,
    called: &Workflow,
    error: &mut dyn FnMut(Span, String),
) {
    let Some(limits) = job.permissions.as_ref().or(workflow.permissions.as_ref()) else { return };
    for nested in &called.jobs {
        let Some(Permissions::Scopes(scopes)) = nested.permissions.as_ref().or(called.permissions.as_ref())
        else {
            continue;
        };
        for (scope, wanted) in scopes {
            let limit = limit(limits, scope);
            if *wanted > limit {
                let message = format!(
                    "Error calling workflow '{}'. The nested job '{}' is requesting '{scope}: {}', but is only allowed '{scope}: {}'.",
                    call.workflow.value,
                    nested.id.value,
                    word(*wanted),
                    word(limit)
                );
                error(call.workflow.span, message);
            }
        }
    }
}

fn limit(permissions: &Permissions, scope: &str) -> Access {
    match permissions {
        Permissions::ReadAll => Access::Read,
        Permissions::WriteAll => Access::Write,
        Permissions::Scopes(scopes) => {
            scopes.iter().find(|(name, _)| name == scope).map_or(Access::None, |(_, access)| *access)
        }
    }
}

const fn word(access: Access) -> &'static str {
    match access {
        Access::None => "none",
        Access::Read => "read",
        Access::Write => "write",
    }
}

/// The calls of a called workflow, each file read once.
struct Chain<'f> {
    files: Files<'f>,
    /// How many levels begin with each file; `None` while it is being looked at.
    levels: HashMap<String, Option<usize>>,
}

impl Chain<'_> {
    /// How many levels of calls begin with a file.
    ///
    /// # Errors
    /// What is wrong: a circle, too many levels, too many files.
    fn levels(&mut self, path: &str) -> Result<usize, String> {
        match self.levels.get(path) {
            Some(Some(levels)) => return Ok(*levels),
            Some(None) => return Err(format!("'{path}' calls itself")),
            None if self.levels.len() >= MAX_FILES => {
                return Err(format!("More than {MAX_FILES} workflows are called"));
            }
            None => _ = self.levels.insert(path.to_owned(), None),
        }
        let mut deepest = 0;
        if let Some(workflow) = (self.files)(path).and_then(|text| read(path, &text)) {
            for path in workflow.jobs.iter().filter_map(|job| local(&job.call()?.workflow)) {
                deepest = deepest.max(self.levels(path)?);
            }
        }
        if deepest >= MAX_DEPTH {
            return Err(format!("There are more than {MAX_DEPTH} levels of calls"));
        }
        self.levels.insert(path.to_owned(), Some(deepest + 1));
        Ok(deepest + 1)
    }
}
