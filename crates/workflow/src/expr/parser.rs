//! Tokens to a tree. What is open (parentheses, calls, subscripts) stands on a stack of its own, so that no text can use
//! up the machine's; and a tree never gets deeper than the limit.

use super::ast::{Comparison, Node};
use super::lexer::{Kind, Lexer, Token};
use super::{Expr, ExprError, ExprErrorKind, Function, Reference, ReferenceKind, Value};

/// The longest expression, in UTF-16 units (which are characters, but for the rarest).
pub const MAX_LENGTH: usize = 21_000;
/// The deepest tree.
pub const MAX_DEPTH: usize = 50;
/// The contexts of the language, wherever they may be read.
pub const CONTEXTS: [&str; 12] = [
    "github", "env", "vars", "secrets", "inputs", "matrix", "job", "jobs", "steps", "needs", "runner",
    "strategy",
];

/// A part of the tree.
struct Built {
    node: Node,
    depth: usize,
    /// The reference that it is, if it is a context and nothing else.
    context: Option<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Or,
    And,
    Compare(Comparison),
    Not,
}

/// Why a frame is open.
enum Opening {
    /// It is the whole expression.
    Whole,
    /// `(`.
    Group,
    /// `name(`; with the arguments so far, and the function's place among the references.
    Call(Function, usize, Vec<Built>),
    /// `[` behind this.
    Index(Built),
}

/// Operands and operators that wait for their turn.
struct Frame {
    opening: Opening,
    operands: Vec<Built>,
    operators: Vec<Operator>,
}

struct Parser<'a, 'n> {
    text: &'a str,
    /// Which contexts there are.
    named: &'n dyn Fn(&str) -> bool,
    /// Those around the innermost.
    outer: Vec<Frame>,
    frame: Frame,
    references: Vec<Reference>,
    last: Option<Token<'a>>,
    too_deep: bool,
}

pub(super) fn parse(text: &str, named: &dyn Fn(&str) -> bool) -> Result<Expr, ExprError> {
    if text.trim().encode_utf16().count() > MAX_LENGTH {
        return Err(ExprError::new(ExprErrorKind::ExceededMaxLength, "", 0, text));
    }
    let mut parser = Parser {
        text,
        named,
        outer: Vec::new(),
        frame: Frame::new(Opening::Whole),
        references: Vec::new(),
        last: None,
        too_deep: false,
    };
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next() {
        parser.take(&token)?;
        parser.last = Some(token);
    }
    let root = parser.end()?;
    Ok(Expr { text: text.to_owned(), root, references: parser.references })
}

impl Operator {
    /// How tightly it binds; higher is tighter.
    fn binding(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Compare(Comparison::Equal | Comparison::NotEqual) => 3,
            Self::Compare(_) => 4,
            Self::Not => 5,
        }
    }
}

impl Frame {
    fn new(opening: Opening) -> Self {
        Self { opening, operands: Vec::new(), operators: Vec::new() }
    }
}

impl<'a> Parser<'a, '_> {
    fn error(&self, kind: ExprErrorKind, token: &Token<'_>) -> ExprError {
        ExprError::new(kind, token.raw, token.position, self.text)
    }

    fn unexpected(&self, token: &Token<'_>) -> ExprError {
        self.error(ExprErrorKind::UnexpectedSymbol, token)
    }

    fn push(&mut self, node: Node, below: usize) {
        let mut depth = below + 1;
        let mut node = node;
        if depth > MAX_DEPTH {
            // Another error further on is told first, as on GitHub; the tree that will not be used stays flat.
            self.too_deep = true;
            (node, depth) = (Node::Literal(Value::Null), 1);
        }
        self.frame.operands.push(Built { node, depth, context: None });
    }

    /// The operand that stands last. The lexer lets nothing that needs one pass without.
    fn pop(&mut self) -> Built {
        let nothing = Built { node: Node::Literal(Value::Null), depth: 1, context: None };
        self.frame.operands.pop().unwrap_or(nothing)
    }

    fn open(&mut self, opening: Opening) {
        self.outer.push(std::mem::replace(&mut self.frame, Frame::new(opening)));
    }

    /// Closes the innermost frame.
    fn close(&mut self) -> Opening {
        let outer = self.outer.pop().unwrap_or_else(|| Frame::new(Opening::Whole));
        std::mem::replace(&mut self.frame, outer).opening
    }

    fn take(&mut self, token: &Token<'a>) -> Result<(), ExprError> {
        let behind = self.last.as_ref().map(|last| &last.kind);
        match &token.kind {
            Kind::Unexpected => return Err(self.unexpected(token)),
            // `[*` must be closed at once: everything else has no meaning.
            kind if behind == Some(&Kind::Star) && self.starred() && *kind != Kind::CloseIndex => {
                return Err(self.unexpected(token));
            }
            Kind::Literal(value) => self.push(Node::Literal(value.clone()), 0),
            Kind::Name => self.context(token)?,
            Kind::Function => return self.function(token),
            Kind::Property => {
                let of = self.pop();
                self.access(of, Node::Literal(Value::from(token.raw)), 1);
            }
            Kind::Star => {
                if behind == Some(&Kind::Dot) {
                    let of = self.pop();
                    self.push(Node::Wildcard(Box::new(of.node)), of.depth);
                }
            }
            Kind::Group => self.open(Opening::Group),
            Kind::Call | Kind::Dot => {}
            Kind::Index => {
                let of = self.pop();
                self.open(Opening::Index(of));
            }
            Kind::Not => self.frame.operators.push(Operator::Not),
            Kind::Compare(comparison) => self.infix(Operator::Compare(*comparison)),
            Kind::And => self.infix(Operator::And),
            Kind::Or => self.infix(Operator::Or),
            Kind::Comma => return self.comma(token),
            Kind::Close => return self.parenthesis(token),
            Kind::CloseIndex => return self.bracket(token),
        }
        Ok(())
    }

    /// Whether the subscript that is open is `[*`.
    fn starred(&self) -> bool {
        matches!(self.frame.opening, Opening::Index(_)) && self.frame.operands.is_empty()
    }

    fn context(&mut self, token: &Token<'_>) -> Result<(), ExprError> {
        if !(self.named)(token.raw) {
            return Err(self.error(ExprErrorKind::UnrecognizedNamedValue, token));
        }
        let place = self.refer(token, ReferenceKind::Context);
        self.push(Node::Context(token.raw.to_ascii_lowercase()), 0);
        if let Some(built) = self.frame.operands.last_mut() {
            built.context = Some(place);
        }
        Ok(())
    }

    fn refer(&mut self, token: &Token<'_>, kind: ReferenceKind) -> usize {
        self.references.push(Reference {
            kind,
            name: token.raw.to_owned(),
            position: token.position,
            property: None,
            arguments: 0,
        });
        self.references.len() - 1
    }

    fn function(&mut self, token: &Token<'_>) -> Result<(), ExprError> {
        let function = Function::by_name(token.raw)
            .ok_or_else(|| self.error(ExprErrorKind::UnrecognizedFunction, token))?;
        let place = self.refer(token, ReferenceKind::Function(function));
        self.open(Opening::Call(function, place, Vec::new()));
        Ok(())
    }

    /// `of[index]`, where `index` is `depth` deep.
    fn access(&mut self, of: Built, index: Node, depth: usize) {
        if let (Some(place), Node::Literal(Value::String(name))) = (of.context, &index) {
            self.references[place].property = Some(name.to_string());
        }
        let below = of.depth.max(depth);
        self.push(Node::Index(Box::new(of.node), Box::new(index)), below);
    }

    fn infix(&mut self, operator: Operator) {
        self.reduce(operator.binding());
        self.frame.operators.push(operator);
    }

    /// Applies the operators of this frame that bind at least so tightly.
    fn reduce(&mut self, binding: u8) {
        while let Some(operator) = self.frame.operators.pop_if(|operator| operator.binding() >= binding) {
            let right = self.pop();
            if operator == Operator::Not {
                self.push(Node::Not(Box::new(right.node)), right.depth);
                continue;
            }
            let left = self.pop();
            match operator {
                Operator::Compare(comparison) => {
                    let below = left.depth.max(right.depth);
                    let node = Node::Compare(comparison, Box::new(left.node), Box::new(right.node));
                    self.push(node, below);
                }
                _ => self.chain(operator, left, right),
            }
        }
    }

    /// `a && b && c` is one node with three operands, as on GitHub, where a long chain is not deep; and so it is with
    /// parentheses around a part of it.
    fn chain(&mut self, operator: Operator, left: Built, right: Built) {
        let mut below = 0;
        let mut operands = Vec::new();
        for built in [left, right] {
            match (operator, built.node) {
                (Operator::And, Node::And(inner)) | (Operator::Or, Node::Or(inner)) => {
                    below = below.max(built.depth - 1);
                    if operands.is_empty() {
                        operands = inner;
                    } else {
                        operands.extend(inner);
                    }
                }
                (_, node) => {
                    below = below.max(built.depth);
                    operands.push(node);
                }
            }
        }
        let node = if operator == Operator::And { Node::And(operands) } else { Node::Or(operands) };
        self.push(node, below);
    }

    fn comma(&mut self, token: &Token<'_>) -> Result<(), ExprError> {
        self.reduce(0);
        let argument = self.pop();
        match &mut self.frame.opening {
            Opening::Call(_, _, arguments) => {
                arguments.push(argument);
                Ok(())
            }
            _ => Err(self.unexpected(token)),
        }
    }

    fn parenthesis(&mut self, token: &Token<'_>) -> Result<(), ExprError> {
        let none = self.last.as_ref().is_some_and(|last| last.kind == Kind::Call);
        self.reduce(0);
        match self.frame.opening {
            Opening::Group if !none => {
                let inner = self.pop();
                self.close();
                self.frame.operands.push(inner);
                Ok(())
            }
            Opening::Call(..) => {
                let last = (!none).then(|| self.pop());
                match self.close() {
                    Opening::Call(function, place, mut arguments) => {
                        arguments.extend(last);
                        self.call(function, place, arguments)
                    }
                    _ => Err(self.unexpected(token)),
                }
            }
            _ => Err(self.unexpected(token)),
        }
    }

    fn call(&mut self, function: Function, place: usize, arguments: Vec<Built>) -> Result<(), ExprError> {
        let (fewest, most) = function.arity();
        let kind = match arguments.len() {
            n if n < fewest => Some(ExprErrorKind::TooFewParameters),
            n if n > most => Some(ExprErrorKind::TooManyParameters),
            n if function == Function::Case && n % 2 == 0 => Some(ExprErrorKind::EvenParameters),
            _ => None,
        };
        let reference = &mut self.references[place];
        reference.arguments = arguments.len();
        if let Some(kind) = kind {
            return Err(ExprError::new(kind, &reference.name, reference.position, self.text));
        }
        let below = arguments.iter().map(|argument| argument.depth).max().unwrap_or(0);
        self.push(Node::Call(function, arguments.into_iter().map(|argument| argument.node).collect()), below);
        Ok(())
    }

    fn bracket(&mut self, token: &Token<'_>) -> Result<(), ExprError> {
        self.reduce(0);
        let starred = self.last.as_ref().is_some_and(|last| last.kind == Kind::Star) && self.starred();
        if !matches!(self.frame.opening, Opening::Index(_)) {
            return Err(self.unexpected(token));
        }
        let index = (!starred).then(|| self.pop());
        if let Opening::Index(of) = self.close() {
            match index {
                Some(index) => self.access(of, index.node, index.depth),
                None => self.push(Node::Wildcard(Box::new(of.node)), of.depth),
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Node, ExprError> {
        let Some(last) = self.last.take() else {
            return Err(ExprError {
                kind: ExprErrorKind::UnexpectedEndOfExpression,
                position: 0,
                message: "An expression was expected".into(),
            });
        };
        let whole = matches!(
            last.kind,
            Kind::Literal(_) | Kind::Name | Kind::Property | Kind::Star | Kind::Close | Kind::CloseIndex
        );
        if !whole || !self.outer.is_empty() {
            return Err(self.error(ExprErrorKind::UnexpectedEndOfExpression, &last));
        }
        self.reduce(0);
        let root = self.pop();
        if self.too_deep {
            return Err(ExprError::new(ExprErrorKind::ExceededMaxDepth, "", 0, self.text));
        }
        Ok(root.node)
    }
}
