//! How an attempt begins: the run's jobs, and the turn in the run's concurrency group.

use serde_json::json;
use windlass_kernel::Actor;
use windlass_workflow::model::Workflow;

use super::Machine;
use crate::concurrency::Member;
use crate::scope::RunScope;
use crate::{Action, Conclusion, Finding, InvalidTransition, RunState, settings};

impl Machine<'_> {
    /// The run was made. Without a workflow it ends here.
    /// One that is held waits for an approval, and `held` says why.
    pub(crate) fn create(&mut self, workflow: Option<&Workflow>, held: Option<&str>) {
        if let Some(workflow) = workflow {
            self.title(workflow);
            self.run.jobs = workflow.jobs.iter().map(|job| self.fresh(None, job)).collect();
        }
        let (event, title) = (self.run.event.clone(), self.run.title.clone());
        self.emit_run(self.run.actor.clone(), "run.created", json!({"event": event, "title": title}));
        match (workflow, held) {
            (Some(_), Some(reason)) => {
                self.run.state = RunState::Held { reason: reason.to_owned() };
                self.emit_run(Actor::System, "run.held", json!({"reason": reason}));
            }
            (Some(workflow), None) => self.begin(workflow),
            (None, _) => self.complete_run(Conclusion::StartupFailure),
        }
    }

    /// Somebody who may says that a held run may begin.
    pub(super) fn approved(&mut self, by: Actor, comment: &str) -> Result<(), InvalidTransition> {
        let held = matches!(self.run.state, RunState::Held { .. });
        let Some(workflow) = self.model(None).filter(|_| held) else {
            return Err(self.run_refuses("an approval"));
        };
        self.emit_run(by, "run.approved", json!({"comment": comment}));
        self.begin(&workflow);
        Ok(())
    }

    fn title(&mut self, workflow: &Workflow) {
        let Some(name) = &workflow.run_name else { return };
        match name.render_text(&RunScope::of_run(&self.run)) {
            Ok(title) if !title.trim().is_empty() => self.run.title = title.to_string(),
            Ok(_) => {}
            Err(e) => self.finding("warning", &format!("`run-name` could not be evaluated: {e}"), name.span),
        }
    }

    fn finding(&mut self, severity: &str, message: &str, span: windlass_workflow::Span) {
        self.run.diagnostics.push(Finding {
            severity: severity.to_owned(),
            file: None,
            line: span.start.line,
            column: span.start.column,
            message: message.to_owned(),
        });
    }

    /// Starts the attempt, or joins the run's concurrency group.
    pub(super) fn begin(&mut self, workflow: &Workflow) {
        let Some(concurrency) = &workflow.concurrency else {
            self.run.group = None;
            return self.go();
        };
        match settings::group(concurrency, &RunScope::of_run(&self.run)) {
            Ok(group) => {
                let mut group = self.run.fenced(group);
                group.joined = true;
                self.run.state = RunState::Waiting { group: group.name.clone() };
                self.actions.push(Action::JoinGroup {
                    member: Member { run: self.run.id, job: None },
                    group: group.name.clone(),
                    manner: group.manner,
                });
                self.run.group = Some(group);
            }
            Err(message) => {
                self.finding("error", &message, concurrency.span);
                self.run.jobs.clear();
                self.complete_run(Conclusion::StartupFailure);
            }
        }
    }

    fn go(&mut self) {
        self.run.state = RunState::Active;
        self.unsettled = true;
    }

    pub(super) fn run_admitted(&mut self, group: &str) -> Result<(), InvalidTransition> {
        let own = self.run.group.as_ref().is_some_and(|own| own.joined && same(&own.name, group));
        match self.run.state {
            RunState::Waiting { .. } if own => self.go(),
            // The group may say so twice.
            RunState::Active if own => {}
            _ => return Err(self.run_refuses("the turn in a concurrency group")),
        }
        Ok(())
    }
}

/// Whether two names are of the same concurrency group.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
