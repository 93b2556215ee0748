//! Whether the runs of an untrusted change may begin: somebody who may write says so, about one commit. The word is kept
//! with the change, and the rounds carry it out, so that a crash in between loses nothing.

use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::{Actor, Batch, StoreExt as _, Versioned};
use windlass_pipeline::{Run, RunEvent, RunState};

use super::{ChangeDoc, ChangeState, Decision, change_id};
use crate::context::{Context, may_project, parse, stored};
use crate::runs::engine::EngineError;
use crate::runs::lease::engine;
use crate::runs::payload::login;
use crate::runs::{rounds, trust};

type Answer<T> = Result<T, Problem>;

/// The longest comment, in characters.
const LONGEST_COMMENT: usize = 2000;

/// What follows for a run that is held from what is known of its change.
fn verdict(run: &Run, head: &str, change: &ChangeDoc) -> Option<RunEvent> {
    let end = |by: &Actor, reason: String| RunEvent::CancelRequested { by: by.clone(), reason, force: true };
    if !matches!(run.state, RunState::Held { .. }) {
        return None;
    }
    if let Some(decision) = change.decision(head) {
        if decision.approve {
            return Some(RunEvent::Approved { by: decision.by.clone(), comment: decision.comment.clone() });
        }
        let said =
            if decision.comment.is_empty() { String::new() } else { format!(": {}", decision.comment) };
        return Some(end(&decision.by, format!("rejected by {}{said}", login(&decision.by))));
    }
    if change.head != head {
        return Some(end(
            &Actor::System,
            format!("a newer push to the change {} takes its place", change.number),
        ));
    }
    (change.state == ChangeState::Closed)
        .then(|| end(&Actor::System, format!("the change {} was closed", change.number)))
}

/// Looks at a run that waits for an approval.
pub(crate) async fn tend_held(ctx: &Context, run: &Run) -> Result<(), EngineError> {
    let Some((number, head)) = trust::change_of(run) else { return Ok(()) };
    let Some(change) = ctx.store.get::<ChangeDoc>(&change_id(&run.project, number)).await? else {
        return Ok(());
    };
    match verdict(run, head, &change.value) {
        Some(event) => rounds::happen(ctx, run.id, event).await,
        None => Ok(()),
    }
}

impl Context {
    /// The change of an untrusted run, with the commit that the run is of.
    pub(crate) async fn change_of_run(&self, run: &Run) -> Answer<Option<(Versioned<ChangeDoc>, String)>> {
        let Some((number, head)) = trust::change_of(run).filter(|_| run.untrusted) else { return Ok(None) };
        let found = self.store.get::<ChangeDoc>(&change_id(&run.project, number)).await.map_err(stored)?;
        Ok(found.map(|found| (found, head.to_owned())))
    }

    /// Approves the runs of a commit, or rejects them: all that wait, whichever of them it was said of.
    pub(crate) async fn decide_run(
        &self,
        who: &Principal,
        id: &str,
        how: api::Decide,
    ) -> Answer<api::ApprovalView> {
        let run = self.run_for(who, id, Action::Approve).await?;
        let RunState::Held { .. } = run.state else {
            return Err(Problem::conflict("this run does not wait for an approval"));
        };
        let gone = || Problem::conflict("the change of this run is not known any more");
        let (change, head) = self.change_of_run(&run).await?.ok_or_else(gone)?;
        let change = self.decided(who, change, &head, how).await?;
        for held in self.store.list::<Run>(&rounds::active()).await.map_err(stored)? {
            let same = held.value.project == run.project
                && trust::change_of(&held.value) == Some((change.number, head.as_str()));
            if same && matches!(held.value.state, RunState::Held { .. }) {
                tend_held(self, &held.value).await.map_err(engine)?;
            }
        }
        self.runs_changed.notify_one();
        let run = self.run_for(who, id, Action::ReadRuns).await?;
        Ok(super::views::approval(&run, &change, &head, who))
    }

    /// Keeps somebody's word, with its event.
    async fn decided(
        &self,
        who: &Principal,
        found: Versioned<ChangeDoc>,
        head: &str,
        how: api::Decide,
    ) -> Answer<ChangeDoc> {
        let mut change = found.value;
        may_project(who, Action::Approve, &change.project)?;
        super::views::may_decide(&change, who).map_err(Problem::forbidden)?;
        let now = self.now();
        let decision = Decision {
            by: who.actor.clone(),
            approve: how.approve,
            head: head.to_owned(),
            comment: how.comment.chars().take(LONGEST_COMMENT).collect(),
            at: now,
        };
        let kind = if how.approve { "change.approved" } else { "change.rejected" };
        let mut event = change.event(now, &who.actor, kind);
        event.data["head"] = head.into();
        event.data["comment"] = decision.comment.clone().into();
        change.decisions.push(decision);
        self.commit(Batch::new().update(&change, found.version).event(event)).await.map_err(stored)?;
        Ok(change)
    }

    /// Before an untrusted run is done again: whoever asks for it has looked at it, and must be somebody.
    pub(crate) async fn approve_again(&self, who: &Principal, run: &Run) -> Answer<()> {
        let Some((change, head)) = self.change_of_run(run).await? else { return Ok(()) };
        if change.value.decision(&head).is_some_and(|decision| decision.approve) {
            return Ok(());
        }
        let how = api::Decide { approve: true, comment: "run again".to_owned() };
        self.decided(who, change, &head, how).await.map(|_| ())
    }

    /// Closes a change that is not to be merged.
    pub(crate) async fn close_change(
        &self,
        who: &Principal,
        project: &str,
        number: u64,
    ) -> Answer<api::ChangeView> {
        let project = parse(project)?;
        may_project(who, Action::ProposeChange, &project)?;
        let found = self.store.get::<ChangeDoc>(&change_id(&project, number)).await.map_err(stored)?;
        let found = found.ok_or_else(|| Problem::not_found(format!("{project} has no change {number}")))?;
        let mut change = found.value;
        if change.author != who.actor {
            may_project(who, Action::PushCode, &project)?;
        }
        if change.state != ChangeState::Open {
            return Err(Problem::conflict(format!(
                "the change {number} was {} already",
                change.state.word()
            )));
        }
        let failed = |e: windlass_source::SourceError| self.failing("the change cannot be closed", &e);
        let repository = self.repositories.get(&project).map_err(failed)?;
        repository.close_change(number).map_err(failed)?;
        change.state = ChangeState::Closed;
        change.updated_at = self.now();
        let event = change.event(self.now(), &who.actor, "change.closed");
        self.commit(Batch::new().update(&change, found.version).event(event)).await.map_err(stored)?;
        self.runs_changed.notify_one();
        Ok(super::views::change(&change))
    }
}
