//! An expression's kinds, from its leaves to its root, and what about them cannot be meant.

use super::context::Contexts;
use super::kind::Kind;
use super::untrusted;
use super::visit::Usage;
use crate::diagnostic::suggest;
use crate::expr::{Comparison, Expr, Function, Node, Value};

/// So many names are compared with one that nothing has.
const MOST_NAMES: usize = 200;

/// Something found in an expression.
pub(super) struct Found {
    /// Where, in bytes from the beginning of the expression's text.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) rule: &'static str,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// What is found in an expression.
pub(super) fn walk(expr: &Expr, contexts: &Contexts, usage: Usage) -> Vec<Found> {
    let mut walk = Walk {
        text: expr.text(),
        references: expr.references().iter().map(|found| (found.position, found.name.len())).collect(),
        next: 0,
        at: 0,
        contexts,
        found: Vec::new(),
    };
    let seen = walk.node(expr.root(), usage == Usage::Script);
    if matches!(usage, Usage::Text | Usage::Script) && seen.kind.is_collection() {
        let shown = if matches!(seen.kind, Kind::Object(_)) { "Object" } else { "Array" };
        let message = format!("This is {}: as a text it reads '{shown}'", seen.kind.words());
        let help = "write toJSON(…) for all of it, or name the part that is meant";
        let lead = walk.text.len() - walk.text.trim_start().len();
        walk.report((lead, lead + walk.text.trim().len()), "kinds", message, Some(help.to_owned()));
    }
    walk.found
}

struct Walk<'w> {
    text: &'w str,
    /// Where the contexts and calls stand, and how long their names are; in the order of the tree.
    references: Vec<(usize, usize)>,
    next: usize,
    /// How far the text has been walked.
    at: usize,
    contexts: &'w Contexts,
    found: Vec<Found>,
}

/// What is known of a part of an expression.
pub(super) struct Seen {
    pub(super) kind: Kind,
    /// The way from a context to it, where it is only that.
    pub(super) path: Option<Vec<String>>,
    /// Where it begins.
    start: usize,
}

impl Seen {
    fn of(kind: Kind, start: usize) -> Self {
        Self { kind, path: None, start }
    }
}

impl Walk<'_> {
    fn report(&mut self, place: (usize, usize), rule: &'static str, message: String, help: Option<String>) {
        let (start, end) = place;
        self.found.push(Found { start, end: end.max(start + 1), rule, message, help });
    }

    /// The place of the next context or call.
    fn reference(&mut self) -> (usize, usize) {
        let (start, length) = self.references.get(self.next).copied().unwrap_or((self.at, 0));
        self.next += 1;
        self.at = start + length;
        (start, self.at)
    }

    /// The place of a property that is written out.
    fn property(&mut self, name: &str) -> (usize, usize) {
        let found = self.text.get(self.at..).and_then(|rest| rest.find(name)).map(|found| self.at + found);
        let start = found.unwrap_or(self.at);
        let end = (start + name.len()).min(self.text.len());
        let closed = self.text.get(end..).is_some_and(|rest| rest.starts_with("']"));
        self.at = if closed { end + 2 } else { end };
        (start, end)
    }

    /// What a node is. `spliced`: whether its value itself becomes part of a script.
    fn node(&mut self, node: &Node, spliced: bool) -> Seen {
        let seen = match node {
            Node::Literal(value) => Seen::of(Kind::of(value), self.at),
            Node::Context(name) => {
                let (start, _) = self.reference();
                Seen { kind: self.contexts.get(name), path: Some(vec![name.clone()]), start }
            }
            Node::Index(of, index) => self.index(of, index),
            Node::Wildcard(of) => {
                let of = self.node(of, false);
                let path = of.path.map(|path| path.into_iter().chain(["*".to_owned()]).collect());
                let kind = match &of.kind {
                    Kind::Any => Kind::Any,
                    kind => Kind::Filtered(kind.item().into()),
                };
                Seen { kind, path, start: of.start }
            }
            Node::Not(inner) => {
                let inner = self.node(inner, false);
                Seen::of(Kind::Boolean, inner.start)
            }
            Node::Compare(comparison, left, right) => self.compare(*comparison, left, right),
            Node::And(operands) => self.chain(operands, false, spliced),
            Node::Or(operands) => self.chain(operands, true, spliced),
            Node::Call(function, arguments) => self.call(*function, arguments, spliced),
        };
        if let Some(path) = seen.path.as_deref().filter(|_| spliced)
            && untrusted::is_untrusted(path)
        {
            let shown = self.text.get(seen.start..self.at).unwrap_or("").trim().to_owned();
            let message =
                format!("'{shown}' can be anything that others write, and becomes part of the script");
            let help = "give it to the script by 'env', and read the variable in quotes".to_owned();
            self.report((seen.start, self.at), "untrusted", message, Some(help));
        }
        seen
    }

    /// `a && b`, and with `default` `a || b`: each operand can be the value. That of `a` in `a && b` is nothing then.
    fn chain(&mut self, operands: &[Node], default: bool, spliced: bool) -> Seen {
        let last = operands.len().saturating_sub(1);
        let mut all: Option<Seen> = None;
        for (at, operand) in operands.iter().enumerate() {
            // `a.b || c` says itself what holds when there is no `b`.
            let before = self.found.len();
            let seen = self.node(operand, spliced && (default || at == last));
            if default && at < last && matches!(operand, Node::Index(..)) {
                let kept = self.found.split_off(before);
                self.found.extend(kept.into_iter().filter(|found| found.rule != "names"));
            }
            all = Some(match all {
                None => Seen::of(seen.kind, seen.start),
                Some(before) => {
                    Seen::of(if before.kind == seen.kind { seen.kind } else { Kind::Any }, before.start)
                }
            });
        }
        all.unwrap_or_else(|| Seen::of(Kind::Any, self.at))
    }

    fn index(&mut self, of: &Node, index: &Node) -> Seen {
        let seen = self.node(of, false);
        let Node::Literal(Value::String(name)) = index else {
            self.node(index, false);
            let path = seen.path.map(|path| path.into_iter().chain(["*".to_owned()]).collect());
            return Seen { kind: seen.kind.item(), path, start: seen.start };
        };
        let place = self.property(name);
        let owner = self.text.get(seen.start..place.0).unwrap_or("");
        let owner = owner.trim_end_matches(['.', '[', '\'', ' ']).to_owned();
        let kind = match &seen.kind {
            Kind::Any => Kind::Any,
            Kind::Object(shape) => match shape.get(name) {
                Some(kind) => kind.clone(),
                None => {
                    self.unknown(&owner, name, shape.is_empty(), shape.names().collect(), place);
                    Kind::Any
                }
            },
            Kind::Filtered(items) => match &**items {
                Kind::Object(shape) => match shape.get(name) {
                    Some(kind) => Kind::Filtered(kind.clone().into()),
                    None => {
                        self.unknown(&owner, name, shape.is_empty(), shape.names().collect(), place);
                        Kind::Any
                    }
                },
                _ => Kind::Any,
            },
            Kind::List(_) => {
                let message = format!("'{owner}.{name}' is always empty: '{owner}' is a list");
                let help = format!("'{owner}.*.{name}' gives that of each item");
                self.report(place, "kinds", message, Some(help));
                Kind::Any
            }
            Kind::Null if seen.path.as_ref().is_some_and(|path| path.len() == 1 && path[0] == "matrix") => {
                let message = format!("'{owner}.{name}' is always empty: the job has no matrix");
                self.report(place, "names", message, None);
                Kind::Any
            }
            // What a vector holds may be nothing in one leg and more in another.
            Kind::Null => Kind::Any,
            scalar @ (Kind::Boolean | Kind::Number | Kind::Text) => {
                let message = format!("'{owner}.{name}' is always empty: '{owner}' is {}", scalar.words());
                self.report(place, "kinds", message, None);
                Kind::Any
            }
        };
        let path = seen.path.map(|path| path.into_iter().chain([name.to_lowercase()]).collect());
        Seen { kind, path, start: seen.start }
    }

    fn unknown(&mut self, owner: &str, name: &str, empty: bool, names: Vec<&str>, place: (usize, usize)) {
        let (why, own) = match owner.to_ascii_lowercase().as_str() {
            "needs" => (format!("the job does not need '{name}'"), None),
            "steps" => (format!("no step before this one has the id '{name}'"), None),
            "inputs" if empty => ("the file has no inputs".to_owned(), None),
            "inputs" => (format!("there is no input '{name}'"), None),
            "matrix" => (format!("the matrix has no '{name}'"), None),
            "jobs" => (format!("there is no job '{name}'"), None),
            _ if empty => (format!("'{owner}' has nothing in it"), None),
            _ => (format!("'{owner}' has no '{name}'"), Some(names.join(", "))),
        };
        let named = matches!(self.contexts.get("jobs"), Kind::Object(jobs) if jobs.get(name).is_some());
        let own = if owner.eq_ignore_ascii_case("needs") && named {
            Some(format!("add '{name}' to 'needs'"))
        } else {
            own.filter(|own| own.len() < 120).map(|own| format!("it has {own}"))
        };
        let near = suggest(name, names.iter().copied().take(MOST_NAMES))
            .map(|near| format!("did you mean '{near}'?"));
        let message = format!("'{owner}.{name}' is always empty: {why}");
        self.report(place, "names", message, near.or(own));
    }

    fn compare(&mut self, comparison: Comparison, left: &Node, right: &Node) -> Seen {
        let a = self.node(left, false);
        let b = self.node(right, false);
        let end = self.end_of(right);
        let place = (a.start.min(self.text.len()), end);
        let symbol = comparison.symbol();
        let never = |a: &Kind, b: &Kind| a.is_collection() && !matches!(b, Kind::Any) && !b.is_collection();
        if never(&a.kind, &b.kind) || never(&b.kind, &a.kind) {
            let message = format!(
                "{} and {} are never equal, and neither is more than the other",
                a.kind.words(),
                b.kind.words()
            );
            self.report(place, "kinds", message, None);
        } else if let Some(text) = not_a_number(right).filter(|_| is_counted(&a.kind)) {
            self.differs(&a.kind, symbol, text, place);
        } else if let Some(text) = not_a_number(left).filter(|_| is_counted(&b.kind)) {
            self.differs(&b.kind, symbol, text, place);
        }
        Seen::of(Kind::Boolean, a.start)
    }

    /// Where a node ends that was walked last: behind its name, or behind the literal.
    fn end_of(&self, node: &Node) -> usize {
        match node {
            Node::Literal(Value::String(text)) => {
                let quoted = format!("'{}'", text.replace('\'', "''"));
                let found = self.text.get(self.at..).and_then(|rest| rest.find(&quoted));
                found.map_or(self.at, |found| self.at + found + quoted.len())
            }
            _ => self.at,
        }
    }

    fn differs(&mut self, kind: &Kind, symbol: &str, text: &str, place: (usize, usize)) {
        let message = format!(
            "{} is compared with the text '{text}', which is no number: '{symbol}' always gives {}",
            kind.words(),
            symbol == "!="
        );
        let help = match (kind, text) {
            (Kind::Boolean, "true" | "false") => Some(format!("write {text} without quotes")),
            _ => None,
        };
        self.report(place, "kinds", message, help);
    }

    fn call(&mut self, function: Function, arguments: &[Node], spliced: bool) -> Seen {
        let (start, end) = self.reference();
        let flows = matches!(
            function,
            Function::Format | Function::Join | Function::ToJson | Function::FromJson | Function::Case
        );
        let seen: Vec<Seen> =
            arguments.iter().map(|argument| self.node(argument, spliced && flows)).collect();
        let kinds: Vec<&Kind> = seen.iter().map(|seen| &seen.kind).collect();
        let place = (start, end);
        let name = function.name();
        match function {
            Function::Contains if matches!(kinds[0], Kind::Object(_)) => {
                let message = "'contains' of an object is always false".to_owned();
                let help = "a list or a text is searched; '.*' gives an object's values".to_owned();
                self.report(place, "kinds", message, Some(help));
            }
            Function::StartsWith | Function::EndsWith if kinds.iter().any(|kind| kind.is_collection()) => {
                self.report(place, "kinds", format!("'{name}' of a list or an object is always false"), None);
            }
            Function::Join if matches!(kinds[0], Kind::Object(_)) => {
                self.report(place, "kinds", "'join' of an object is always empty".to_owned(), None);
            }
            Function::FromJson if kinds[0].is_collection() => {
                let message = format!("'fromJSON' reads a text, and this is {}", kinds[0].words());
                self.report(place, "kinds", message, None);
            }
            Function::Format => {
                if let Node::Literal(Value::String(text)) = &arguments[0]
                    && let Some(most) = placeholders(text).filter(|most| *most + 1 >= arguments.len())
                {
                    let message = format!("'format' has no argument for '{{{most}}}'");
                    self.report(place, "format", message, None);
                }
            }
            _ => {}
        }
        Seen::of(
            match function {
                Function::Contains | Function::StartsWith | Function::EndsWith | Function::Status(_) => {
                    Kind::Boolean
                }
                Function::Format | Function::Join | Function::ToJson | Function::HashFiles => Kind::Text,
                Function::FromJson | Function::Case => Kind::Any,
            },
            start,
        )
    }
}

/// The highest number of a placeholder in a format; `None` for none.
fn placeholders(text: &str) -> Option<usize> {
    let plain = text.replace("{{", "").replace("}}", "");
    let numbers = plain.split('{').skip(1).filter_map(|rest| rest.split('}').next()?.parse::<usize>().ok());
    numbers.max()
}

fn is_counted(kind: &Kind) -> bool {
    matches!(kind, Kind::Boolean | Kind::Number)
}

/// A literal text that becomes no number when it is compared with one.
fn not_a_number(node: &Node) -> Option<&str> {
    match node {
        Node::Literal(value @ Value::String(text)) if value.to_number().is_nan() => Some(text),
        _ => None,
    }
}
