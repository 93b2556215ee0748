//! `workflow_run`: runs that other workflows' runs start. The ledger tells what became of those; how far it was read is
//! kept with the runs that were started, in one transaction, so that each is started once, also across restarts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_kernel::{Batch, Document, Event, ProjectName, RunId, StoreError, StoreExt as _};
use windlass_pipeline::Run;
use windlass_source::{RefName, Sha};
use windlass_workflow::trigger::TriggerEvent;

use crate::context::Context;
use crate::runs::payload::{head_branch, number_of, person, repository_json, run_json};
use crate::runs::start::{Begun, Cause, WorkflowFile, default_tip, start_all, workflows};

/// How far the ledger was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct FollowDoc {
    seq: u64,
}

impl Document for FollowDoc {
    const KIND: &'static str = "follower";

    fn id(&self) -> String {
        "workflow_run".to_owned()
    }
}

/// How many events are read at a time.
const PAGE: usize = 500;
/// After how many events without a run it is written down how far the ledger was read.
const NOTED: u64 = 1000;
/// So many runs may start one another in a row.
const LONGEST_CHAIN: usize = 3;

/// Reads the ledger for runs that others wait for.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// How far the ledger was read, in the store and here.
    read: Option<Read>,
    /// The workflows with `workflow_run` at a default branch's tip.
    known: BTreeMap<ProjectName, (Sha, Vec<WorkflowFile>)>,
}

#[derive(Clone, Copy, Debug)]
struct Read {
    seq: u64,
    noted: u64,
    version: u64,
}

impl Follower {
    /// Starts what is to be started by what happened since.
    pub(crate) async fn tick(&mut self, ctx: &Context) -> anyhow::Result<()> {
        let mut read = match self.read {
            Some(read) => read,
            None => begin_reading(ctx).await?,
        };
        loop {
            let events = if *ctx.ledger.borrow() > read.seq || self.read.is_none() {
                ctx.store.events(read.seq, PAGE).await?
            } else {
                Vec::new()
            };
            for event in &events {
                let started = self.started_by(ctx, event).await?;
                read.seq = event.seq;
                if started.is_empty() && read.seq - read.noted < NOTED {
                    continue;
                }
                let batch = Batch::new().update(&FollowDoc { seq: event.seq }, read.version);
                let batch =
                    started.iter().fold(batch, |b, (run, events)| b.create(run).events(events.clone()));
                match ctx.commit(batch).await {
                    Ok(_) => {}
                    Err(StoreError::Conflict { .. }) => {
                        // Somebody else reads as well: begin where they are.
                        self.read = None;
                        return Ok(());
                    }
                    Err(e) => return Err(e.into()),
                }
                read = Read { seq: event.seq, noted: event.seq, version: read.version + 1 };
                if !started.is_empty() {
                    ctx.runs_changed.notify_one();
                }
            }
            self.read = Some(read);
            if events.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn started_by(&mut self, ctx: &Context, event: &Event) -> anyhow::Result<Vec<Begun>> {
        let action = match event.body.kind.as_str() {
            "run.created" | "run.approved" => "requested",
            "run.started" => "in_progress",
            "run.completed" => "completed",
            _ => return Ok(Vec::new()),
        };
        let Some(run) = ctx.store.get::<Run>(&event.body.subject).await? else { return Ok(Vec::new()) };
        let run = run.value;
        // A run that nobody has approved is none yet for others; nor does its end without that concern them.
        let begun = run.started_at.is_some() || event.body.kind == "run.approved";
        if run.untrusted && !begun {
            return Ok(Vec::new());
        }
        let Ok(repository) = ctx.repositories.get(&run.project) else { return Ok(Vec::new()) };
        let Some((default, tip)) = default_tip(&repository).await? else { return Ok(Vec::new()) };
        if self.known.get(&run.project).is_none_or(|(of, _)| *of != tip) {
            let mut files = workflows(&repository, &tip).await?;
            files.retain(|file| file.workflow().is_some_and(|w| w.on.workflow_run.is_some()));
            self.known.insert(run.project.clone(), (tip.clone(), files));
        }
        let Some((_, files)) = self.known.get(&run.project) else { return Ok(Vec::new()) };
        if files.is_empty() || chain(ctx, &run).await? >= LONGEST_CHAIN {
            return Ok(Vec::new());
        }
        started(ctx, &run, action, files, &default, &tip).await
    }
}

async fn started(
    ctx: &Context,
    run: &Run,
    action: &str,
    files: &[WorkflowFile],
    default: &RefName,
    tip: &Sha,
) -> anyhow::Result<Vec<Begun>> {
    let branch = head_branch(run);
    let trigger = TriggerEvent::WorkflowRun { workflow: &run.workflow.name, action, head_branch: branch };
    let payload = json!({
        "action": action,
        "workflow": {
            "id": number_of(&format!("{}/{}", run.project, run.workflow.file)),
            "name": run.workflow.name,
            "path": run.workflow.file,
            "state": "active",
        },
        "workflow_run": run_json(ctx, run, action),
        "repository": repository_json(ctx, &run.project, default.short()),
        "sender": person(&run.actor),
    });
    let cause = Cause {
        event: "workflow_run",
        payload,
        git_ref: default.as_str(),
        sha: tip.as_str(),
        base_ref: "",
        head_ref: "",
        actor: &run.actor,
        title: run.title.clone(),
        inputs: Value::Null,
        held: None,
    };
    start_all(ctx, &run.project, files, &trigger, &cause).await
}

/// Where the reading goes on; at the end of the ledger when it was never read.
async fn begin_reading(ctx: &Context) -> anyhow::Result<Read> {
    if let Some(found) = ctx.store.get::<FollowDoc>("workflow_run").await? {
        let seq = found.value.seq;
        return Ok(Read { seq, noted: seq, version: found.version });
    }
    let seq = ctx.store.head().await?.seq;
    let doc = FollowDoc { seq };
    ctx.commit(Batch::new().update(&doc, 0)).await?;
    let version = ctx.store.get::<FollowDoc>("workflow_run").await?.map_or(1, |found| found.version);
    Ok(Read { seq, noted: seq, version })
}

/// How many runs started one another, up to this one.
async fn chain(ctx: &Context, run: &Run) -> anyhow::Result<usize> {
    let mut length = 0;
    let mut by = run.github["event"]["workflow_run"]["id"].as_str().map(str::to_owned);
    let mut event = run.event.clone();
    while length < LONGEST_CHAIN && event == "workflow_run" {
        length += 1;
        let Some(Ok(id)) = by.as_deref().map(str::parse::<RunId>) else { break };
        let Some(found) = ctx.store.get::<Run>(&id.to_string()).await? else { break };
        by = found.value.github["event"]["workflow_run"]["id"].as_str().map(str::to_owned);
        event = found.value.event;
    }
    Ok(length)
}
