//! Text to workflow: one reading that finds all that is wrong, each with its line and column.

mod action;
mod call;
mod called;
mod container;
mod dispatch;
mod expression;
mod graph;
mod job;
mod map;
mod matrix;
mod on;
mod reader;
mod schedule;
mod setting;
mod step;

use crate::action::ParsedAction;
use crate::diagnostic::{Diagnostic, Span};
use crate::keys::Place;
use crate::model::Workflow;
use crate::supported::Admit;
use crate::yaml::{Limits, Loaded, Node, Source, load};
use reader::Reader;

/// What came of reading a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The workflow; absent when there is an error among the findings.
    pub workflow: Option<Workflow>,
    /// All that was found, in the file's order.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether the file cannot be used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads a workflow as Windlass runs it. `file` is what the file is called; it is only kept.
///
/// Total: any text gives a workflow or errors, in time that grows with the text.
pub fn parse(file: &str, text: &str) -> Parsed {
    parse_admitting(file, text, Admit::Supported)
}

/// As [`parse`], but it says what is admitted.
pub fn parse_admitting(file: &str, text: &str, admit: Admit) -> Parsed {
    read_workflow(file, &Source::new(text), admit).1
}

/// Reads a workflow, and gives its tree too.
pub(crate) fn read_workflow(file: &str, source: &Source<'_>, admit: Admit) -> (Option<Node>, Parsed) {
    let Loaded { root, warnings } = match load(source, &Limits::WORKFLOW) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return (None, Parsed { workflow: None, diagnostics }),
    };
    let mut reader = Reader::new(source, admit);
    for warning in warnings {
        reader.report(warning);
    }
    let workflow = reader.workflow(file, &root);
    let workflow = if reader.has_errors() { None } else { workflow };
    let diagnostics = reader.finish();
    (Some(root), Parsed { workflow, diagnostics })
}

/// Reads an action's metadata: `action.yml`, `action.yaml`.
///
/// Total, as [`parse`] is.
pub fn parse_action(text: &str) -> ParsedAction {
    read_action(&Source::new(text))
}

/// Reads an action's metadata.
pub(crate) fn read_action(source: &Source<'_>) -> ParsedAction {
    let Loaded { root, warnings } = match load(source, &Limits::ACTION) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return ParsedAction { action: None, diagnostics },
    };
    let mut reader = Reader::new(source, Admit::Supported);
    for warning in warnings {
        reader.report(warning);
    }
    let action = reader.action_meta(&root);
    if let Some(action) = action.as_ref().filter(|_| !reader.has_errors()) {
        for found in crate::check::action(action, source) {
            reader.report(found);
        }
    }
    let action = if reader.has_errors() { None } else { action };
    ParsedAction { action, diagnostics: reader.finish() }
}

/// Reads a workflow from a file's bytes, which may not be text.
pub fn parse_bytes(file: &str, bytes: &[u8]) -> Parsed {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(file, text),
        Err(error) => Parsed { workflow: None, diagnostics: vec![not_text(bytes, error.valid_up_to())] },
    }
}

fn not_text(bytes: &[u8], at: usize) -> Diagnostic {
    let before = std::str::from_utf8(&bytes[..at]).unwrap_or("");
    let place = Source::new(before).position(at);
    Diagnostic::error(Span::at(place), "The file is not UTF-8 text")
}

impl Reader<'_> {
    fn workflow(&mut self, file: &str, root: &Node) -> Option<Workflow> {
        if root.is_null() {
            self.error(root.span, "The file is empty; a workflow has at least 'on' and 'jobs'");
            return None;
        }
        let fields = self.fields(root, Place::Workflow)?;
        let name = fields.get("name").and_then(|field| self.literal(field.node));
        let run_name = fields.get("run-name").and_then(|field| self.template(field.row, field.node));
        let on = fields.get("on").map(|field| self.triggers(field));
        let permissions = fields.get("permissions").and_then(|field| self.permissions(field));
        let env = fields.get("env").and_then(|field| self.map(field));
        let defaults = fields.get("defaults").and_then(|field| self.defaults(field, Place::Defaults));
        let concurrency =
            fields.get("concurrency").and_then(|field| self.concurrency(field, Place::Concurrency));
        let cache_mode = fields.get("cache-mode").and_then(|field| self.cache_mode(field));
        let jobs = fields.get("jobs").and_then(|field| self.jobs(field));
        let workflow = Workflow {
            file: file.to_owned(),
            name: name.filter(|name| !name.trim().is_empty()),
            run_name,
            on: on?,
            permissions,
            env: env.unwrap_or_default(),
            defaults: defaults.unwrap_or_default(),
            concurrency,
            cache_mode,
            jobs: jobs?,
        };
        self.check_graph(&workflow);
        // In a file that must be changed anyway, what follows from its errors would only distract.
        if !self.has_errors() {
            for found in crate::check::workflow(&workflow, self.source) {
                self.report(found);
            }
        }
        Some(workflow)
    }
}
