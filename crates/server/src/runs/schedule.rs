//! Workflows that run by the clock: on the default branch, each time once, also across restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_kernel::{
    Actor, Batch, Document, NewEvent, ProjectName, Query, StoreError, StoreExt as _, Timestamp,
};
use windlass_pipeline::Run;
use windlass_source::{RefName, RefState, Repository, Sha};

use crate::context::Context;
use crate::runs::payload::{person, repository_json};
use crate::runs::start::{Cause, WorkflowFile, begin, workflows};
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

/// How often it is written down that nothing was due.
const NOTED: Duration = Duration::from_mins(10);

/// Looks at the schedules twice a minute.
#[derive(Debug, Default)]
pub(crate) struct Clockwork {
    next: Timestamp,
    /// Up to when each project's schedules were looked at. Kept in the store only now and then, and with each run: what
    /// was not due before is not due when it is looked at again.
    looked: BTreeMap<ProjectName, Timestamp>,
    /// The workflows with schedules at a default branch's tip.
    known: BTreeMap<ProjectName, (Sha, Vec<WorkflowFile>)>,
}

impl Clockwork {
    pub(crate) async fn tick(&mut self, ctx: &Context) -> anyhow::Result<()> {
        let now = ctx.now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + Duration::from_secs(30);
        for project in ctx.store.list::<ProjectDoc>(&Query::default()).await? {
            // One project whose repository cannot be read must not stop the others' clocks.
            if let Err(e) = self.look(ctx, &project.value.name, now).await {
                tracing::warn!(project = %project.value.name, error = %format!("{e:#}"), "cannot look at a project's schedules");
            }
        }
        Ok(())
    }

    async fn look(&mut self, ctx: &Context, project: &ProjectName, now: Timestamp) -> anyhow::Result<()> {
        let found = ctx.store.get::<ScheduleDoc>(project.as_str()).await?;
        let (noted, version) = found.as_ref().map_or((now, 0), |f| (f.value.looked_until, f.version));
        // What was due before the project was first seen is not made up for.
        let since = self.looked.get(project).copied().unwrap_or(noted).max(noted);
        let repository = ctx.repositories.get(project)?;
        let default = repository.default_branch().await?;
        let refs = ctx.store.get::<RefState>(project.as_str()).await?;
        let tip = refs.and_then(|r| r.value.refs.get(&default).cloned());
        let mut batch = Batch::new();
        if let (Some(tip), true) = (tip, found.is_some()) {
            for (file, cron) in self.due(&repository, project, &tip, since, now).await? {
                let (run, events) = begin_at(ctx, &repository, project, &default, &tip, file, &cron).await?;
                batch = batch.create(&run).events(events);
            }
        }
        let due = !batch.writes.is_empty();
        if due || found.is_none() || now.since(noted) >= NOTED {
            let doc = ScheduleDoc { project: project.clone(), looked_until: now };
            match ctx.commit(batch.update(&doc, version)).await {
                Ok(_) => {}
                // Somebody else looked just now.
                Err(StoreError::Conflict { .. }) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
        self.looked.insert(project.clone(), now);
        if due {
            ctx.runs_changed.notify_one();
        }
        Ok(())
    }

    /// The workflows that were due since, once for each of their schedules: a time that passed while nobody looked runs
    /// once, not as often as it was missed.
    async fn due(
        &mut self,
        repository: &Repository,
        project: &ProjectName,
        tip: &Sha,
        since: Timestamp,
        now: Timestamp,
    ) -> anyhow::Result<Vec<(&WorkflowFile, String)>> {
        if self.known.get(project).is_none_or(|(of, _)| of != tip) {
            let mut files = workflows(repository, tip).await?;
            files.retain(|file| file.workflow().is_some_and(|w| !w.on.schedules().is_empty()));
            self.known.insert(project.clone(), (tip.clone(), files));
        }
        let files = self.known.get(project).map(|(_, files)| files.as_slice()).unwrap_or_default();
        let mut due = Vec::new();
        for file in files {
            let Some(workflow) = file.workflow() else { continue };
            let mut crons = BTreeSet::new();
            for scheduled in workflow.on.schedules() {
                if scheduled.next_after(since).is_some_and(|at| at <= now) {
                    crons.insert(scheduled.cron.value.clone());
                }
            }
            due.extend(crons.into_iter().map(|cron| (file, cron)));
        }
        Ok(due)
    }
}

async fn begin_at(
    ctx: &Context,
    repository: &Repository,
    project: &ProjectName,
    default: &RefName,
    tip: &Sha,
    file: &WorkflowFile,
    cron: &str,
) -> anyhow::Result<(Run, Vec<NewEvent>)> {
    let commit = repository.commit(tip).await?;
    let cause = Cause {
        event: "schedule",
        payload: json!({
            "schedule": cron,
            "workflow": file.path,
            "repository": repository_json(ctx, project, default.short()),
            "sender": person(&Actor::System),
        }),
        git_ref: default.as_str(),
        sha: tip.as_str(),
        base_ref: "",
        head_ref: "",
        actor: &Actor::System,
        title: commit.map_or_else(|| file.path.clone(), |c| c.subject),
        inputs: serde_json::Value::Null,
        held: None,
    };
    begin(ctx, project, file, cause).await
}
