//! `strategy`, and what can be told of a matrix before it is evaluated.

use super::reader::{Field, Fields, Reader, is_expression};
use super::setting::{derived, property};
use crate::diagnostic::Span;
use crate::expr::Value;
use crate::keys::Place;
use crate::matrix::{MAX_LEGS, MatrixError, MatrixInput, expand};
use crate::model::{Setting, Spanned, Strategy, Tree};

impl Reader<'_> {
    pub(super) fn strategy(&mut self, field: Field<'_>) -> Option<Strategy> {
        if is_expression(field.node, field.row) {
            return self.whole_strategy(field);
        }
        let fields: Fields<'_> = self.fields(field.node, Place::Strategy)?;
        let matrix = fields.get("matrix").and_then(|field| self.matrix(field));
        let fail_fast = fields.get("fail-fast").and_then(|field| self.boolean(field));
        let max_parallel = fields.get("max-parallel").and_then(|field| self.number(field, 1.0));
        Some(Strategy {
            matrix,
            fail_fast: fail_fast.unwrap_or(Setting::Literal(true)),
            max_parallel,
            span: field.node.span,
        })
    }

    /// One expression for the strategy is one expression for each of its keys, with what holds when it gives none.
    fn whole_strategy(&mut self, field: Field<'_>) -> Option<Strategy> {
        let whole = self.whole_mapping(field)?;
        let text = whole.sole()?.text().trim().to_owned();
        let fail_fast = derived(&whole, &format!("({text})['fail-fast'] != false"))?;
        let max_parallel = derived(&whole, &format!("({text})['max-parallel'] || {MAX_LEGS}"))?;
        Some(Strategy {
            matrix: property(&whole, "matrix").map(Tree::Expression),
            fail_fast: Setting::Expression(fail_fast),
            max_parallel: Some(Setting::Expression(max_parallel)),
            span: field.node.span,
        })
    }

    fn matrix(&mut self, field: Field<'_>) -> Option<Tree> {
        if is_expression(field.node, field.row) {
            return self.whole(field.row, field.node).map(Tree::Expression);
        }
        let before = self.count();
        let tree = self.tree(field.row, field.node)?;
        let Tree::Mapping(entries) = &tree else {
            return matches!(tree, Tree::Computed(_)).then_some(tree);
        };
        for (name, vector) in entries {
            self.check_vector(name, vector);
        }
        // What is written out can be expanded now, and its faults told with their place.
        if before == self.count() {
            self.check_expansion(field, entries);
        }
        Some(tree)
    }

    fn check_vector(&mut self, name: &Spanned<String>, vector: &Tree) {
        let combinations = is_combinations(name);
        match vector {
            Tree::Expression(template) if template.sole().is_some() => {}
            Tree::Sequence(items) if combinations => {
                for item in items {
                    match item {
                        Tree::Mapping(_) | Tree::Computed(_) => {}
                        Tree::Expression(template) if template.sole().is_some() => {}
                        other => self.error(span(other).unwrap_or(name.span), "A mapping was expected"),
                    }
                }
            }
            Tree::Sequence(items) if items.is_empty() => {
                self.error(name.span, MatrixError::EmptyVector(name.value.clone()).to_string());
            }
            Tree::Sequence(_) => {}
            Tree::Mapping(_) | Tree::Computed(_) => self.error(name.span, "A mapping was not expected"),
            Tree::Literal(value) => self.unexpected(value.span, &value.value.to_text()),
            Tree::Expression(template) => self.unexpected(template.span, template.text()),
        }
    }

    fn check_expansion(&mut self, field: Field<'_>, entries: &[(Spanned<String>, Tree)]) {
        if let Some(excluded) = entries.iter().find(|(name, _)| name.eq_ignore_ascii_case("exclude")) {
            self.check_exclude(entries, &excluded.1);
        }
        let literal = |(name, tree): &(Spanned<String>, Tree)| Some((name.value.clone(), tree.literal()?));
        let Some(values) = entries.iter().map(literal).collect::<Option<Vec<_>>>() else { return };
        let input = MatrixInput::from_value(&Value::object(values));
        if let Err(error) = input.and_then(|input| expand(&input))
            && !matches!(error, MatrixError::UnknownExcludeKey(_))
        {
            self.error(field.key.span, error.to_string());
        }
    }

    fn check_exclude(&mut self, entries: &[(Spanned<String>, Tree)], exclude: &Tree) {
        let Tree::Sequence(items) = exclude else { return };
        let vector = |name: &str| {
            entries.iter().any(|(other, _)| !is_combinations(other) && other.eq_ignore_ascii_case(name))
        };
        for item in items {
            let Tree::Mapping(pairs) = item else { continue };
            for (name, _) in pairs.iter().filter(|(name, _)| !vector(name)) {
                self.error(name.span, MatrixError::UnknownExcludeKey(name.value.clone()).to_string());
            }
        }
    }
}

/// `include` and `exclude` are lists of combinations, not vectors.
fn is_combinations(name: &str) -> bool {
    name.eq_ignore_ascii_case("include") || name.eq_ignore_ascii_case("exclude")
}

fn span(tree: &Tree) -> Option<Span> {
    match tree {
        Tree::Literal(value) => Some(value.span),
        Tree::Expression(template) => Some(template.span),
        Tree::Sequence(items) => items.first().and_then(span),
        Tree::Mapping(pairs) => pairs.first().map(|(name, _)| name.span),
        Tree::Computed(pairs) => pairs.first().and_then(|(_, tree)| span(tree)),
    }
}
