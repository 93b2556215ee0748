//! A Pratt parser. It keeps the depth of what it has built beside each node, so that no text can make a tree (or this
//! parser's own stack) deeper than the limit.

use super::ast::{Comparison, Node};
use super::lexer::{self, Kind, Token};
use super::{Expr, ExprError, ExprErrorKind, Function, Reference, ReferenceKind, Value};

/// The longest expression, in characters.
pub const MAX_LENGTH: usize = 21_000;
/// The deepest tree.
pub const MAX_DEPTH: usize = 50;
/// The contexts of the language, wherever they may be read.
pub const CONTEXTS: [&str; 12] = [
    "github", "env", "vars", "secrets", "inputs", "matrix", "job", "jobs", "steps", "needs", "runner",
    "strategy",
];
/// Parentheses make no node, but they do use this parser's stack.
const MAX_NESTING: usize = 200;

struct Built {
    node: Node,
    depth: usize,
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
    nesting: usize,
    references: Vec<Reference>,
}

pub(super) fn parse(text: &str) -> Result<Expr, ExprError> {
    if text.chars().count() > MAX_LENGTH {
        return Err(ExprError::new(ExprErrorKind::ExceededMaxLength, "", 0, text));
    }
    let tokens = lexer::tokens(text)?;
    let mut parser = Parser { text, tokens, next: 0, nesting: 0, references: Vec::new() };
    let built = parser.expression(0)?;
    if let Some(token) = parser.peek() {
        return Err(parser.unexpected(&token));
    }
    Ok(Expr { text: text.to_owned(), root: built.node, references: parser.references })
}

/// How tightly an infix operator binds; higher is tighter.
fn binding(symbol: &str) -> Option<u8> {
    Some(match symbol {
        "||" => 1,
        "&&" => 2,
        "==" | "!=" => 3,
        "<" | "<=" | ">" | ">=" => 4,
        _ => return None,
    })
}

fn comparison(symbol: &str) -> Comparison {
    match symbol {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        _ => Comparison::GreaterOrEqual,
    }
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).cloned()
    }

    fn take(&mut self) -> Result<Token<'a>, ExprError> {
        let token = self.peek().ok_or_else(|| self.ended())?;
        self.next += 1;
        Ok(token)
    }

    fn take_if(&mut self, symbol: &str) -> bool {
        let found =
            matches!(self.tokens.get(self.next), Some(Token { kind: Kind::Symbol(s), .. }) if *s == symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), ExprError> {
        let token = self.take()?;
        if matches!(token.kind, Kind::Symbol(s) if s == symbol) {
            Ok(())
        } else {
            Err(self.unexpected(&token))
        }
    }

    fn error(&self, kind: ExprErrorKind, token: &Token<'_>) -> ExprError {
        ExprError::new(kind, token.raw, token.position, self.text)
    }

    fn unexpected(&self, token: &Token<'_>) -> ExprError {
        self.error(ExprErrorKind::UnexpectedSymbol, token)
    }

    fn ended(&self) -> ExprError {
        match self.tokens.last() {
            Some(token) => self.error(ExprErrorKind::UnexpectedEndOfExpression, token),
            None => ExprError {
                kind: ExprErrorKind::UnexpectedEndOfExpression,
                position: 0,
                message: "An expression was expected".into(),
            },
        }
    }

    fn too_deep(&self) -> ExprError {
        let position = self.tokens.get(self.next.saturating_sub(1)).map_or(0, |t| t.position);
        ExprError::new(ExprErrorKind::ExceededMaxDepth, "", position, self.text)
    }

    fn build(&self, node: Node, below: usize) -> Result<Built, ExprError> {
        let depth = below + 1;
        if depth > MAX_DEPTH { Err(self.too_deep()) } else { Ok(Built { node, depth }) }
    }

    fn expression(&mut self, least: u8) -> Result<Built, ExprError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.too_deep());
        }
        let mut left = self.operand()?;
        while let Some(Token { kind: Kind::Symbol(symbol), .. }) = self.peek() {
            let Some(power) = binding(symbol).filter(|power| *power > least) else { break };
            self.next += 1;
            left = match power {
                1 | 2 => self.chain(left, symbol, power)?,
                _ => {
                    let right = self.expression(power)?;
                    let below = left.depth.max(right.depth);
                    let node = Node::Compare(comparison(symbol), Box::new(left.node), Box::new(right.node));
                    self.build(node, below)?
                }
            };
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// `a && b && c` is one node with three operands, as on GitHub, where a long chain is not deep.
    fn chain(&mut self, first: Built, symbol: &str, power: u8) -> Result<Built, ExprError> {
        let mut below = first.depth;
        let mut operands = vec![first.node];
        loop {
            let operand = self.expression(power)?;
            below = below.max(operand.depth);
            operands.push(operand.node);
            if !self.take_if(symbol) {
                break;
            }
        }
        let node = if symbol == "&&" { Node::And(operands) } else { Node::Or(operands) };
        self.build(node, below)
    }

    fn operand(&mut self) -> Result<Built, ExprError> {
        let token = self.take()?;
        let built = match &token.kind {
            Kind::Literal(value) => return self.build(Node::Literal(value.clone()), 0),
            Kind::Symbol("!") => {
                // Tighter than every infix operator; and a chain of them is as deep as it is long.
                let inner = self.expression(u8::MAX)?;
                return self.build(Node::Not(Box::new(inner.node)), inner.depth);
            }
            Kind::Symbol("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                inner
            }
            Kind::Symbol(_) => return Err(self.unexpected(&token)),
            Kind::Name => self.context(&token)?,
            Kind::Function => self.call(&token)?,
        };
        self.accesses(built)
    }

    fn context(&mut self, token: &Token<'_>) -> Result<Built, ExprError> {
        if !CONTEXTS.iter().any(|c| c.eq_ignore_ascii_case(token.raw)) {
            return Err(self.error(ExprErrorKind::UnrecognizedNamedValue, token));
        }
        self.references.push(Reference {
            kind: ReferenceKind::Context,
            name: token.raw.to_owned(),
            position: token.position,
            property: self.property_ahead(),
            arguments: 0,
        });
        self.build(Node::Context(token.raw.to_ascii_lowercase()), 0)
    }

    /// The property that follows, where it is written out.
    fn property_ahead(&self) -> Option<String> {
        match &self.tokens[self.next..] {
            [dot, name, ..] if dot.kind == Kind::Symbol(".") && name.kind == Kind::Name => {
                Some(name.raw.to_owned())
            }
            [open, Token { kind: Kind::Literal(Value::String(key)), .. }, close, ..]
                if open.kind == Kind::Symbol("[") && close.kind == Kind::Symbol("]") =>
            {
                Some(key.to_string())
            }
            _ => None,
        }
    }

    fn call(&mut self, token: &Token<'_>) -> Result<Built, ExprError> {
        let function = Function::by_name(token.raw)
            .ok_or_else(|| self.error(ExprErrorKind::UnrecognizedFunction, token))?;
        let place = self.references.len();
        self.references.push(Reference {
            kind: ReferenceKind::Function(function),
            name: token.raw.to_owned(),
            position: token.position,
            property: None,
            arguments: 0,
        });
        self.expect("(")?;
        let mut arguments = Vec::new();
        let mut below = 0;
        if !self.take_if(")") {
            loop {
                let argument = self.expression(0)?;
                below = below.max(argument.depth);
                arguments.push(argument.node);
                if !self.take_if(",") {
                    self.expect(")")?;
                    break;
                }
            }
        }
        let (fewest, most) = function.arity();
        let kind = match arguments.len() {
            n if n < fewest => Some(ExprErrorKind::TooFewParameters),
            n if n > most => Some(ExprErrorKind::TooManyParameters),
            n if function == Function::Case && n % 2 == 0 => Some(ExprErrorKind::EvenParameters),
            _ => None,
        };
        if let Some(kind) = kind {
            return Err(self.error(kind, token));
        }
        self.references[place].arguments = arguments.len();
        self.build(Node::Call(function, arguments), below)
    }

    /// `.name`, `.*`, `[index]`, `[*]`, as many as follow.
    fn accesses(&mut self, mut built: Built) -> Result<Built, ExprError> {
        loop {
            if self.take_if(".") {
                if self.take_if("*") {
                    built = self.build(Node::Wildcard(Box::new(built.node)), built.depth)?;
                    continue;
                }
                let name = self.take()?;
                if name.kind != Kind::Name {
                    return Err(self.unexpected(&name));
                }
                let key = Node::Literal(Value::from(name.raw));
                built = self.build(Node::Index(Box::new(built.node), Box::new(key)), built.depth)?;
            } else if self.take_if("[") {
                if self.take_if("*") {
                    self.expect("]")?;
                    built = self.build(Node::Wildcard(Box::new(built.node)), built.depth)?;
                    continue;
                }
                let index = self.expression(0)?;
                self.expect("]")?;
                let below = built.depth.max(index.depth);
                built = self.build(Node::Index(Box::new(built.node), Box::new(index.node)), below)?;
            } else {
                return Ok(built);
            }
        }
    }
}
