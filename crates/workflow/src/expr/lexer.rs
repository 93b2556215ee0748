//! Text to tokens, one at a time and in order, so that the first thing that is wrong is the one that is told. Whether a
//! token may stand where it does is decided here, by what came before it.

use super::Value;
use super::ast::Comparison;
use super::number;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Literal(Value),
    /// A context.
    Name,
    /// A name behind a dot.
    Property,
    /// A name with `(` behind it.
    Function,
    /// `(` around an expression.
    Group,
    /// `(` behind a function's name.
    Call,
    /// `[`.
    Index,
    /// `)`.
    Close,
    /// `]`.
    CloseIndex,
    Comma,
    Dot,
    Star,
    Not,
    Compare(Comparison),
    And,
    Or,
    /// What cannot stand here.
    Unexpected,
}

#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) raw: &'a str,
    /// Bytes from the beginning of the text.
    pub(super) position: usize,
}

/// What may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// An operand: the text's beginning, or behind an operator, a comma or `(`.
    Operand,
    /// An operand or `)`: behind the `(` of a call.
    Argument,
    /// An operand or `*`: behind `[`.
    Subscript,
    /// `(`: behind a function's name.
    Arguments,
    /// A property or `*`: behind a dot.
    Property,
    /// An operator: behind a literal.
    Operator,
    /// An operator, a dot or `[`: behind what can have properties.
    Access,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    stand: Stand,
}

const SYMBOLS: [(&str, Kind); 16] = [
    ("==", Kind::Compare(Comparison::Equal)),
    ("!=", Kind::Compare(Comparison::NotEqual)),
    ("<=", Kind::Compare(Comparison::LessOrEqual)),
    (">=", Kind::Compare(Comparison::GreaterOrEqual)),
    ("&&", Kind::And),
    ("||", Kind::Or),
    ("<", Kind::Compare(Comparison::Less)),
    (">", Kind::Compare(Comparison::Greater)),
    ("!", Kind::Not),
    ("(", Kind::Group),
    (")", Kind::Close),
    ("[", Kind::Index),
    ("]", Kind::CloseIndex),
    (",", Kind::Comma),
    (".", Kind::Dot),
    ("*", Kind::Star),
];

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // What is around an expression is not part of it, nor of what is said about it.
        Self { text: text.trim_end(), at: text.len() - text.trim_start().len(), stand: Stand::Operand }
    }

    /// The next token; `None` at the end. Behind an unexpected one there is nothing to be had.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.text.get(self.at..)?;
        self.at += rest.len() - rest.trim_start().len();
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        let (kind, raw) = self.token(rest, first);
        let token = Token { kind, raw, position: self.at };
        self.at += raw.len();
        self.stand = match token.kind {
            Kind::Literal(_) => Stand::Operator,
            Kind::Name | Kind::Property | Kind::Close | Kind::CloseIndex | Kind::Star => Stand::Access,
            Kind::Function => Stand::Arguments,
            Kind::Call => Stand::Argument,
            Kind::Index => Stand::Subscript,
            Kind::Dot => Stand::Property,
            _ => Stand::Operand,
        };
        Some(token)
    }

    /// Whether an operand may stand here.
    fn operand(&self) -> bool {
        matches!(self.stand, Stand::Operand | Stand::Argument | Stand::Subscript)
    }

    fn token(&self, rest: &'a str, first: char) -> (Kind, &'a str) {
        let legal = |kind: Kind, raw, legal: bool| (if legal { kind } else { Kind::Unexpected }, raw);
        match first {
            '\'' => match quoted(rest) {
                Some((raw, value)) => legal(Kind::Literal(Value::from(value)), raw, self.operand()),
                None => (Kind::Unexpected, rest),
            },
            '0'..='9' | '+' | '-' => self.number(rest),
            '.' if self.operand() => self.number(rest),
            _ => match SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol)) {
                Some((symbol, kind)) => {
                    let kind = match (kind, self.stand) {
                        (Kind::Group, Stand::Arguments) => Kind::Call,
                        _ => kind.clone(),
                    };
                    let fits = self.fits(&kind);
                    legal(kind, &rest[..symbol.len()], fits)
                }
                None => self.name(rest),
            },
        }
    }

    /// Whether a symbol may stand here.
    fn fits(&self, symbol: &Kind) -> bool {
        match symbol {
            Kind::Group | Kind::Not => self.operand(),
            Kind::Call => true,
            Kind::Star => matches!(self.stand, Stand::Property | Stand::Subscript),
            Kind::Dot | Kind::Index => self.stand == Stand::Access,
            Kind::Close => matches!(self.stand, Stand::Access | Stand::Operator | Stand::Argument),
            _ => matches!(self.stand, Stand::Access | Stand::Operator),
        }
    }

    fn number(&self, rest: &'a str) -> (Kind, &'a str) {
        let raw = word(rest, false);
        let value = number::parse(raw);
        let kind = if value.is_nan() || !self.operand() {
            Kind::Unexpected
        } else {
            Kind::Literal(Value::Number(value))
        };
        (kind, raw)
    }

    fn name(&self, rest: &'a str) -> (Kind, &'a str) {
        let raw = word(rest, true);
        let lawful = raw.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let kind = match raw {
            _ if !lawful => Kind::Unexpected,
            _ if self.stand == Stand::Property => Kind::Property,
            _ if !self.operand() => Kind::Unexpected,
            "null" => Kind::Literal(Value::Null),
            "true" => Kind::Literal(Value::Bool(true)),
            "false" => Kind::Literal(Value::Bool(false)),
            "NaN" => Kind::Literal(Value::Number(f64::NAN)),
            "Infinity" => Kind::Literal(Value::Number(f64::INFINITY)),
            _ if rest[raw.len()..].trim_start().starts_with('(') => Kind::Function,
            _ => Kind::Name,
        };
        (kind, raw)
    }
}

/// The text up to where the next token must begin; at least one character.
fn word(rest: &str, stop_at_dot: bool) -> &str {
    let boundary = |c: char| c.is_whitespace() || "()[],!<>=&|".contains(c) || (c == '.' && stop_at_dot);
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
