//! One job of a local run: what it is told, and what it tells.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use windlass_api::State;
use windlass_api::runner::{Assignment, JobHappening};
use windlass_kernel::{JobId, Secret};
use windlass_pipeline::{JobContext, Run};
use windlass_runner::{AfterFailure, FailedStep, Listener, LocalEnd};
use windlass_workflow::model::CacheMode;

use super::plan::{Plan, PlannedRun};
use super::{Audience, LocalRequest};

/// What a job tells the shell.
#[derive(Debug)]
pub(super) enum Word {
    /// Something happened in it.
    Happened(JobId, JobHappening),
    /// It ended.
    Ended(JobId, Result<LocalEnd, String>),
}

/// Hears one job, and tells the audience and the shell.
pub(super) struct Ears {
    pub(super) id: JobId,
    pub(super) name: String,
    pub(super) audience: Arc<dyn Audience>,
    pub(super) words: UnboundedSender<Word>,
    /// The step that speaks.
    pub(super) step: Mutex<String>,
}

impl Ears {
    fn step(&self) -> MutexGuard<'_, String> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Listener for Ears {
    fn line(&self, line: &[u8]) {
        self.audience.line(&self.name, &self.step(), line);
    }

    fn pause(&self) {
        self.audience.pause();
    }

    fn happened(&self, what: JobHappening) {
        if let JobHappening::Step { step } = &what {
            if step.state == State::Running {
                self.step().clone_from(&step.name);
            }
            self.audience.step(&self.name, step);
        }
        // The shell is gone only when nobody wants to know any more.
        let _ = self.words.send(Word::Happened(self.id, what));
    }

    async fn failed(&self, step: FailedStep) -> AfterFailure {
        self.audience.failed(&self.name, step).await
    }
}

/// The `github` context of a run, but for what only the runner knows.
pub(super) fn github(plan: &Plan, run: &PlannedRun, id: &str, number: u64) -> Value {
    let (repository, event) = (&plan.repository, &run.event);
    let (owner, _) = repository.name.split_once('/').unwrap_or(("local", ""));
    let (server, name) = (&repository.server_url, &repository.name);
    json!({
        "event_name": event.name,
        "event": event.payload,
        "ref": event.git_ref,
        "ref_name": event.ref_name(),
        "ref_type": event.ref_type(),
        "ref_protected": false,
        "sha": event.sha,
        "base_ref": event.base_ref,
        "head_ref": event.head_ref,
        "actor": plan.actor,
        "actor_id": "0",
        "triggering_actor": plan.actor,
        "repository": name,
        "repository_id": "0",
        "repository_owner": owner,
        "repository_owner_id": "0",
        "repositoryUrl": format!("{server}/{name}.git"),
        "server_url": server,
        "api_url": if server == "https://github.com" { "https://api.github.com".to_owned() } else { format!("{server}/api/v3") },
        "graphql_url": "https://api.github.com/graphql",
        "run_id": id,
        "run_number": number.to_string(),
        "run_attempt": "1",
        "retention_days": "0",
        "secret_source": "Actions",
        "workflow": run.name,
        "workflow_ref": format!("{name}/{}@{}", run.file, event.git_ref),
        "workflow_sha": event.sha,
    })
}

/// What a job is told.
pub(super) fn assignment(
    plan: &Plan,
    run: &Run,
    job: JobId,
    context: JobContext,
) -> Result<Assignment, String> {
    let request: &LocalRequest = &plan.request;
    let mut secrets = windlass_pipeline::secrets(run, job, request.secrets.clone())?;
    let token = secrets.remove("GITHUB_TOKEN").unwrap_or_else(|| Secret::new(String::new()));
    let on = |name: &str| {
        secrets.get(name).is_some_and(|value| value.expose() == "true")
            || request.vars.get(name).is_some_and(|value| value == "true")
    };
    Ok(Assignment {
        job: job.to_string(),
        run: run.id.to_string(),
        project: run.project.to_string(),
        attempt: 1,
        name: context.name,
        key: context.key,
        workflow_file: context.workflow.file,
        // The parsed workflow goes along; its text would only be copied.
        workflow_text: String::new(),
        github: context.github,
        needs: context.needs,
        strategy: context.strategy,
        matrix: context.matrix,
        inputs: context.inputs,
        vars: context.vars,
        debug: on("ACTIONS_STEP_DEBUG") || on("ACTIONS_RUNNER_DEBUG"),
        secrets,
        token,
        environment: context.environment,
        timeout_minutes: context.timeout_minutes,
        lease_seconds: u32::MAX,
        tools: None,
        server_url: plan.repository.server_url.clone(),
        clone_url: format!("file://{}", plan.repository.root.display()),
        registry: "localhost".to_owned(),
        cache_mode: windlass_pipeline::cache_mode(run, job).map_or("none", CacheMode::as_str).to_owned(),
        services: None,
    })
}

/// A job's folder. One that is to be found again is named after what the job is, else after the job.
pub(super) fn folder(plan: &Plan, run: &Run, id: JobId, name: &str) -> PathBuf {
    if !plan.request.reuse {
        return plan.request.store.join("jobs").join(id.to_string());
    }
    let what = format!("{}\n{}\n{name}", plan.repository.root.display(), run.workflow.file);
    let digest = windlass_kernel::Digest::sha256(what.as_bytes()).to_string();
    let short = digest.rsplit(':').next().unwrap_or_default().get(..20).unwrap_or_default();
    plan.request.store.join("kept").join(short)
}
