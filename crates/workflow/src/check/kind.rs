//! What an expression's value can be, as far as the file tells.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::expr::Value;
use crate::model::{Tree, TreeName};

/// What a value can be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// It cannot be told.
    Any,
    Null,
    Boolean,
    Number,
    Text,
    List(Rc<Kind>),
    /// What `.*` gives: a list whose items' properties are read by `.name`.
    Filtered(Rc<Kind>),
    Object(Rc<Shape>),
}

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    /// The properties that are known, by their names in lower case.
    known: BTreeMap<String, (String, Kind)>,
    /// What other properties are; `None` when there are no others.
    rest: Option<Kind>,
}

/// The properties of an object with more are not taken together.
const FEW: usize = 100;
/// A union of lists with more items than this is not looked at further.
const MOST_ITEMS: usize = 1_000;

impl Shape {
    /// An object with these properties and no others.
    pub(super) fn exact<N: Into<String>>(properties: impl IntoIterator<Item = (N, Kind)>) -> Self {
        let known = properties.into_iter().map(|(name, kind)| {
            let name = name.into();
            (name.to_lowercase(), (name, kind))
        });
        Self { known: known.collect(), rest: None }
    }

    /// The same, and any others of a kind.
    pub(super) fn and_any(mut self, rest: Kind) -> Self {
        self.rest = Some(rest);
        self
    }

    pub(super) fn insert(&mut self, name: &str, kind: Kind) {
        self.known.insert(name.to_lowercase(), (name.to_owned(), kind));
    }

    /// A property's kind; `None` when there is none of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Kind> {
        self.known.get(&name.to_lowercase()).map(|(_, kind)| kind).or(self.rest.as_ref())
    }

    /// The names of the properties that are known.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.known.values().map(|(name, _)| name.as_str())
    }

    /// Whether nothing is ever in it.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.rest.is_none()
    }

    fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.known.values().map(|(_, kind)| kind).chain(&self.rest)
    }

    fn absorb(&mut self, other: &Self) {
        for (name, (shown, kind)) in &other.known {
            match self.known.get_mut(name) {
                Some((_, own)) => own.absorb(kind),
                None => _ = self.known.insert(name.clone(), (shown.clone(), kind.clone())),
            }
        }
        match (&mut self.rest, &other.rest) {
            (Some(own), Some(other)) => own.absorb(other),
            (own @ None, Some(other)) => *own = Some(other.clone()),
            (_, None) => {}
        }
    }
}

impl Kind {
    pub(super) fn object(shape: Shape) -> Self {
        Self::Object(Rc::new(shape))
    }

    pub(super) fn list(items: Self) -> Self {
        Self::List(Rc::new(items))
    }

    /// An object of texts whose names are not known.
    pub(super) fn texts() -> Self {
        Self::object(Shape::default().and_any(Self::Text))
    }

    /// What is either.
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.absorb(other);
        both
    }

    /// It becomes what is either.
    pub(super) fn absorb(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Object(own), Self::Object(other)) => {
                if !Rc::ptr_eq(own, other) {
                    Rc::make_mut(own).absorb(other);
                }
            }
            (Self::List(own), Self::List(other)) => {
                if !Rc::ptr_eq(own, other) {
                    Rc::make_mut(own).absorb(other);
                }
            }
            // What is missing reads as null: the other decides.
            (Self::Null, Self::Boolean | Self::Number | Self::Text) => *self = other.clone(),
            (Self::Boolean | Self::Number | Self::Text, Self::Null) => {}
            (own, other) if *own == *other => {}
            (own, _) => *own = Self::Any,
        }
    }

    /// What an item of it is.
    pub(super) fn item(&self) -> Self {
        match self {
            Self::List(kind) | Self::Filtered(kind) => (**kind).clone(),
            Self::Object(shape) => {
                let few = shape.known.len() <= FEW;
                shape.kinds().filter(|_| few).cloned().reduce(either).unwrap_or(Self::Any)
            }
            _ => Self::Any,
        }
    }

    /// Whether it is a list or an object, which no text can show.
    pub(super) fn is_collection(&self) -> bool {
        matches!(self, Self::List(_) | Self::Filtered(_) | Self::Object(_))
    }

    /// With its article.
    pub(super) const fn words(&self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Null => "nothing",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List(_) | Self::Filtered(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// What a known value is.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) | Value::Object(_) => Self::Any,
        }
    }

    /// What data of the file is.
    pub(super) fn of_tree(tree: &Tree) -> Self {
        match tree {
            Tree::Literal(value) => Self::of(&value.value),
            Tree::Expression(template) if template.sole().is_some() => Self::Any,
            Tree::Expression(_) => Self::Text,
            Tree::Sequence(items) => Self::list(Self::of_items(items)),
            Tree::Mapping(pairs) => {
                let kinds = pairs.iter().map(|(name, tree)| (name.value.clone(), Self::of_tree(tree)));
                Self::object(Shape::exact(kinds))
            }
            Tree::Computed(pairs) => {
                let literal = |(name, tree): &(TreeName, Tree)| match name {
                    TreeName::Literal(name) => Some((name.value.clone(), Self::of_tree(tree))),
                    TreeName::Expression(_) | TreeName::Insert(_) => None,
                };
                Self::object(Shape::exact(pairs.iter().filter_map(literal)).and_any(Self::Any))
            }
        }
    }

    /// What the items of a list are, taken together.
    pub(super) fn of_items(items: &[Tree]) -> Self {
        if items.len() > MOST_ITEMS {
            return Self::Any;
        }
        items.iter().map(Self::of_tree).reduce(either).unwrap_or(Self::Any)
    }
}

fn either(mut a: Kind, b: Kind) -> Kind {
    a.absorb(&b);
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_keep_what_both_have() {
        let object = |names: &[&str]| Kind::object(Shape::exact(names.iter().map(|n| (*n, Kind::Text))));
        let both = object(&["a"]).union(&object(&["b"]));
        let Kind::Object(shape) = &both else { panic!("{both:?}") };
        assert_eq!(shape.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(shape.get("A"), Some(&Kind::Text));
        assert_eq!(shape.get("c"), None);
        assert_eq!(Kind::Text.union(&Kind::Number), Kind::Any);
        assert_eq!(Kind::Null.union(&Kind::Number), Kind::Number);
        assert_eq!(object(&["a"]).union(&Kind::Null), Kind::Any);
        assert_eq!(both.item(), Kind::Text);
    }
}
