//! What workflows and jobs share: permissions, defaults, concurrency.

use super::reader::{Field, Reader, is_expression};
use crate::diagnostic::Diagnostic;
use crate::keys::{Place, key};
use crate::model::{Access, Concurrency, Permissions, Queue, RunDefaults, Setting, Spanned};
use crate::supported::Form;
use crate::template::Template;
use crate::yaml::{Node, Pair, Value};

/// The longest name of a concurrency group, in characters.
const LONGEST_GROUP: usize = 400;

/// The scopes of a token.
const SCOPES: [&str; 20] = [
    "actions",
    "artifact-metadata",
    "attestations",
    "checks",
    "code-quality",
    "contents",
    "copilot-requests",
    "deployments",
    "discussions",
    "drives",
    "id-token",
    "issues",
    "models",
    "packages",
    "pages",
    "pull-requests",
    "repository-projects",
    "security-events",
    "statuses",
    "vulnerability-alerts",
];

/// The shells that are known by name.
const SHELLS: [&str; 6] = ["bash", "sh", "python", "pwsh", "powershell", "cmd"];

impl Reader<'_> {
    pub(super) fn permissions(&mut self, field: Field<'_>) -> Option<Permissions> {
        if let Value::Scalar(scalar) = &field.node.value {
            return match scalar.text.as_str() {
                "read-all" => Some(Permissions::ReadAll),
                "write-all" => Some(Permissions::WriteAll),
                other => {
                    let possible = ["read-all", "write-all"];
                    let finding = Diagnostic::error(field.node.span, format!("Unexpected value '{other}'"));
                    self.report(finding.with_suggestion(other, possible));
                    None
                }
            };
        }
        let mut scopes = Vec::new();
        for Pair { key, value } in self.pairs(field.node)? {
            if !SCOPES.contains(&key.text.as_str()) {
                self.unknown_key(key, SCOPES);
            } else if let Some(access) = self.access(&key.text, value) {
                scopes.push((key.text.clone(), access));
            }
        }
        Some(Permissions::Scopes(scopes))
    }

    fn access(&mut self, scope: &str, node: &Node) -> Option<Access> {
        let possible: &[&str] = match scope {
            "id-token" | "copilot-requests" => &["write", "none"],
            "models" | "vulnerability-alerts" => &["read", "none"],
            _ => &["read", "write", "none"],
        };
        let text = &self.scalar(node)?.text;
        if !possible.contains(&text.as_str()) {
            let finding = Diagnostic::error(node.span, format!("Unexpected value '{text}'"));
            self.report(finding.with_help(format!("'{scope}' may be {}", possible.join(", "))));
            return None;
        }
        Some(match text.as_str() {
            "write" => Access::Write,
            "read" => Access::Read,
            _ => Access::None,
        })
    }

    /// `defaults`, whose only key is `run`.
    pub(super) fn defaults(&mut self, field: Field<'_>, place: Place) -> Option<RunDefaults> {
        let fields = self.fields(field.node, place)?;
        let run = fields.get("run")?;
        let inner = if place == Place::JobDefaults { Place::JobRunDefaults } else { Place::RunDefaults };
        if is_expression(run.node, run.row) {
            return self.whole_defaults(run);
        }
        let fields = self.fields(run.node, inner)?;
        Some(RunDefaults {
            shell: fields.get("shell").and_then(|field| self.shell(field)),
            working_directory: fields
                .get("working-directory")
                .and_then(|field| self.template(field.row, field.node)),
        })
    }

    /// One expression for all defaults is one expression for each.
    fn whole_defaults(&mut self, run: Field<'_>) -> Option<RunDefaults> {
        let whole = self.whole_mapping(run)?;
        Some(RunDefaults {
            shell: property(&whole, "shell"),
            working_directory: property(&whole, "working-directory"),
        })
    }

    /// One expression where keys would stand.
    pub(super) fn whole_mapping(&mut self, field: Field<'_>) -> Option<Spanned<Template>> {
        let what = format!("an expression for the whole of '{}'", field.row.name);
        if self.refuse_form(Form::WholeMapping, field.node.span, &what) {
            return None;
        }
        self.whole(field.row, field.node)
    }

    /// The name of a shell, or a command line with `{0}`.
    pub(super) fn shell(&mut self, field: Field<'_>) -> Option<Spanned<Template>> {
        let shell = self.template(field.row, field.node)?;
        if let Some(text) = shell.literal()
            && !SHELLS.contains(&text)
            && !text.contains("{0}")
        {
            let message = format!("Unexpected value '{text}'");
            let help = format!("a shell is one of {}, or a command line with '{{0}}'", SHELLS.join(", "));
            self.report(Diagnostic::error(field.node.span, message).with_help(help));
            return None;
        }
        Some(shell)
    }

    pub(super) fn concurrency(&mut self, field: Field<'_>, place: Place) -> Option<Concurrency> {
        if let Value::Mapping(_) = &field.node.value {
            let fields = self.fields(field.node, place)?;
            let group = fields.get("group").and_then(|field| self.group(field));
            let cancel = fields.get("cancel-in-progress").and_then(|field| self.boolean(field));
            let cancel_in_progress = cancel.unwrap_or(Setting::Literal(false));
            let queue = fields.get("queue").and_then(|field| self.queue(field)).unwrap_or_default();
            if queue == Queue::Max && cancel_in_progress == Setting::Literal(true) {
                let message = "'queue: max' cannot be combined with 'cancel-in-progress: true'.";
                self.error(fields.span_of("queue"), message);
            }
            return Some(Concurrency { group: group?, cancel_in_progress, queue, span: field.node.span });
        }
        let row = key(place, "group")?;
        let group = self.group(Field { row, ..field })?;
        let (cancel_in_progress, queue) = (Setting::Literal(false), Queue::Single);
        Some(Concurrency { group, cancel_in_progress, queue, span: field.node.span })
    }

    fn queue(&mut self, field: Field<'_>) -> Option<Queue> {
        let text = self.literal(field.node)?;
        match text.as_str() {
            "single" => Some(Queue::Single),
            "max" => Some(Queue::Max),
            other => {
                let finding = Diagnostic::error(text.span, format!("Unexpected value '{other}'"));
                self.report(finding.with_help("it is 'single' or 'max'"));
                None
            }
        }
    }

    fn group(&mut self, field: Field<'_>) -> Option<Spanned<Template>> {
        let group = self.template(field.row, field.node)?;
        let Some(text) = group.literal() else { return Some(group) };
        if text.trim().is_empty() {
            self.error(field.node.span, "Concurrency group name cannot be empty");
            return None;
        }
        if text.chars().count() > LONGEST_GROUP {
            let message = format!("The concurrency group's name is longer than {LONGEST_GROUP} characters");
            self.error(field.node.span, message);
            return None;
        }
        Some(group)
    }
}

/// The expression that reads a property of what another gives.
pub(super) fn property(whole: &Spanned<Template>, name: &str) -> Option<Spanned<Template>> {
    derived(whole, &format!("({})['{name}']", whole.sole()?.text().trim()))
}

/// An expression made of another, at its place.
pub(super) fn derived(whole: &Spanned<Template>, expression: &str) -> Option<Spanned<Template>> {
    let value = Template::parse(&format!("${{{{ {expression} }}}}")).ok()?;
    Some(Spanned { value, span: whole.span })
}
