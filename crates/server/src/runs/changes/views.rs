//! Changes, and the approvals that their runs wait for, as the API tells them.

use std::collections::BTreeMap;

use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal, Resource, authorize};
use windlass_kernel::{Actor, ProjectName, Query, StoreExt as _};
use windlass_pipeline::{Run, RunState};
use windlass_web::Page;

use super::ChangeDoc;
use crate::context::{Context, may_project, parse, stored};
use crate::runs::payload::login;
use crate::runs::rounds;

type Answer<T> = Result<T, Problem>;

/// Why somebody cannot decide whether a change's runs may begin.
pub(super) fn may_decide(change: &ChangeDoc, who: &Principal) -> Result<(), String> {
    if !matches!(who.actor, Actor::User(_)) {
        return Err("only people approve".to_owned());
    }
    if change.author == who.actor {
        return Err("somebody else than its author approves a change".to_owned());
    }
    let project = Resource::Project(change.project.clone());
    authorize(who, Action::Approve, &project).map_err(|denied| denied.why)
}

/// What a run of a change waits for, or what was said of it.
pub(super) fn approval(run: &Run, change: &ChangeDoc, head: &str, who: &Principal) -> api::ApprovalView {
    let decision = change.decision(head);
    let note = may_decide(change, who).err();
    let (state, reason) = match (&run.state, decision) {
        (RunState::Held { reason }, None) => ("pending", reason.clone()),
        (_, Some(decision)) if decision.approve => ("approved", String::new()),
        (_, Some(_)) => ("rejected", String::new()),
        (_, None) => ("withdrawn", String::new()),
    };
    api::ApprovalView {
        id: run.id.to_string(),
        run: run.id.to_string(),
        project: run.project.to_string(),
        environment: String::new(),
        change: Some(api::ProposedChange {
            number: change.number,
            author: login(&change.author),
            title: change.title.clone(),
            head: head.to_owned(),
            reason,
        }),
        state: state.to_owned(),
        reviewers: Vec::new(),
        wanted: u32::from(state == "pending"),
        decided_by: decision.map(|decision| login(&decision.by)).into_iter().collect(),
        comment: decision.map(|decision| decision.comment.clone()).unwrap_or_default(),
        digests: BTreeMap::new(),
        caller_may: note.is_none() && state == "pending",
        caller_note: note.unwrap_or_default(),
        requested_at: run.created_at,
    }
}

pub(super) fn change(change: &ChangeDoc) -> api::ChangeView {
    api::ChangeView {
        project: change.project.to_string(),
        number: change.number,
        title: change.title.clone(),
        author: login(&change.author),
        base: change.base.clone(),
        head_name: change.head_name.clone(),
        head: change.head.clone(),
        merge: change.merge.clone(),
        conflicts: change.conflicts.clone(),
        outside: change.outside,
        state: change.state.word().to_owned(),
        approved: change.decision(&change.head).is_some_and(|decision| decision.approve),
        opened_at: change.opened_at,
        updated_at: change.updated_at,
    }
}

impl Context {
    /// The approvals that runs of changes wait for, in a project or in all.
    pub(crate) async fn held_runs(
        &self,
        who: &Principal,
        project: Option<&ProjectName>,
    ) -> Answer<Vec<api::ApprovalView>> {
        let mut views = Vec::new();
        for run in self.store.list::<Run>(&rounds::active()).await.map_err(stored)? {
            let run = run.value;
            let asked = matches!(run.state, RunState::Held { .. })
                && project.is_none_or(|project| *project == run.project)
                && may_project(who, Action::ReadProject, &run.project).is_ok();
            if asked {
                views.extend(self.approval_of_run(who, &run).await?);
            }
        }
        views.sort_by_key(|view| std::cmp::Reverse(view.requested_at));
        Ok(views)
    }

    /// The approval that a run of an untrusted change waits for, or has.
    pub(crate) async fn approval_of_run(
        &self,
        who: &Principal,
        run: &Run,
    ) -> Answer<Option<api::ApprovalView>> {
        let found = self.change_of_run(run).await?;
        Ok(found.map(|(change, head)| approval(run, &change.value, &head, who)))
    }

    /// The changes of a project, newest first.
    pub(crate) async fn changes(
        &self,
        who: &Principal,
        project: &str,
        page: &Page,
    ) -> Answer<Vec<api::ChangeView>> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::ReadCode, &project)?;
        let limit = if page.limit == 0 { 50 } else { page.limit.min(200) };
        let after = match &page.before {
            Some(before) => Some(super::change_id(&project, parse(before)?)),
            None => None,
        };
        let query =
            Query { parent: Some(project.to_string()), after, limit, newest_first: true, ..Query::default() };
        let found = self.store.list::<ChangeDoc>(&query).await.map_err(stored)?;
        Ok(found.iter().map(|found| change(&found.value)).collect())
    }
}
