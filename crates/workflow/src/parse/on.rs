//! `on`: what starts the workflow.

use jiff::tz::TimeZone;

use super::reader::{Field, Fields, Reader, evaluated};
use crate::cron::Schedule;
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::Value as Evaluated;
use crate::glob::{Filter, Pattern};
use crate::keys::Place;
use crate::model::Spanned;
use crate::supported;
use crate::trigger::{
    Dispatch, Input, InputKind, MAX_INPUTS, NameFilter, PullRequest, Push, Scheduled, Triggers,
};
use crate::yaml::{Key, Node, Pair, Resolved, Style, Value};

/// What can happen to a pull request.
const PULL_REQUEST_TYPES: [&str; 22] = [
    "opened",
    "synchronize",
    "reopened",
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "edited",
    "closed",
    "converted_to_draft",
    "ready_for_review",
    "locked",
    "unlocked",
    "milestoned",
    "demilestoned",
    "review_requested",
    "review_request_removed",
    "auto_merge_enabled",
    "auto_merge_disabled",
    "enqueued",
    "dequeued",
    "stacked",
];

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
        let empty = Node { value: Value::Mapping(Vec::new()), span: key.span };
        let body = if node.is_null() { &empty } else { node };
        match key.text.as_str() {
            "push" => triggers.push = self.push(key.span, body),
            "pull_request" => triggers.pull_request = self.pull_request(key.span, body),
            "workflow_dispatch" => triggers.dispatch = self.dispatch(key.span, body),
            "schedule" => triggers.schedule = self.schedule(node),
            other if supported::EVENTS_NOT_YET.contains(&other) => {
                let meaning = format!("events that start runs: {}", supported::EVENTS.join(", "));
                self.error(key.span, supported::refusal(&format!("the event '{other}'"), &meaning));
            }
            _ => {
                let known = supported::EVENTS.iter().chain(supported::EVENTS_NOT_YET).copied();
                self.unknown_key(key, known);
            }
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

    fn pull_request(&mut self, span: Span, node: &Node) -> Option<PullRequest> {
        let fields = self.fields(node, Place::PullRequest)?;
        let mut types = Vec::new();
        for name in fields.get("types").map(|field| self.words(field.node)).unwrap_or_default() {
            if PULL_REQUEST_TYPES.contains(&name.as_str()) {
                types.push(name.value);
            } else {
                let finding = Diagnostic::error(name.span, format!("Unexpected value '{}'", name.value));
                self.report(finding.with_suggestion(&name.value, PULL_REQUEST_TYPES));
            }
        }
        if types.is_empty() {
            types.extend(PullRequest::DEFAULT_TYPES.map(str::to_owned));
        }
        Some(PullRequest {
            types,
            branches: self.filter(&fields, "branches", "branches-ignore"),
            paths: self.filter(&fields, "paths", "paths-ignore"),
            span,
        })
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
                    let span = self.source.inside(node.span, &text, error.offset, error.offset + 1);
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

    fn schedule(&mut self, node: &Node) -> Vec<Scheduled> {
        let Some(items) = self.items(node) else { return Vec::new() };
        if items.is_empty() {
            self.error(node.span, "Required property is missing: cron");
        }
        items.iter().filter_map(|item| self.scheduled(item)).collect()
    }

    fn scheduled(&mut self, node: &Node) -> Option<Scheduled> {
        let fields = self.fields(node, Place::Schedule)?;
        let zone = fields.get("timezone").and_then(|field| self.time_zone(field));
        let cron = fields.get("cron").and_then(|field| self.literal(field.node))?;
        match Schedule::parse(&cron) {
            Ok(schedule) => {
                if schedule.is_too_frequent() {
                    let message = "The schedule is due more often than every five minutes";
                    self.report(Diagnostic::warning(cron.span, message));
                }
                Some(Scheduled { cron, schedule, zone: zone.unwrap_or(TimeZone::UTC) })
            }
            Err(error) => {
                self.error(cron.span, error.to_string());
                None
            }
        }
    }

    fn time_zone(&mut self, field: Field<'_>) -> Option<TimeZone> {
        let name = self.word(field.node)?;
        let zone = TimeZone::get(&name).ok();
        if zone.is_none() {
            let finding =
                Diagnostic::error(name.span, format!("the time zone '{}' is not known", name.value));
            self.report(finding.with_help("write its IANA name, such as 'Europe/Paris'"));
        }
        zone
    }

    fn dispatch(&mut self, span: Span, node: &Node) -> Option<Dispatch> {
        let fields = self.fields(node, Place::Dispatch)?;
        let mut inputs = Vec::new();
        if let Some(field) = fields.get("inputs").filter(|field| !field.node.is_null()) {
            let pairs = self.pairs(field.node)?;
            if pairs.len() > MAX_INPUTS {
                self.error(field.key.span, format!("'inputs' has more than {MAX_INPUTS} inputs"));
                return None;
            }
            for Pair { key, value } in pairs {
                self.check_id(&key.text, key.span);
                inputs.extend(self.input(key, value));
            }
        }
        Some(Dispatch { inputs, span })
    }

    fn input(&mut self, key: &Key, node: &Node) -> Option<Input> {
        let empty = Node { value: Value::Mapping(Vec::new()), span: key.span };
        let body = if node.is_null() { &empty } else { node };
        let fields = self.fields(body, Place::DispatchInput)?;
        let description = fields.get("description").and_then(|field| self.literal(field.node));
        let required = fields.get("required").is_some_and(|field| self.flag(field));
        let kind = self.input_kind(key, &fields)?;
        let default = fields.get("default").and_then(|field| self.input_default(&kind, field));
        Some(Input {
            name: Spanned { value: key.text.clone(), span: key.span },
            description: description.map(|text| text.value),
            kind,
            required,
            default,
        })
    }

    fn input_kind(&mut self, key: &Key, fields: &Fields<'_>) -> Option<InputKind> {
        let options = fields.get("options").map(|field| self.words(field.node));
        let options = options.map(|found| found.into_iter().map(|text| text.value).collect::<Vec<_>>());
        let Some(field) = fields.get("type") else { return Some(InputKind::String) };
        let name = self.literal(field.node)?;
        match name.as_str() {
            "string" => Some(InputKind::String),
            "boolean" => Some(InputKind::Boolean),
            "number" => Some(InputKind::Number),
            "environment" => Some(InputKind::Environment),
            "choice" => match options {
                Some(options) if !options.is_empty() => Some(InputKind::Choice(options)),
                _ => {
                    self.error(key.span, "Missing 'options' for choice input");
                    None
                }
            },
            other => {
                let possible = ["string", "boolean", "number", "choice", "environment"];
                let finding = Diagnostic::error(name.span, format!("Unexpected value '{other}'"));
                self.report(finding.with_suggestion(other, possible));
                None
            }
        }
    }

    fn input_default(&mut self, kind: &InputKind, field: Field<'_>) -> Option<Evaluated> {
        let scalar = self.scalar(field.node)?;
        let text = self.literal(field.node)?;
        if text.is_empty() {
            return None;
        }
        let fits = match (kind, scalar.resolved) {
            (InputKind::Boolean, Resolved::Bool(_)) | (InputKind::Number, Resolved::Number(_)) => {
                return Some(evaluated(scalar));
            }
            _ => kind.from_text(&text),
        };
        match fits {
            Ok(value) => Some(value),
            Err(why) => {
                self.error(field.node.span, format!("'default' {why}"));
                None
            }
        }
    }

    /// A boolean without an expression.
    pub(crate) fn flag(&mut self, field: Field<'_>) -> bool {
        let Some(scalar) = self.scalar(field.node) else { return false };
        if let Resolved::Bool(value) = scalar.resolved {
            return value;
        }
        let finding = Diagnostic::error(field.node.span, format!("Unexpected value '{}'", scalar.text));
        self.report(finding.with_help("write true or false, without quotes"));
        false
    }
}
