//! Approvals: asked for by a job that waits at its environment's gate, decided by people.

use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_api as api;
use windlass_api::Problem;
use windlass_delivery::gate::{self, Approval};
use windlass_delivery::{Digests, Rules};
use windlass_identity::{Action, Principal};
use windlass_kernel::{
    Actor, Batch, Digest, Document, EnvironmentName, NewEvent, ProjectName, Query, RunId, StoreError,
    StoreExt as _, Timestamp, Versioned,
};
use windlass_pipeline::{Job, JobState, Run, WaitingFor};

use crate::context::{Context, may_project, parse, stored};

type Answer<T> = Result<T, Problem>;

/// An approval that a run asks for, for one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ApprovalDoc {
    pub(crate) run: RunId,
    pub(crate) project: ProjectName,
    pub(crate) environment: EnvironmentName,
    /// The attempt of the run that asks: an approval counts for one attempt only.
    pub(crate) attempt: u32,
    pub(crate) rules: Rules,
    pub(crate) pusher: Actor,
    /// What it would let through.
    pub(crate) digests: Digests,
    pub(crate) given: Vec<Approval>,
    pub(crate) wanted: u32,
    pub(crate) state: ApprovalState,
    pub(crate) requested_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ApprovalState {
    Pending,
    Approved,
    Rejected,
    /// Nothing waits for it any more.
    Withdrawn,
}

impl ApprovalState {
    fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// The key of the approval of a run for an environment.
pub(crate) fn approval_id(run: RunId, environment: &EnvironmentName) -> String {
    format!("{run}:{environment}")
}

impl Document for ApprovalDoc {
    const KIND: &'static str = "approval";

    fn id(&self) -> String {
        approval_id(self.run, &self.environment)
    }

    fn parent(&self) -> String {
        self.project.to_string()
    }

    fn state(&self) -> String {
        self.state.word().to_owned()
    }
}

impl ApprovalDoc {
    fn view(&self, who: &Principal) -> api::ApprovalView {
        let note = match &who.actor {
            Actor::User(user) => gate::may_decide(&self.rules, user, &self.pusher).err(),
            _ => Some("only people approve".to_owned()),
        };
        let comments: Vec<&str> =
            self.given.iter().map(|a| a.comment.as_str()).filter(|c| !c.is_empty()).collect();
        api::ApprovalView {
            id: self.id(),
            run: self.run.to_string(),
            project: self.project.to_string(),
            environment: self.environment.to_string(),
            change: None,
            state: self.state.word().to_owned(),
            reviewers: self.rules.reviewers.iter().map(ToString::to_string).collect(),
            wanted: self.wanted,
            decided_by: self.given.iter().map(|a| a.by.to_string()).collect(),
            comment: comments.join("; "),
            digests: self.digests.iter().map(|(s, d)| (s.to_string(), d.to_string())).collect(),
            caller_may: note.is_none() && self.state == ApprovalState::Pending,
            caller_note: note.unwrap_or_default(),
            requested_at: self.requested_at,
        }
    }
}

impl Context {
    pub(crate) async fn approvals(
        &self,
        who: &Principal,
        project: Option<&str>,
    ) -> Answer<Vec<api::ApprovalView>> {
        let project = project.map(parse::<ProjectName>).transpose()?;
        let parent = project.as_ref().map(ToString::to_string);
        let query =
            Query { parent, states: vec!["pending".to_owned()], newest_first: true, ..Query::default() };
        let found = self.store.list::<ApprovalDoc>(&query).await.map_err(stored)?;
        let mut views = self.held_runs(who, project.as_ref()).await?;
        for approval in found {
            if may_project(who, Action::ReadProject, &approval.value.project).is_ok() {
                views.push(approval.value.view(who));
            }
        }
        Ok(views)
    }

    /// The approvals of one run, decided ones too.
    pub(crate) async fn approvals_of(
        &self,
        who: &Principal,
        run: RunId,
        project: &ProjectName,
    ) -> Answer<Vec<api::ApprovalView>> {
        // The keys of a run's approvals begin with the run's id.
        let after = Some(format!("{run}:"));
        let query = Query { parent: Some(project.to_string()), after, limit: 100, ..Query::default() };
        let found = self.store.list::<ApprovalDoc>(&query).await.map_err(stored)?;
        Ok(found.into_iter().filter(|a| a.value.run == run).map(|a| a.value.view(who)).collect())
    }

    pub(crate) async fn decide(
        &self,
        who: &Principal,
        id: &str,
        how: api::Decide,
    ) -> Answer<api::ApprovalView> {
        // A run's own id stands for the approval that the whole run waits for.
        if id.parse::<RunId>().is_ok() {
            return self.decide_run(who, id, how).await;
        }
        let missing =
            || Problem::not_found(format!("there is no approval {id}; `windlass approve` lists what waits"));
        let found: Versioned<ApprovalDoc> =
            self.store.get::<ApprovalDoc>(id).await.map_err(stored)?.ok_or_else(missing)?;
        let mut approval = found.value;
        may_project(who, Action::Approve, &approval.project)?;
        if approval.state != ApprovalState::Pending {
            return Err(Problem::conflict(format!("it was {} already", approval.state.word())));
        }
        let Actor::User(user) = &who.actor else { return Err(Problem::forbidden("only people approve")) };
        gate::may_decide(&approval.rules, user, &approval.pusher).map_err(Problem::forbidden)?;
        let now = self.now();
        let given = Approval {
            by: user.clone(),
            at: now,
            approve: how.approve,
            comment: how.comment.chars().take(2000).collect(),
            digests: approval.digests.clone(),
        };
        let kind = if how.approve { "approval.given" } else { "approval.refused" };
        let event = NewEvent::new(now, who.actor.clone(), kind, approval.id())
            .project(&approval.project)
            .data(json!({
                "run": approval.run,
                "environment": approval.environment,
                "digests": approval.digests,
                "comment": given.comment,
            }));
        approval.given.push(given);
        let agreed: std::collections::BTreeSet<_> =
            approval.given.iter().filter(|a| a.approve).map(|a| &a.by).collect();
        approval.wanted = approval.rules.approvals.max(1).saturating_sub(agreed.len() as u32);
        approval.state = match (how.approve, approval.wanted) {
            (false, _) => ApprovalState::Rejected,
            (true, 0) => ApprovalState::Approved,
            (true, _) => ApprovalState::Pending,
        };
        self.commit(Batch::new().update(&approval, found.version).event(event)).await.map_err(stored)?;
        self.runs_changed.notify_one();
        Ok(approval.view(who))
    }
}

/// What people have let through: the approvals that are about this image.
pub(crate) async fn approved(
    ctx: &Context,
    digest: &Digest,
    project: Option<ProjectName>,
) -> Result<Vec<ApprovalDoc>, StoreError> {
    let Some(project) = project else { return Ok(Vec::new()) };
    let query = Query {
        parent: Some(project.to_string()),
        states: vec!["approved".to_owned()],
        newest_first: true,
        limit: 200,
        ..Query::default()
    };
    let found = ctx.store.list::<ApprovalDoc>(&query).await?;
    let about = |approval: &ApprovalDoc| approval.digests.values().any(|d| d == digest);
    Ok(found.into_iter().map(|a| a.value).filter(about).collect())
}

/// Withdraws the approvals that nothing waits for any more: the run was cancelled, or begun anew.
pub(super) async fn withdraw(ctx: &Context) -> Result<(), StoreError> {
    let query = Query { states: vec!["pending".to_owned()], ..Query::default() };
    for found in ctx.store.list::<ApprovalDoc>(&query).await? {
        let mut approval = found.value;
        let run = ctx.store.get::<Run>(&approval.run.to_string()).await?;
        let waits = |job: &Job| matches!(&job.state, JobState::Waiting { for_what: WaitingFor::Gate { environment } } if *environment == approval.environment.as_str());
        let waiting =
            run.is_some_and(|r| r.value.attempt == approval.attempt && r.value.jobs.iter().any(waits));
        if waiting {
            continue;
        }
        approval.state = ApprovalState::Withdrawn;
        let event = NewEvent::new(ctx.now(), Actor::System, "approval.withdrawn", approval.id())
            .project(&approval.project)
            .data(json!({"run": approval.run, "environment": approval.environment}));
        match ctx.commit(Batch::new().update(&approval, found.version).event(event)).await {
            // Somebody decides just now: looked at again.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
