//! `on.workflow_call`: what a called workflow takes and gives.

use std::collections::HashSet;

use super::reader::{Field, Reader, evaluated};
use crate::diagnostic::{Diagnostic, Span};
use crate::keys::Place;
use crate::model::{Spanned, Tree};
use crate::trigger::{CallInput, CallInputKind, CallOutput, CallSecret, Called};
use crate::yaml::{Key, Node, Pair, Value};

impl Reader<'_> {
    pub(super) fn called(&mut self, span: Span, node: &Node) -> Option<Called> {
        let fields = self.fields(node, Place::Called)?;
        Some(Called {
            inputs: self.named(fields.get("inputs"), Reader::call_input),
            outputs: self.named(fields.get("outputs"), Reader::call_output),
            secrets: self.named(fields.get("secrets"), Reader::call_secret),
            span,
        })
    }

    /// The entries of a mapping of ids.
    fn named<T>(
        &mut self,
        field: Option<Field<'_>>,
        read: impl Fn(&mut Self, &Key, &Node) -> Option<T>,
    ) -> Vec<T> {
        let Some(field) = field.filter(|field| !field.node.is_null()) else { return Vec::new() };
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for Pair { key, value } in self.pairs(field.node).unwrap_or(&[]) {
            self.check_id(&key.text, key.span);
            let empty = Node { value: Value::Mapping(Vec::new()), span: key.span };
            if seen.insert(key.text.to_lowercase()) {
                found.extend(read(self, key, if value.is_null() { &empty } else { value }));
            }
        }
        found
    }

    fn call_input(&mut self, key: &Key, node: &Node) -> Option<CallInput> {
        let fields = self.fields(node, Place::CallInput)?;
        let description = fields.get("description").and_then(|field| self.literal(field.node));
        let required = fields.get("required").is_some_and(|field| self.flag(field));
        let kind = fields.get("type").and_then(|field| self.call_input_kind(field))?;
        let default = fields.get("default").and_then(|field| self.call_input_default(kind, field));
        Some(CallInput {
            name: Spanned { value: key.text.clone(), span: key.span },
            description: description.map(|text| text.value),
            kind,
            required,
            default,
        })
    }

    fn call_input_kind(&mut self, field: Field<'_>) -> Option<CallInputKind> {
        let name = self.literal(field.node)?;
        let kinds = [CallInputKind::String, CallInputKind::Boolean, CallInputKind::Number];
        let found = kinds.into_iter().find(|kind| kind.as_str() == name.value);
        if found.is_none() {
            let finding = Diagnostic::error(name.span, format!("Unexpected value '{}'", name.value));
            let help = "an input of a called workflow is a string, a boolean or a number";
            self.report(finding.with_help(help));
        }
        found
    }

    fn call_input_default(&mut self, kind: CallInputKind, field: Field<'_>) -> Option<Tree> {
        let scalar = self.scalar(field.node)?;
        if scalar.text.contains("${{") {
            return self.template(field.row, field.node).map(Tree::Expression);
        }
        let span = field.node.span;
        let value = match kind {
            CallInputKind::String => Some(scalar.as_text().to_owned().into()),
            _ if field.node.is_null() => return None,
            _ => kind.accepts(&evaluated(scalar)),
        };
        if value.is_none() {
            let finding = Diagnostic::error(span, format!("Unexpected value '{}'", scalar.text));
            self.report(finding.with_help(format!("the input is a {}", kind.as_str())));
        }
        value.map(|value| Tree::Literal(Spanned { value, span }))
    }

    fn call_output(&mut self, key: &Key, node: &Node) -> Option<CallOutput> {
        let fields = self.fields(node, Place::CallOutput)?;
        let description = fields.get("description").and_then(|field| self.literal(field.node));
        let value = fields.get("value").and_then(|field| self.template(field.row, field.node))?;
        Some(CallOutput {
            name: Spanned { value: key.text.clone(), span: key.span },
            description: description.map(|text| text.value),
            value,
        })
    }

    fn call_secret(&mut self, key: &Key, node: &Node) -> Option<CallSecret> {
        let fields = self.fields(node, Place::CallSecret)?;
        let description = fields.get("description").and_then(|field| self.literal(field.node));
        Some(CallSecret {
            name: Spanned { value: key.text.clone(), span: key.span },
            description: description.map(|text| text.value),
            required: fields.get("required").is_some_and(|field| self.flag(field)),
        })
    }
}
