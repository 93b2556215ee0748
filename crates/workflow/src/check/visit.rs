//! Every expression of a part of the model, with what it is for.

use crate::diagnostic::Span;
use crate::expr::Expr;
use crate::model::{
    CallSecrets, Concurrency, Container, ContainerSetting, Job, JobKind, List, Map, MapPart, RunDefaults,
    Services, Setting, Spanned, Step, StepKind, Tree, TreeName, Workflow,
};
use crate::template::{Condition, Template};

/// An expression, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Site<'w> {
    /// The scalar.
    pub(super) span: Span,
    /// The scalar's text.
    pub(super) text: &'w str,
    /// Where the expression begins in it, in bytes.
    pub(super) offset: usize,
    pub(super) expr: &'w Expr,
    pub(super) usage: Usage,
}

/// What becomes of an expression's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// Its truth is asked.
    Condition,
    /// It becomes text.
    Text,
    /// It becomes a part of a script.
    Script,
    /// It is kept as it is.
    Value,
}

/// Calls `see` for each expression.
pub(super) struct Visit<'s, 'w> {
    pub(super) see: &'s mut dyn FnMut(Site<'w>),
}

impl<'w> Visit<'_, 'w> {
    /// The workflow's own, without its jobs'.
    pub(super) fn workflow(&mut self, workflow: &'w Workflow) {
        self.texts(workflow.run_name.iter(), Usage::Text);
        self.map(&workflow.env, Usage::Text);
        self.concurrency(workflow.concurrency.as_ref());
        for output in workflow.on.call.iter().flat_map(|called| &called.outputs) {
            self.template(&output.value, Usage::Text);
        }
        for input in workflow.on.call.iter().flat_map(|called| &called.inputs) {
            input.default.iter().for_each(|default| self.tree(default));
        }
    }

    /// A job's own, without its steps' and its outputs.
    pub(super) fn job(&mut self, job: &'w Job) {
        self.texts(job.name.iter(), Usage::Text);
        self.condition(job.condition.as_ref());
        if let Some(runs_on) = &job.runs_on {
            self.texts(runs_on.labels.iter(), Usage::Value);
            self.texts(runs_on.group.iter(), Usage::Text);
        }
        if let Some(strategy) = &job.strategy {
            strategy.matrix.iter().for_each(|matrix| self.tree(matrix));
            self.setting(&strategy.fail_fast);
            strategy.max_parallel.iter().for_each(|setting| self.setting(setting));
        }
        self.map(&job.env, Usage::Text);
        self.defaults(&job.defaults);
        job.timeout_minutes.iter().chain(&job.cancel_timeout_minutes).for_each(|found| self.setting(found));
        self.setting(&job.continue_on_error);
        self.concurrency(job.concurrency.as_ref());
        if let Some(environment) = &job.environment {
            self.template(&environment.name, Usage::Text);
            self.setting(&environment.deployment);
        }
        job.container.iter().for_each(|container| self.container(container));
        match &job.services {
            Services::Written(services) => {
                for service in services {
                    self.container(&service.container);
                }
            }
            Services::Expression(whole) => self.template(whole, Usage::Value),
        }
        if let JobKind::Call(call) = &job.kind {
            self.tree(&call.with);
            if let CallSecrets::Named(secrets) = &call.secrets {
                self.map(secrets, Usage::Text);
            }
        }
    }

    /// What of a job is evaluated when its steps are over.
    pub(super) fn end(&mut self, job: &'w Job) {
        self.map(&job.outputs, Usage::Text);
        let url = job.environment.as_ref().and_then(|environment| environment.url.as_ref());
        self.texts(url.into_iter(), Usage::Text);
    }

    /// A step's own, without those of the steps within it.
    pub(super) fn step(&mut self, step: &'w Step) {
        self.condition(step.condition.as_ref());
        self.texts(step.name.iter(), Usage::Text);
        self.map(&step.env, Usage::Text);
        self.setting(&step.continue_on_error);
        step.timeout_minutes.iter().for_each(|setting| self.setting(setting));
        match &step.kind {
            StepKind::Run(run) => {
                self.template(&run.script, Usage::Script);
                self.texts(run.shell.iter().chain(&run.working_directory), Usage::Text);
            }
            StepKind::Uses(uses) => {
                let scripted =
                    uses.action.repository_name().is_some_and(|name| name == "actions/github-script");
                for entry in uses.with.entries() {
                    let script = scripted && entry.name.eq_ignore_ascii_case("script");
                    self.template(&entry.value, if script { Usage::Script } else { Usage::Text });
                }
                if uses.with.entries().is_empty() {
                    self.map(&uses.with, Usage::Text);
                }
            }
            StepKind::Wait(_) | StepKind::WaitAll | StepKind::Cancel(_) | StepKind::Parallel(_) => {}
        }
    }

    fn defaults(&mut self, defaults: &'w RunDefaults) {
        self.texts(defaults.shell.iter().chain(&defaults.working_directory), Usage::Text);
    }

    fn concurrency(&mut self, concurrency: Option<&'w Concurrency>) {
        if let Some(concurrency) = concurrency {
            self.template(&concurrency.group, Usage::Text);
            self.setting(&concurrency.cancel_in_progress);
        }
    }

    fn container(&mut self, setting: &'w ContainerSetting) {
        let container = match setting {
            ContainerSetting::Expression(whole) => return self.template(whole, Usage::Value),
            ContainerSetting::Written(container) => container,
        };
        let Container { image, credentials, env, ports, volumes, options, entrypoint, command, .. } =
            container;
        self.template(image, Usage::Text);
        if let Some(credentials) = credentials {
            self.texts([&credentials.username, &credentials.password].into_iter(), Usage::Text);
        }
        self.map(env, Usage::Text);
        for list in [ports, volumes] {
            match list {
                List::Items(items) => self.texts(items.iter(), Usage::Text),
                List::Expression(whole) => self.template(whole, Usage::Value),
            }
        }
        self.texts(options.iter().chain(entrypoint).chain(command), Usage::Text);
    }

    pub(super) fn map(&mut self, map: &'w Map, usage: Usage) {
        match map {
            Map::Expression(whole) => self.template(whole, Usage::Value),
            Map::Entries(entries) => self.texts(entries.iter().map(|entry| &entry.value), usage),
            Map::Computed(parts) => {
                for part in parts {
                    match part {
                        MapPart::Entry(entry) => self.template(&entry.value, usage),
                        MapPart::Computed(entry) => {
                            self.template(&entry.name, Usage::Text);
                            self.template(&entry.value, usage);
                        }
                        MapPart::Insert(map) => self.map(map, usage),
                    }
                }
            }
        }
    }

    fn tree(&mut self, tree: &'w Tree) {
        match tree {
            Tree::Literal(_) => {}
            Tree::Expression(template) => self.template(template, Usage::Value),
            Tree::Sequence(items) => items.iter().for_each(|item| self.tree(item)),
            Tree::Mapping(pairs) => pairs.iter().for_each(|(_, tree)| self.tree(tree)),
            Tree::Computed(pairs) => {
                for (name, tree) in pairs {
                    if let TreeName::Expression(name) = name {
                        self.template(name, Usage::Text);
                    }
                    self.tree(tree);
                }
            }
        }
    }

    fn setting<T>(&mut self, setting: &'w Setting<T>) {
        if let Setting::Expression(template) = setting {
            self.template(template, Usage::Value);
        }
    }

    pub(super) fn texts(&mut self, templates: impl Iterator<Item = &'w Spanned<Template>>, usage: Usage) {
        templates.for_each(|template| self.template(template, usage));
    }

    fn template(&mut self, template: &'w Spanned<Template>, usage: Usage) {
        let (span, text) = (template.span, template.text());
        // Text around an expression makes a text of its value.
        let usage = if template.sole().is_none() && usage == Usage::Value { Usage::Text } else { usage };
        for (offset, expr) in template.value.expressions() {
            (self.see)(Site { span, text, offset, expr, usage });
        }
    }

    fn condition(&mut self, condition: Option<&'w Spanned<Condition>>) {
        if let Some(condition) = condition.filter(|condition| !condition.text().trim().is_empty()) {
            let (span, text, offset) = (condition.span, condition.text(), condition.offset());
            (self.see)(Site { span, text, offset, expr: condition.value.expr(), usage: Usage::Condition });
        }
    }
}
