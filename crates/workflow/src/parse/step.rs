//! Steps, of jobs and of composite actions.

use std::collections::HashSet;

use super::reader::{Field, Fields, Reader};
use crate::diagnostic::{Diagnostic, suggest};
use crate::expr::MAX_LENGTH;
use crate::keys::Place;
use crate::model::{ActionRef, Run, Setting, Spanned, Step, StepKind, Uses};
use crate::supported;
use crate::template::Template;
use crate::yaml::Node;

/// The keys of steps that neither run nor use.
const OTHER_FORMS: [&str; 4] = ["wait", "wait-all", "cancel", "parallel"];

impl Reader<'_> {
    pub(super) fn steps(&mut self, field: Field<'_>) -> Option<Vec<Step>> {
        self.steps_at(field, Place::Step)
    }

    pub(crate) fn steps_at(&mut self, field: Field<'_>, place: Place) -> Option<Vec<Step>> {
        let items = self.items(field.node)?;
        if items.is_empty() && place == Place::Step {
            self.error(field.key.span, "'steps' has no step");
            return None;
        }
        let mut ids = HashSet::new();
        let mut steps = Vec::with_capacity(items.len());
        let mut complete = true;
        for item in items {
            let Some(step) = self.step(item, place) else {
                complete = false;
                continue;
            };
            if let Some(id) = &step.id
                && !ids.insert(id.to_lowercase())
            {
                let message = format!(
                    "The identifier '{}' may not be used more than once within the same scope.",
                    id.value
                );
                self.error(id.span, message);
            }
            steps.push(step);
        }
        complete.then_some(steps)
    }

    fn step(&mut self, node: &Node, place: Place) -> Option<Step> {
        let fields = self.fields(node, place)?;
        let id = fields.get("id").and_then(|field| self.literal(field.node)).filter(|id| !id.is_empty());
        if let Some(id) = &id {
            self.check_id(id, id.span);
        }
        let name = self.text_of(&fields, "name");
        let condition = fields.get("if").and_then(|field| self.condition(field));
        let env = fields.get("env").and_then(|field| self.map(field));
        let continue_on_error = fields.get("continue-on-error").and_then(|field| self.boolean(field));
        // More than nothing: a time limit of zero could only fail.
        let timeout_minutes =
            fields.get("timeout-minutes").and_then(|field| self.number(field, f64::MIN_POSITIVE));
        let kind = self.step_kind(&fields, place)?;
        Some(Step {
            id,
            name,
            condition,
            kind,
            env: env.unwrap_or_default(),
            continue_on_error: continue_on_error.unwrap_or(Setting::Literal(false)),
            timeout_minutes,
            span: fields.span,
        })
    }

    fn text_of(&mut self, fields: &Fields<'_>, name: &str) -> Option<Spanned<Template>> {
        fields.get(name).and_then(|field| self.template(field.row, field.node))
    }

    fn step_kind(&mut self, fields: &Fields<'_>, place: Place) -> Option<StepKind> {
        if OTHER_FORMS.iter().any(|form| fields.written(form)) {
            // Refused already, as not supported yet.
            return None;
        }
        match (fields.written("run"), fields.written("uses")) {
            (true, uses) => {
                let foreign: &[&str] = if uses { &["uses", "with"] } else { &["with"] };
                self.refuse_foreign(fields, foreign);
                let script = fields.get("run").and_then(|field| self.script(field));
                let shell = fields.get("shell").and_then(|field| self.shell(field));
                let working_directory = self.text_of(fields, "working-directory");
                if place == Place::CompositeStep && !fields.written("shell") {
                    self.error(fields.span_of("run"), "Required property is missing: shell");
                }
                Some(StepKind::Run(Run { script: script?, shell, working_directory }))
            }
            (false, true) => {
                self.refuse_foreign(fields, &["shell", "working-directory"]);
                let with = fields.get("with").and_then(|field| self.map(field));
                let action = fields.get("uses").and_then(|field| self.action(field))?;
                Some(StepKind::Uses(Uses { action, with: with.unwrap_or_default() }))
            }
            (false, false) => {
                let message = "There's not enough info to determine what you meant. Add one of these properties: run, uses";
                self.error(fields.start(), message);
                None
            }
        }
    }

    /// Reports keys that belong to the other kind of step.
    fn refuse_foreign(&mut self, fields: &Fields<'_>, foreign: &[&str]) {
        for name in foreign {
            if let Some(field) = fields.get(name) {
                let help = if fields.written("run") && fields.written("uses") && *name == "uses" {
                    "a step has either 'run' or 'uses'"
                } else if *name == "with" {
                    "'with' goes with 'uses'; give a script its values by 'env'"
                } else {
                    "it goes with 'run'"
                };
                let finding = Diagnostic::error(field.key.span, format!("Unexpected value '{name}'"));
                self.report(finding.with_help(help));
            }
        }
    }

    fn script(&mut self, field: Field<'_>) -> Option<Spanned<Template>> {
        let script = self.template(field.row, field.node)?;
        let length = script.text().chars().count();
        if length > MAX_LENGTH {
            let message = format!("The script has {length} characters, more than {MAX_LENGTH}");
            self.report(
                Diagnostic::error(field.node.span, message).with_help("put it into a file of the repository"),
            );
            return None;
        }
        Some(script)
    }

    fn action(&mut self, field: Field<'_>) -> Option<Spanned<ActionRef>> {
        let text = self.word(field.node)?;
        let span = text.span;
        if text.starts_with("$/") {
            let meaning = "actions of the workflow's own repository and commit; write './' instead";
            self.error(span, supported::refusal(&format!("'{}'", text.value), meaning));
            return None;
        }
        let action = match ActionRef::parse(&text) {
            Ok(action) => action,
            Err(message) => {
                self.error(span, message);
                return None;
            }
        };
        if let ActionRef::Docker { .. } = action {
            self.error(span, supported::refusal(&format!("'{}'", text.value), "Docker actions"));
        } else if let Some(name) = action.repository_name()
            && !supported::ACTIONS.contains(&name.as_str())
        {
            let what = format!("the action '{}'", text.value);
            let finding = Diagnostic::error(span, supported::refusal(&what, "it is not built in"));
            let help = match suggest(&name, supported::ACTIONS.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => "use one that is built in, a 'run' step, or an action of the repository ('./path')"
                    .to_owned(),
            };
            self.report(finding.with_help(help));
        }
        Some(Spanned { value: action, span })
    }
}
