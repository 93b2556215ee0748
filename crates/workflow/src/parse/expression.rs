//! Expressions where they stand: what is wrong with them, and whether what they name is available there.

use super::reader::{Field, Reader};
use crate::availability::Availability;
use crate::diagnostic::Diagnostic;
use crate::expr::{Expr, ExprError, ExprErrorKind, Function, Reference, ReferenceKind};
use crate::model::Spanned;
use crate::template::{Condition, Template, TemplateError};
use crate::yaml::{Node, inside};

impl Reader<'_> {
    /// A condition.
    pub(super) fn condition(&mut self, field: Field<'_>) -> Option<Spanned<Condition>> {
        let text = self.scalar(field.node)?.as_text();
        let available = field.row.availability;
        match Condition::parse(text) {
            Ok(condition) => {
                if !text.trim().is_empty() {
                    self.check_expression(available, field.node, condition.offset(), condition.expr());
                }
                Some(Spanned { value: condition, span: field.node.span })
            }
            Err(error) => {
                self.template_error(available, field.node, &error);
                None
            }
        }
    }

    pub(super) fn check_template(&mut self, available: Availability, node: &Node, template: &Template) {
        for (offset, expr) in template.expressions() {
            self.check_expression(available, node, offset, expr);
        }
    }

    /// Reports what an expression names that is not available where it stands.
    fn check_expression(&mut self, available: Availability, node: &Node, offset: usize, expr: &Expr) {
        let text = node.as_scalar().map_or("", |scalar| scalar.as_text());
        for reference in expr.references() {
            if self.is_full() {
                return;
            }
            let Some((kind, help)) = unavailable(available, reference) else { continue };
            let error = ExprError::new(kind, &reference.name, reference.position, expr.text());
            let start = offset + reference.position;
            let span = inside(self.source, node.span, text, start, start + reference.name.len());
            self.report(Diagnostic::error(span, error.message).with_help(help));
        }
    }

    /// Reports an expression that cannot be read.
    pub(super) fn template_error(&mut self, available: Availability, node: &Node, error: &TemplateError) {
        if self.is_full() {
            return self.error(node.span, error.message.clone());
        }
        let text = node.as_scalar().map_or("", |scalar| scalar.as_text());
        let rest = text.get(error.offset..).unwrap_or("");
        let word =
            rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(rest.len());
        let span = inside(self.source, node.span, text, error.offset, error.offset + word.max(1));
        let finding = Diagnostic::error(span, error.message.clone());
        let finding = if error.message.starts_with("Unrecognized named-value") {
            let finding = finding.with_suggestion(&rest[..word], available.contexts());
            if finding.help.is_none() { finding.with_help(listed(available)) } else { finding }
        } else if error.message.starts_with("Unrecognized function") {
            finding.with_suggestion(&rest[..word], Function::ALL.iter().map(|function| function.name()))
        } else {
            finding
        };
        self.report(finding);
    }
}

/// Why a reference cannot stand where it does.
fn unavailable(available: Availability, reference: &Reference) -> Option<(ExprErrorKind, String)> {
    let Reference { kind, name, arguments, .. } = reference;
    match kind {
        ReferenceKind::Context if available.allows_context(name) => None,
        ReferenceKind::Context => Some((ExprErrorKind::UnrecognizedNamedValue, listed(available))),
        ReferenceKind::Function(function) if !available.allows_function(function.name()) => {
            let help = match function {
                Function::Status(_) => "it is available only in 'if'",
                _ => "it is available only in steps",
            };
            Some((ExprErrorKind::UnrecognizedFunction, help.to_owned()))
        }
        // Only a job's condition may ask about certain jobs.
        ReferenceKind::Function(Function::Status(_))
            if *arguments > 0 && available.allows_context("steps") =>
        {
            Some((ExprErrorKind::TooManyParameters, "in a step it takes no arguments".to_owned()))
        }
        ReferenceKind::Function(_) => None,
    }
}

fn listed(available: Availability) -> String {
    let names: Vec<&str> = available.contexts().collect();
    format!("available here: {}", names.join(", "))
}
