//! Workflows that run by the clock: on the default branch, each time once, also across restarts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_kernel::{Actor, Batch, Document, ProjectName, Query, StoreError, StoreExt as _, Timestamp};

use crate::context::Context;
use crate::runs::start::{Cause, begin, repository_json, workflows};
use crate::source::ProjectDoc;

/// Up to when a project's schedules have been looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ScheduleDoc {
    project: ProjectName,
    looked_until: Timestamp,
}

impl Document for ScheduleDoc {
    const KIND: &'static str = "schedule";

    fn id(&self) -> String {
        self.project.to_string()
    }
}

/// Looks at the schedules twice a minute.
#[derive(Debug, Default)]
pub(crate) struct Clockwork {
    next: Timestamp,
}

impl Clockwork {
    pub(crate) async fn tick(&mut self, ctx: &Context) -> anyhow::Result<()> {
        let now = ctx.now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + std::time::Duration::from_secs(30);
        for project in ctx.store.list::<ProjectDoc>(&Query::default()).await? {
            look(ctx, &project.value.name, now).await?;
        }
        Ok(())
    }
}

async fn look(ctx: &Context, project: &ProjectName, now: Timestamp) -> anyhow::Result<()> {
    let found = ctx.store.get::<ScheduleDoc>(project.as_str()).await?;
    let (since, version) = match &found {
        Some(found) => (found.value.looked_until, found.version),
        // What was due before the project was first seen is not made up for.
        None => (now, 0),
    };
    let mut batch = Batch::new();
    let mut due = 0;
    let repository = ctx.repositories.get(project)?;
    let default = repository.default_branch().await?;
    let tip = repository.ref_map().await?.get(&default).cloned();
    if let (Some(tip), true) = (tip, found.is_some()) {
        let commit = repository.commit(&tip).await?;
        for file in workflows(&repository, &tip).await? {
            let Some(workflow) = windlass_workflow::parse(&file.path, &file.text).workflow else { continue };
            // A time that passed while nobody looked runs once, not as often as it was missed.
            let mut crons: BTreeMap<&str, Timestamp> = BTreeMap::new();
            for scheduled in workflow.on.schedules() {
                if let Some(at) = scheduled.next_after(since).filter(|at| *at <= now) {
                    crons.insert(&scheduled.cron.value, at);
                }
            }
            for cron in crons.into_keys() {
                let cause = Cause {
                    event: "schedule",
                    payload: json!({"schedule": cron, "repository": repository_json(ctx, project, default.short())}),
                    git_ref: default.as_str(),
                    sha: tip.as_str(),
                    base_ref: "",
                    head_ref: "",
                    actor: &Actor::System,
                    title: commit.as_ref().map_or_else(|| file.path.clone(), |c| c.subject.clone()),
                    inputs: serde_json::Value::Null,
                };
                let (run, events) = begin(ctx, project, &file, cause).await?;
                batch = batch.create(&run).events(events);
                due += 1;
            }
        }
    }
    let doc = ScheduleDoc { project: project.clone(), looked_until: now };
    match ctx.commit(batch.update(&doc, version)).await {
        Ok(_) if due > 0 => ctx.runs_changed.notify_one(),
        Ok(_) | Err(StoreError::Conflict { .. }) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(())
}
