//! `on`: what starts the workflow.

use super::reader::{Field, Fields, Reader, unexpected};
use crate::diagnostic::{Diagnostic, Span};
use crate::events::{self, EventRow};
use crate::glob::{Filter, Pattern};
use crate::keys::{Place, keys_of};
use crate::supported;
use crate::trigger::{Activity, NameFilter, PullRequest, Push, RepositoryDispatch, Triggers, WorkflowRun};
use crate::yaml::{Key, Node, Pair, Style, Value, inside};

/// The longest type of a `repository_dispatch`, in characters.
const LONGEST_TYPE: usize = 100;

impl Reader<'_> {
    pub(super) fn triggers(&mut self, field: Field<'_>) -> Triggers {
        let mut triggers = Triggers::default();
        let before = self.count();
        match &field.node.value {
            Value::Mapping(pairs) => {
                for Pair { key, value } in pairs {
                    self.event(&mut triggers, key, value);
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    self.event_name(&mut triggers, item);
                }
            }
            Value::Scalar(_) => self.event_name(&mut triggers, field.node),
        }
        if triggers.names().is_empty() && before == self.count() {
            self.error(field.key.span, "No event triggers defined in 'on'");
        }
        triggers
    }

    /// An event without anything said about it.
    fn event_name(&mut self, triggers: &mut Triggers, node: &Node) {
        let Some(name) = self.word(node) else { return };
        if name.value == "schedule" {
            self.error(node.span, "Required property is missing: cron");
            return;
        }
        let key = Key { text: name.value, style: Style::Plain, span: name.span };
        let nothing = Node { value: Value::Mapping(Vec::new()), span: node.span };
        self.event(triggers, &key, &nothing);
    }

    fn event(&mut self, triggers: &mut Triggers, key: &Key, node: &Node) {
        let Some(row) = events::event(&key.text) else {
            return self.unknown_key(key, events::EVENTS.iter().map(|row| row.name));
        };
        if let Some(why) = supported::inert(row.name).filter(|_| !self.admits_everything()) {
            let message = format!("the event '{}' never happens here: {why}", row.name);
            let help = format!("events that start runs: {}", supported::EVENTS.join(", "));
            self.report(Diagnostic::warning(key.span, message).with_help(help));
        }
        let empty = Node { value: Value::Mapping(Vec::new()), span: key.span };
        let body = if node.is_null() { &empty } else { node };
        match row.name {
            "push" => triggers.push = self.push(key.span, body),
            "pull_request" => triggers.pull_request = self.pull_request(row, key.span, body),
            "pull_request_target" => triggers.pull_request_target = self.pull_request(row, key.span, body),
            "workflow_dispatch" => triggers.dispatch = self.dispatch(key.span, body),
            "workflow_call" => triggers.call = self.called(key.span, body),
            "workflow_run" => triggers.workflow_run = self.workflow_run(row, key.span, body),
            "repository_dispatch" => {
                triggers.repository_dispatch = self.repository_dispatch(key.span, body);
            }
            "schedule" => triggers.schedule = self.schedule(node),
            _ => triggers.activities.extend(self.activity(row, key.span, body)),
        }
    }

    fn push(&mut self, span: Span, node: &Node) -> Option<Push> {
        let fields = self.fields(node, Place::Push)?;
        Some(Push {
            branches: self.filter(&fields, "branches", "branches-ignore"),
            tags: self.filter(&fields, "tags", "tags-ignore"),
            paths: self.filter(&fields, "paths", "paths-ignore"),
            span,
        })
    }

    fn pull_request(&mut self, row: &EventRow, span: Span, node: &Node) -> Option<PullRequest> {
        let fields = self.fields(node, Place::PullRequest)?;
        Some(PullRequest {
            types: self.types(row, &fields),
            branches: self.filter(&fields, "branches", "branches-ignore"),
            paths: self.filter(&fields, "paths", "paths-ignore"),
            span,
        })
    }

    fn workflow_run(&mut self, row: &EventRow, span: Span, node: &Node) -> Option<WorkflowRun> {
        let fields = self.fields(node, Place::WorkflowRun)?;
        let field = fields.get("workflows")?;
        let workflows = self.words(field.node);
        if workflows.is_empty() {
            self.error(field.key.span, "'workflows' names no workflow");
        }
        Some(WorkflowRun {
            workflows,
            types: self.types(row, &fields),
            branches: self.filter(&fields, "branches", "branches-ignore"),
            span,
        })
    }

    fn repository_dispatch(&mut self, span: Span, node: &Node) -> Option<RepositoryDispatch> {
        let fields = self.fields(node, Place::RepositoryDispatch)?;
        let types = fields.get("types").map(|field| self.words(field.node)).unwrap_or_default();
        for name in types.iter().filter(|name| name.chars().count() > LONGEST_TYPE) {
            self.error(name.span, format!("The event's type is longer than {LONGEST_TYPE} characters"));
        }
        Some(RepositoryDispatch { types: types.into_iter().map(|name| name.value).collect(), span })
    }

    /// An event without rules of its own: which keys it has stands in its row.
    fn activity(&mut self, row: &'static EventRow, span: Span, node: &Node) -> Option<Activity> {
        let fields = self.fields(node, Place::Activity)?;
        let has = |name: &str| row.filters.contains(&name) || (name == "types" && !row.types.is_empty());
        for key in keys_of(Place::Activity).filter(|key| !has(key.name)) {
            if let Some(field) = fields.get(key.name) {
                let possible: Vec<&str> =
                    keys_of(Place::Activity).map(|key| key.name).filter(|name| has(name)).collect();
                let help = if possible.is_empty() {
                    format!("'{}' takes nothing", row.name)
                } else {
                    format!("'{}' takes {}", row.name, possible.join(", "))
                };
                self.report(Diagnostic::error(field.key.span, unexpected(key.name)).with_help(help));
            }
        }
        Some(Activity {
            event: row.name,
            types: self.types(row, &fields),
            branches: self.filter(&fields, "branches", "branches-ignore"),
            names: fields.get("names").and_then(|field| self.patterns(field)).map(NameFilter::Only),
            versions: fields.get("versions").and_then(|field| self.patterns(field)).map(NameFilter::Only),
            span,
        })
    }

    /// What must have happened: the types that are named, or those that hold when none are.
    fn types(&mut self, row: &EventRow, fields: &Fields<'_>) -> Vec<String> {
        let mut types = Vec::new();
        for name in fields.get("types").map(|field| self.words(field.node)).unwrap_or_default() {
            if row.types.contains(&name.as_str()) {
                types.push(name.value);
            } else if !row.types.is_empty() {
                let finding = Diagnostic::error(name.span, format!("Unexpected value '{}'", name.value));
                self.report(finding.with_suggestion(&name.value, row.types.iter().copied()));
            }
        }
        if types.is_empty() {
            types.extend(row.defaults().iter().map(|name| (*name).to_owned()));
        }
        types
    }

    fn filter(&mut self, fields: &Fields<'_>, only: &str, except: &str) -> Option<NameFilter> {
        if let (Some(_), Some(second)) = (fields.get(only), fields.get(except)) {
            let message = format!("you may only define one of '{only}' and '{except}' for a single event");
            self.error(second.key.span, message);
            return None;
        }
        if let Some(field) = fields.get(only) {
            return self.patterns(field).map(NameFilter::Only);
        }
        self.patterns(fields.get(except)?).map(NameFilter::Except)
    }

    fn patterns(&mut self, field: Field<'_>) -> Option<Filter> {
        let nodes = match &field.node.value {
            Value::Sequence(items) => items.as_slice(),
            _ => std::slice::from_ref(field.node),
        };
        let mut patterns = Vec::with_capacity(nodes.len());
        for node in nodes {
            let text = self.literal(node)?;
            match Pattern::parse(&text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => {
                    let span = inside(self.source, node.span, &text, error.offset, error.offset + 1);
                    self.error(span, error.to_string());
                }
            }
        }
        let filter = Filter::new(patterns);
        if nodes.is_empty() {
            self.error(field.key.span, format!("'{}' has no pattern", field.row.name));
        } else if !filter.is_empty() && !filter.has_positive() {
            let finding = Diagnostic::error(field.key.span, format!("'{}' only excludes", field.row.name));
            self.report(finding.with_help("a pattern with '!' needs one without it before it, such as '**'"));
        }
        Some(filter)
    }
}
