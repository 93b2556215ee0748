//! What has to be done about runs, found from how they stand: gates to ask, groups to join and to leave, leases that
//! ended, jobs over their time. Looked at on every change, and every second in any case.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_kernel::{Batch, Query, RunId, StoreError, StoreExt as _};
use windlass_pipeline::concurrency::{Group, GroupAction, Manner, Member};
use windlass_pipeline::{Job, JobState, Run, RunEvent, RunState, WaitingFor, due};

use crate::context::Context;
use crate::runs::approvals;
use crate::runs::engine::EngineError;
use crate::runs::gates::{self, Verdict};
use crate::runs::{changes, follow, schedule};

/// Keeps runs going until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    grace_after_restart(&ctx).await;
    let mut schedules = schedule::Clockwork::default();
    let mut follower = follow::Follower::default();
    // Whether gates are asked: on every change, and now and then. They cost more than a look at a document.
    let (mut changed, mut quiet) = (true, 0u32);
    loop {
        let gates = changed || quiet.is_multiple_of(10);
        look(&ctx, gates).await;
        if let Err(e) = schedules.tick(&ctx).await {
            tracing::warn!(error = %format!("{e:#}"), "cannot look at the schedules");
        }
        if let Err(e) = follower.tick(&ctx).await {
            tracing::warn!(error = %format!("{e:#}"), "cannot start what runs after other runs");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = ctx.runs_changed.notified() => changed = true,
            () = tokio::time::sleep(Duration::from_secs(1)) => (changed, quiet) = (false, quiet.wrapping_add(1)),
        }
    }
}

/// One look at everything. `gates`: the gates are asked as well.
pub(crate) async fn look(ctx: &Context, gates: bool) {
    match ctx.store.list::<Run>(&active()).await {
        Ok(runs) => {
            for run in runs {
                if let Err(e) = tend(ctx, &run.value, gates).await {
                    tracing::warn!(run = %run.value.id, error = %e, "a round over a run failed; it is repeated");
                }
            }
        }
        Err(e) => tracing::error!(error = %e, "cannot list the runs"),
    }
    if let Err(e) = approvals::withdraw(ctx).await {
        tracing::warn!(error = %e, "cannot withdraw approvals");
    }
    if let Err(e) = leave_groups(ctx).await {
        tracing::warn!(error = %e, "cannot tidy concurrency groups");
    }
}

pub(crate) fn active() -> Query {
    Query { states: vec!["active".to_owned()], ..Query::default() }
}

/// While control was dead no runner could be heard: all leases hold for one more term.
pub(crate) async fn grace_after_restart(ctx: &Context) {
    let Ok(runs) = ctx.store.list::<Run>(&active()).await else { return };
    let until = ctx.now() + super::lease::LEASE;
    for run in runs {
        for job in run.value.jobs.iter().filter(|j| j.lease().is_some()) {
            let event = RunEvent::Renewed { job: job.id, hand_out: job.tries, until };
            if let Err(e) = ctx.apply(run.value.id, event).await {
                tracing::warn!(run = %run.value.id, error = %e, "cannot renew a lease");
            }
        }
    }
}

/// One look at one run.
async fn tend(ctx: &Context, run: &Run, gates: bool) -> Result<(), EngineError> {
    for event in due(run, ctx.now()) {
        tracing::warn!(run = %run.id, ?event, "a limit of a run has passed");
        happen(ctx, run.id, event).await?;
    }
    if let RunState::Held { .. } = run.state {
        return changes::tend_held(ctx, run).await;
    }
    if let RunState::Waiting { group } = &run.state {
        let member = Member { run: run.id, job: None };
        let manner = run.group.as_ref().map(|g| g.manner).unwrap_or_default();
        return join(ctx, run, member, group, manner).await;
    }
    for job in &run.jobs {
        match &job.state {
            JobState::Waiting { for_what: WaitingFor::Gate { .. } } if gates => gate(ctx, run, job).await?,
            JobState::Waiting { for_what: WaitingFor::Group { group } } => {
                let member = Member { run: run.id, job: Some(job.id) };
                join(ctx, run, member, group, job.manner(group)).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Lets an event happen, unless something else was first.
pub(crate) async fn happen(ctx: &Context, run: RunId, event: RunEvent) -> Result<(), EngineError> {
    match ctx.apply(run, event).await {
        Ok(_) | Err(EngineError::Invalid(_)) => Ok(()),
        Err(e) => Err(e),
    }
}

/// The job's runner is gone: it is queued again, or given up.
pub(crate) async fn lost(ctx: &Context, run: RunId, job: &Job, reason: String) -> Result<(), EngineError> {
    tracing::warn!(%run, job = %job.id, reason, "a job's runner is lost");
    happen(ctx, run, RunEvent::LeaseLost { job: job.id, hand_out: job.tries, reason }).await
}

async fn gate(ctx: &Context, run: &Run, job: &Job) -> Result<(), EngineError> {
    let event = match gates::ask(ctx, run, job).await {
        Ok(Verdict::Open) => RunEvent::GatePassed { job: job.id },
        Ok(Verdict::Closed(reason)) => RunEvent::GateRejected { job: job.id, reason },
        Ok(Verdict::Waiting) => return Ok(()),
        Err(e) => {
            tracing::warn!(run = %run.id, error = %e, "a gate cannot be evaluated yet");
            return Ok(());
        }
    };
    happen(ctx, run.id, event).await
}

/// Joins a group, which bears repetition, and tells whoever it concerns.
async fn join(
    ctx: &Context,
    run: &Run,
    member: Member,
    name: &str,
    manner: Manner,
) -> Result<(), EngineError> {
    let key = Group::key(&run.project, name);
    let found = ctx.store.get::<Group>(&key).await?;
    let (mut group, version) = match found {
        Some(found) => (found.value, found.version),
        None => (Group::new(run.project.clone(), name), 0),
    };
    let before = group.clone();
    let actions = group.join(member, manner);
    if group != before {
        match ctx.commit(Batch::new().update(&group, version)).await {
            Err(StoreError::Conflict { .. }) => return Ok(()),
            other => other?,
        };
    }
    tell(ctx, name, actions).await
}

async fn tell(ctx: &Context, group: &str, actions: Vec<GroupAction>) -> Result<(), EngineError> {
    for action in actions {
        let (run, event) = match action {
            GroupAction::Admit(m) => (m.run, RunEvent::GroupAdmitted { job: m.job, group: group.to_owned() }),
            GroupAction::Cancel { member: m, reason } => {
                (m.run, RunEvent::GroupCancelled { job: m.job, reason })
            }
        };
        match ctx.apply(run, event).await {
            // It was told before, or has ended meanwhile.
            Ok(_) | Err(EngineError::Invalid(_) | EngineError::Unknown(_)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whoever has ended leaves its group; the next one moves up.
async fn leave_groups(ctx: &Context) -> Result<(), EngineError> {
    for found in ctx.store.list::<Group>(&Query::default()).await? {
        let before = found.value;
        let mut group = before.clone();
        let mut actions = Vec::new();
        let members: Vec<Member> = group.pending().chain(group.running()).collect();
        for member in members {
            let run = ctx.store.get::<Run>(&member.run.to_string()).await?;
            let over = run.is_none_or(|run| match member.job {
                // One that left, to begin anew, is asked for again.
                None => run.value.group.as_ref().is_none_or(|g| !g.joined),
                Some(id) => run
                    .value
                    .job(id)
                    .is_none_or(|job| !job.groups().any(|g| g.joined && group.is_named(&g.name))),
            });
            if over {
                actions.extend(group.leave(member));
            } else if group.running() == Some(member) {
                // Told again: the first time may have been lost.
                actions.push(GroupAction::Admit(member));
            }
        }
        let mut batch = Batch::new();
        if group.is_empty() {
            // Written first, so that a member that joins just now is not deleted with it.
            batch = batch.update(&group, found.version);
            batch = batch.delete::<Group>(windlass_kernel::Document::id(&group));
        } else if group != before {
            batch = batch.update(&group, found.version);
        }
        match ctx.commit(batch).await {
            Err(StoreError::Conflict { .. }) => continue,
            other => other?,
        };
        tell(ctx, before.name(), actions).await?;
    }
    Ok(())
}
