//! How an attempt begins: a new run, a re-run, and the turn in the run's concurrency group.

use std::collections::HashSet;

use serde_json::json;
use windlass_kernel::Actor;
use windlass_workflow::model::Workflow;

use super::Machine;
use crate::concurrency::Member;
use crate::run::parse;
use crate::scope::RunScope;
use crate::{Action, Conclusion, Finding, InvalidTransition, Job, JobState, RunState, WaitingFor, settings};

/// The first attempt and fifty re-runs.
const MAX_ATTEMPTS: u32 = 51;

impl Machine<'_> {
    /// The run was made. Without a workflow it ends here.
    pub(crate) fn create(&mut self, workflow: Option<Workflow>) {
        if let Some(workflow) = &workflow {
            self.title(workflow);
            self.run.jobs = workflow.jobs.iter().map(|job| self.fresh(job)).collect();
        }
        let (event, title) = (self.run.event.clone(), self.run.title.clone());
        self.emit_run(self.run.actor.clone(), "run.created", json!({"event": event, "title": title}));
        match workflow {
            Some(workflow) => self.begin(&workflow),
            None => self.complete_run(Conclusion::StartupFailure),
        }
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
            line: span.start.line,
            column: span.start.column,
            message: message.to_owned(),
        });
    }

    fn fresh(&mut self, job: &windlass_workflow::model::Job) -> Job {
        let needs = job.needs.iter().map(|need| need.value.clone()).collect();
        let mut fresh = Job::waiting((self.new_job_id)(), &job.id, needs);
        // A name without expressions is known before the job's turn comes.
        if let Some(name) = job.name.as_ref().and_then(|name| name.value.literal()) {
            name.clone_into(&mut fresh.name);
        }
        fresh
    }

    /// Starts the attempt, or joins the run's concurrency group.
    fn begin(&mut self, workflow: &Workflow) {
        let Some(concurrency) = &workflow.concurrency else {
            self.run.group = None;
            return self.go();
        };
        match settings::group(concurrency, &RunScope::of_run(&self.run)) {
            Ok(mut group) => {
                group.joined = true;
                self.run.state = RunState::Waiting { group: group.name.clone() };
                self.actions.push(Action::JoinGroup {
                    member: Member { run: self.run.id, job: None },
                    group: group.name.clone(),
                    cancel_in_progress: group.cancel_in_progress,
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

    pub(super) fn run_admitted(&mut self) -> Result<(), InvalidTransition> {
        match self.run.state {
            RunState::Waiting { .. } => self.go(),
            // The group may say so twice.
            RunState::Active if self.run.group.as_ref().is_some_and(|group| group.joined) => {}
            _ => return Err(self.run_refuses("the turn in a concurrency group")),
        }
        Ok(())
    }

    pub(super) fn rerun(&mut self, by: Actor, failed_only: bool) -> Result<(), InvalidTransition> {
        let RunState::Completed { conclusion, .. } = self.run.state else {
            return Err(self.run_refuses("a re-run"));
        };
        let (Some(workflow), true) = (
            parse(&self.run.workflow.file, &self.run.workflow.text).0,
            conclusion != Conclusion::StartupFailure,
        ) else {
            return Err(InvalidTransition::Run {
                event: "a re-run",
                state: "not valid (its workflow has errors)",
            });
        };
        if self.run.attempt >= MAX_ATTEMPTS {
            return Err(InvalidTransition::TooManyAttempts(self.run.attempt - 1));
        }
        self.run.attempt += 1;
        if let serde_json::Value::Object(github) = &mut self.run.github {
            github.insert("run_attempt".into(), self.run.attempt.to_string().into());
        }
        self.run.started_at = None;
        self.run.cancellation = None;
        if failed_only {
            self.reset_failed(&workflow);
        } else {
            self.reset_all(&workflow);
        }
        self.emit_run(by, "run.created", json!({"event": "rerun", "failed_only": failed_only}));
        self.begin(&workflow);
        Ok(())
    }

    fn reset_all(&mut self, workflow: &Workflow) {
        self.run.jobs = workflow.jobs.iter().map(|job| self.fresh(job)).collect();
    }

    /// The legs that did not succeed begin anew, each with its combination; what depends on them begins from its file.
    fn reset_failed(&mut self, workflow: &Workflow) {
        let bad = |job: &Job| !matches!(job.result(), Some(Conclusion::Success | Conclusion::Skipped));
        let failed: HashSet<String> =
            self.run.jobs.iter().filter(|job| bad(job)).map(|job| job.key.to_lowercase()).collect();
        let mut jobs = Vec::new();
        for wanted in &workflow.jobs {
            let key = wanted.id.to_lowercase();
            let depends =
                workflow.ancestors(&wanted.id).iter().any(|a| failed.contains(&a.id.to_lowercase()));
            let old: Vec<Job> = self.run.of_key(&wanted.id).cloned().collect();
            if depends || old.is_empty() {
                jobs.push(self.fresh(wanted));
                continue;
            }
            for job in old {
                if failed.contains(&key) && bad(&job) {
                    let fresh = self.fresh(wanted);
                    let state = JobState::Waiting { for_what: WaitingFor::Needs };
                    jobs.push(Job { leg: job.leg, name: job.name, state, ..fresh });
                } else {
                    jobs.push(job);
                }
            }
        }
        self.run.jobs = jobs;
    }
}
