//! Expressions against what the file tells of the contexts: names that nothing has, kinds that cannot be meant, values
//! of others that become part of a script. All of it reads as nothing or as something else, silently, when it runs: so
//! a warning says it before.

mod context;
mod kind;
mod untrusted;
mod visit;
mod walk;

use crate::action::{ActionMeta, ActionRuns};
use crate::diagnostic::Diagnostic;
use crate::model::{Step, StepKind, Workflow};
use crate::yaml::{Source, inside};
use context::Contexts;
use visit::{Site, Visit};

/// More findings than this are not made.
const MOST: usize = 100;

/// What is found in the expressions of a workflow without errors.
pub(crate) fn workflow(workflow: &Workflow, source: &Source<'_>) -> Vec<Diagnostic> {
    let mut check = Check { source, found: Vec::new() };
    let everywhere = Contexts::of_workflow(workflow);
    check.see(&everywhere, |visit| visit.workflow(workflow));
    for job in &workflow.jobs {
        if check.found.len() >= MOST {
            break;
        }
        let mut contexts = everywhere.of_job(job);
        check.see(&contexts, |visit| visit.job(job));
        check.steps(&mut contexts, job.steps());
        check.see(&contexts, |visit| visit.end(job));
    }
    check.found.truncate(MOST);
    check.found
}

/// What is found in the expressions of an action without errors.
pub(crate) fn action(action: &ActionMeta, source: &Source<'_>) -> Vec<Diagnostic> {
    let mut check = Check { source, found: Vec::new() };
    let ActionRuns::Composite { steps } = &action.runs else { return Vec::new() };
    let mut contexts = Contexts::of_action(action);
    check.steps(&mut contexts, steps);
    let outputs = action.outputs.iter().filter_map(|output| output.value.as_ref());
    check.see(&contexts, |visit| visit.texts(outputs, visit::Usage::Text));
    check.found.truncate(MOST);
    check.found
}

struct Check<'s> {
    source: &'s Source<'s>,
    found: Vec<Diagnostic>,
}

impl Check<'_> {
    fn steps(&mut self, contexts: &mut Contexts, steps: &[Step]) {
        for step in steps {
            self.see(contexts, |visit| visit.step(step));
            if let StepKind::Parallel(inner) = &step.kind {
                for step in inner {
                    self.see(contexts, |visit| visit.step(step));
                }
                for step in inner {
                    contexts.step_is_over(step);
                }
            }
            contexts.step_is_over(step);
        }
    }

    fn see<'w>(&mut self, contexts: &Contexts, visit: impl FnOnce(&mut Visit<'_, 'w>)) {
        let (source, found) = (self.source, &mut self.found);
        let mut see = |site: Site<'w>| {
            if found.len() < MOST {
                found.extend(look(source, contexts, site));
            }
        };
        visit(&mut Visit { see: &mut see });
    }
}

fn look(source: &Source<'_>, contexts: &Contexts, site: Site<'_>) -> Vec<Diagnostic> {
    let found = walk::walk(site.expr, contexts, site.usage);
    let finding = |found: walk::Found| {
        let (start, end) = (site.offset + found.start, site.offset + found.end);
        let span = inside(source, site.span, site.text, start, end.min(site.text.len()));
        let finding = Diagnostic::warning(span, found.message).with_rule(found.rule);
        match found.help {
            Some(help) => finding.with_help(help),
            None => finding,
        }
    };
    found.into_iter().map(finding).collect()
}
