//! Jobs in this process: started as there is room, heard, and ended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use windlass_api::runner::JobHappening;
use windlass_kernel::{Actor, JobId, Timestamp};
use windlass_pipeline::{Conclusion, Report, RunEvent};
use windlass_runner::unit::UnitSettings;
use windlass_runner::{
    ActionSources, ContainerSettings, Docker, JobStop, LocalEnd, LocalJob, SourceTrees, run_local_job,
};
use windlass_workflow::Workflow;
use windlass_workflow::model::StepKind;

use super::Shell;
use crate::local::job::{Ears, Word, assignment, folder};
use crate::local::place::{Places, Where};
use crate::runs::{detail, report};

/// The end of a lease that does not end.
pub(super) const FOR_EVER: Timestamp = Timestamp::from_millis(i64::MAX / 2);
/// How often somebody who looks is shown how it stands.
const LOOK: Duration = Duration::from_millis(100);

impl Shell {
    /// Goes on until all runs have ended.
    pub(super) async fn drive(&mut self, mut heard: mpsc::UnboundedReceiver<Word>) {
        let looks = self.audience.looks();
        let mut tick = tokio::time::interval(LOOK);
        let mut asked_to_stop = 0;
        loop {
            self.start_ready().await;
            if self.runs.iter().all(|local| local.run.is_completed()) && self.running.is_empty() {
                break;
            }
            if self.running.is_empty() && self.ready.is_empty() {
                if !self.unstick() {
                    break;
                }
                continue;
            }
            tokio::select! {
                biased;
                word = heard.recv() => match word {
                    Some(word) => self.hear(word),
                    None => break,
                },
                _ = tokio::signal::ctrl_c() => {
                    asked_to_stop += 1;
                    self.cancel(asked_to_stop > 1);
                }
                _ = tick.tick(), if looks => self.show(),
            }
        }
        if looks {
            self.show();
        }
    }

    fn show(&self) {
        let runs: Vec<_> = self.runs.iter().map(|local| detail(&local.run)).collect();
        self.audience.look(&runs);
    }

    /// Somebody at the terminal wants it to end; the second time at once.
    fn cancel(&mut self, force: bool) {
        let reason = if force { "interrupted again" } else { "interrupted" };
        self.audience.note(if force {
            "ending all jobs at once"
        } else {
            "cancelling: steps that always run still run; once more ends all at once"
        });
        for at in 0..self.runs.len() {
            let by = Actor::System;
            self.happen(at, RunEvent::CancelRequested { by, reason: reason.to_owned(), force });
        }
        if force {
            self.running.values().for_each(|stop| stop.force(reason));
        }
    }

    /// Nothing runs and nothing can, although a run has not ended: it is ended rather than waited for. False if even
    /// that does not help.
    fn unstick(&mut self) -> bool {
        let open = |at: &usize, shell: &Self| !shell.runs[*at].run.is_completed();
        let Some(at) = (0..self.runs.len()).find(|at| open(at, self)) else { return false };
        let waiting = self.runs[at].run.jobs.iter().find(|job| !job.is_completed());
        let why = waiting.and_then(windlass_pipeline::Job::reason).unwrap_or_default();
        let reason = format!("nothing here can let it go on: {why}");
        self.audience.note(&reason);
        self.happen(at, RunEvent::CancelRequested { by: Actor::System, reason, force: true });
        !open(&at, self)
    }

    async fn start_ready(&mut self) {
        while self.running.len() < self.plan.request.at_once.max(1) {
            let Some((at, job)) = self.ready.pop_front() else { return };
            let queued = self.runs.get(at).and_then(|local| local.run.job(job));
            if queued.is_some_and(|job| matches!(job.state, windlass_pipeline::JobState::Queued { .. }))
                && let Err(why) = self.start(at, job).await
            {
                self.end_at_once(at, job, Conclusion::Failure, Some(why));
            }
        }
    }

    fn model(&mut self, file: &str, text: &str) -> Result<Arc<Workflow>, String> {
        if let Some(known) = self.models.get(text) {
            return Ok(known.clone());
        }
        let parsed = windlass_workflow::parse(file, text).workflow;
        let workflow = Arc::new(parsed.ok_or_else(|| format!("{file} cannot be used: it has errors"))?);
        self.models.insert(text.to_owned(), workflow.clone());
        Ok(workflow)
    }

    async fn start(&mut self, at: usize, id: JobId) -> Result<(), String> {
        let plan = self.plan.clone();
        let run = &self.runs[at].run;
        let labels = run.job(id).map(|job| job.labels.clone()).unwrap_or_default();
        let context = windlass_pipeline::assignment(run, id).ok_or("the job is gone")?;
        let (file, text) = (context.workflow.file.clone(), context.workflow.text.clone());
        let assignment = assignment(&plan, run, id, context)?;
        let folder = folder(&plan, run, id, &assignment.name);
        let workflow = self.model(&file, &text)?;
        let place = plan.places.of(&labels).map_err(Places::unserved)?;
        let ground = plan.places.ground(&place).await?;
        if let Some(why) = ground.instead.as_ref().filter(|_| !self.warned) {
            self.warned = true;
            self.audience.note(&format!(
                "no sandbox can be had on this machine, so jobs run as plain processes of yours: {why}"
            ));
        }
        let ears = Arc::new(Ears {
            id,
            name: assignment.name.clone(),
            audience: self.audience.clone(),
            words: self.words.clone(),
            step: Mutex::default(),
        });
        let trees =
            SourceTrees { own: plan.repository.root.clone(), others: plan.request.repositories.clone() };
        let image = match &place {
            Where::Docker(image) => Some(image.clone()),
            _ => None,
        };
        let mut docker = Docker::of_machine();
        docker.containers |= plan.request.docker;
        // Plain processes are no place for containers: those have sandboxes, which cost something to find out about.
        let containers = if ground.plain && image.is_none() && !may_contain(&workflow, &assignment.key) {
            None
        } else {
            Some(plan.places.containers().await)
        };
        let job = LocalJob {
            assignment,
            workflow,
            folder,
            keep: plan.request.reuse,
            exe: plan.request.exe.clone(),
            settings: UnitSettings {
                runner: "here".to_owned(),
                actions: self.actions(),
                tools: Some(plan.request.store.join("tools")),
                docker,
                image,
                containers: ContainerSettings::of_machine(plan.request.store.join("images")),
                ..UnitSettings::default()
            },
            containers,
            sandboxes: ground.runtime,
            plain: ground.plain,
            memory: self.memory.clone(),
            trees: Arc::new(trees),
            env: plan.request.env.clone(),
            ask: plan.request.ask,
        };
        let stop = JobStop::default();
        self.running.insert(id, stop.clone());
        self.happen(at, RunEvent::Leased { job: id, runner: "here".to_owned(), until: FOR_EVER });
        let (control, clock, words) = (self.runs[at].control.clone(), self.clock.clone(), self.words.clone());
        tokio::spawn(Box::pin(async move {
            let end = run_local_job(job, control, ears, &stop, clock).await;
            let _ = words.send(Word::Ended(id, end.map_err(|e| format!("its folder cannot be used: {e}"))));
        }));
        Ok(())
    }

    /// Where actions come from: folders of this machine first, then as a runner of this machine has them.
    fn actions(&self) -> ActionSources {
        let mut actions = ActionSources::of_machine(&self.plan.request.store);
        actions.mirrors.splice(0..0, self.stand_ins.clone());
        actions
    }

    fn hear(&mut self, word: Word) {
        let id = match &word {
            Word::Happened(id, _) | Word::Ended(id, _) => *id,
        };
        let at = self.runs.iter().position(|local| local.run.job(id).is_some());
        match word {
            Word::Happened(_, what) => {
                if let Some(at) = at {
                    self.note_happening(at, id, what);
                }
            }
            Word::Ended(_, end) => {
                self.running.remove(&id);
                if let Some(at) = at {
                    self.ended(at, id, end);
                }
            }
        }
    }

    /// Only what changes how the run goes on is the machine's to know; the rest is kept for those who look.
    fn note_happening(&mut self, at: usize, id: JobId, what: JobHappening) {
        match (report(what), self.runs[at].run.jobs.iter_mut().find(|job| job.id == id)) {
            (started @ Report::Started { .. }, Some(job)) => {
                let hand_out = job.tries;
                let now = self.clock.now();
                self.happen(at, RunEvent::Reported { job: id, hand_out, seq: 1, at: now, report: started });
            }
            (Report::Step(step), Some(job)) => {
                match job.steps.iter_mut().find(|known| known.number == step.number) {
                    Some(known) => *known = step,
                    None => job.steps.push(step),
                }
            }
            (Report::Annotation(annotation), Some(job)) => job.annotations.push(annotation),
            (Report::Summary(markdown), Some(job)) => job.summary.push_str(&markdown),
            _ => {}
        }
    }

    fn ended(&mut self, at: usize, id: JobId, end: Result<LocalEnd, String>) {
        let report = match end {
            Ok(end) => report(JobHappening::Finished {
                conclusion: end.conclusion,
                reason: end.reason,
                outputs: end.outputs,
                environment_url: end.environment_url,
            }),
            Err(why) => Report::Finished {
                conclusion: Conclusion::Failure,
                reason: Some(why),
                outputs: std::collections::BTreeMap::new(),
                environment_url: None,
            },
        };
        let Some(job) = self.runs[at].run.job(id) else { return };
        let (hand_out, seq) = (job.tries, job.acknowledged + 1);
        self.happen(at, RunEvent::Reported { job: id, hand_out, seq, at: self.clock.now(), report });
    }
}

/// Whether a job may come to need a container: it names one, or uses an action that may be one.
fn may_contain(workflow: &Workflow, job: &str) -> bool {
    workflow.job(job).is_none_or(|model| {
        let mut steps = model.all_steps();
        model.container.is_some()
            || !model.services.is_empty()
            || steps.any(|step| matches!(step.kind, StepKind::Uses(_)))
    })
}
