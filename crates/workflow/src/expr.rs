//! GitHub's expression language: values and their coercions, parsing to a checked tree, and evaluation over a
//! [`Scope`]. It knows no workflow: which context may be read where is decided by whoever looks at
//! [`Expr::references`].

mod ast;
mod error;
mod eval;
mod explain;
mod function;
mod json;
mod lexer;
mod number;
mod object;
mod parser;
mod value;

pub(crate) use ast::{Comparison, Node};
pub use ast::{Expr, Reference, ReferenceKind};
pub use error::{EvalError, ExprError, ExprErrorKind};
pub(crate) use eval::too_large;
pub use eval::{MEMORY_LIMIT, Scope, WORK_LIMIT};
pub use function::{Function, StatusFunction};
pub use object::Object;
pub use parser::{CONTEXTS, MAX_DEPTH, MAX_LENGTH};
pub use value::Value;

#[cfg(test)]
mod tests;
