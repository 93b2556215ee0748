use super::ast::Node;
use super::eval::Evaluation;
use super::{Scope, Value};

/// Longer explanations are cut: they are for a line on a page.
const LONGEST: usize = 400;

/// What is being written, and the one evaluation that it all shares: an explanation costs no more than a value.
struct Explanation<'a> {
    evaluation: Evaluation<'a>,
    out: String,
}

pub(super) fn explain(node: &Node, scope: &dyn Scope) -> String {
    let mut explanation = Explanation { evaluation: Evaluation::new(scope), out: String::new() };
    explanation.write(node);
    let out = explanation.out;
    if out.chars().count() > LONGEST { out.chars().take(LONGEST).chain("…".chars()).collect() } else { out }
}

/// A value as a literal of the language, or what kind of collection it is.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::String(s) => {
            let cut: String = s.chars().take(120).collect();
            format!("'{}'", cut.replace('\'', "''"))
        }
        Value::Array(items) => format!("Array({})", items.len()),
        Value::Object(_) => "Object".into(),
        other => other.to_text().to_string(),
    }
}

impl<'a> Explanation<'a> {
    fn write(&mut self, node: &'a Node) {
        if self.out.len() > LONGEST * 4 {
            return;
        }
        match node {
            Node::Literal(value) => self.out.push_str(&literal(value)),
            Node::Context(_) | Node::Index(..) | Node::Wildcard(_) => match self.evaluation.value(node) {
                Ok(value) => self.out.push_str(&literal(&value)),
                Err(_) => self.out.push('?'),
            },
            Node::Call(function, arguments) => {
                self.out.push_str(function.name());
                self.out.push('(');
                self.list(arguments, ", ");
                self.out.push(')');
            }
            Node::Not(operand) => {
                self.out.push('!');
                self.group(operand);
            }
            Node::Compare(comparison, left, right) => {
                self.group(left);
                self.out.push_str(&format!(" {} ", comparison.symbol()));
                self.group(right);
            }
            Node::And(operands) => self.list(operands, " && "),
            Node::Or(operands) => self.list(operands, " || "),
        }
    }

    fn list(&mut self, nodes: &'a [Node], separator: &str) {
        for (i, node) in nodes.iter().enumerate() {
            if i > 0 {
                self.out.push_str(separator);
            }
            if separator == ", " { self.write(node) } else { self.group(node) }
        }
    }

    fn group(&mut self, node: &'a Node) {
        let wrap = matches!(node, Node::And(_) | Node::Or(_) | Node::Compare(..));
        if wrap {
            self.out.push('(');
        }
        self.write(node);
        if wrap {
            self.out.push(')');
        }
    }
}
