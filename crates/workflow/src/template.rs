//! Text with `${{ }}` in it, and the conditions of `if`.

use std::sync::Arc;

use crate::expr::{EvalError, Expr, MEMORY_LIMIT, Scope, Value, too_large};

/// A text, some parts of which are expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    /// With the byte offset of its text within the template's.
    Expression(usize, Expr),
}

/// What is wrong with a template or condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Where: bytes from the beginning of the text.
    pub offset: usize,
    /// In words.
    pub message: String,
}

/// A condition: of a job or a step (`if`), or of an action's `pre-if` and `post-if`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    offset: usize,
    expr: Expr,
    implicit: bool,
}

/// What came of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub holds: bool,
    /// The condition with what it read written out, for people: `success() && ('push' == 'schedule')`.
    pub explained: String,
}

impl Template {
    /// Reads a text. Quotes within `${{ }}` are heeded: a quoted `}}` does not close.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut from = 0;
        while let Some(open) = text[from..].find("${{").map(|i| from + i) {
            if open > from {
                parts.push(Part::Literal(text[from..open].to_owned()));
            }
            let start = open + 3;
            let close = closing(&text[start..]).map(|i| start + i).ok_or_else(|| TemplateError {
                offset: open,
                message: "The expression is not closed. An unescaped ${{ sequence was found, but the closing }} sequence was not found."
                    .into(),
            })?;
            parts.push(Part::Expression(start, expression(&text[start..close], start)?));
            from = close + 2;
        }
        if from < text.len() || parts.is_empty() {
            parts.push(Part::Literal(text[from..].to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// A template of plain text, whatever stands in it.
    pub fn of_literal(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { parts: vec![Part::Literal(text.clone())], text }
    }

    /// Its text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is no expression in it.
    pub fn is_literal(&self) -> bool {
        self.literal().is_some()
    }

    /// The text, if there is no expression in it.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The expression, if there is nothing else.
    pub fn sole(&self) -> Option<&Expr> {
        match self.parts.as_slice() {
            [Part::Expression(_, expr)] => Some(expr),
            _ => None,
        }
    }

    /// Its expressions, each with the byte offset of its text.
    pub fn expressions(&self) -> impl Iterator<Item = (usize, &Expr)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression(offset, expr) => Some((*offset, expr)),
            Part::Literal(_) => None,
        })
    }

    /// Its value: that of its sole expression, of any kind, or a text.
    pub fn render(&self, scope: &dyn Scope) -> Result<Value, EvalError> {
        if let Some(expr) = self.sole() {
            return expr.evaluate(scope);
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Expression(_, expr) => text.push_str(&expr.evaluate(scope)?.to_text()),
            }
            if text.len() > MEMORY_LIMIT {
                return Err(too_large());
            }
        }
        Ok(Value::from(text))
    }

    /// Its value as text.
    pub fn render_text(&self, scope: &dyn Scope) -> Result<Arc<str>, EvalError> {
        self.render(scope).map(|v| v.to_text())
    }
}

impl Condition {
    /// Reads a condition, with or without `${{ }}` around all of it; empty is `success()`. Unless it calls a status
    /// function, it stands for `success() && (…)`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::with_default(text, "success()")
    }

    /// As [`Condition::parse`], but empty means `default`, and nothing is put before it (`pre-if`, `post-if`).
    pub fn plain(text: &str, default: &str) -> Result<Self, TemplateError> {
        Ok(Self { implicit: false, ..Self::with_default(text, default)? })
    }

    fn with_default(text: &str, default: &str) -> Result<Self, TemplateError> {
        let (offset, expr) = if text.trim().is_empty() {
            (0, expression(default, 0)?)
        } else if opens(text) {
            let lead = text.len() - text.trim_start().len();
            let template =
                Template::parse(text.trim()).map_err(|e| TemplateError { offset: e.offset + lead, ..e })?;
            match template.parts.as_slice() {
                [Part::Expression(offset, expr)] => (lead + offset, expr.clone()),
                _ => return Err(literal_around(text)),
            }
        } else {
            (0, expression(text, 0)?)
        };
        let implicit = !expr.uses_status_function();
        Ok(Self { text: text.to_owned(), offset, expr, implicit })
    }

    /// Its text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its expression, without the implicit `success() &&`.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// The byte offset of the expression within the text.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether `success()` must hold besides.
    pub fn implies_success(&self) -> bool {
        self.implicit
    }

    /// Whether it holds over `scope`, and why.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Verdict, EvalError> {
        let explained = || {
            let own = self.expr.explain(scope);
            if self.implicit { format!("success() && ({own})") } else { own }
        };
        if self.implicit && !scope.status(crate::expr::StatusFunction::Success, &[])?.truthy() {
            return Ok(Verdict { holds: false, explained: explained() });
        }
        let holds = self.expr.evaluate(scope)?.truthy();
        Ok(Verdict { holds, explained: explained() })
    }
}

/// Whether `${{` stands in `text` outside of a quoted string.
fn opens(text: &str) -> bool {
    let mut quoted = false;
    text.char_indices().any(|(i, c)| {
        quoted ^= c == '\'';
        !quoted && text[i..].starts_with("${{")
    })
}

fn literal_around(text: &str) -> TemplateError {
    TemplateError {
        offset: 0,
        message: format!(
            "Conditional expression contains literal text outside replacement tokens. This will cause the expression to always evaluate to truthy. Did you mean to put the entire expression inside ${{{{ }}}}? Actual '{}'",
            text.trim()
        ),
    }
}

fn expression(text: &str, offset: usize) -> Result<Expr, TemplateError> {
    Expr::parse(text).map_err(|e| TemplateError { offset: offset + e.position, message: e.message })
}

/// Where the `}}` stands that closes an expression.
fn closing(text: &str) -> Option<usize> {
    let mut quoted = false;
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|i| {
        quoted ^= bytes[*i] == b'\'';
        !quoted && bytes[*i..].starts_with(b"}}")
    })
}

#[cfg(test)]
mod tests;
