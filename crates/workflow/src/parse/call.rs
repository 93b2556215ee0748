//! Jobs that call another workflow.

use super::reader::{Field, Fields, Reader, is_expression};
use crate::diagnostic::Diagnostic;
use crate::keys::{Place, keys_of};
use crate::model::{Call, CallSecrets, Spanned, Tree, WorkflowRef};
use crate::yaml::Value;

/// The keys of a job that calls a workflow.
const CALL_KEYS: [&str; 9] =
    ["name", "uses", "with", "secrets", "needs", "if", "permissions", "concurrency", "strategy"];

impl Reader<'_> {
    pub(super) fn call(&mut self, fields: &Fields<'_>) -> Option<Call> {
        for row in keys_of(Place::Job).filter(|row| !CALL_KEYS.contains(&row.name)) {
            if let Some(field) = fields.get(row.name) {
                let finding = Diagnostic::error(field.key.span, format!("Unexpected value '{}'", row.name));
                let help = format!("a job with 'uses' has only {}", CALL_KEYS.join(", "));
                self.report(finding.with_help(help));
            }
        }
        let with = fields.get("with").and_then(|field| self.call_with(field));
        let secrets = fields.get("secrets").and_then(|field| self.call_secrets(field));
        let workflow = fields.get("uses").and_then(|field| self.called_workflow(field))?;
        Some(Call {
            workflow,
            with: with.unwrap_or(Tree::Mapping(Vec::new())),
            secrets: secrets.unwrap_or_default(),
        })
    }

    /// The inputs: scalars, which keep their types, or one expression for all.
    fn call_with(&mut self, field: Field<'_>) -> Option<Tree> {
        if is_expression(field.node, field.row) {
            return self.whole(field.row, field.node).map(Tree::Expression);
        }
        for pair in self.pairs(field.node)? {
            match &pair.value.value {
                Value::Scalar(_) => {}
                // What is merged in, or one that cannot be.
                Value::Mapping(_) if pair.key.text.contains("${{") => {}
                Value::Mapping(_) => self.error(pair.value.span, "A mapping was not expected"),
                Value::Sequence(_) => self.error(pair.value.span, "A sequence was not expected"),
            }
        }
        self.tree(field.row, field.node)
    }

    fn called_workflow(&mut self, field: Field<'_>) -> Option<Spanned<WorkflowRef>> {
        let text = self.word(field.node)?;
        match WorkflowRef::parse(&text) {
            Ok(value) => Some(Spanned { value, span: text.span }),
            Err(message) => {
                self.error(text.span, message);
                None
            }
        }
    }

    fn call_secrets(&mut self, field: Field<'_>) -> Option<CallSecrets> {
        if let Value::Scalar(scalar) = &field.node.value
            && !scalar.text.contains("${{")
        {
            if scalar.text == "inherit" {
                return Some(CallSecrets::Inherit);
            }
            if field.node.is_null() {
                return None;
            }
            let finding = Diagnostic::error(field.node.span, format!("Unexpected value '{}'", scalar.text));
            self.report(finding.with_suggestion(&scalar.text, ["inherit"]));
            return None;
        }
        self.map(field).map(CallSecrets::Named)
    }
}
