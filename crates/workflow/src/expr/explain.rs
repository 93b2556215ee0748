use super::ast::Node;
use super::{Scope, Value};

/// Longer explanations are cut: they are for a line on a page.
const LONGEST: usize = 400;

pub(super) fn explain(node: &Node, scope: &dyn Scope) -> String {
    let mut out = String::new();
    write(node, scope, &mut out);
    if out.chars().count() > LONGEST {
        out = out.chars().take(LONGEST).chain("…".chars()).collect();
    }
    out
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

fn write(node: &Node, scope: &dyn Scope, out: &mut String) {
    if out.len() > LONGEST * 4 {
        return;
    }
    match node {
        Node::Literal(value) => out.push_str(&literal(value)),
        Node::Context(_) | Node::Index(..) | Node::Wildcard(_) => match super::eval::evaluate(node, scope) {
            Ok(value) => out.push_str(&literal(&value)),
            Err(_) => out.push('?'),
        },
        Node::Call(function, arguments) => {
            out.push_str(function.name());
            out.push('(');
            list(arguments, ", ", scope, out);
            out.push(')');
        }
        Node::Not(operand) => {
            out.push('!');
            group(operand, scope, out);
        }
        Node::Compare(comparison, left, right) => {
            group(left, scope, out);
            out.push_str(&format!(" {} ", comparison.symbol()));
            group(right, scope, out);
        }
        Node::And(operands) => list(operands, " && ", scope, out),
        Node::Or(operands) => list(operands, " || ", scope, out),
    }
}

fn list(nodes: &[Node], separator: &str, scope: &dyn Scope, out: &mut String) {
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        if separator == ", " { write(node, scope, out) } else { group(node, scope, out) }
    }
}

fn group(node: &Node, scope: &dyn Scope, out: &mut String) {
    let wrap = matches!(node, Node::And(_) | Node::Or(_) | Node::Compare(..));
    if wrap {
        out.push('(');
    }
    write(node, scope, out);
    if wrap {
        out.push(')');
    }
}
