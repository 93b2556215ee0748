//! What can be told of a file beyond whether it can be used: rules that find what is likely not meant, or unsafe.
//!
//! It reads no file itself: what else of the repository it should look at, the caller gives it.

mod actions;
mod calls;
mod known;
mod permissions;
mod places;
mod scripts;

use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{Job, Step, StepKind, Workflow};
use crate::parse::{Parsed, read_action, read_workflow};
use crate::supported::Admit;
use crate::yaml::{Node, Source};

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as [`Diagnostic::rule`] has it.
    pub name: &'static str,
    /// How much its findings matter at most.
    pub severity: Severity,
    /// What it finds.
    pub finds: &'static str,
}

const fn rule(name: &'static str, severity: Severity, finds: &'static str) -> Rule {
    Rule { name, severity, finds }
}

/// All rules, by name.
pub const RULES: &[Rule] = &[
    rule("actions", Severity::Warning, "inputs that an action of the repository does not have, or needs"),
    rule("calls", Severity::Error, "calls of workflows of the repository that do not fit them"),
    rule("checkout", Severity::Warning, "a proposed change's code where secrets are"),
    rule("commands", Severity::Warning, "workflow commands that are no longer meant to be used"),
    rule("format", Severity::Warning, "format() with fewer arguments than its text names"),
    rule("kinds", Severity::Warning, "values of a kind that cannot be meant where they stand"),
    rule("labels", Severity::Warning, "runner labels that are likely misspelt"),
    rule("language", Severity::Error, "what the language does not have, or Windlass does not run yet"),
    rule("names", Severity::Warning, "names in expressions that nothing has: they read as nothing"),
    rule("permissions", Severity::Note, "tokens that may do more than is likely needed"),
    rule("shells", Severity::Warning, "shells that the runner's system does not have"),
    rule("unpinned", Severity::Note, "actions and images of others by a name that can move"),
    rule("untrusted", Severity::Warning, "texts that others write and that become part of a script"),
];

/// Reads a file of the repository, by its path from the repository's root; `None` when it is not there.
pub type Files<'f> = &'f dyn Fn(&str) -> Option<String>;

/// How a file is looked at.
#[derive(Clone, Copy, Default)]
pub struct Options<'f> {
    /// Whether what Windlass does not run yet is refused.
    pub admit: Admit,
    /// The other files of the repository, where they can be read.
    pub files: Option<Files<'f>>,
}

/// What is found in a workflow, in the file's order.
pub fn workflow(file: &str, text: &str, options: Options<'_>) -> Vec<Diagnostic> {
    let source = Source::new(text);
    let (root, Parsed { workflow, mut diagnostics }) = read_workflow(file, &source, options.admit);
    if let (Some(root), Some(workflow)) = (root, workflow) {
        let looked = Looked { workflow: &workflow, root: &root, source: &source, options };
        permissions::check(&looked, &mut diagnostics);
        calls::check(&looked, &mut diagnostics);
        for job in &workflow.jobs {
            places::check(&looked, job, &mut diagnostics);
            for step in job.all_steps() {
                step_of(&looked, Some(job), step, &mut diagnostics);
            }
        }
    }
    sorted(diagnostics)
}

/// What is found in an action's metadata, in the file's order.
pub fn action(text: &str, options: Options<'_>) -> Vec<Diagnostic> {
    let source = Source::new(text);
    let parsed = read_action(&source);
    let mut diagnostics = parsed.diagnostics;
    if let Some(crate::action::ActionRuns::Composite { steps }) = parsed.action.map(|action| action.runs) {
        for step in &steps {
            actions::check(step, options.files, &mut diagnostics);
            scripts::check(step, &source, &mut diagnostics);
        }
    }
    sorted(diagnostics)
}

/// A file that is looked at.
struct Looked<'l> {
    workflow: &'l Workflow,
    root: &'l Node,
    source: &'l Source<'l>,
    options: Options<'l>,
}

fn step_of(looked: &Looked<'_>, job: Option<&Job>, step: &Step, found: &mut Vec<Diagnostic>) {
    actions::check(step, looked.options.files, found);
    scripts::check(step, looked.source, found);
    if let (StepKind::Uses(uses), Some(job)) = (&step.kind, job) {
        permissions::check_checkout(looked.workflow, job, step, uses, found);
    }
}

fn sorted(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by_key(|found| (found.span.start.offset, found.severity));
    diagnostics.dedup();
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_stand_in_order_and_once() {
        assert!(RULES.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
