use super::{CONTEXTS, EvalError, ExprError, Function, Scope, Value};

/// A parsed expression. Its functions exist and have the right number of arguments; its contexts exist somewhere in
/// the language, though perhaps not where it stands.
#[derive(Clone, Debug)]
pub struct Expr {
    pub(super) text: String,
    pub(super) root: Node,
    pub(super) references: Vec<Reference>,
}

/// A context or function that an expression uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Which of the two.
    pub kind: ReferenceKind,
    /// Its name as written.
    pub name: String,
    /// Where it stands: bytes from the beginning of the expression's text.
    pub position: usize,
    /// The property read from a context where it is written out: `build` in `needs.build` and `needs['build']`.
    pub property: Option<String>,
    /// How many arguments a function got.
    pub arguments: usize,
}

/// What a [`Reference`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// A context, such as `github`.
    Context,
    /// A function.
    Function(Function),
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Literal(Value),
    Context(String),
    Call(Function, Vec<Node>),
    /// The property or item of the first that the second names.
    Index(Box<Node>, Box<Node>),
    /// `.*` and `[*]`.
    Wildcard(Box<Node>),
    Not(Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Expr {
    /// Parses an expression (without `${{ }}`).
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        Self::parse_over(text, |name| CONTEXTS.iter().any(|context| context.eq_ignore_ascii_case(name)))
    }

    /// As [`Expr::parse`], with the contexts for which `named` says yes instead of the language's own.
    pub fn parse_over(text: &str, named: impl Fn(&str) -> bool) -> Result<Self, ExprError> {
        super::parser::parse(text, &named)
    }

    /// Its text as given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its tree, whose contexts and calls are [`Expr::references`] in the same order.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// The contexts and functions that it uses, in the order of the text.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Whether it uses the context `name`.
    pub fn uses_context(&self, name: &str) -> bool {
        self.references.iter().any(|r| r.kind == ReferenceKind::Context && r.name.eq_ignore_ascii_case(name))
    }

    /// Whether it calls `success`, `failure`, `cancelled` or `always`: then no `success() &&` is put before it.
    pub fn uses_status_function(&self) -> bool {
        self.references.iter().any(|r| matches!(r.kind, ReferenceKind::Function(Function::Status(_))))
    }

    /// Its value over `scope`.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, EvalError> {
        super::eval::evaluate(&self.root, scope)
    }

    /// The expression with what it read written in place of where it was read from, for people: `'push' == 'schedule'`.
    pub fn explain(&self, scope: &dyn Scope) -> String {
        super::explain::explain(&self.root, scope)
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
