//! Names that expressions refer to, and that nothing in the file has: they read as nothing, silently, so a
//! warning says it.

use std::collections::HashSet;

use super::reader::Reader;
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::{Expr, ReferenceKind};
use crate::model::{
    CallSecrets, Entry, Job, JobKind, Map, MapPart, Spanned, Step, StepKind, Tree, TreeName, Workflow,
};
use crate::template::{Condition, Template};

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
        for place in expressions(job) {
            for (span, name) in self.properties(&place, "needs", &known) {
                let message = format!("'needs.{name}' is always empty here: the job does not need '{name}'");
                let help = match workflow.job(name) {
                    Some(found) => format!("add '{}' to 'needs'", found.id.value),
                    None => "no job has that id".to_owned(),
                };
                self.report(Diagnostic::warning(span, message).with_help(help));
            }
        }
    }

    /// `steps.X` where no step of the job has that id.
    fn check_step_names(&mut self, job: &Job) {
        let ids: Vec<&str> =
            job.all_steps().filter_map(|step| step.id.as_ref()).map(|id| id.as_str()).collect();
        let known: HashSet<String> = ids.iter().map(|id| id.to_lowercase()).collect();
        for place in expressions(job) {
            for (span, name) in self.properties(&place, "steps", &known) {
                let message = format!("'steps.{name}' is always empty: no step of the job has that id");
                self.report(Diagnostic::warning(span, message).with_suggestion(name, ids.iter().copied()));
            }
        }
    }

    /// The unknown properties that an expression reads from a context, where they are written out.
    fn properties<'w>(&self, place: &At<'w>, context: &str, known: &HashSet<String>) -> Vec<(Span, &'w str)> {
        let mut found = Vec::new();
        for reference in place.expr.references() {
            if !self.has_room_for_warnings() {
                break;
            }
            let named =
                reference.kind == ReferenceKind::Context && reference.name.eq_ignore_ascii_case(context);
            if let Some(property) = reference.property.as_deref().filter(|_| named)
                && !known.contains(&property.to_lowercase())
            {
                let from = place.offset + reference.position;
                let span = self.source.inside(place.span, place.text, from, from + reference.name.len());
                found.push((span, property));
            }
        }
        found
    }
}

/// An expression, and where it stands.
struct At<'w> {
    /// The scalar.
    span: Span,
    /// The scalar's text.
    text: &'w str,
    /// Where the expression begins in it, in bytes.
    offset: usize,
    expr: &'w Expr,
}

/// Every expression of a job.
fn expressions(job: &Job) -> Vec<At<'_>> {
    let mut found = Vec::new();
    let templates = [
        job.name.as_ref(),
        job.environment.as_ref().map(|environment| &environment.name),
        job.environment.as_ref().and_then(|environment| environment.url.as_ref()),
        job.concurrency.as_ref().map(|concurrency| &concurrency.group),
    ];
    templates.into_iter().flatten().for_each(|template| from_template(template, &mut found));
    let labels = job.runs_on.iter().flat_map(|runs_on| &runs_on.labels);
    labels.for_each(|template| from_template(template, &mut found));
    match &job.kind {
        JobKind::Steps(steps) => steps.iter().for_each(|step| from_step(step, &mut found)),
        JobKind::Call(call) => {
            from_tree(&call.with, &mut found);
            if let CallSecrets::Named(secrets) = &call.secrets {
                from_map(secrets, &mut found);
            }
        }
    }
    if let Some(condition) = &job.condition {
        found.push(of_condition(condition));
    }
    from_map(&job.env, &mut found);
    from_map(&job.outputs, &mut found);
    found
}

fn from_step<'w>(step: &'w Step, found: &mut Vec<At<'w>>) {
    if let Some(condition) = &step.condition {
        found.push(of_condition(condition));
    }
    step.name.iter().for_each(|template| from_template(template, found));
    from_map(&step.env, found);
    match &step.kind {
        StepKind::Run(run) => {
            from_template(&run.script, found);
            run.working_directory.iter().for_each(|template| from_template(template, found));
        }
        StepKind::Uses(uses) => from_map(&uses.with, found),
        StepKind::Parallel(steps) => steps.iter().for_each(|step| from_step(step, found)),
        StepKind::Wait(_) | StepKind::WaitAll | StepKind::Cancel(_) => {}
    }
}

fn from_map<'w>(map: &'w Map, found: &mut Vec<At<'w>>) {
    match map {
        Map::Expression(template) => from_template(template, found),
        Map::Entries(entries) => {
            for Entry { value, .. } in entries {
                from_template(value, found);
            }
        }
        Map::Computed(parts) => parts.iter().for_each(|part| match part {
            MapPart::Entry(entry) => from_template(&entry.value, found),
            MapPart::Computed(entry) => {
                from_template(&entry.name, found);
                from_template(&entry.value, found);
            }
            MapPart::Insert(map) => from_map(map, found),
        }),
    }
}

fn from_tree<'w>(tree: &'w Tree, found: &mut Vec<At<'w>>) {
    match tree {
        Tree::Literal(_) => {}
        Tree::Expression(template) => from_template(template, found),
        Tree::Sequence(items) => items.iter().for_each(|item| from_tree(item, found)),
        Tree::Mapping(pairs) => pairs.iter().for_each(|(_, tree)| from_tree(tree, found)),
        Tree::Computed(pairs) => pairs.iter().for_each(|(name, tree)| {
            if let TreeName::Expression(name) = name {
                from_template(name, found);
            }
            from_tree(tree, found);
        }),
    }
}

fn from_template<'w>(template: &'w Spanned<Template>, found: &mut Vec<At<'w>>) {
    let (span, text) = (template.span, template.text());
    found.extend(template.value.expressions().map(|(offset, expr)| At { span, text, offset, expr }));
}

fn of_condition(condition: &Spanned<Condition>) -> At<'_> {
    let (span, text, offset) = (condition.span, condition.text(), condition.offset());
    At { span, text, offset, expr: condition.value.expr() }
}
