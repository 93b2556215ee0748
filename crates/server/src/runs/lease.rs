//! Handing jobs to runners, and what runners report.

use std::time::Duration;

use serde_json::json;
use windlass_api::Problem;
use windlass_api::runner as wire;
use windlass_identity::{Action, JobToken, Principal, Resource, Scope};
use windlass_kernel::{Actor, Batch, EnvironmentName, JobId, Query, RunId, StoreExt as _};
use windlass_pipeline::{
    Annotation, Conclusion, InvalidTransition, Job, JobState, Report, Run, RunEvent, StepRecord, StepState,
    assignment,
};

use crate::context::{Context, may, parse, stored};
use crate::results::{CacheScopes, JobTokens};
use crate::runs::engine::EngineError;
use crate::runs::rounds;

type Answer<T> = Result<T, Problem>;

/// How long a runner may be silent before its job is given to another.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// How long a request for work is held open at most.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The job that a token is for, with its run.
pub(crate) struct Bearer {
    pub(crate) run: Run,
    pub(crate) job: Job,
}

impl Context {
    /// The caller's job, if it is `job` and the caller may do `action` to it.
    pub(crate) async fn bearer(&self, who: &Principal, job: &str, action: Action) -> Answer<Bearer> {
        let id: JobId = parse(job)?;
        let Scope::Job { run: run_id, project, .. } = &who.scope else {
            return Err(Problem::forbidden("only a job's own token can do this"));
        };
        let resource = match action {
            Action::UseCaches | Action::PushImage => Resource::Project(project.clone()),
            Action::UseRunArtifacts => Resource::Run { project: project.clone(), run: *run_id },
            _ => Resource::Job { project: project.clone(), run: *run_id, job: id },
        };
        may(who, action, &resource)?;
        let found = self.store.get::<Run>(&run_id.to_string()).await.map_err(stored)?;
        let run = found.ok_or_else(|| Problem::not_found("the run is gone"))?.value;
        let job = run
            .job(id)
            .cloned()
            .ok_or_else(|| Problem::conflict("this job was started anew; its token is over"))?;
        // What a job tells of itself may come late. All else it may do only while a runner has it: not once it has
        // ended, and not while it waits to be handed out again.
        if action != Action::ReportJob && job.lease().is_none() {
            return Err(Problem::conflict("this job has ended; its token is over"));
        }
        Ok(Bearer { run, job })
    }

    /// Whether somebody who shows a job's credential is a job that runs; others are always.
    pub(crate) async fn at_work(&self, who: &Principal) -> bool {
        let Scope::Job { run, job, .. } = &who.scope else { return true };
        match self.store.get::<Run>(&run.to_string()).await {
            Ok(found) => found.is_some_and(|f| f.value.job(*job).is_some_and(|j| j.lease().is_some())),
            Err(error) => {
                tracing::warn!(%error, "cannot see whether a job still runs");
                false
            }
        }
    }

    pub(crate) async fn lease(
        &self,
        who: &Principal,
        mut request: wire::LeaseRequest,
    ) -> Answer<Option<wire::Assignment>> {
        may(who, Action::LeaseJobs, &Resource::Platform)?;
        // The name that its token says, not the one that it gives itself.
        if let Actor::Runner(name) = &who.actor {
            request.runner.clone_from(name);
        }
        self.runner_seen.store(self.now().as_millis(), std::sync::atomic::Ordering::Relaxed);
        let wait = Duration::from_secs(u64::from(request.wait_seconds)).min(LONGEST_WAIT);
        let deadline = tokio::time::Instant::now() + wait;
        let mut ledger = self.ledger.subscribe();
        loop {
            // Marked before looking, so that a change in between is not missed.
            ledger.borrow_and_update();
            if let Some(found) = self.take(&request).await? {
                return Ok(Some(found));
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return Ok(None),
                changed = ledger.changed() => if changed.is_err() { return Ok(None) },
            }
        }
    }

    /// The job that has waited longest among those whose labels the runner has.
    async fn take(&self, request: &wire::LeaseRequest) -> Answer<Option<wire::Assignment>> {
        let runs = self.store.list::<Run>(&rounds::active()).await.map_err(stored)?;
        let serves =
            |job: &Job| job.labels.iter().all(|l| request.labels.iter().any(|r| r.eq_ignore_ascii_case(l)));
        let mut waiting = Vec::new();
        for run in &runs {
            for job in run.value.jobs.iter().filter(|j| serves(j)) {
                if let JobState::Queued { at } = job.state {
                    waiting.push((at, run.value.id, job.id));
                }
            }
        }
        waiting.sort();
        for (_, run, job) in waiting {
            match self.hand_out(run, job, &request.runner).await {
                Ok(found) => return Ok(Some(found)),
                // Another runner was faster, or the job was cancelled just now.
                Err(HandOut::Gone) => {}
                // A job that cannot be handed out must not keep the runner from the others.
                Err(HandOut::Failed(problem)) => {
                    tracing::error!(%run, %job, error = %problem, "a job cannot be handed out");
                    self.take_back(run, job, &problem).await;
                }
            }
        }
        Ok(None)
    }

    /// A job that was given to a runner which never got it: queued again, and given up after a few times.
    async fn take_back(&self, run: RunId, id: JobId, problem: &Problem) {
        let found = self.store.get::<Run>(&run.to_string()).await.ok().flatten();
        let Some(job) = found.and_then(|f| f.value.job(id).filter(|j| j.lease().is_some()).cloned()) else {
            return;
        };
        let reason = format!("it could not be handed to a runner: {problem}");
        if let Err(e) = rounds::lost(self, run, &job, reason).await {
            tracing::warn!(%run, job = %id, error = %e, "a job cannot be queued again");
        }
    }

    async fn hand_out(
        &self,
        run_id: RunId,
        job_id: JobId,
        runner: &str,
    ) -> Result<wire::Assignment, HandOut> {
        let until = self.now() + LEASE;
        let event = RunEvent::Leased { job: job_id, runner: runner.to_owned(), until };
        let found =
            self.store.get::<Run>(&run_id.to_string()).await.map_err(|e| HandOut::Failed(stored(e)))?;
        let given = self.job_tokens(&found.ok_or(HandOut::Gone)?.value, job_id);
        // Whoever had the job before may still run, cut off: its token opens nothing from here on.
        let query = Query { parent: Some(run_id.to_string()), ..Query::default() };
        let known = self.store.list::<JobToken>(&query).await.map_err(|e| HandOut::Failed(stored(e)))?;
        let over: Vec<String> =
            known.into_iter().filter(|t| t.value.job == job_id).map(|t| t.value.hash).collect();
        let tokens = |_: &Run, batch: Batch| {
            given.keep(over.iter().fold(batch, |batch, hash| batch.delete::<JobToken>(hash)))
        };
        let run = self.apply_with(run_id, &[event], tokens).await.map_err(|e| match e {
            EngineError::Invalid(_) | EngineError::Unknown(_) => HandOut::Gone,
            EngineError::Store(e) => HandOut::Failed(stored(e)),
        })?;
        self.begin_log(run_id, job_id).await.map_err(HandOut::Failed)?;
        self.assignment(&run, job_id, given).await.map_err(HandOut::Failed)
    }

    /// Everything a runner needs for a job. The job's environment's rules have passed: its secrets go along.
    async fn assignment(&self, run: &Run, id: JobId, tokens: JobTokens) -> Answer<wire::Assignment> {
        let missing = || Problem::conflict("the job is gone");
        let context = assignment(run, id).ok_or_else(missing)?;
        let job = run.job(id).ok_or_else(missing)?;
        let environment = context.environment.as_deref().and_then(|e| e.parse::<EnvironmentName>().ok());
        let secrets = self.secrets_of(run, job, environment.as_ref(), &tokens.steps).await?;
        let vars = self.job_variables(&run.project, environment.as_ref()).await?;
        let registry = self.endpoint.url.trim_start_matches("http://").to_owned();
        Ok(wire::Assignment {
            job: id.to_string(),
            run: run.id.to_string(),
            project: run.project.to_string(),
            attempt: job.tries,
            name: context.name,
            key: context.key,
            workflow_file: context.workflow.file,
            workflow_text: context.workflow.text,
            github: context.github,
            needs: context.needs,
            strategy: context.strategy,
            matrix: context.matrix,
            inputs: context.inputs,
            vars: json!(vars),
            debug: ["ACTIONS_STEP_DEBUG", "ACTIONS_RUNNER_DEBUG"].iter().any(|name| {
                secrets.get(*name).is_some_and(|v| v.expose() == "true")
                    || vars.get(*name).is_some_and(|v| v == "true")
            }),
            secrets,
            token: tokens.unit.clone(),
            environment: context.environment,
            timeout_minutes: context.timeout_minutes,
            lease_seconds: LEASE.as_secs() as u32,
            // As with caches: whoever runs with others' trust may not leave anything to it.
            tools: Some(CacheScopes::of(run, None))
                .filter(|scopes| scopes.read_only.is_none())
                .map(|scopes| scopes.own),
            server_url: self.endpoint.url.clone(),
            clone_url: format!("{}/{}.git", self.endpoint.url, run.project),
            registry,
            cache_mode: CacheScopes::of_job(run, id, None).mode.as_str().to_owned(),
            services: Some(self.services_of(run, id, tokens)),
        })
    }

    pub(crate) async fn lost(&self, who: &Principal, job: &str, lost: wire::Lost) -> Answer<()> {
        may(who, Action::LeaseJobs, &Resource::Platform)?;
        let id: JobId = parse(job)?;
        for run in self.store.list::<Run>(&rounds::active()).await.map_err(stored)? {
            if let Some(job) = run.value.job(id)
                && let Some(lease) = job.lease()
                // Nor is another runner's job this one's to give up.
                && matches!(&who.actor, Actor::Runner(name) if *name == lease.runner)
                // Word of an earlier hand-out must not take the job from the present one.
                && lost.attempt.is_none_or(|attempt| attempt == job.tries)
            {
                return rounds::lost(self, run.value.id, job, lost.reason).await.map_err(engine);
            }
        }
        Ok(())
    }

    pub(crate) async fn updates(
        &self,
        who: &Principal,
        job: &str,
        updates: wire::JobUpdates,
    ) -> Answer<wire::UpdateReply> {
        let gone = wire::UpdateReply { acknowledged: 0, cancel: None, lost: true };
        let bearer = match self.bearer(who, job, Action::ReportJob).await {
            Ok(bearer) => bearer,
            Err(p) if p.code == windlass_api::ErrorCode::Conflict => return Ok(gone),
            Err(p) => return Err(p),
        };
        if bearer.job.lease().is_none() {
            let acknowledged = updates.updates.last().map_or(bearer.job.acknowledged, |u| u.seq);
            // Its end was taken in already, and the answer got lost: not lost, done. One who goes on to tell of a job
            // that was ended without it (a limit passed) must stop.
            let repeats = updates.updates.last().is_some_and(|u| u.seq <= bearer.job.acknowledged);
            let lost = !(bearer.job.is_completed() && repeats);
            return Ok(wire::UpdateReply { acknowledged, cancel: None, lost });
        }
        let (id, hand_out) = (bearer.job.id, bearer.job.tries);
        let until = self.now() + LEASE;
        let mut events = vec![RunEvent::Renewed { job: id, hand_out, until }];
        let fresh = updates.updates.into_iter().filter(|u| u.seq > bearer.job.acknowledged);
        for update in fresh {
            let report = report(update.what);
            events.push(RunEvent::Reported { job: id, hand_out, seq: update.seq, at: update.at, report });
        }
        let run = match self.apply_with(bearer.run.id, &events, |_, batch| batch).await {
            Ok(run) => run,
            Err(EngineError::Invalid(
                InvalidTransition::LeaseGone { .. } | InvalidTransition::UnknownJob(_),
            )) => return Ok(gone),
            Err(EngineError::Invalid(InvalidTransition::Gap { expected, .. })) => {
                return Ok(wire::UpdateReply { acknowledged: expected - 1, cancel: None, lost: false });
            }
            Err(e) => return Err(engine(e)),
        };
        let job = run.job(id);
        Ok(wire::UpdateReply {
            acknowledged: job.map_or(0, |j| j.acknowledged),
            cancel: job.and_then(|j| j.stopping.clone()),
            lost: false,
        })
    }

    /// Withdraws the tokens of jobs that ended a while ago: a job's last log bytes follow its last report.
    pub(crate) async fn withdraw_tokens(&self) -> Result<(), windlass_kernel::StoreError> {
        const AFTER: Duration = Duration::from_mins(2);
        let now = self.now();
        let mut batch = Batch::new();
        for token in self.store.list::<JobToken>(&Query::default()).await? {
            let run = self.store.get::<Run>(&token.value.run.to_string()).await?;
            let over = run.is_none_or(|run| match run.value.job(token.value.job) {
                Some(job) => job.finished_at().is_some_and(|at| now.since(at) > AFTER),
                None => true,
            });
            if over {
                batch = batch.delete::<JobToken>(&token.value.hash);
            }
        }
        if !batch.writes.is_empty() {
            self.commit(batch).await?;
        }
        Ok(())
    }
}

enum HandOut {
    Gone,
    Failed(Problem),
}

/// What the engine says, as an answer.
pub(crate) fn engine(error: EngineError) -> Problem {
    match error {
        EngineError::Unknown(id) => Problem::not_found(format!("there is no run {id}")),
        EngineError::Invalid(e) => Problem::conflict(e.to_string()),
        EngineError::Store(e) => stored(e),
    }
}

/// What a runner tells, as the machine takes it.
pub(crate) fn report(what: wire::JobHappening) -> Report {
    match what {
        wire::JobHappening::Started { sandbox } => Report::Started { sandbox },
        wire::JobHappening::Step { step } => Report::Step(StepRecord {
            number: step.number,
            name: step.name,
            state: match step.state {
                windlass_api::State::Waiting | windlass_api::State::Queued => StepState::Waiting,
                windlass_api::State::Running => StepState::Running,
                windlass_api::State::Completed => StepState::Completed,
            },
            outcome: step.outcome.map(conclusion),
            conclusion: step.conclusion.map(conclusion),
            started_at: step.started_at,
            finished_at: step.finished_at,
            log_start: step.log_start,
            log_end: step.log_end,
        }),
        wire::JobHappening::Annotation { annotation: a } => Report::Annotation(Annotation {
            level: a.level,
            title: a.title,
            message: a.message,
            path: a.path,
            line: a.line,
            end_line: a.end_line,
            column: a.column,
            end_column: a.end_column,
            step: a.step,
        }),
        wire::JobHappening::Summary { markdown } => Report::Summary(markdown),
        wire::JobHappening::Finished { conclusion: how, reason, outputs, environment_url } => {
            Report::Finished { conclusion: conclusion(how), reason, outputs, environment_url }
        }
    }
}

fn conclusion(wire: windlass_api::Conclusion) -> Conclusion {
    match wire {
        windlass_api::Conclusion::Success => Conclusion::Success,
        windlass_api::Conclusion::Failure => Conclusion::Failure,
        windlass_api::Conclusion::Cancelled => Conclusion::Cancelled,
        windlass_api::Conclusion::Skipped => Conclusion::Skipped,
        windlass_api::Conclusion::StartupFailure => Conclusion::StartupFailure,
    }
}
