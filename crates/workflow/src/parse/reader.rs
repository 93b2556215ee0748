//! The reader: a tree's nodes to typed values, driven by the table of keys. It reports and goes on, so that one
//! reading finds all that is wrong.

use crate::diagnostic::{Diagnostic, Span};
use crate::expr::Value as Evaluated;
use crate::keys::{KeyRow, Place, keys_of};
use crate::model::{Setting, Spanned};
use crate::supported::{self, Admit, Form};
use crate::template::Template;
use crate::yaml::{Key, Node, Pair, Resolved, Scalar, Source, Value, inside};

/// More findings than this help nobody, and cost.
const MAX_FINDINGS: usize = 100;

/// Reads one file.
pub(crate) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
    admit: Admit,
    findings: Vec<Diagnostic>,
    left_out: usize,
}

/// A key that stands in a mapping, with its row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Field<'n> {
    pub(super) row: &'static KeyRow,
    pub(super) key: &'n Key,
    pub(super) node: &'n Node,
}

/// The keys of a mapping that can be used.
pub(crate) struct Fields<'n> {
    usable: Vec<Field<'n>>,
    /// All keys that were written, usable or not.
    written: Vec<&'n str>,
    pub(super) span: Span,
}

impl<'n> Fields<'n> {
    /// A usable key.
    pub(super) fn get(&self, name: &str) -> Option<Field<'n>> {
        self.usable.iter().find(|field| field.row.name == name).copied()
    }

    /// Where a key stands; the mapping's beginning when it does not.
    pub(super) fn span_of(&self, name: &str) -> Span {
        self.get(name).map_or(self.start(), |field| field.key.span)
    }

    /// The mapping's beginning.
    pub(super) fn start(&self) -> Span {
        Span::at(self.span.start)
    }

    /// Whether a key was written, usable or not.
    pub(super) fn written(&self, name: &str) -> bool {
        self.written.contains(&name)
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Source<'a>, admit: Admit) -> Self {
        Self { source, admit, findings: Vec::new(), left_out: 0 }
    }

    /// All that was found, in the file's order.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.findings.sort_by_key(|found| (found.span.start.offset, found.severity));
        self.findings.dedup();
        if let (Some(last), true) = (self.findings.last(), self.left_out > 0) {
            let note = Diagnostic::note(last.span, format!("{} more findings are not shown", self.left_out));
            self.findings.push(note);
        }
        self.findings
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(Diagnostic::is_error)
    }

    /// How many findings there are so far.
    pub(super) fn count(&self) -> usize {
        self.findings.len() + self.left_out
    }

    pub(crate) fn report(&mut self, finding: Diagnostic) {
        // An error is never left out for the sake of a warning: it decides whether the file can be used.
        let full = self.findings.len() >= MAX_FINDINGS;
        if full && (!finding.is_error() || self.has_errors()) {
            self.left_out += 1;
        } else {
            self.findings.push(finding);
        }
    }

    /// Whether more findings would only be counted: then the work of making them can be spared.
    pub(super) fn is_full(&self) -> bool {
        self.findings.len() >= MAX_FINDINGS && self.has_errors()
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::error(span, message));
    }

    /// Reports what is of the language and not run yet.
    pub(super) fn refuse(&mut self, span: Span, what: &str, meaning: &str) {
        if self.admit == Admit::Supported {
            self.error(span, supported::refusal(what, meaning));
        }
    }

    /// As [`Self::refuse`], for a form; whether it was refused.
    pub(super) fn refuse_form(&mut self, form: Form, span: Span, what: &str) -> bool {
        let refused = supported::form_not_yet(form).filter(|_| self.admit == Admit::Supported);
        if let Some(meaning) = refused {
            self.error(span, supported::refusal(what, meaning));
        }
        refused.is_some()
    }

    /// What this reading admits.
    pub(super) fn admits_everything(&self) -> bool {
        self.admit == Admit::Everything
    }

    pub(super) fn unexpected(&mut self, span: Span, value: &str) {
        self.error(span, unexpected(value));
    }

    /// The keys of a mapping, each checked against the table.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, place: Place) -> Option<Fields<'n>> {
        self.fields_but(node, place, &[])
    }

    /// As [`Self::fields`], but the named keys are not refused though Windlass does not run them yet.
    pub(super) fn fields_but<'n>(
        &mut self,
        node: &'n Node,
        place: Place,
        but: &[&str],
    ) -> Option<Fields<'n>> {
        let pairs = self.pairs(node)?;
        let mut fields = Fields { usable: Vec::new(), written: Vec::new(), span: node.span };
        for Pair { key, value } in pairs {
            let Some(row) = keys_of(place).find(|row| row.name == key.text) else {
                self.unknown(key, place);
                continue;
            };
            fields.written.push(row.name);
            if let Some(meaning) = supported::key_not_yet(place, row.name)
                && !but.contains(&row.name)
            {
                self.refuse(key.span, &format!("'{}'", row.name), meaning);
            }
            if let Some(message) = row.kind.misfit(&value.value).filter(|_| !is_expression(value, row)) {
                self.error(value.span, message);
            } else {
                fields.usable.push(Field { row, key, node: value });
            }
        }
        for row in keys_of(place).filter(|row| row.required) {
            if !fields.written.contains(&row.name) {
                self.error(fields.start(), format!("Required property is missing: {}", row.name));
            }
        }
        Some(fields)
    }

    fn unknown(&mut self, key: &Key, place: Place) {
        let possible = keys_of(place).map(|row| row.name);
        if matches!(place, Place::Action | Place::ActionInput) {
            // Actions are published with keys that other tools read: the language lets them be.
            let finding = Diagnostic::warning(key.span, unexpected(&key.text));
            self.report(finding.with_suggestion(&key.text, possible));
        } else {
            self.unknown_key(key, possible);
        }
    }

    /// A mapping's pairs; another kind of node is reported.
    pub(crate) fn pairs<'n>(&mut self, node: &'n Node) -> Option<&'n [Pair]> {
        match &node.value {
            Value::Mapping(pairs) => return Some(pairs),
            Value::Sequence(_) => self.error(node.span, "A sequence was not expected"),
            Value::Scalar(scalar) => self.unexpected(node.span, &scalar.text),
        }
        None
    }

    /// A list's items; another kind of node is reported.
    pub(super) fn items<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.value {
            Value::Sequence(items) => return Some(items),
            Value::Mapping(_) => self.error(node.span, "A mapping was not expected"),
            Value::Scalar(scalar) => self.unexpected(node.span, &scalar.text),
        }
        None
    }

    /// A scalar; another kind of node is reported.
    pub(super) fn scalar<'n>(&mut self, node: &'n Node) -> Option<&'n Scalar> {
        match &node.value {
            Value::Scalar(scalar) => return Some(scalar),
            Value::Sequence(_) => self.error(node.span, "A sequence was not expected"),
            Value::Mapping(_) => self.error(node.span, "A mapping was not expected"),
        }
        None
    }

    pub(super) fn unknown_key<'w>(&mut self, key: &Key, possible: impl IntoIterator<Item = &'w str>) {
        if key.text.contains("${{") {
            return self.error(key.span, "A template expression is not allowed in this context");
        }
        let finding = Diagnostic::error(key.span, unexpected(&key.text));
        self.report(finding.with_suggestion(&key.text, possible));
    }

    /// A literal text: no expression may stand in it.
    pub(super) fn literal(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.scalar(node)?.as_text();
        if let Some(at) = text.find("${{") {
            let span = inside(self.source, node.span, text, at, at + 3);
            self.error(span, "A template expression is not allowed in this context");
            return None;
        }
        Some(Spanned { value: text.to_owned(), span: node.span })
    }

    /// A literal text that must not be empty.
    pub(super) fn word(&mut self, node: &Node) -> Option<Spanned<String>> {
        let found = self.literal(node)?;
        if found.trim().is_empty() {
            self.unexpected(node.span, &found);
            return None;
        }
        Some(found)
    }

    /// A literal text, or a list of such.
    pub(super) fn words(&mut self, node: &Node) -> Vec<Spanned<String>> {
        match &node.value {
            Value::Sequence(items) => items.iter().filter_map(|item| self.word(item)).collect(),
            _ => self.word(node).into_iter().collect(),
        }
    }

    /// A text that may hold expressions.
    pub(super) fn template(&mut self, row: &KeyRow, node: &Node) -> Option<Spanned<Template>> {
        if row.availability.is_literal() {
            let text = self.literal(node)?;
            return Some(Spanned { value: Template::of_literal(text.value), span: text.span });
        }
        let text = self.scalar(node)?.as_text();
        match Template::parse(text) {
            Ok(template) => {
                self.check_template(row.availability, node, &template);
                Some(Spanned { value: template, span: node.span })
            }
            Err(error) => {
                self.template_error(row.availability, node, &error);
                None
            }
        }
    }

    /// A boolean, or an expression for one.
    pub(super) fn boolean(&mut self, field: Field<'_>) -> Option<Setting<bool>> {
        let scalar = self.scalar(field.node)?;
        match scalar.resolved {
            Resolved::Bool(value) => Some(Setting::Literal(value)),
            _ => self.setting(field, "write true or false, without quotes"),
        }
    }

    /// A number of at least `least`, or an expression for one.
    pub(super) fn number(&mut self, field: Field<'_>, least: f64) -> Option<Setting<f64>> {
        let scalar = self.scalar(field.node)?;
        match scalar.resolved {
            Resolved::Number(value) if value.is_finite() && value >= least => Some(Setting::Literal(value)),
            _ if least >= 1.0 => self.setting(field, &format!("write a number of at least {least}")),
            _ => self.setting(field, "write a number above 0"),
        }
    }

    fn setting<T>(&mut self, field: Field<'_>, help: &str) -> Option<Setting<T>> {
        let text = &self.scalar(field.node)?.text;
        if !text.contains("${{") {
            self.report(Diagnostic::error(field.node.span, unexpected(text)).with_help(help));
            return None;
        }
        let template = self.template(field.row, field.node)?;
        if template.sole().is_none() {
            // Text around an expression makes a string of it.
            self.report(Diagnostic::error(field.node.span, unexpected(text)).with_help(help));
            return None;
        }
        Some(Setting::Expression(template))
    }
}

/// Whether an expression stands where a mapping or a list would, and may.
pub(super) fn is_expression(node: &Node, row: &KeyRow) -> bool {
    !row.availability.is_literal() && node.as_scalar().is_some_and(|scalar| scalar.text.contains("${{"))
}

/// A scalar as the core schema reads it.
pub(super) fn evaluated(scalar: &Scalar) -> Evaluated {
    match scalar.resolved {
        Resolved::Null => Evaluated::Null,
        Resolved::Bool(value) => Evaluated::Bool(value),
        Resolved::Number(value) => Evaluated::Number(value),
        Resolved::String => Evaluated::from(scalar.text.clone()),
    }
}

/// The language's message about a value that cannot stand where it does, kept to a line.
pub(super) fn unexpected(value: &str) -> String {
    let line = value.lines().next().unwrap_or("");
    let shown: String = line.chars().take(100).collect();
    let more = if shown.len() < value.len() { "…" } else { "" };
    format!("Unexpected value '{shown}{more}'")
}
