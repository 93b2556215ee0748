//! What an expression is worth over a scope: operators and dereferences. The functions are in [`call`].

mod call;

use std::cmp::Ordering;
use std::sync::Arc;

use super::ast::{Comparison, Node};
use super::{EvalError, StatusFunction, Value};

/// How many bytes the values that one evaluation makes may take together: no expression is a bomb.
pub const MEMORY_LIMIT: usize = 10 * 1024 * 1024;
/// How many bytes of text one evaluation may look at: no expression takes the machine's time.
pub const WORK_LIMIT: usize = 256 * 1024 * 1024;

/// What an expression is evaluated over.
pub trait Scope {
    /// The value of the context `name` (lower case); `None` where it is not available.
    fn context(&self, name: &str) -> Option<Value>;

    /// `success`, `failure`, `cancelled`, `always`.
    fn status(&self, function: StatusFunction, arguments: &[Value]) -> Result<Value, EvalError> {
        let _ = arguments;
        Err(EvalError::new(format!("the function '{}' is not available here", function.name())))
    }

    /// `hashFiles`.
    fn hash_files(&self, patterns: &[String]) -> Result<String, EvalError> {
        let _ = patterns;
        Err(EvalError::new("the function 'hashFiles' is not available here"))
    }
}

/// A value, and whether it is the outcome of `.*`, on which a property is taken from each item. It stays so through
/// `&&`, `||`, parentheses and `case`.
#[derive(Clone)]
struct Outcome {
    value: Value,
    filtered: bool,
}

/// One evaluation: what it may still use, and the contexts that it has read (so that each is one instance).
pub(super) struct Evaluation<'a> {
    scope: &'a dyn Scope,
    contexts: Vec<(&'a str, Value)>,
    memory: usize,
    work: usize,
}

pub(super) fn evaluate(node: &Node, scope: &dyn Scope) -> Result<Value, EvalError> {
    Evaluation::new(scope).value(node)
}

pub(crate) fn too_large() -> EvalError {
    EvalError::new(
        "The maximum allowed memory size was exceeded: the expression makes values of more than 10 MB",
    )
}

fn plain(value: impl Into<Value>) -> Outcome {
    Outcome { value: value.into(), filtered: false }
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(scope: &'a dyn Scope) -> Self {
        Self { scope, contexts: Vec::new(), memory: MEMORY_LIMIT, work: WORK_LIMIT }
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Result<Value, EvalError> {
        self.outcome(node).map(|o| o.value)
    }

    fn outcome(&mut self, node: &'a Node) -> Result<Outcome, EvalError> {
        Ok(match node {
            Node::Literal(value) => plain(value.clone()),
            Node::Context(name) => plain(self.context(name)?),
            Node::Call(function, arguments) => self.call(*function, arguments)?,
            Node::Index(of, index) => {
                let of = self.outcome(of)?;
                if of.value.is_scalar() {
                    // What nothing is taken from is not looked at.
                    return Ok(plain(Value::Null));
                }
                let index = self.value(index)?;
                self.look(text_length(&index))?;
                if of.filtered {
                    self.map(&of.value, |item| item_of(item, &index))?
                } else {
                    plain(item_of(&of.value, &index).unwrap_or_default())
                }
            }
            Node::Wildcard(of) => {
                let of = self.outcome(of)?;
                self.wildcard(&of)?
            }
            Node::Not(operand) => plain(!self.value(operand)?.truthy()),
            Node::Compare(comparison, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.look_at(&left, &right)?;
                plain(compare(*comparison, &left, &right))
            }
            Node::And(operands) => self.chain(operands, false)?,
            Node::Or(operands) => self.chain(operands, true)?,
        })
    }

    fn context(&mut self, name: &'a str) -> Result<Value, EvalError> {
        if let Some((_, value)) = self.contexts.iter().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        let value = self
            .scope
            .context(name)
            .ok_or_else(|| EvalError::new(format!("the context '{name}' is not available here")))?;
        self.contexts.push((name, value.clone()));
        Ok(value)
    }

    /// The first operand whose truth is `stop`, or the last.
    fn chain(&mut self, operands: &'a [Node], stop: bool) -> Result<Outcome, EvalError> {
        let mut outcome = plain(Value::Null);
        for operand in operands {
            outcome = self.outcome(operand)?;
            if outcome.value.truthy() == stop {
                break;
            }
        }
        Ok(outcome)
    }

    /// Counts bytes of a new value.
    fn spend(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.memory = self.memory.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }

    /// Counts bytes that are read.
    fn look(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.work = self.work.checked_sub(bytes).ok_or_else(|| {
            EvalError::new(
                "The maximum allowed work was exceeded: the expression reads more than 256 MB of text",
            )
        })?;
        Ok(())
    }

    /// Counts what a comparison of the two reads.
    fn look_at(&mut self, left: &Value, right: &Value) -> Result<(), EvalError> {
        let (a, b) = (text_length(left), text_length(right));
        self.look(if a > 0 && b > 0 { a.min(b) } else { a + b } + 1)
    }

    fn collect(&mut self, items: Vec<Value>) -> Result<Outcome, EvalError> {
        self.spend(items.len() * size_of::<Value>())?;
        Ok(Outcome { value: Value::Array(Arc::new(items)), filtered: true })
    }

    fn map(&mut self, items: &Value, f: impl Fn(&Value) -> Option<Value>) -> Result<Outcome, EvalError> {
        let items = items.as_array().unwrap_or_default();
        self.look(size_of_val(items))?;
        self.collect(items.iter().filter_map(f).collect())
    }

    fn wildcard(&mut self, of: &Outcome) -> Result<Outcome, EvalError> {
        let mut items = Vec::new();
        match (&of.value, of.filtered) {
            (Value::Array(outer), true) => {
                self.look(outer.len() * size_of::<Value>())?;
                outer.iter().for_each(|item| all(item, &mut items));
            }
            (value, _) => all(value, &mut items),
        }
        self.collect(items)
    }
}

/// Adds the items or the properties' values.
fn all(of: &Value, items: &mut Vec<Value>) {
    match of {
        Value::Array(array) => items.extend(array.iter().cloned()),
        Value::Object(object) => items.extend(object.values().cloned()),
        _ => {}
    }
}

fn text_length(value: &Value) -> usize {
    value.as_str().map_or(0, str::len)
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> bool {
    let is = |ordering| left.compare(right) == Some(ordering);
    match comparison {
        Comparison::Equal => left.loose_eq(right),
        Comparison::NotEqual => !left.loose_eq(right),
        Comparison::Less => is(Ordering::Less),
        Comparison::Greater => is(Ordering::Greater),
        Comparison::LessOrEqual => is(Ordering::Less) || left.loose_eq(right),
        Comparison::GreaterOrEqual => is(Ordering::Greater) || left.loose_eq(right),
    }
}

/// The item or property that `index` names; `None` where there is none.
fn item_of(of: &Value, index: &Value) -> Option<Value> {
    match of {
        Value::Object(object) if index.is_scalar() => object.get(&index.to_text()).cloned(),
        Value::Array(items) => {
            let index = index.to_number();
            if index.is_nan() || index < 0.0 || index >= items.len() as f64 {
                return None;
            }
            items.get(index as usize).cloned()
        }
        _ => None,
    }
}
