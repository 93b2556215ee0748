//! Mappings of names to texts, lists of texts, and data of any shape: where expressions may stand for names, for
//! values and for the whole.

use super::reader::{Field, Reader, evaluated, is_expression};
use crate::diagnostic::{Diagnostic, Span};
use crate::keys::KeyRow;
use crate::model::{ComputedEntry, Entry, List, Map, MapPart, Spanned, Tree, TreeName};
use crate::supported::Form;
use crate::template::Template;
use crate::yaml::{Key, Node, Pair, Resolved, Scalar, Value};

/// What a key with an expression is.
enum Computed {
    Insert,
    Name(Spanned<Template>),
}

impl Reader<'_> {
    /// A mapping of names to texts.
    pub(super) fn map(&mut self, field: Field<'_>) -> Option<Map> {
        self.map_at(field.row, field.node)
    }

    fn map_at(&mut self, row: &'static KeyRow, node: &Node) -> Option<Map> {
        if is_expression(node, row) {
            return self.whole(row, node).map(Map::Expression);
        }
        let pairs = self.pairs(node)?;
        if pairs.iter().any(|pair| pair.key.text.contains("${{")) {
            return Some(Map::Computed(pairs.iter().filter_map(|pair| self.map_part(row, pair)).collect()));
        }
        Some(Map::Entries(pairs.iter().filter_map(|pair| self.entry(row, pair)).collect()))
    }

    fn entry(&mut self, row: &'static KeyRow, Pair { key, value }: &Pair) -> Option<Entry> {
        let name = Spanned { value: key.text.clone(), span: key.span };
        Some(Entry { name, value: self.template(row, value)? })
    }

    fn map_part(&mut self, row: &'static KeyRow, pair: &Pair) -> Option<MapPart> {
        if !pair.key.text.contains("${{") {
            return self.entry(row, pair).map(MapPart::Entry);
        }
        match self.computed_key(row, &pair.key)? {
            Computed::Insert => self.map_at(row, &pair.value).map(MapPart::Insert),
            Computed::Name(name) => {
                let value = self.template(row, &pair.value)?;
                Some(MapPart::Computed(ComputedEntry { name, value }))
            }
        }
    }

    /// A key with an expression in it.
    fn computed_key(&mut self, row: &'static KeyRow, key: &Key) -> Option<Computed> {
        if row.availability.is_literal() {
            self.unknown_key(key, []);
            return None;
        }
        if self.refuse_form(Form::ComputedKey, key.span, &format!("'{}'", key.text)) {
            return None;
        }
        let inner = key.text.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
        if inner.is_some_and(|inner| inner.trim() == "insert") {
            return Some(Computed::Insert);
        }
        let scalar = Scalar::new(key.text.clone(), key.style);
        let node = Node { value: Value::Scalar(scalar), span: key.span };
        self.template(row, &node).map(Computed::Name)
    }

    /// One expression for what would be a mapping or a list.
    pub(super) fn whole(&mut self, row: &KeyRow, node: &Node) -> Option<Spanned<Template>> {
        let template = self.template(row, node)?;
        if template.sole().is_none() {
            self.unexpected(node.span, template.text());
            return None;
        }
        Some(template)
    }

    /// A list of texts.
    pub(super) fn list(&mut self, field: Field<'_>) -> Option<List> {
        if is_expression(field.node, field.row) {
            return self.whole(field.row, field.node).map(List::Expression);
        }
        let items = self.items(field.node)?;
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            texts.extend(self.template(field.row, item));
        }
        Some(List::Items(texts))
    }

    /// Data of any shape.
    pub(super) fn tree(&mut self, row: &'static KeyRow, node: &Node) -> Option<Tree> {
        Some(match &node.value {
            Value::Scalar(scalar) if scalar.text.contains("${{") => {
                Tree::Expression(self.template(row, node)?)
            }
            Value::Scalar(scalar) => {
                self.warn_of_lost_digits(scalar, node.span);
                Tree::Literal(Spanned { value: evaluated(scalar), span: node.span })
            }
            Value::Sequence(items) => {
                Tree::Sequence(items.iter().filter_map(|item| self.tree(row, item)).collect())
            }
            Value::Mapping(pairs) if pairs.iter().any(|pair| pair.key.text.contains("${{")) => {
                Tree::Computed(pairs.iter().filter_map(|pair| self.tree_part(row, pair)).collect())
            }
            Value::Mapping(pairs) => {
                let mut entries = Vec::with_capacity(pairs.len());
                for Pair { key, value } in pairs {
                    if let Some(tree) = self.tree(row, value) {
                        entries.push((Spanned { value: key.text.clone(), span: key.span }, tree));
                    }
                }
                Tree::Mapping(entries)
            }
        })
    }

    fn tree_part(&mut self, row: &'static KeyRow, Pair { key, value }: &Pair) -> Option<(TreeName, Tree)> {
        let name = if key.text.contains("${{") {
            match self.computed_key(row, key)? {
                Computed::Insert => TreeName::Insert(key.span),
                Computed::Name(name) => TreeName::Expression(name),
            }
        } else {
            TreeName::Literal(Spanned { value: key.text.clone(), span: key.span })
        };
        Some((name, self.tree(row, value)?))
    }

    fn warn_of_lost_digits(&mut self, scalar: &Scalar, span: Span) {
        let Resolved::Number(value) = scalar.resolved else { return };
        let text = &scalar.text;
        if text.contains('.') && text.ends_with('0') && !text.contains(['e', 'E']) {
            let shown = crate::yaml::number_text(value);
            let warning = Diagnostic::warning(span, format!("'{text}' is the number {shown} here"));
            self.report(warning.with_help(format!("write '{text}' with quotes to keep it as it is")));
        }
    }
}
