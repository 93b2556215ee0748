use super::parser::{MAX_DEPTH, MAX_LENGTH};

/// What is wrong with an expression's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExprErrorKind {
    /// The tree is deeper than [`super::MAX_DEPTH`].
    ExceededMaxDepth,
    /// The text is longer than [`super::MAX_LENGTH`].
    ExceededMaxLength,
    /// A function got fewer arguments than it takes.
    TooFewParameters,
    /// A function got more arguments than it takes.
    TooManyParameters,
    /// `case` without a default.
    EvenParameters,
    /// The text ends where more must follow.
    UnexpectedEndOfExpression,
    /// Something stands where it cannot.
    UnexpectedSymbol,
    /// There is no such function (or not here).
    UnrecognizedFunction,
    /// There is no such context (or not here).
    UnrecognizedNamedValue,
}

/// An error in an expression's text, in GitHub's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong.
    pub kind: ExprErrorKind,
    /// Where: bytes from the beginning of the expression's text.
    pub position: usize,
    /// In words, with the place within the trimmed expression (in UTF-16 units, from 1, as GitHub counts).
    pub message: String,
}

/// Why an expression has no value. It is known only when it is evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// In words.
    pub message: String,
}

impl ExprError {
    /// An error about the token `raw` that stands at byte `position` of `text`.
    pub fn new(kind: ExprErrorKind, raw: &str, position: usize, text: &str) -> Self {
        let what = match kind {
            ExprErrorKind::ExceededMaxDepth => format!("Exceeded max expression depth {MAX_DEPTH}"),
            ExprErrorKind::ExceededMaxLength => format!("Exceeded max expression length {MAX_LENGTH}"),
            ExprErrorKind::TooFewParameters => "Too few parameters supplied".into(),
            ExprErrorKind::TooManyParameters => "Too many parameters supplied".into(),
            ExprErrorKind::EvenParameters => {
                "Even number of parameters supplied, requires an odd number of parameters".into()
            }
            ExprErrorKind::UnexpectedEndOfExpression => "Unexpected end of expression".into(),
            ExprErrorKind::UnexpectedSymbol => "Unexpected symbol".into(),
            ExprErrorKind::UnrecognizedFunction => "Unrecognized function".into(),
            ExprErrorKind::UnrecognizedNamedValue => "Unrecognized named-value".into(),
        };
        if matches!(kind, ExprErrorKind::ExceededMaxDepth | ExprErrorKind::ExceededMaxLength) {
            return Self { kind, position, message: what };
        }
        let lead = text.len() - text.trim_start().len();
        let before = text.get(lead..position.max(lead)).unwrap_or_default();
        let place = before.encode_utf16().count() + 1;
        let message =
            format!("{what}: '{raw}'. Located at position {place} within expression: {}", text.trim());
        Self { kind, position, message }
    }
}

impl EvalError {
    /// An error in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
