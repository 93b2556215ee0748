//! The small parts that the model is made of.

use std::ops::Deref;

use crate::diagnostic::Span;
use crate::expr::{EvalError, Object, Scope, Value};
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
    /// Some names are known only when their expressions are evaluated, in the file's order; a later one of the same
    /// name wins. Read it with [`Map::render`].
    Computed(Vec<MapPart>),
}

/// A part of a [`Map::Computed`].
#[derive(Clone, Debug, PartialEq)]
pub enum MapPart {
    /// A name that is written out.
    Entry(Entry),
    /// A name that an expression gives.
    Computed(ComputedEntry),
    /// `${{ insert }}`: the entries of another mapping.
    Insert(Map),
}

/// An entry whose name an expression gives.
#[derive(Clone, Debug, PartialEq)]
pub struct ComputedEntry {
    /// The name.
    pub name: Spanned<Template>,
    /// The text.
    pub value: Spanned<Template>,
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
            Self::Expression(_) | Self::Computed(_) => &[],
        }
    }

    /// Its names and values over a scope, in order. A name may come again: then the later one holds.
    ///
    /// # Errors
    /// The first expression's that has no value, or what gave something else than an object or a name.
    pub fn render(&self, scope: &dyn Scope) -> Result<Vec<(String, Value)>, EvalError> {
        let mut found = Vec::new();
        self.render_into(scope, &mut found)?;
        Ok(found)
    }

    fn render_into(&self, scope: &dyn Scope, found: &mut Vec<(String, Value)>) -> Result<(), EvalError> {
        match self {
            Self::Entries(entries) => {
                for entry in entries {
                    found.push((entry.name.value.clone(), entry.value.render(scope)?));
                }
            }
            Self::Expression(template) => match template.render(scope)? {
                Value::Object(object) => {
                    found.extend(object.iter().map(|(name, value)| (name.to_owned(), value.clone())));
                }
                Value::Null => {}
                other => {
                    let shown = other.to_text();
                    return Err(EvalError::new(format!("a mapping was expected, not '{shown}'")));
                }
            },
            Self::Computed(parts) => {
                for part in parts {
                    match part {
                        MapPart::Entry(entry) => {
                            found.push((entry.name.value.clone(), entry.value.render(scope)?));
                        }
                        MapPart::Computed(entry) => {
                            let name = entry.name.render(scope)?;
                            if !name.is_scalar() {
                                return Err(EvalError::new("a name was expected, not a list or a mapping"));
                            }
                            found.push((name.to_text().to_string(), entry.value.render(scope)?));
                        }
                        MapPart::Insert(map) => map.render_into(scope, found)?,
                    }
                }
            }
        }
        Ok(())
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
    /// Names and values, some of whose names are expressions; `${{ insert }}` is one, whose value is merged in.
    Computed(Vec<(TreeName, Tree)>),
}

/// A name of a [`Tree::Computed`].
#[derive(Clone, Debug, PartialEq)]
pub enum TreeName {
    /// Written out.
    Literal(Spanned<String>),
    /// An expression gives it.
    Expression(Spanned<Template>),
    /// `${{ insert }}`: the value's own names and values stand here.
    Insert(Span),
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
            Self::Computed(pairs) => computed(pairs, scope)?,
        })
    }

    /// Its value when no expression is in it.
    pub fn literal(&self) -> Option<Value> {
        Some(match self {
            Self::Literal(value) => value.value.clone(),
            Self::Expression(_) | Self::Computed(_) => return None,
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

fn computed(pairs: &[(TreeName, Tree)], scope: &dyn Scope) -> Result<Value, EvalError> {
    let mut object = Object::new();
    for (name, tree) in pairs {
        let value = tree.render(scope)?;
        match (name, value) {
            (TreeName::Literal(name), value) => object.insert(&name.value, value),
            (TreeName::Expression(name), value) => object.insert(&name.render_text(scope)?, value),
            (TreeName::Insert(_), Value::Object(inner)) => {
                object.extend(inner.iter().map(|(name, value)| (name, value.clone())));
            }
            (TreeName::Insert(_), Value::Null) => {}
            (TreeName::Insert(_), other) => {
                let shown = other.to_text();
                return Err(EvalError::new(format!("a mapping was expected, not '{shown}'")));
            }
        }
    }
    Ok(Value::from(object))
}
