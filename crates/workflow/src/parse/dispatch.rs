//! `on.workflow_dispatch`: a start by hand, and the inputs that it takes.

use super::reader::{Field, Fields, Reader, evaluated};
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::Value as Evaluated;
use crate::keys::Place;
use crate::model::Spanned;
use crate::trigger::{Dispatch, Input, InputKind, MAX_INPUTS};
use crate::yaml::{Key, Node, Pair, Resolved, Value};

impl Reader<'_> {
    pub(super) fn dispatch(&mut self, span: Span, node: &Node) -> Option<Dispatch> {
        let fields = self.fields(node, Place::Dispatch)?;
        let mut inputs = Vec::new();
        if let Some(field) = fields.get("inputs").filter(|field| !field.node.is_null()) {
            let pairs = self.pairs(field.node)?;
            if pairs.len() > MAX_INPUTS {
                self.error(field.key.span, format!("'inputs' has more than {MAX_INPUTS} inputs"));
                return None;
            }
            for Pair { key, value } in pairs {
                self.check_id(&key.text, key.span);
                inputs.extend(self.input(key, value));
            }
        }
        Some(Dispatch { inputs, span })
    }

    fn input(&mut self, key: &Key, node: &Node) -> Option<Input> {
        let empty = Node { value: Value::Mapping(Vec::new()), span: key.span };
        let body = if node.is_null() { &empty } else { node };
        let fields = self.fields(body, Place::DispatchInput)?;
        let description = fields.get("description").and_then(|field| self.literal(field.node));
        let required = fields.get("required").is_some_and(|field| self.flag(field));
        let kind = self.input_kind(key, &fields)?;
        let default = fields.get("default").and_then(|field| self.input_default(&kind, field));
        Some(Input {
            name: Spanned { value: key.text.clone(), span: key.span },
            description: description.map(|text| text.value),
            kind,
            required,
            default,
        })
    }

    fn input_kind(&mut self, key: &Key, fields: &Fields<'_>) -> Option<InputKind> {
        let options = fields.get("options").map(|field| self.words(field.node));
        let options = options.map(|found| found.into_iter().map(|text| text.value).collect::<Vec<_>>());
        let Some(field) = fields.get("type") else { return Some(InputKind::String) };
        let name = self.literal(field.node)?;
        match name.as_str() {
            "string" => Some(InputKind::String),
            "boolean" => Some(InputKind::Boolean),
            "number" => Some(InputKind::Number),
            "environment" => Some(InputKind::Environment),
            "choice" => match options {
                Some(options) if !options.is_empty() => Some(InputKind::Choice(options)),
                _ => {
                    self.error(key.span, "Missing 'options' for choice input");
                    None
                }
            },
            other => {
                let possible = ["string", "boolean", "number", "choice", "environment"];
                let finding = Diagnostic::error(name.span, format!("Unexpected value '{other}'"));
                self.report(finding.with_suggestion(other, possible));
                None
            }
        }
    }

    fn input_default(&mut self, kind: &InputKind, field: Field<'_>) -> Option<Evaluated> {
        let scalar = self.scalar(field.node)?;
        let text = self.literal(field.node)?;
        if text.is_empty() {
            return None;
        }
        let fits = match (kind, scalar.resolved) {
            (InputKind::Boolean, Resolved::Bool(_)) | (InputKind::Number, Resolved::Number(_)) => {
                return Some(evaluated(scalar));
            }
            _ => kind.from_text(&text),
        };
        match fits {
            Ok(value) => Some(value),
            Err(why) => {
                self.error(field.node.span, format!("'default' {why}"));
                None
            }
        }
    }

    /// A boolean without an expression.
    pub(crate) fn flag(&mut self, field: Field<'_>) -> bool {
        let Some(scalar) = self.scalar(field.node) else { return false };
        if let Resolved::Bool(value) = scalar.resolved {
            return value;
        }
        let finding = Diagnostic::error(field.node.span, format!("Unexpected value '{}'", scalar.text));
        self.report(finding.with_help("write true or false, without quotes"));
        false
    }
}
