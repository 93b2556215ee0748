//! What must hold between jobs: names that exist, no cycles, no group that waits for itself.

use std::collections::HashMap;

use super::reader::Reader;
use crate::model::{Job, Workflow, graph};

impl Reader<'_> {
    pub(super) fn check_graph(&mut self, workflow: &Workflow) {
        let needs = graph::needs(&workflow.jobs);
        let mut acyclic = vec![false; needs.len()];
        for at in graph::order(&needs) {
            acyclic[at] = true;
        }
        for at in (0..needs.len()).filter(|at| !acyclic[*at]) {
            self.report_cycle(workflow, &needs, at);
        }
        if let Some(first) = workflow.jobs.first()
            && workflow.jobs.iter().all(|job| !job.needs.is_empty())
        {
            self.error(first.id.span, "The workflow must contain at least one job with no dependencies.");
        }
        self.check_groups(workflow);
    }

    /// Only the jobs on the cycle are named, not those that merely wait for them.
    fn report_cycle(&mut self, workflow: &Workflow, needs: &[Vec<usize>], at: usize) {
        if self.is_full() {
            return;
        }
        let job = &workflow.jobs[at];
        for (need, target) in job.needs.iter().zip(&needs[at]) {
            if reaches(needs, *target, at) {
                let message = format!(
                    "Job '{}' depends on job '{}' which creates a cycle in the dependency graph.",
                    job.id.value, need.value
                );
                self.error(need.span, message);
            }
        }
    }

    fn check_groups(&mut self, workflow: &Workflow) {
        let group = |concurrency: &Option<crate::model::Concurrency>| {
            concurrency.as_ref().and_then(|found| found.group.literal().map(str::to_lowercase))
        };
        let Some(outer) = group(&workflow.concurrency) else { return };
        for job in workflow.jobs.iter().filter(|job| group(&job.concurrency).as_ref() == Some(&outer)) {
            let span = job.concurrency.as_ref().map_or(job.span, |found| found.group.span);
            let name = &job.id.value;
            self.error(
                span,
                format!("The job '{name}' would wait for its own run: the workflow is in the same concurrency group"),
            );
        }
    }

    /// `needs` as written: names of jobs that exist, spelt as those jobs spell them.
    pub(super) fn resolve_needs(&mut self, jobs: &mut [Job]) {
        let names: HashMap<String, String> =
            jobs.iter().map(|job| (job.id.to_ascii_lowercase(), job.id.value.clone())).collect();
        for job in jobs {
            let id = job.id.value.clone();
            job.needs.retain_mut(|need| {
                if let Some(name) = names.get(&need.to_ascii_lowercase()) {
                    need.value.clone_from(name);
                    return true;
                }
                let message = format!("Job '{id}' depends on unknown job '{}'.", need.value);
                let finding = crate::diagnostic::Diagnostic::error(need.span, message);
                self.report(finding.with_suggestion(&need.value, names.values().map(String::as_str)));
                false
            });
        }
    }
}

fn reaches(needs: &[Vec<usize>], from: usize, wanted: usize) -> bool {
    let mut seen = vec![false; needs.len()];
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == wanted {
            return true;
        }
        if !std::mem::replace(&mut seen[at], true) {
            open.extend(&needs[at]);
        }
    }
    false
}
