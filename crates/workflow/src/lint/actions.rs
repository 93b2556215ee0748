//! Actions that a step uses: whether their name can move, and whether their inputs are meant.

use super::Files;
use super::known::known;
use crate::action::ActionMeta;
use crate::diagnostic::{Diagnostic, suggest};
use crate::model::{ActionRef, Map, Step, StepKind, Uses, is_commit};

/// Owners whose actions are the language's own.
const OWN: [&str; 3] = ["actions", "github", "windlass"];

pub(super) fn check(step: &Step, files: Option<Files<'_>>, found: &mut Vec<Diagnostic>) {
    let StepKind::Uses(uses) = &step.kind else { return };
    match &uses.action.value {
        ActionRef::Repository { owner, git_ref, .. } => {
            check_known(uses, found);
            if !OWN.iter().any(|own| own.eq_ignore_ascii_case(owner)) && !is_commit(git_ref) {
                let message = format!("'{}' is whatever '{git_ref}' names when it runs", uses.action.value);
                let help =
                    format!("name the commit, and keep the version beside it: @<40 digits> # {git_ref}");
                let note = Diagnostic::note(uses.action.span, message).with_rule("unpinned");
                found.push(note.with_help(help));
            }
        }
        ActionRef::Docker { image } => {
            if !image.contains("@sha256:") {
                let message = format!("'docker://{image}' is whatever its tag names when it runs");
                let note = Diagnostic::note(uses.action.span, message).with_rule("unpinned");
                found.push(note.with_help("name the digest: @sha256:…"));
            }
        }
        ActionRef::Local { path } | ActionRef::Own { path } => {
            if let Some(action) = files.and_then(|read| local(path, read)) {
                check_inputs(uses, &action, found);
            }
        }
    }
}

/// The language's own actions: inputs that are likely misspelt, and those that must be there.
fn check_known(uses: &Uses, found: &mut Vec<Diagnostic>) {
    let Map::Entries(entries) = &uses.with else { return };
    let name = uses.action.repository_name().unwrap_or_default();
    // A version of long ago may have had others.
    let Some(action) = known(&name).filter(|_| !has_old_version(&uses.action.value)) else { return };
    let inputs = || action.required.iter().chain(action.optional).copied();
    for entry in entries.iter().filter(|entry| !inputs().any(|own| own.eq_ignore_ascii_case(&entry.name))) {
        if let Some(near) = suggest(&entry.name, inputs()) {
            let message = format!("The action '{name}' has no input '{}'", entry.name.value);
            let warning = Diagnostic::warning(entry.name.span, message).with_rule("actions");
            found.push(warning.with_help(format!("did you mean '{near}'?")));
        }
    }
    for input in action.required.iter().filter(|input| uses.with.get(input).is_none()) {
        let message = format!("The action '{name}' needs the input '{input}'");
        found.push(Diagnostic::warning(uses.action.span, message).with_rule("actions"));
    }
}

fn has_old_version(action: &ActionRef) -> bool {
    matches!(action, ActionRef::Repository { git_ref, .. } if git_ref == "v1" || git_ref.starts_with("v1."))
}

/// The metadata of an action of the repository, where it is there and can be used.
fn local(path: &str, read: Files<'_>) -> Option<ActionMeta> {
    let folder = if path.is_empty() { String::new() } else { format!("{path}/") };
    let text = ["action.yml", "action.yaml"].iter().find_map(|name| read(&format!("{folder}{name}")))?;
    crate::parse_action(&text).action
}

fn check_inputs(uses: &Uses, action: &ActionMeta, found: &mut Vec<Diagnostic>) {
    let Map::Entries(entries) = &uses.with else { return };
    let name = &uses.action.value;
    for entry in entries {
        // A container's entry point and arguments can be given to any action that is one.
        let of_docker = matches!(action.runs, crate::action::ActionRuns::Docker(_))
            && ["entrypoint", "args"].iter().any(|own| entry.name.eq_ignore_ascii_case(own));
        if action.input(&entry.name).is_none() && !of_docker {
            let message = format!("The action '{name}' has no input '{}'", entry.name.value);
            let warning = Diagnostic::warning(entry.name.span, message).with_rule("actions");
            let known = action.inputs.iter().map(|input| input.name.as_str());
            found.push(warning.with_suggestion(&entry.name, known));
        }
    }
    for input in action.inputs.iter().filter(|input| input.required && input.default.is_none()) {
        if uses.with.get(&input.name).is_none() {
            let message = format!("The action '{name}' needs the input '{}'", input.name.value);
            found.push(Diagnostic::warning(uses.action.span, message).with_rule("actions"));
        }
    }
}
