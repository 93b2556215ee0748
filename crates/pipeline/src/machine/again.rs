//! Re-runs: a new attempt of a run that has ended, of all of it or of a part.

use std::collections::HashSet;

use serde_json::json;
use windlass_kernel::{Actor, JobId};

use super::Machine;
use crate::due::RUN_AT_MOST;
use crate::frame::Frame;
use crate::run::parse;
use crate::{Again, Conclusion, InvalidTransition, Job, JobState, RunState, WaitingFor};

/// The first attempt and fifty re-runs.
const MAX_ATTEMPTS: u32 = 51;

impl Machine<'_> {
    pub(super) fn rerun(&mut self, by: Actor, which: Again) -> Result<(), InvalidTransition> {
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
        if self.now.since(self.run.created_at) > RUN_AT_MOST {
            return Err(InvalidTransition::TooOld(RUN_AT_MOST.as_secs() / 86_400));
        }
        let begin_anew = self.chosen(which)?;
        self.run.attempt += 1;
        self.run.attempt_at = Some(self.now);
        if let serde_json::Value::Object(github) = &mut self.run.github {
            github.insert("run_attempt".into(), self.run.attempt.to_string().into());
            let name = match &by {
                Actor::User(name) => name.to_string(),
                other => other.to_string(),
            };
            github.insert("triggering_actor".into(), name.into());
        }
        self.run.started_at = None;
        self.run.cancellation = None;
        self.run.jobs = match which {
            Again::All => workflow.jobs.iter().map(|job| self.fresh(None, job)).collect(),
            Again::Failed | Again::Job(_) => self.renewed_jobs(None, &begin_anew),
        };
        let word = match which {
            Again::All => "all".to_owned(),
            Again::Failed => "failed".to_owned(),
            Again::Job(job) => job.to_string(),
        };
        self.emit_run(by, "run.created", json!({"event": "rerun", "jobs": word}));
        self.begin(&workflow);
        Ok(())
    }

    /// The jobs that begin anew, and the calls that they stand in.
    fn chosen(&self, which: Again) -> Result<HashSet<JobId>, InvalidTransition> {
        let bad = |job: &&Job| !matches!(job.result(), Some(Conclusion::Success | Conclusion::Skipped));
        match which {
            Again::All => Ok(HashSet::new()),
            Again::Failed => {
                let failed: HashSet<JobId> = self.run.jobs.iter().filter(bad).map(|job| job.id).collect();
                if failed.is_empty() { Err(InvalidTransition::NothingFailed) } else { Ok(failed) }
            }
            Again::Job(id) => {
                let job = self.run.job(id).ok_or(InvalidTransition::UnknownJob(id))?;
                Ok(self.run.callers(job).map(|caller| caller.id).chain([id]).collect())
            }
        }
    }

    /// The jobs of a frame as the new attempt begins with them, with those below. Legs that begin anew keep their
    /// combination; what depends on them begins from its file.
    fn renewed_jobs(&mut self, frame: Frame, anew: &HashSet<JobId>) -> Vec<Job> {
        let mut jobs = Vec::new();
        let Some(workflow) = self.model(frame) else { return jobs };
        let keys: HashSet<String> = self
            .run
            .within(frame)
            .filter(|job| anew.contains(&job.id))
            .map(|job| job.key.to_lowercase())
            .collect();
        for wanted in &workflow.jobs {
            let needs = workflow.ancestors(&wanted.id);
            let depends = needs.iter().any(|ancestor| keys.contains(&ancestor.id.to_lowercase()));
            let old: Vec<Job> = self.run.legs(frame, &wanted.id).cloned().collect();
            if depends || old.is_empty() {
                jobs.push(self.fresh(frame, wanted));
                continue;
            }
            for job in old {
                let below = self.run.within(Some(job.id)).next().is_some();
                if !anew.contains(&job.id) {
                    let id = job.id;
                    jobs.push(job);
                    jobs.extend(self.below(id));
                } else if below && self.run.within(Some(job.id)).any(|inner| anew.contains(&inner.id)) {
                    // The call goes on; in it, what did not succeed begins anew.
                    let state = JobState::Waiting { for_what: WaitingFor::Siblings };
                    let inner = self.renewed_jobs(Some(job.id), anew);
                    jobs.push(Job { state, outputs: std::collections::BTreeMap::new(), ..job });
                    jobs.extend(inner);
                } else {
                    let fresh = self.fresh(frame, wanted);
                    jobs.push(Job { leg: job.leg, name: job.name, ..fresh });
                }
            }
        }
        jobs
    }

    /// All jobs below a call.
    fn below(&self, call: JobId) -> Vec<Job> {
        let under = |job: &&Job| self.run.callers(job).any(|caller| caller.id == call);
        self.run.jobs.iter().filter(under).cloned().collect()
    }
}
