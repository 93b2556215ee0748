//! YAML text to a small tree whose every node knows where it stands, within limits. Stricter than YAML
//! where a manifest gains nothing from the freedom: no tags, no merge keys, no keys that are not text, no
//! key twice, one document.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

/// The deepest nesting; the manifest itself needs seven levels.
const DEEPEST: usize = 10;

/// The most nodes, aliases counted each time: what bounds an alias bomb.
const MOST_NODES: usize = 20_000;

/// Where something stands: line and column from 1, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Its text, and whether it was written without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) at: Place,
}

/// Why there is no tree.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) at: Place,
    pub(super) message: String,
}

impl Node {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Whether nothing stands there (`key:`, `key: ~`, `key: null`).
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }

    fn weight(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Node::weight).sum::<usize>(),
            Value::Map(pairs) => 1 + pairs.iter().map(|(_, v)| 1 + v.weight()).sum::<usize>(),
        }
    }

    fn height(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => 1 + items.iter().map(Node::height).max().unwrap_or(0),
            Value::Map(pairs) => 1 + pairs.iter().map(|(_, v)| v.height()).max().unwrap_or(0),
        }
    }
}

/// Reads the one document of `text`; none if it is empty.
pub(super) fn load(text: &str) -> Result<Option<Node>, Broken> {
    let mut builder = Builder::default();
    for event in Parser::<StrInput>::new_from_str(text) {
        let (event, span) =
            event.map_err(|e| broken(*e.marker(), format!("this is not YAML: {}", e.info())))?;
        builder.event(event, span)?;
    }
    Ok(builder.root)
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
}

/// A collection that is not complete.
struct Open {
    at: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { pairs: Vec<(Key, Node)>, key: Option<Key> },
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Broken> {
        let at = span.start;
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(broken(at, "a second document begins here: a manifest is one".into()));
                }
                Ok(())
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                Err(broken(at, "a YAML tag (`!…`) stands here: a manifest knows none".into()))
            }
            Event::Scalar(text, style, anchor, None) => {
                let value = Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.complete(Node { value, at: place(at) }, anchor)
            }
            Event::SequenceStart(anchor, None) => self.open(at, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, None) => {
                self.open(at, anchor, Content::Map { pairs: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.content {
                    Content::List(items) => Value::List(items),
                    Content::Map { pairs, .. } => Value::Map(pairs),
                };
                self.complete(Node { value, at: open.at }, open.anchor)
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    return Err(broken(
                        at,
                        "this alias stands for something that is not complete here".into(),
                    ));
                };
                if self.open.len() + node.height() > DEEPEST {
                    return Err(too_deep(at));
                }
                let (weight, node) = (node.weight(), Node { at: place(at), ..node.clone() });
                self.count(weight, at)?;
                self.attach(node)
            }
        }
    }

    fn open(&mut self, at: Marker, anchor: usize, content: Content) -> Result<(), Broken> {
        if self.open.len() >= DEEPEST {
            return Err(too_deep(at));
        }
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(broken(at, "a key must be a plain text".into()));
        }
        self.open.push(Open { at: place(at), anchor, content });
        Ok(())
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Broken> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(too_many(node.at));
        }
        if anchor > 0 {
            self.count(node.weight(), Marker::default())?;
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node)
    }

    fn count(&mut self, weight: usize, at: Marker) -> Result<(), Broken> {
        self.nodes += weight;
        if self.nodes > MOST_NODES { Err(too_many(place(at))) } else { Ok(()) }
    }

    fn attach(&mut self, node: Node) -> Result<(), Broken> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { pairs, key } => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => *key = Some(as_key(node, pairs)?),
            },
        }
        Ok(())
    }
}

fn as_key(node: Node, pairs: &[(Key, Node)]) -> Result<Key, Broken> {
    let at = node.at;
    let Value::Scalar { text, plain } = node.value else {
        return Err(Broken { at, message: "a key must be a plain text".into() });
    };
    if plain && text == "<<" {
        let message = "a merge key (`<<`) stands here: write the keys out, or use an alias for a whole value";
        return Err(Broken { at, message: message.into() });
    }
    if let Some((first, _)) = pairs.iter().find(|(key, _)| key.text == text) {
        let line = first.at.line;
        return Err(Broken {
            at,
            message: format!("the key `{}` stands here again, first in line {line}", clip(&text)),
        });
    }
    Ok(Key { text, at })
}

/// A text from outside, short enough for a message.
pub(super) fn clip(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).chain("...".chars()).collect()
    }
}

fn place(marker: Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(marker.line().max(1)), column: number(marker.col() + 1) }
}

fn broken(at: Marker, message: String) -> Broken {
    Broken { at: place(at), message }
}

fn too_deep(at: Marker) -> Broken {
    broken(at, format!("this is nested more than {DEEPEST} levels deep"))
}

fn too_many(at: Place) -> Broken {
    Broken {
        at,
        message: format!("the manifest has more than {MOST_NODES} values (aliases counted each time)"),
    }
}
