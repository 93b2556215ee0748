//! Jobs.

use super::reader::{Field, Fields, Reader};
use crate::diagnostic::{Diagnostic, Span};
use crate::keys::{Place, key};
use crate::model::{CacheMode, Environment, Job, JobKind, RunsOn, Setting, Spanned};
use crate::template::Template;
use crate::yaml::{Key, Node, Pair, Value};

impl Reader<'_> {
    pub(super) fn jobs(&mut self, field: Field<'_>) -> Option<Vec<Job>> {
        let pairs = self.pairs(field.node)?;
        if pairs.is_empty() {
            self.error(field.key.span, "The workflow must contain at least one job with no dependencies.");
            return None;
        }
        let mut jobs = Vec::with_capacity(pairs.len());
        let mut complete = true;
        for Pair { key, value } in pairs {
            self.check_id(&key.text, key.span);
            match self.job(key, value) {
                Some(job) => jobs.push(job),
                None => complete = false,
            }
        }
        // With a job missing, `needs` would be told to be unknown that are only broken.
        if !complete {
            return None;
        }
        self.resolve_needs(&mut jobs);
        Some(jobs)
    }

    fn job(&mut self, key: &Key, node: &Node) -> Option<Job> {
        let calls = node.get("uses").is_some();
        // A reusable workflow is refused once, by its `uses`.
        let fields = self.fields_but(node, Place::Job, &["with", "secrets"])?;
        for missing in ["runs-on", "steps"].into_iter().filter(|_| !calls) {
            if !fields.written(missing) {
                self.error(key.span, format!("Required property is missing: {missing}"));
            }
        }
        if !calls {
            self.refuse_keys_of_calls(&fields);
        }
        let mut get = JobFields { reader: self, fields: &fields };
        let name = get.template("name");
        let needs = get.field("needs", |reader, field| Some(reader.needs(field)));
        let condition = get.field("if", Reader::condition);
        let runs_on = get.field("runs-on", Reader::runs_on);
        let strategy = get.field("strategy", Reader::strategy);
        let env = get.field("env", Reader::map);
        let defaults = get.field("defaults", |reader, field| reader.defaults(field, Place::JobDefaults));
        let outputs = get.field("outputs", Reader::map);
        let timeout_minutes = get.field("timeout-minutes", |reader, field| reader.number(field, 1.0));
        let cancel_timeout_minutes =
            get.field("cancel-timeout-minutes", |reader, field| reader.number(field, 1.0));
        let continue_on_error = get.field("continue-on-error", Reader::boolean);
        let concurrency =
            get.field("concurrency", |reader, field| reader.concurrency(field, Place::JobConcurrency));
        let environment = get.field("environment", Reader::environment);
        let permissions = get.field("permissions", Reader::permissions);
        let container = get.field("container", Reader::container);
        let services = get.field("services", Reader::services);
        let snapshot = get.field("snapshot", Reader::snapshot);
        let cache_mode = get.field("cache-mode", Reader::cache_mode);
        let steps = get.field("steps", Reader::steps);
        let kind = if calls { JobKind::Call(self.call(&fields)?) } else { JobKind::Steps(steps?) };
        Some(Job {
            id: Spanned { value: key.text.clone(), span: key.span },
            name,
            needs: needs.unwrap_or_default(),
            condition,
            runs_on: if calls { None } else { Some(runs_on?) },
            strategy,
            env: env.unwrap_or_default(),
            defaults: defaults.unwrap_or_default(),
            outputs: outputs.unwrap_or_default(),
            timeout_minutes,
            cancel_timeout_minutes,
            continue_on_error: continue_on_error.unwrap_or(Setting::Literal(false)),
            concurrency,
            environment,
            permissions,
            container,
            services: services.unwrap_or_default(),
            snapshot,
            cache_mode,
            kind,
            span: Span { start: key.span.start, end: node.span.end },
        })
    }

    fn refuse_keys_of_calls(&mut self, fields: &Fields<'_>) {
        for name in ["with", "secrets"] {
            if let Some(field) = fields.get(name) {
                let finding = Diagnostic::error(field.key.span, format!("Unexpected value '{name}'"));
                self.report(finding.with_help("it goes with a job's 'uses'"));
            }
        }
    }

    /// `cache-mode`
    pub(super) fn cache_mode(&mut self, field: Field<'_>) -> Option<CacheMode> {
        let text = self.literal(field.node)?;
        let found = CacheMode::ALL.into_iter().find(|mode| mode.as_str() == text.value);
        if found.is_none() {
            let finding = Diagnostic::error(text.span, format!("Unexpected value '{}'", text.value));
            self.report(finding.with_help("a cache mode is read, write, write-only or none"));
        }
        found
    }

    fn needs(&mut self, field: Field<'_>) -> Vec<Spanned<String>> {
        let mut needs: Vec<Spanned<String>> = Vec::new();
        for need in self.words(field.node) {
            if !needs.iter().any(|other| other.eq_ignore_ascii_case(&need)) {
                needs.push(need);
            }
        }
        needs
    }

    fn runs_on(&mut self, field: Field<'_>) -> Option<RunsOn> {
        let span = field.node.span;
        let Value::Mapping(_) = &field.node.value else {
            return Some(RunsOn { labels: self.labels(field)?, group: None, span });
        };
        let fields = self.fields(field.node, Place::RunsOn)?;
        let labels = fields.get("labels").and_then(|field| self.labels(field));
        let group = fields.get("group").and_then(|field| self.template(field.row, field.node));
        if !fields.written("labels") && !fields.written("group") {
            let message = "There's not enough info to determine what you meant. Add one of these properties: group, labels";
            self.error(span, message);
        }
        Some(RunsOn { labels: labels.unwrap_or_default(), group, span })
    }

    fn labels(&mut self, field: Field<'_>) -> Option<Vec<Spanned<Template>>> {
        let nodes = match &field.node.value {
            Value::Sequence(items) => items.as_slice(),
            _ => std::slice::from_ref(field.node),
        };
        let mut labels = Vec::with_capacity(nodes.len());
        for node in nodes {
            let label = self.template(field.row, node)?;
            if label.text().trim().is_empty() {
                self.unexpected(node.span, "");
                return None;
            }
            labels.push(label);
        }
        if labels.is_empty() {
            self.error(field.node.span, "'runs-on' has no label");
            return None;
        }
        Some(labels)
    }

    fn environment(&mut self, field: Field<'_>) -> Option<Environment> {
        let span = field.node.span;
        let mut deployment = Setting::Literal(true);
        let (name, url) = if let Value::Mapping(_) = &field.node.value {
            let fields = self.fields(field.node, Place::Environment)?;
            let name = fields.get("name").and_then(|field| self.template(field.row, field.node));
            let url = fields.get("url").and_then(|field| self.template(field.row, field.node));
            if let Some(found) = fields.get("deployment").and_then(|field| self.boolean(field)) {
                deployment = found;
            }
            (name?, url)
        } else {
            let row = key(Place::Environment, "name")?;
            (self.template(row, field.node)?, None)
        };
        // An empty name is no environment.
        let empty = name.literal().is_some_and(|name| name.trim().is_empty());
        (!empty).then_some(Environment { name, url, deployment, span })
    }

    /// An id of a job, a step or an input.
    pub(super) fn check_id(&mut self, id: &str, span: Span) {
        if id.contains("${{") {
            let key = Key { text: id.to_owned(), style: crate::yaml::Style::Plain, span };
            return self.unknown_key(&key, []);
        }
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        let fits = id.starts_with(letter)
            && id.chars().all(|c| letter(c) || c.is_ascii_digit() || c == '-')
            && id.len() < 100;
        if !fits {
            let shown: String = id.chars().take(100).collect();
            let message = format!(
                "The identifier '{shown}' is invalid. IDs may only contain alphanumeric characters, '_', and '-'. \
                 IDs must start with a letter or '_' and must be less than 100 characters."
            );
            self.error(span, message.replace('\n', " "));
        } else if id.starts_with("__") {
            let message = format!("The identifier '{id}' is invalid. IDs starting with '__' are reserved.");
            self.error(span, message);
        }
    }
}

/// The usable keys of a job, and the reader that reads them.
struct JobFields<'r, 's, 'n> {
    reader: &'r mut Reader<'s>,
    fields: &'r Fields<'n>,
}

impl<'s, 'n> JobFields<'_, 's, 'n> {
    fn field<T>(&mut self, name: &str, read: impl Fn(&mut Reader<'s>, Field<'n>) -> Option<T>) -> Option<T> {
        self.fields.get(name).and_then(|field| read(self.reader, field))
    }

    fn template(&mut self, name: &str) -> Option<Spanned<Template>> {
        self.field(name, |reader, field| reader.template(field.row, field.node))
    }
}
