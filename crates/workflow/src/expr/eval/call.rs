//! The functions. An argument is evaluated when it is first needed, as on GitHub: what is never needed may be wrong.

use std::sync::Arc;

use super::super::ast::Node;
use super::super::value::{contains_ignore_case, ends_ignore_case, starts_ignore_case};
use super::super::{EvalError, Function, Value, explain, json};
use super::{Evaluation, Outcome, plain, text_length, too_large};

/// A test of one text by another.
type TextTest = fn(&str, &str) -> bool;

impl<'a> Evaluation<'a> {
    pub(super) fn call(&mut self, function: Function, arguments: &'a [Node]) -> Result<Outcome, EvalError> {
        Ok(plain(match (function, arguments) {
            (Function::Case, _) => return self.case(arguments),
            (Function::Contains, [search, item]) => self.contains(search, item)?,
            (Function::StartsWith, [text, part]) => self.test(text, part, starts_ignore_case)?,
            (Function::EndsWith, [text, part]) => self.test(text, part, ends_ignore_case)?,
            (Function::Format, [template, rest @ ..]) => {
                let template = self.value(template)?.to_text();
                self.format(&template, rest)?
            }
            (Function::Join, [list, rest @ ..]) => self.join(list, rest.first())?,
            (Function::ToJson, [value]) => {
                let value = self.value(value)?;
                let text = json::write(&value, self.memory).ok_or_else(too_large)?;
                self.spend(text.len())?;
                Value::from(text)
            }
            (Function::FromJson, [text]) => {
                let text = self.value(text)?.to_text();
                self.look(text.len())?;
                let (value, size) = json::read(&text, self.memory)?;
                self.spend(size)?;
                value
            }
            (Function::HashFiles, patterns) => {
                let patterns = self.values(patterns)?;
                let patterns: Vec<String> = patterns.iter().map(|p| p.to_text().to_string()).collect();
                Value::from(self.scope.hash_files(&patterns)?)
            }
            (Function::Status(status), arguments) => {
                let arguments = self.values(arguments)?;
                self.scope.status(status, &arguments)?
            }
            _ => {
                let name = function.name();
                return Err(EvalError::new(format!("the function '{name}' cannot take these arguments")));
            }
        }))
    }

    fn values(&mut self, nodes: &'a [Node]) -> Result<Vec<Value>, EvalError> {
        nodes.iter().map(|node| self.value(node)).collect()
    }

    fn contains(&mut self, search: &'a Node, item: &'a Node) -> Result<Value, EvalError> {
        let search = self.value(search)?;
        match &search {
            Value::Object(_) => Ok(false.into()),
            Value::Array(items) if items.is_empty() => Ok(false.into()),
            Value::Array(items) => {
                let item = self.value(item)?;
                for candidate in items.iter() {
                    self.look_at(&item, candidate)?;
                    if item.loose_eq(candidate) {
                        return Ok(true.into());
                    }
                }
                Ok(false.into())
            }
            scalar => {
                let item = self.value(item)?;
                self.look(text_length(scalar) + text_length(&item))?;
                Ok((item.is_scalar() && contains_ignore_case(&scalar.to_text(), &item.to_text())).into())
            }
        }
    }

    fn test(&mut self, text: &'a Node, part: &'a Node, test: TextTest) -> Result<Value, EvalError> {
        let text = self.value(text)?;
        if !text.is_scalar() {
            return Ok(false.into());
        }
        let part = self.value(part)?;
        self.look(text_length(&part))?;
        Ok((part.is_scalar() && test(&text.to_text(), &part.to_text())).into())
    }

    fn case(&mut self, arguments: &'a [Node]) -> Result<Outcome, EvalError> {
        let mut rest = arguments;
        while let [predicate, value, more @ ..] = rest {
            match self.value(predicate)? {
                Value::Bool(true) => return self.outcome(value),
                Value::Bool(false) => rest = more,
                other => {
                    return Err(EvalError::new(format!(
                        "case predicate must evaluate to a boolean value, not {}",
                        explain::literal(&other)
                    )));
                }
            }
        }
        match rest {
            [default] => self.outcome(default),
            _ => Err(EvalError::new("case requires an odd number of arguments")),
        }
    }

    fn join(&mut self, list: &'a Node, separator: Option<&'a Node>) -> Result<Value, EvalError> {
        let list = self.value(list)?;
        let items = match &list {
            Value::Array(items) => items,
            Value::Object(_) => return Ok("".into()),
            scalar => return Ok(Value::String(scalar.to_text())),
        };
        let mut between: Arc<str> = ",".into();
        if let Some(separator) = separator.filter(|_| items.len() > 1) {
            let separator = self.value(separator)?;
            if separator.is_scalar() {
                between = separator.to_text();
            }
        }
        let mut text = String::new();
        for (i, item) in items.iter().enumerate() {
            let item = item.to_text();
            let separator = if i == 0 { "" } else { &between };
            self.spend(item.len() + separator.len())?;
            self.look(size_of::<Value>())?;
            text.push_str(separator);
            text.push_str(&item);
        }
        Ok(text.into())
    }

    fn format(&mut self, template: &str, arguments: &'a [Node]) -> Result<Value, EvalError> {
        // The template is read to its end before the first argument is looked at.
        let pieces = pieces(template, arguments.len())?;
        let mut values: Vec<Option<Arc<str>>> = vec![None; arguments.len()];
        let mut text = String::new();
        for piece in pieces {
            let part: Arc<str> = match piece {
                Piece::Text(part) => {
                    self.spend(part.len())?;
                    text.push_str(part);
                    continue;
                }
                Piece::Argument(index, specifiers) => {
                    let known = values.get(index).cloned().flatten();
                    let value = match (known, arguments.get(index)) {
                        (Some(known), _) => known,
                        (None, Some(argument)) => self.value(argument)?.to_text(),
                        (None, None) => return Err(too_few(template)),
                    };
                    if !specifiers.is_empty() {
                        return Err(EvalError::new(format!(
                            "The format specifiers '{specifiers}' are not valid: {template}"
                        )));
                    }
                    values[index] = Some(value.clone());
                    value
                }
            };
            self.spend(part.len())?;
            text.push_str(&part);
        }
        Ok(text.into())
    }
}

/// A part of a format string.
enum Piece<'t> {
    Text(&'t str),
    /// `{0}`, or `{0:specifiers}`, which no value of the language has a use for.
    Argument(usize, &'t str),
}

fn too_few(template: &str) -> EvalError {
    EvalError::new(format!(
        "The following format string references more arguments than were supplied: {template}"
    ))
}

fn pieces(template: &str, arguments: usize) -> Result<Vec<Piece<'_>>, EvalError> {
    let invalid = || EvalError::new(format!("The following format string is invalid: {template}"));
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(brace) = rest.find(['{', '}']) {
        let behind = &rest[brace + 1..];
        let opening = rest[brace..].starts_with('{');
        if behind.starts_with(if opening { '{' } else { '}' }) {
            // Doubled: it stands for itself.
            pieces.push(Piece::Text(&rest[..=brace]));
            rest = &behind[1..];
            continue;
        }
        if !opening {
            return Err(invalid());
        }
        pieces.push(Piece::Text(&rest[..brace]));
        let digits = behind.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let index: u8 = behind[..digits].parse().map_err(|_| invalid())?;
        let (specifiers, after) = specifiers(&behind[digits..]).ok_or_else(invalid)?;
        if usize::from(index) >= arguments {
            return Err(too_few(template));
        }
        pieces.push(Piece::Argument(usize::from(index), specifiers));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// What stands between an argument's number and the closing brace; and what follows that.
fn specifiers(text: &str) -> Option<(&str, &str)> {
    if let Some(after) = text.strip_prefix('}') {
        return Some(("", after));
    }
    let inner = text.strip_prefix(':')?;
    let mut from = 0;
    loop {
        let brace = from + inner[from..].find('}')?;
        if inner[brace + 1..].starts_with('}') {
            from = brace + 2;
        } else {
            return Some((&inner[..brace], &inner[brace + 1..]));
        }
    }
}
