//! Names that expressions refer to, and that nothing in the file has: they read as nothing, silently, so a
//! warning says it.

use std::collections::HashSet;

use super::reader::Reader;
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::{Expr, ReferenceKind};
use crate::model::{Entry, Job, Map, Spanned, Step, StepKind, Workflow};
use crate::template::Template;

impl Reader<'_> {
    pub(super) fn check_references(&mut self, workflow: &Workflow) {
        for job in &workflow.jobs {
            self.check_needs(workflow, job);
            self.check_step_names(job);
        }
    }

    /// `needs.X` where `X` is not among the job's needs.
    fn check_needs(&mut self, workflow: &Workflow, job: &Job) {
        let known: HashSet<String> = job.needs.iter().map(|need| need.to_lowercase()).collect();
        for (span, expr) in expressions(job) {
            for name in properties(expr, "needs") {
                if !known.contains(&name.to_lowercase()) && !self.is_full() {
                    let message = format!("'needs.{name}' is always empty here: the job does not need '{name}'");
                    let finding = Diagnostic::warning(span, message);
                    let help = match workflow.job(name) {
                        Some(found) => format!("add '{}' to 'needs'", found.id.value),
                        None => "no job has that id".to_owned(),
                    };
                    self.report(finding.with_help(help));
                }
            }
        }
    }

    /// `steps.X` where no step of the job has that id.
    fn check_step_names(&mut self, job: &Job) {
        let known: HashSet<String> =
            job.steps().iter().filter_map(|step| step.id.as_ref()).map(|id| id.to_lowercase()).collect();
        for (span, expr) in expressions(job) {
            for name in properties(expr, "steps") {
                if !known.contains(&name.to_lowercase()) && !self.is_full() {
                    let message = format!("'steps.{name}' is always empty: no step of the job has that id");
                    let ids = job.steps().iter().filter_map(|step| step.id.as_ref()).map(|id| id.as_str());
                    self.report(Diagnostic::warning(span, message).with_suggestion(name, ids));
                }
            }
        }
    }
}

/// The properties that an expression reads from a context, where they are written out.
fn properties<'e>(expr: &'e Expr, context: &'static str) -> impl Iterator<Item = &'e str> {
    expr.references()
        .iter()
        .filter(move |reference| {
            reference.kind == ReferenceKind::Context && reference.name.eq_ignore_ascii_case(context)
        })
        .filter_map(|reference| reference.property.as_deref())
}

/// Every expression of a job, with the place of the text that it stands in.
fn expressions(job: &Job) -> Vec<(Span, &Expr)> {
    let mut found = Vec::new();
    let templates = [
        job.name.as_ref(),
        job.environment.as_ref().map(|environment| &environment.name),
        job.environment.as_ref().and_then(|environment| environment.url.as_ref()),
        job.concurrency.as_ref().map(|concurrency| &concurrency.group),
    ];
    templates.into_iter().flatten().for_each(|template| from_template(template, &mut found));
    job.runs_on.labels.iter().for_each(|template| from_template(template, &mut found));
    if let Some(condition) = &job.condition {
        found.push((condition.span, condition.value.expr()));
    }
    from_map(&job.env, &mut found);
    from_map(&job.outputs, &mut found);
    job.steps().iter().for_each(|step| from_step(step, &mut found));
    found
}

fn from_step<'w>(step: &'w Step, found: &mut Vec<(Span, &'w Expr)>) {
    if let Some(condition) = &step.condition {
        found.push((condition.span, condition.value.expr()));
    }
    step.name.iter().for_each(|template| from_template(template, found));
    from_map(&step.env, found);
    match &step.kind {
        StepKind::Run(run) => {
            from_template(&run.script, found);
            run.working_directory.iter().for_each(|template| from_template(template, found));
        }
        StepKind::Uses(uses) => from_map(&uses.with, found),
    }
}

fn from_map<'w>(map: &'w Map, found: &mut Vec<(Span, &'w Expr)>) {
    match map {
        Map::Expression(template) => from_template(template, found),
        Map::Entries(entries) => {
            entries.iter().for_each(|Entry { value, .. }| from_template(value, found));
        }
    }
}

fn from_template<'w>(template: &'w Spanned<Template>, found: &mut Vec<(Span, &'w Expr)>) {
    found.extend(template.value.expressions().map(|(_, expr)| (template.span, expr)));
}
