use std::cmp::Ordering;
use std::sync::Arc;

use super::ast::{Comparison, Node};
use super::value::{eq_ignore_case, fold};
use super::{EvalError, Function, StatusFunction, Value, json};

/// How many bytes the values that one evaluation makes may take together: no expression is a bomb.
pub const MEMORY_LIMIT: usize = 10 * 1024 * 1024;

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

/// A value, and whether it is the outcome of `.*`, on which a property is taken from each item.
struct Outcome {
    value: Value,
    filtered: bool,
}

struct Evaluation<'a> {
    scope: &'a dyn Scope,
    memory: usize,
}

pub(super) fn evaluate(node: &Node, scope: &dyn Scope) -> Result<Value, EvalError> {
    let mut evaluation = Evaluation { scope, memory: MEMORY_LIMIT };
    evaluation.value(node)
}

pub(crate) fn too_large() -> EvalError {
    EvalError::new(
        "The maximum allowed memory size was exceeded: the expression makes values of more than 10 MB",
    )
}

fn plain(value: Value) -> Outcome {
    Outcome { value, filtered: false }
}

impl Evaluation<'_> {
    fn value(&mut self, node: &Node) -> Result<Value, EvalError> {
        self.outcome(node).map(|o| o.value)
    }

    fn outcome(&mut self, node: &Node) -> Result<Outcome, EvalError> {
        Ok(match node {
            Node::Literal(value) => plain(value.clone()),
            Node::Context(name) => plain(
                self.scope
                    .context(name)
                    .ok_or_else(|| EvalError::new(format!("the context '{name}' is not available here")))?,
            ),
            Node::Call(function, arguments) => plain(self.call(*function, arguments)?),
            Node::Index(of, index) => {
                let of = self.outcome(of)?;
                let index = self.value(index)?;
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
            Node::Not(operand) => plain(Value::Bool(!self.value(operand)?.truthy())),
            Node::Compare(comparison, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                plain(Value::Bool(compare(*comparison, &left, &right)))
            }
            Node::And(operands) => plain(self.chain(operands, false)?),
            Node::Or(operands) => plain(self.chain(operands, true)?),
        })
    }

    /// The first operand whose truth is `stop`, or the last.
    fn chain(&mut self, operands: &[Node], stop: bool) -> Result<Value, EvalError> {
        let mut value = Value::Null;
        for operand in operands {
            value = self.value(operand)?;
            if value.truthy() == stop {
                break;
            }
        }
        Ok(value)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.memory = self.memory.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }

    fn text(&mut self, text: String) -> Result<Value, EvalError> {
        self.spend(text.len())?;
        Ok(Value::from(text))
    }

    fn collect(&mut self, items: Vec<Value>) -> Result<Outcome, EvalError> {
        self.spend(items.len() * size_of::<Value>())?;
        Ok(Outcome { value: Value::Array(Arc::new(items)), filtered: true })
    }

    fn map(&mut self, items: &Value, f: impl Fn(&Value) -> Option<Value>) -> Result<Outcome, EvalError> {
        let items = items.as_array().unwrap_or_default().iter().filter_map(f).collect();
        self.collect(items)
    }

    fn wildcard(&mut self, of: &Outcome) -> Result<Outcome, EvalError> {
        let all = |value: &Value| match value {
            Value::Array(items) => items.to_vec(),
            Value::Object(object) => object.values().cloned().collect(),
            _ => Vec::new(),
        };
        let items = match (&of.value, of.filtered) {
            (Value::Array(items), true) => items.iter().flat_map(all).collect(),
            (value, _) => all(value),
        };
        self.collect(items)
    }

    fn call(&mut self, function: Function, arguments: &[Node]) -> Result<Value, EvalError> {
        if function == Function::Case {
            return self.case(arguments);
        }
        let arguments = arguments.iter().map(|a| self.value(a)).collect::<Result<Vec<_>, _>>()?;
        match (function, arguments.as_slice()) {
            (Function::Contains, [search, item]) => Ok(Value::Bool(contains(search, item))),
            (Function::StartsWith, [text, part]) => Ok(Value::Bool(affix(text, part, false))),
            (Function::EndsWith, [text, part]) => Ok(Value::Bool(affix(text, part, true))),
            (Function::Format, [template, rest @ ..]) => {
                let text = self.format(&template.to_text(), rest)?;
                Ok(Value::from(text))
            }
            (Function::Join, [list, rest @ ..]) => {
                let separator = rest.first().map_or_else(|| ",".into(), Value::to_text);
                self.join(list, &separator)
            }
            (Function::ToJson, [value]) => {
                let text = json::write(value, self.memory).ok_or_else(too_large)?;
                self.text(text)
            }
            (Function::FromJson, [text]) => {
                let text = text.to_text();
                self.spend(text.len())?;
                let (value, size) = json::read(&text, self.memory)?;
                self.spend(size)?;
                Ok(value)
            }
            (Function::HashFiles, patterns) => {
                let patterns: Vec<String> = patterns.iter().map(|p| p.to_text().to_string()).collect();
                let hash = self.scope.hash_files(&patterns)?;
                self.text(hash)
            }
            (Function::Status(status), arguments) => self.scope.status(status, arguments),
            _ => {
                Err(EvalError::new(format!("the function '{}' cannot take these arguments", function.name())))
            }
        }
    }

    fn case(&mut self, arguments: &[Node]) -> Result<Value, EvalError> {
        let mut rest = arguments;
        while let [predicate, value, more @ ..] = rest {
            match self.value(predicate)? {
                Value::Bool(true) => return self.value(value),
                Value::Bool(false) => rest = more,
                other => {
                    let kind = super::explain::literal(&other);
                    return Err(EvalError::new(format!(
                        "a predicate of 'case' must be true or false, not {kind}"
                    )));
                }
            }
        }
        match rest {
            [default] => self.value(default),
            _ => Err(EvalError::new("'case' needs a default")),
        }
    }

    fn join(&mut self, list: &Value, separator: &str) -> Result<Value, EvalError> {
        match list {
            Value::Array(items) => {
                let mut text = String::new();
                for (i, item) in items.iter().enumerate() {
                    let item = item.to_text();
                    let separator = if i == 0 { "" } else { separator };
                    self.spend(item.len() + separator.len())?;
                    text.push_str(separator);
                    text.push_str(&item);
                }
                Ok(Value::from(text))
            }
            Value::Object(_) => Ok(Value::from("")),
            scalar => Ok(Value::String(scalar.to_text())),
        }
    }

    fn format(&mut self, template: &str, arguments: &[Value]) -> Result<String, EvalError> {
        let invalid = || EvalError::new(format!("The following format string is invalid: {template}"));
        let mut text = String::new();
        let mut rest = template;
        while let Some(brace) = rest.find(['{', '}']) {
            self.spend(brace + 1)?;
            text.push_str(&rest[..brace]);
            let opening = rest[brace..].starts_with('{');
            let behind = &rest[brace + 1..];
            if behind.starts_with(if opening { '{' } else { '}' }) {
                text.push(if opening { '{' } else { '}' });
                rest = &behind[1..];
                continue;
            }
            if !opening {
                return Err(invalid());
            }
            let (index, after) = behind.split_once('}').ok_or_else(invalid)?;
            if index.is_empty() || !index.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            let argument = index.parse::<usize>().ok().and_then(|i| arguments.get(i)).ok_or_else(|| {
                EvalError::new(format!(
                    "The following format string references more arguments than were supplied: {template}"
                ))
            })?;
            let argument = argument.to_text();
            self.spend(argument.len())?;
            text.push_str(&argument);
            rest = after;
        }
        self.spend(rest.len())?;
        text.push_str(rest);
        Ok(text)
    }
}

pub(super) fn compare(comparison: Comparison, left: &Value, right: &Value) -> bool {
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

fn contains(search: &Value, item: &Value) -> bool {
    match search {
        Value::Array(items) => items.iter().any(|i| i.loose_eq(item)),
        Value::Object(_) => false,
        _ if !item.is_scalar() => false,
        scalar => folded(&scalar.to_text()).contains(&folded(&item.to_text())),
    }
}

fn affix(text: &Value, part: &Value, end: bool) -> bool {
    if !text.is_scalar() || !part.is_scalar() {
        return false;
    }
    let (text, part) = (text.to_text(), part.to_text());
    let length = part.chars().count();
    let all = text.chars().count();
    if length > all {
        return false;
    }
    let skip = if end { all - length } else { 0 };
    let piece: String = text.chars().skip(skip).take(length).collect();
    eq_ignore_case(&piece, &part)
}

fn folded(text: &str) -> String {
    text.chars().map(fold).collect()
}
