//! Steps, of jobs and of composite actions.

use std::collections::HashSet;

use super::reader::{Field, Fields, Reader, unexpected};
use crate::diagnostic::{Diagnostic, Span, suggest};
use crate::expr::MAX_LENGTH;
use crate::keys::{Place, keys_of};
use crate::model::{ActionRef, Run, Setting, Spanned, Step, StepKind, Uses};
use crate::supported::{self, Form};
use crate::template::Template;
use crate::yaml::{Node, Pair, Resolved, Value};

/// The keys that say what a step does; it has exactly one of them.
const FORMS: [&str; 6] = ["run", "uses", "wait", "wait-all", "cancel", "parallel"];
/// The keys of a step that waits or cancels, beside those.
const WAIT_KEYS: [&str; 3] = ["name", "id", "continue-on-error"];

/// The steps of one list so far.
#[derive(Default)]
struct Before {
    ids: HashSet<String>,
    /// The ids of background steps, in lower case.
    background: HashSet<String>,
}

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
        self.list_of_steps(items, place, &mut Before::default())
    }

    fn list_of_steps(&mut self, items: &[Node], place: Place, before: &mut Before) -> Option<Vec<Step>> {
        let mut steps = Vec::with_capacity(items.len());
        let mut complete = true;
        for item in items {
            let Some(step) = self.step(item, place, before) else {
                complete = false;
                continue;
            };
            if let Some(id) = &step.id {
                if !before.ids.insert(id.to_lowercase()) {
                    let message = format!(
                        "The identifier '{}' may not be used more than once within the same scope.",
                        id.value
                    );
                    self.error(id.span, message);
                }
                if step.background {
                    before.background.insert(id.to_lowercase());
                }
            }
            steps.push(step);
        }
        complete.then_some(steps)
    }

    fn step(&mut self, node: &Node, place: Place, before: &mut Before) -> Option<Step> {
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
        let background = fields.get("background").is_some_and(|field| self.flag(field));
        let kind = self.step_kind(&fields, place, before)?;
        Some(Step {
            id,
            name,
            condition,
            kind,
            env: env.unwrap_or_default(),
            continue_on_error: continue_on_error.unwrap_or(Setting::Literal(false)),
            timeout_minutes,
            background,
            span: fields.span,
        })
    }

    fn text_of(&mut self, fields: &Fields<'_>, name: &str) -> Option<Spanned<Template>> {
        fields.get(name).and_then(|field| self.template(field.row, field.node))
    }

    fn step_kind(&mut self, fields: &Fields<'_>, place: Place, before: &mut Before) -> Option<StepKind> {
        if fields.written("run") {
            let foreign: &[&str] = if fields.written("uses") { &["uses", "with"] } else { &["with"] };
            self.refuse_foreign(fields, foreign);
            self.refuse_others(fields, "run");
            return self.run(fields, place);
        }
        if fields.written("uses") {
            self.refuse_foreign(fields, &["shell", "working-directory"]);
            self.refuse_others(fields, "uses");
            let with = fields.get("with").and_then(|field| self.map(field));
            let action = fields.get("uses").and_then(|field| self.action(field))?;
            return Some(StepKind::Uses(Uses { action, with: with.unwrap_or_default() }));
        }
        let Some(form) = FORMS.into_iter().find(|form| fields.written(form)) else {
            let message =
                "There's not enough info to determine what you meant. Add one of these properties: run, uses";
            self.error(fields.start(), message);
            return None;
        };
        self.refuse_others(fields, form);
        for row in keys_of(Place::Step).filter(|row| !FORMS.contains(&row.name)) {
            let fits = WAIT_KEYS.contains(&row.name) && (form != "parallel" || row.name == "name");
            if let Some(field) = fields.get(row.name).filter(|_| !fits) {
                let finding = Diagnostic::error(field.key.span, format!("Unexpected value '{}'", row.name));
                self.report(finding.with_help(format!("it does not go with '{form}'")));
            }
        }
        let field = fields.get(form)?;
        match form {
            "wait" => self.wait(field, before),
            "wait-all" => self.wait_all(field),
            "cancel" => {
                let id = self.word(field.node)?;
                self.check_background(&id, before);
                Some(StepKind::Cancel(id))
            }
            _ => self.parallel(field, before),
        }
    }

    fn run(&mut self, fields: &Fields<'_>, place: Place) -> Option<StepKind> {
        let script = fields.get("run").and_then(|field| self.script(field));
        let shell = fields.get("shell").and_then(|field| self.shell(field));
        let working_directory = self.text_of(fields, "working-directory");
        if place == Place::CompositeStep && !fields.written("shell") {
            self.error(fields.span_of("run"), "Required property is missing: shell");
        }
        Some(StepKind::Run(Run { script: script?, shell, working_directory }))
    }

    fn wait(&mut self, field: Field<'_>, before: &Before) -> Option<StepKind> {
        let ids = self.words(field.node);
        if ids.is_empty() {
            self.error(field.key.span, "'wait' names no step");
            return None;
        }
        for id in &ids {
            self.check_background(id, before);
        }
        Some(StepKind::Wait(ids))
    }

    fn wait_all(&mut self, field: Field<'_>) -> Option<StepKind> {
        let scalar = self.scalar(field.node)?;
        if matches!(scalar.resolved, Resolved::Null | Resolved::Bool(true)) {
            return Some(StepKind::WaitAll);
        }
        let finding = Diagnostic::error(field.node.span, unexpected(&scalar.text));
        self.report(finding.with_help("write nothing behind it, or true"));
        None
    }

    fn check_background(&mut self, id: &Spanned<String>, before: &Before) {
        if !before.background.contains(&id.to_lowercase()) {
            let message = format!("No background step before this one has the id '{}'", id.value);
            let finding = Diagnostic::error(id.span, message);
            self.report(finding.with_suggestion(id, before.background.iter().map(String::as_str)));
        }
    }

    fn parallel(&mut self, field: Field<'_>, before: &mut Before) -> Option<StepKind> {
        let items = self.items(field.node)?;
        if items.is_empty() {
            self.error(field.key.span, "'parallel' has no step");
            return None;
        }
        for item in items {
            let Value::Mapping(pairs) = &item.value else { continue };
            let nested = |key: &str| FORMS[2..].contains(&key) || key == "background";
            if let Some(Pair { key, .. }) = pairs.iter().find(|pair| nested(&pair.key.text)) {
                let finding = Diagnostic::error(key.span, unexpected(&key.text));
                self.report(finding.with_help("a step within 'parallel' has 'run' or 'uses'"));
                return None;
            }
        }
        self.list_of_steps(items, Place::Step, before).map(StepKind::Parallel)
    }

    /// Reports further forms beside the one that the step has.
    fn refuse_others(&mut self, fields: &Fields<'_>, form: &str) {
        for other in FORMS.into_iter().filter(|other| *other != form) {
            if let Some(field) = fields.get(other)
                && !(form == "run" && other == "uses")
            {
                let finding = Diagnostic::error(field.key.span, format!("Unexpected value '{other}'"));
                self.report(finding.with_help(format!("a step has either '{form}' or '{other}'")));
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
        let action = match ActionRef::parse(&text) {
            Ok(action) => action,
            Err(message) => {
                self.error(span, message);
                return None;
            }
        };
        let quoted = format!("'{}'", text.value);
        match &action {
            ActionRef::Docker { .. } => _ = self.refuse_form(Form::DockerAction, span, &quoted),
            ActionRef::Own { .. } => _ = self.refuse_form(Form::OwnAction, span, &quoted),
            ActionRef::Local { .. } => {}
            ActionRef::Repository { .. } => self.check_remote(&action, span),
        }
        Some(Spanned { value: action, span })
    }

    fn check_remote(&mut self, action: &ActionRef, span: Span) {
        let Some(name) = action.repository_name() else { return };
        if supported::ACTIONS.contains(&name.as_str()) || self.admits_everything() {
            return;
        }
        if supported::form_not_yet(Form::RemoteAction).is_none() {
            return;
        }
        let what = format!("the action '{action}'");
        let finding = Diagnostic::error(span, supported::refusal(&what, "it is not built in"));
        let help = match suggest(&name, supported::ACTIONS.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => {
                "use one that is built in, a 'run' step, or an action of the repository ('./path')".to_owned()
            }
        };
        self.report(finding.with_help(help));
    }
}
