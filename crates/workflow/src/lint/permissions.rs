//! What a token may do, and whose code has it.

use super::Looked;
use crate::diagnostic::Diagnostic;
use crate::model::{Access, Job, Permissions, Spanned, Step, Uses, Workflow};
use crate::template::Condition;
use crate::yaml::{Node, Value};

pub(super) fn check(looked: &Looked<'_>, found: &mut Vec<Diagnostic>) {
    if let Some(node) = looked.root.get("permissions") {
        write_all(node, found);
        for_every_job(looked.workflow, node, found);
    }
    let jobs = looked.root.get("jobs");
    if let Some(Value::Mapping(pairs)) = jobs.map(|jobs| &jobs.value) {
        for node in pairs.iter().filter_map(|pair| pair.value.get("permissions")) {
            write_all(node, found);
        }
    }
}

fn write_all(node: &Node, found: &mut Vec<Diagnostic>) {
    if node.as_scalar().is_some_and(|scalar| scalar.text == "write-all") {
        let note = Diagnostic::note(node.span, "The token may write everything").with_rule("permissions");
        found.push(note.with_help("name what it needs, such as 'contents: read'"));
    }
}

/// Writing that every job may do though few do it.
fn for_every_job(workflow: &Workflow, node: &Node, found: &mut Vec<Diagnostic>) {
    let Some(Permissions::Scopes(scopes)) = &workflow.permissions else { return };
    let heirs = workflow.jobs.iter().filter(|job| job.permissions.is_none()).count();
    let Value::Mapping(pairs) = &node.value else { return };
    for (scope, _) in scopes.iter().filter(|(_, access)| *access == Access::Write && heirs > 1) {
        let Some(pair) = pairs.iter().find(|pair| pair.key.text == *scope) else { continue };
        let message = format!("All {heirs} jobs without 'permissions' of their own may write '{scope}'");
        let note = Diagnostic::note(pair.key.span, message).with_rule("permissions");
        found.push(note.with_help("give it to the job that needs it"));
    }
}

/// Parts of a ref or a repository that lead to a change which is only proposed.
const PROPOSED: [&str; 5] = [
    "github.event.pull_request.head.",
    "github.head_ref",
    "github.event.workflow_run.head_",
    "github.event.pull_request.merge_commit_sha",
    "refs/pull/",
];

/// What conditions name that let a change through only once somebody who may write has looked at it.
const GUARDS: [&str; 5] = [
    "github.event.label",
    "pull_request.labels",
    "author_association",
    "pull_request.user.login",
    "github.actor",
];

/// Whether a job begins, or a step runs, only for those who were let through: by a label, by who they are, by an
/// environment that may ask for approval.
fn is_guarded(job: &Job, step: &Step) -> bool {
    let conditions = [&job.condition, &step.condition];
    let names_one =
        |condition: &Spanned<Condition>| GUARDS.iter().any(|guard| condition.text().contains(guard));
    job.environment.is_some() || conditions.into_iter().flatten().any(names_one)
}

/// A proposed change's code, checked out where the repository's secrets are.
pub(super) fn check_checkout(
    workflow: &Workflow,
    job: &Job,
    step: &Step,
    uses: &Uses,
    found: &mut Vec<Diagnostic>,
) {
    let event = match (&workflow.on.pull_request_target, &workflow.on.workflow_run) {
        (Some(_), _) => "pull_request_target",
        (_, Some(_)) => "workflow_run",
        _ => return,
    };
    if uses.action.repository_name().as_deref() != Some("actions/checkout") {
        return;
    }
    let Some(git_ref) = uses.with.get("ref") else { return };
    if PROPOSED.iter().any(|part| git_ref.text().contains(part)) {
        let message = format!("'{event}' has the repository's secrets, and this is a proposed change's code");
        // Where somebody has to agree first it is meant so; it stays worth knowing.
        let finding = if is_guarded(job, step) {
            Diagnostic::note(git_ref.span, message)
        } else {
            Diagnostic::warning(git_ref.span, message)
        };
        let help = "do nothing with it but read it; run it on 'pull_request' instead";
        found.push(finding.with_rule("checkout").with_help(help));
    }
}
