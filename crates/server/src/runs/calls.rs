//! What people ask of runs.

use std::collections::BTreeMap;

use serde_json::json;
use windlass_api as api;
use windlass_api::Problem;
use windlass_delivery::Release;
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{Batch, Document, EnvironmentName, ProjectName, Query, RunId, StoreExt as _};
use windlass_pipeline::{Again, Run, RunEvent};
use windlass_web::Page;
use windlass_workflow::Workflow;
use windlass_workflow::expr::Value;
use windlass_workflow::trigger::InputKind;

use crate::context::{Context, internal, may, may_project, parse, stored};
use crate::runs::lease::engine;
use crate::runs::payload::{login, person, repository_json};
use crate::runs::start::{Cause, begin, workflows};
use crate::runs::view::{detail, summary};

type Answer<T> = Result<T, Problem>;

impl Context {
    pub(crate) async fn runs(
        &self,
        who: &Principal,
        project: Option<&str>,
        page: &Page,
    ) -> Answer<Vec<api::RunSummary>> {
        let project = project.map(parse::<ProjectName>).transpose()?;
        match &project {
            Some(project) => may_project(who, Action::ReadRuns, project)?,
            None => may(who, Action::ReadPlatform, &Resource::Platform)?,
        }
        let limit = if page.limit == 0 { 30 } else { page.limit.min(200) };
        let parent = project.map(|p| p.to_string());
        let query =
            Query { parent, after: page.before.clone(), limit, newest_first: true, ..Query::default() };
        let found = self.store.list::<Run>(&query).await.map_err(stored)?;
        let visible = found.iter().filter(|r| may_project(who, Action::ReadRuns, &r.value.project).is_ok());
        Ok(visible.map(|r| summary(&r.value)).collect())
    }

    pub(crate) async fn run_for(&self, who: &Principal, run: &str, action: Action) -> Answer<Run> {
        let id: RunId = parse(run)?;
        let found = self.store.get::<Run>(&id.to_string()).await.map_err(stored)?;
        let run = found.ok_or_else(|| Problem::not_found(format!("there is no run {id}")))?.value;
        may(who, action, &Resource::Run { project: run.project.clone(), run: id })?;
        Ok(run)
    }

    pub(crate) async fn run(&self, who: &Principal, run: &str) -> Answer<api::RunDetail> {
        let run = self.run_for(who, run, Action::ReadRuns).await?;
        let mut view = detail(&run);
        view.artifacts = self.artifact_views(run.id).await?;
        view.approvals = self.approvals_of(who, run.id, &run.project).await?;
        view.approvals.extend(self.approval_of_run(who, &run).await?);
        view.deployments = self.deployments_by(&run).await?;
        Ok(view)
    }

    /// The ids of the deployments of a run's releases, oldest first.
    async fn deployments_by(&self, run: &Run) -> Answer<Vec<String>> {
        const LOOKED_AT: usize = 200;
        let parent = Some(run.project.to_string());
        let query = Query { parent, newest_first: true, limit: LOOKED_AT, ..Query::default() };
        let releases = self.store.list::<Release>(&query).await.map_err(stored)?;
        let own: Vec<_> =
            releases.iter().filter(|r| r.value.run == Some(run.id)).map(|r| r.value.id).collect();
        if own.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = self.deployments_of(&run.project, None, None, LOOKED_AT).await?;
        found.retain(|d| own.contains(&d.release));
        found.reverse();
        Ok(found.iter().map(Document::id).collect())
    }

    pub(crate) async fn cancel_run(&self, who: &Principal, run: &str) -> Answer<()> {
        let run = self.run_for(who, run, Action::CancelRun).await?;
        let reason = format!("cancelled by {}", login(&who.actor));
        // A second request while it is still ending means: at once.
        let force = run.cancellation.is_some();
        let event = RunEvent::CancelRequested { by: who.actor.clone(), reason, force };
        self.apply(run.id, event).await.map(|_| ()).map_err(engine)
    }

    pub(crate) async fn rerun(&self, who: &Principal, run: &str, how: api::Rerun) -> Answer<()> {
        let run = self.run_for(who, run, Action::RerunRun).await?;
        let which = match &how.job {
            Some(job) => Again::Job(parse(job)?),
            None if how.failed_only => Again::Failed,
            None => Again::All,
        };
        self.approve_again(who, &run).await?;
        let event = RunEvent::Rerun { by: who.actor.clone(), which };
        self.apply(run.id, event).await.map(|_| ()).map_err(engine)
    }

    pub(crate) async fn dispatch(
        &self,
        who: &Principal,
        project: &str,
        file: &str,
        how: api::Dispatch,
    ) -> Answer<api::RunSummary> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::StartRun, &project)?;
        let missing = || Problem::not_found(format!("there is no project {project}"));
        let repository = self.repositories.get(&project).map_err(|_| missing())?;
        let read = |e: windlass_source::SourceError| internal("the repository cannot be read", &e);
        let sha = repository.resolve(&how.git_ref).await.map_err(read)?;
        let sha =
            sha.ok_or_else(|| Problem::not_found(format!("there is no branch or tag `{}`", how.git_ref)))?;
        let names = [
            format!("refs/heads/{}", how.git_ref),
            format!("refs/tags/{}", how.git_ref),
            how.git_ref.clone(),
        ];
        let mut full = None;
        for name in names {
            // A commit's id is no place to start from: a run is of a branch or a tag. Nor is what somebody proposed, which
            // would run with all trust then.
            let own = ["refs/heads/", "refs/tags/"].iter().any(|kind| name.starts_with(kind));
            if own && repository.resolve(&name).await.map_err(read)?.is_some() {
                full = Some(name);
                break;
            }
        }
        let full =
            full.ok_or_else(|| Problem::invalid(format!("`{}` is not a branch or tag", how.git_ref)))?;
        let all = workflows(&repository, &sha).await.map_err(|e| internal("workflows cannot be read", &e))?;
        let found = all.iter().find(|w| w.path == file || w.path.rsplit('/').next() == Some(file));
        let found = found.ok_or_else(|| {
            Problem::not_found(format!("there is no workflow `{file}` at `{}`", how.git_ref))
        })?;
        let workflow = found.workflow().ok_or_else(|| {
            let lines: Vec<String> =
                found.parsed().diagnostics.iter().map(|d| d.one_line(&found.path)).collect();
            Problem::invalid(lines.join("\n"))
        })?;
        let inputs =
            workflow.on.check_inputs(&how.inputs).map_err(|wrong| Problem::invalid(wrong.join("; ")))?;
        self.check_environments(&project, workflow, &inputs).await?;
        let inputs: BTreeMap<String, serde_json::Value> =
            inputs.iter().map(|(k, v)| (k.clone(), v.to_json())).collect();
        let texts: BTreeMap<&String, String> = inputs
            .iter()
            .map(|(k, v)| (k, v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
            .collect();
        let commit = repository.commit(&sha).await.map_err(read)?;
        let payload = json!({
            "ref": full,
            "workflow": found.path,
            "inputs": texts,
            "repository": repository_json(self, &project, repository.default_branch().await.map_err(read)?.short()),
            "sender": person(&who.actor),
        });
        let cause = Cause {
            event: "workflow_dispatch",
            payload,
            git_ref: &full,
            sha: sha.as_str(),
            base_ref: "",
            head_ref: "",
            actor: &who.actor,
            title: commit.map_or_else(|| found.path.clone(), |c| c.subject),
            inputs: json!(inputs),
            held: None,
        };
        let started = begin(self, &project, found, cause).await;
        let (run, events) = started.map_err(|e| internal("the run cannot be made", &e))?;
        self.commit(Batch::new().create(&run).events(events)).await.map_err(stored)?;
        self.runs_changed.notify_one();
        Ok(summary(&run))
    }

    /// Inputs that name environments name such as there are, where the project says which there are.
    async fn check_environments(
        &self,
        project: &ProjectName,
        workflow: &Workflow,
        inputs: &BTreeMap<String, Value>,
    ) -> Answer<()> {
        let asked = workflow.on.dispatch_inputs().unwrap_or_default();
        let asked: Vec<&str> = asked
            .iter()
            .filter(|input| input.kind == InputKind::Environment)
            .map(|input| input.name.value.as_str())
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let (known, _) = crate::source::manifest_summary(self, project).await;
        for name in asked {
            let Some(value) = inputs.get(name).map(Value::to_text).filter(|value| !value.is_empty()) else {
                continue;
            };
            let named = value.parse::<EnvironmentName>();
            named
                .map_err(|e| Problem::invalid(format!("the input '{name}' must name an environment: {e}")))?;
            if !known.is_empty() && !known.iter().any(|known| **known == *value) {
                let known = known.join(", ");
                return Err(Problem::invalid(format!(
                    "the input '{name}' must be one of the environments {known}, not '{value}'"
                )));
            }
        }
        Ok(())
    }
}
