//! YAML as workflows use it: text to a tree whose every node knows where it stands.
//!
//! YAML 1.2 with the core schema, one document, merge keys of YAML 1.1 besides, within limits; any text gives a tree or
//! findings. What the tree means is not known here.

mod load;
mod mend;
mod place;
mod scalar;

pub use crate::diagnostic::{Source, lines};
pub use load::{Limits, Loaded, load};
pub use place::inside;
pub use scalar::{Resolved, Scalar, Style, number_text};

use crate::diagnostic::Span;

/// A node of the tree. What an alias stands for is a copy that keeps the anchored node's places.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Pairs, in the file's order.
    Mapping(Vec<Pair>),
}

/// A pair of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Node,
}

/// A mapping's key: always a scalar here.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// How it was written.
    pub style: Style,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// Whether it is empty, `~` or `null`.
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|scalar| scalar.resolved == Resolved::Null)
    }

    /// A mapping's value by its key's exact text.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(pairs) => pairs.iter().find(|pair| pair.key.text == key).map(|pair| &pair.value),
            Value::Scalar(_) | Value::Sequence(_) => None,
        }
    }

    /// How deep it is: 1 for a scalar or an empty collection.
    pub(crate) fn height(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::Sequence(items) => 1 + items.iter().map(Node::height).max().unwrap_or(0),
            Value::Mapping(pairs) => 1 + pairs.iter().map(|pair| pair.value.height()).max().unwrap_or(0),
        }
    }

    /// How many nodes it is made of, keys counted too, and how many bytes of scalar text they hold.
    pub(crate) fn weight(&self) -> (usize, usize) {
        let sum = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
        match &self.value {
            Value::Scalar(scalar) => (1, scalar.text.len()),
            Value::Sequence(items) => items.iter().map(Node::weight).fold((1, 0), sum),
            Value::Mapping(pairs) => {
                pairs.iter().map(|pair| sum((1, pair.key.text.len()), pair.value.weight())).fold((1, 0), sum)
            }
        }
    }
}
