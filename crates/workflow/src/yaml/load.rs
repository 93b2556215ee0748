//! Events to tree, within limits.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marked, StrInput, Tag};

use super::{Key, Node, Pair, Scalar, Source, Style, Value, mend};
use crate::diagnostic::{Diagnostic, Span};

/// How much a file may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The file's size, in bytes.
    pub bytes: usize,
    /// Nodes, aliases expanded.
    pub nodes: usize,
    /// Collections within collections.
    pub depth: usize,
    /// The scalars' text, aliases expanded, in bytes.
    pub expanded: usize,
}

impl Limits {
    /// A workflow's.
    pub const WORKFLOW: Self = Self { bytes: 1024 * 1024, nodes: 50_000, depth: 50, expanded: 10_000_000 };
    /// An action's metadata's.
    pub const ACTION: Self = Self { depth: 100, ..Self::WORKFLOW };
}

/// A text that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Its root.
    pub root: Node,
    /// What is worth knowing about how it is written.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a text.
///
/// # Errors
/// All that was found; at least one is an error. A text that is not YAML, or beyond the limits, gives one.
pub fn load(source: &Source<'_>, limits: &Limits) -> Result<Loaded, Vec<Diagnostic>> {
    let text = source.text();
    if text.len() > limits.bytes {
        let message = format!("The file is larger than {} bytes", limits.bytes);
        return Err(vec![Diagnostic::error(Span::default(), message)]);
    }
    let first = Loader::new(text, source, limits).load();
    let mut result = first.as_ref().err().and_then(|failed| mend::joined(text, failed.outdented?));
    for _ in 0..mend::MOST {
        let Some(mended) = result else { break };
        match Loader::new(&mended, source, limits).load() {
            Ok(loaded) => return Ok(loaded),
            // What is wrong beside that is told.
            Err(failed) if failed.outdented.is_none() && !failed.is_broken => return Err(failed.findings),
            Err(failed) => result = failed.outdented.and_then(|at| mend::joined(&mended, at)),
        }
    }
    first.map_err(|failed| failed.findings)
}

/// Why a text was not read.
struct Failed {
    findings: Vec<Diagnostic>,
    /// Whether it is not YAML.
    is_broken: bool,
    /// Where a line of a flow collection begins that is indented less than what is around it.
    outdented: Option<usize>,
}

/// What the parser says of a line of a flow collection that is indented too little.
const OUTDENTED: [&str; 2] = ["invalid indentation", "invalid indentation in flow construct"];

/// The key whose mappings are merged into the one that it stands in.
const MERGE: &str = "<<";

/// What ends the reading. Boxed: it is large and rare.
type Fatal = Box<Diagnostic>;

struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// The text that is read, for the parser's places.
    read: Source<'a>,
    /// The text that was given, for what is told of places.
    source: &'a Source<'a>,
    /// Characters before the parser's first: the mark of byte order.
    skipped: usize,
    limits: Limits,
    /// Finished anchors; one that is not there yet is being read.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    expanded: usize,
    findings: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    broken: bool,
    outdented: Option<usize>,
}

impl<'a> Loader<'a> {
    fn new(text: &'a str, source: &'a Source<'a>, limits: &Limits) -> Self {
        // A mark of byte order is not part of the text, but counts in its offsets.
        let skip = text.len() - text.trim_start_matches('\u{feff}').len();
        Self {
            parser: Parser::new_from_str(&text[skip..]),
            read: Source::new(text),
            source,
            skipped: text[..skip].chars().count(),
            limits: *limits,
            anchors: HashMap::new(),
            nodes: 0,
            expanded: 0,
            findings: Vec::new(),
            warnings: Vec::new(),
            broken: false,
            outdented: None,
        }
    }

    fn load(mut self) -> Result<Loaded, Failed> {
        let root = self.document();
        let findings = std::mem::take(&mut self.findings);
        let failed = |findings| Failed { findings, is_broken: self.broken, outdented: self.outdented };
        match root {
            Ok(root) if findings.is_empty() => Ok(Loaded { root, warnings: self.warnings }),
            Ok(_) => Err(failed(findings)),
            Err(fatal) => Err(failed(findings.into_iter().chain([*fatal]).collect())),
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fatal> {
        match self.parser.next_event() {
            Some(Ok((event, marked))) => {
                let span = self.span(marked);
                Ok((event, span))
            }
            Some(Err(error)) => {
                let at = self.read.byte(self.skipped + error.marker().index());
                self.broken = true;
                self.outdented = OUTDENTED.contains(&error.info()).then_some(at);
                let message = format!("This is not valid YAML: {}", error.info());
                Err(Box::new(Diagnostic::error(self.source.span(at, at), message)))
            }
            None => {
                let end = self.source.text().len();
                Err(Box::new(Diagnostic::error(self.source.span(end, end), "The file ends too early")))
            }
        }
    }

    fn span(&self, marked: Marked) -> Span {
        let start = self.read.byte(self.skipped + marked.start.index());
        self.source.span(start, self.read.byte(self.skipped + marked.end.index()))
    }

    fn document(&mut self) -> Result<Node, Fatal> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd => {
                    let value = Value::Scalar(Scalar::new(String::new(), Style::Plain));
                    return Ok(Node { value, span: Span::at(span.start) });
                }
                first => {
                    let root = self.node(first, span, 1)?;
                    self.end()?;
                    return Ok(root);
                }
            }
        }
    }

    /// What comes after the root: nothing.
    fn end(&mut self) -> Result<(), Fatal> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentEnd | Event::Nothing => {}
                _ => {
                    let finding = Diagnostic::error(span, "Only one YAML document is expected in a file");
                    return Err(Box::new(finding));
                }
            }
        }
    }

    /// The node that begins with an event. Recursion is bounded by the depth's limit.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fatal> {
        if depth > self.limits.depth {
            let message = format!("The nesting is deeper than {}", self.limits.depth);
            return Err(Box::new(Diagnostic::error(span, message)));
        }
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span, depth),
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, text.len(), span)?;
                let span = if anchor != 0 || tag.is_some() { self.content(span) } else { span };
                (anchor, self.scalar(text.into_owned(), style, tag.as_deref(), span))
            }
            Event::SequenceStart(anchor, tag) => {
                self.count(1, 0, span)?;
                self.collection_tag(tag.as_deref(), "seq", span);
                (anchor, self.sequence(span, depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.count(1, 0, span)?;
                self.collection_tag(tag.as_deref(), "map", span);
                (anchor, self.mapping(span, depth)?)
            }
            _ => {
                return Err(Box::new(Diagnostic::error(
                    span,
                    "This is not valid YAML: a value was expected",
                )));
            }
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Node, Fatal> {
        let Some(node) = self.anchors.get(&anchor) else {
            let message = "The alias stands for a value that it is a part of (a circle)";
            return Err(Box::new(Diagnostic::error(span, message)));
        };
        let (nodes, bytes) = node.weight();
        let deepest = depth + node.height() - 1;
        self.count(nodes, bytes, span)?;
        if deepest > self.limits.depth {
            let message = format!("The nesting is deeper than {}", self.limits.depth);
            return Err(Box::new(Diagnostic::error(span, message)));
        }
        Ok(self.anchors[&anchor].clone())
    }

    fn count(&mut self, nodes: usize, bytes: usize, span: Span) -> Result<(), Fatal> {
        self.nodes += nodes;
        self.expanded += bytes;
        let message = if self.nodes > self.limits.nodes {
            format!("The file has more than {} nodes, aliases expanded", self.limits.nodes)
        } else if self.expanded > self.limits.expanded {
            format!("The file is larger than {} bytes once its aliases are expanded", self.limits.expanded)
        } else {
            return Ok(());
        };
        Err(Box::new(Diagnostic::error(span, message)))
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
        };
        let scalar = match tag {
            None => Scalar::new(text, style),
            // A lone `!` says: not resolved, a string.
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Scalar::new(text, Style::SingleQuoted),
            Some(tag) => {
                let known = if tag.is_yaml_core_schema() {
                    Scalar::tagged(text.clone(), style, &tag.suffix)
                } else {
                    None
                };
                known.unwrap_or_else(|| {
                    self.findings
                        .push(Diagnostic::error(span, format!("The tag '{tag}' does not fit this value")));
                    Scalar::new(text, style)
                })
            }
        };
        Node { value: Value::Scalar(scalar), span }
    }

    /// A scalar's stretch without the anchor and the tag before it.
    fn content(&self, span: Span) -> Span {
        let raw = &self.source.text()[span.start.offset..span.end.offset];
        let mut rest = raw;
        while rest.starts_with(['&', '!', '#']) {
            let end =
                if rest.starts_with('#') { rest.find(['\n', '\r']) } else { rest.find(char::is_whitespace) };
            rest = rest[end.unwrap_or(rest.len())..].trim_start();
        }
        self.source.span(span.end.offset - rest.len(), span.end.offset)
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, fitting: &str, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == fitting)
        {
            self.findings.push(Diagnostic::error(span, format!("The tag '{tag}' does not fit this value")));
        }
    }

    fn sequence(&mut self, start: Span, depth: usize) -> Result<Node, Fatal> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let end = items.last().map_or(span.end, |last| last.span.end.max(span.start));
                return Ok(Node { value: Value::Sequence(items), span: Span { start: start.start, end } });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, start: Span, depth: usize) -> Result<Node, Fatal> {
        let mut pairs: Vec<Pair> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        // Where among the pairs a merge key stands, and what it brings.
        let mut merge: Option<(usize, Vec<Pair>)> = None;
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                let end = pairs.last().map_or(span.end, |last| last.value.span.end.max(span.start));
                if let Some((at, mut merged)) = merge {
                    // What is written beside it counts, then what comes first in it.
                    merged.retain(|pair| seen.insert(pair.key.text.to_lowercase()));
                    pairs.splice(at..at, merged);
                }
                return Ok(Node { value: Value::Mapping(pairs), span: Span { start: start.start, end } });
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let brings = merges(&key, &value);
            if brings && merge.is_none() {
                merge = Some((pairs.len(), self.merged(key.span, value)));
                continue;
            }
            let Some(key) = self.key(key) else { continue };
            if brings || !seen.insert(key.text.to_lowercase()) {
                self.findings.push(Diagnostic::error(key.span, format!("'{}' is already defined", key.text)));
                continue;
            }
            pairs.push(Pair { key, value });
        }
    }

    /// The pairs that a merge key brings, in their order (YAML 1.1, type `merge`).
    fn merged(&mut self, key: Span, value: Node) -> Vec<Pair> {
        let warning = Diagnostic::warning(key, "Merge keys ('<<') work here only: GitHub refuses them");
        self.warnings.push(warning.with_help("write the keys out where the file is for GitHub too"));
        let nodes = match value.value {
            Value::Sequence(items) => items,
            _ => vec![value],
        };
        let pairs = nodes.into_iter().flat_map(|node| match node.value {
            Value::Mapping(pairs) => pairs,
            Value::Scalar(_) | Value::Sequence(_) => Vec::new(),
        });
        pairs.collect()
    }

    fn key(&mut self, node: Node) -> Option<Key> {
        let Node { value, span } = node;
        let finding = match value {
            Value::Scalar(Scalar { text, style, .. }) => return Some(Key { text, style, span }),
            Value::Sequence(_) => Diagnostic::error(span, "A sequence was not expected"),
            Value::Mapping(_) => Diagnostic::error(span, "A mapping was not expected"),
        };
        self.findings.push(finding);
        None
    }
}

/// Whether a pair is a merge key's: with any other value it is a key as others are, as GitHub has it.
fn merges(key: &Node, value: &Node) -> bool {
    let is_mapping = |node: &Node| matches!(node.value, Value::Mapping(_));
    let fits = match &value.value {
        Value::Mapping(_) => true,
        Value::Sequence(items) => !items.is_empty() && items.iter().all(is_mapping),
        Value::Scalar(_) => false,
    };
    fits && key.as_scalar().is_some_and(|scalar| scalar.text == MERGE && scalar.style == Style::Plain)
}

#[cfg(test)]
mod tests;
