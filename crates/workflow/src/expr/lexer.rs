use super::number;
use super::{ExprError, ExprErrorKind, Value};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Literal(Value),
    /// A name that is a context, or a property behind a dot.
    Name,
    /// A name with `(` behind it.
    Function,
    Symbol(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) raw: &'a str,
    pub(super) position: usize,
}

/// Cuts `text` into tokens. A dot begins a number or takes a property, a sign begins a number, by what came before.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, ExprError> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let token = token(text, at, c, tokens.last())?;
        at += token.raw.len();
        tokens.push(token);
    }
    Ok(tokens)
}

const SYMBOLS: [&str; 18] =
    ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "(", ")", "[", "]", ",", ".", "*", "=", "&"];

fn token<'a>(text: &'a str, at: usize, c: char, last: Option<&Token<'a>>) -> Result<Token<'a>, ExprError> {
    let rest = &text[at..];
    let make = |kind, raw| Ok(Token { kind, raw, position: at });
    let unexpected = |raw| Err(ExprError::new(ExprErrorKind::UnexpectedSymbol, raw, at, text));
    let operand_before = last.is_some_and(ends_operand);
    match c {
        '\'' => match quoted(rest) {
            Some((raw, value)) => make(Kind::Literal(Value::from(value)), raw),
            None => unexpected(rest),
        },
        '.' if operand_before => make(Kind::Symbol("."), &rest[..1]),
        '0'..='9' | '.' | '+' | '-' => {
            let raw = word(rest, false);
            let value = number::parse(raw);
            if (matches!(c, '+' | '-' | '.') && operand_before) || value.is_nan() {
                return unexpected(raw);
            }
            make(Kind::Literal(Value::Number(value)), raw)
        }
        _ if c.is_ascii_alphabetic() || c == '_' => {
            let raw = word(rest, true);
            if !raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
                return unexpected(raw);
            }
            let property = last.is_some_and(|t| t.kind == Kind::Symbol("."));
            make(name(raw, property, &rest[raw.len()..]), raw)
        }
        _ => match SYMBOLS.into_iter().find(|s| rest.starts_with(s)) {
            Some(symbol) if !matches!(symbol, "=" | "&") => make(Kind::Symbol(symbol), &rest[..symbol.len()]),
            _ => unexpected(word(rest, true)),
        },
    }
}

fn name(raw: &str, property: bool, rest: &str) -> Kind {
    if property {
        return Kind::Name;
    }
    match raw {
        _ if rest.trim_start().starts_with('(') => Kind::Function,
        "null" => Kind::Literal(Value::Null),
        "true" => Kind::Literal(Value::Bool(true)),
        "false" => Kind::Literal(Value::Bool(false)),
        "NaN" => Kind::Literal(Value::Number(f64::NAN)),
        "Infinity" => Kind::Literal(Value::Number(f64::INFINITY)),
        _ => Kind::Name,
    }
}

fn ends_operand(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Literal(_) | Kind::Name => true,
        Kind::Function => false,
        Kind::Symbol(s) => matches!(s, ")" | "]" | "*"),
    }
}

/// The text up to where the next token must begin; at least one character.
fn word(rest: &str, stop_at_dot: bool) -> &str {
    let boundary = |c: char| c.is_whitespace() || "()[],!<>=&|'".contains(c) || (c == '.' && stop_at_dot);
    let end = rest.char_indices().skip(1).find(|(_, c)| boundary(*c)).map_or(rest.len(), |(i, _)| i);
    &rest[..end]
}

/// A string in single quotes, two of which are one within; `None` if it does not end.
fn quoted(rest: &str) -> Option<(&str, String)> {
    let mut value = String::new();
    let mut from = 1;
    loop {
        let quote = from + rest[from..].find('\'')?;
        value.push_str(&rest[from..quote]);
        if rest[quote + 1..].starts_with('\'') {
            value.push('\'');
            from = quote + 2;
        } else {
            return Some((&rest[..=quote], value));
        }
    }
}
