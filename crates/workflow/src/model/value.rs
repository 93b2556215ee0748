//! The small parts that the model is made of.

use std::ops::Deref;

use crate::diagnostic::Span;
use crate::expr::{EvalError, Scope, Value};
use crate::template::Template;

/// A value and where it stands in the file. It can be used as the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A value that is known already, or an expression that gives it later.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting<T> {
    /// Written out.
    Literal(T),
    /// Known when the expression is evaluated; it must then be of the same kind.
    Expression(Spanned<Template>),
}

/// A mapping of names to texts: `env`, `with`, `outputs`.
#[derive(Clone, Debug, PartialEq)]
pub enum Map {
    /// Written out, in the file's order.
    Entries(Vec<Entry>),
    /// One expression for the whole mapping; it must give an object.
    Expression(Spanned<Template>),
}

impl Default for Map {
    fn default() -> Self {
        Self::Entries(Vec::new())
    }
}

impl Map {
    /// The entries that are written out; none when the whole mapping is an expression.
    pub fn entries(&self) -> &[Entry] {
        match self {
            Self::Entries(entries) => entries,
            Self::Expression(_) => &[],
        }
    }

    /// An entry's text by its name, ignoring case.
    pub fn get(&self, name: &str) -> Option<&Spanned<Template>> {
        let found = self.entries().iter().find(|entry| entry.name.eq_ignore_ascii_case(name));
        found.map(|entry| &entry.value)
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Entries(entries) if entries.is_empty())
    }
}

/// An entry of a [`Map`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name, as written.
    pub name: Spanned<String>,
    /// The text.
    pub value: Spanned<Template>,
}

/// Data of any shape in which texts may be expressions: a matrix.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// A scalar without an expression.
    Literal(Spanned<Value>),
    /// A scalar that holds an expression; alone, it may give a list or an object.
    Expression(Spanned<Template>),
    /// A list.
    Sequence(Vec<Tree>),
    /// Names and values, in the file's order.
    Mapping(Vec<(Spanned<String>, Tree)>),
}

impl Tree {
    /// Its value over a scope.
    ///
    /// # Errors
    /// The first expression's that has no value.
    pub fn render(&self, scope: &dyn Scope) -> Result<Value, EvalError> {
        Ok(match self {
            Self::Literal(value) => value.value.clone(),
            Self::Expression(template) => template.render(scope)?,
            Self::Sequence(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| item.render(scope)).collect();
                Value::array(items?)
            }
            Self::Mapping(pairs) => {
                let render = |(name, tree): &(Spanned<String>, Self)| {
                    tree.render(scope).map(|value| (name.value.clone(), value))
                };
                Value::object(pairs.iter().map(render).collect::<Result<Vec<_>, _>>()?)
            }
        })
    }

    /// Its value when no expression is in it.
    pub fn literal(&self) -> Option<Value> {
        Some(match self {
            Self::Literal(value) => value.value.clone(),
            Self::Expression(_) => return None,
            Self::Sequence(items) => {
                Value::array(items.iter().map(Self::literal).collect::<Option<Vec<_>>>()?)
            }
            Self::Mapping(pairs) => {
                let literal =
                    |(name, tree): &(Spanned<String>, Self)| Some((name.value.clone(), tree.literal()?));
                Value::object(pairs.iter().map(literal).collect::<Option<Vec<_>>>()?)
            }
        })
    }
}
