//! What control does about repositories: who may, what was pushed, and which runs that starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use windlass_identity::{Action, Principal, Resource, authorize};
use windlass_kernel::{
    Actor, Batch, Document, NewEvent, ProjectName, Secret, StoreError, StoreExt as _, Timestamp,
};
use windlass_source::{
    Gate, PushedRef, Reach, RefChange, RefState, Refusal, RepoPath, Sha, change_of, fold, spool,
};

use crate::context::Context;
use crate::runs::{Changes, Pushed, start_for_push};

/// The largest workflow file or manifest that is read.
pub(crate) const LARGEST_TEXT: usize = 1 << 20;

/// A lock in a repository where no process works, and that is as old as this, is nobody's.
const ABANDONED: Duration = Duration::from_mins(10);

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ProjectDoc {
    pub(crate) name: ProjectName,
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: Actor,
}

impl Document for ProjectDoc {
    const KIND: &'static str = "project";

    fn id(&self) -> String {
        self.name.to_string()
    }
}

/// Makes a project with its repository. Nothing happens if it is there.
pub(crate) async fn create_project(
    ctx: &Context,
    by: &Actor,
    name: &ProjectName,
) -> anyhow::Result<ProjectDoc> {
    if let Some(found) = ctx.store.get::<ProjectDoc>(name.as_str()).await? {
        return Ok(found.value);
    }
    if let Some(what) = crate::images::reserved(name) {
        anyhow::bail!("`{name}` is {what}: choose another name");
    }
    // The repository first: a project whose repository is missing would be half a thing.
    ctx.repositories.get_or_create(name).await?;
    let project = ProjectDoc { name: name.clone(), created_at: ctx.now(), created_by: by.clone() };
    let event = NewEvent::new(ctx.now(), by.clone(), "project.created", name).project(name);
    match ctx.commit(Batch::new().create(&project).event(event)).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(project),
        Err(e) => Err(e.into()),
    }
}

/// A text file of a project at a commit; none if it is not there. One that is no text or too large must not look as if
/// it were not there (an environment without a manifest has no rules): it is given in a form that no parser takes.
pub(crate) async fn text_at(
    ctx: &Context,
    project: &ProjectName,
    sha: &str,
    path: &str,
) -> anyhow::Result<Option<String>> {
    let repository = ctx.repositories.get(project)?;
    let (sha, path): (Sha, RepoPath) = (sha.parse()?, path.parse()?);
    let blob = repository.blob(&sha, &path, LARGEST_TEXT).await?;
    Ok(blob.map(|blob| {
        let mut text = String::from_utf8_lossy(&blob.bytes).into_owned();
        if blob.truncated() {
            // One character too many, so that the part is not taken for the whole.
            text.push('\0');
        }
        text
    }))
}

/// The receiving end of Git over HTTP.
#[derive(Debug)]
pub(crate) struct GitGate(pub(crate) Arc<Context>);

fn allowed(principal: &Principal, action: Action, project: &ProjectName) -> Result<(), Refusal> {
    Ok(authorize(principal, action, &Resource::Project(project.clone()))?)
}

#[async_trait]
impl Gate for GitGate {
    async fn authenticate(&self, user: &str, password: &Secret<String>) -> Option<Principal> {
        let credential = windlass_web::Credential::Basic(user.to_owned(), password.clone());
        let principal = self.0.authenticate(&credential).await.ok().flatten()?;
        self.0.at_work(&principal).await.then_some(principal)
    }

    async fn may_read(&self, principal: &Principal, project: &ProjectName) -> Result<(), Refusal> {
        allowed(principal, Action::ReadCode, project)
    }

    async fn may_push(&self, principal: &Principal, project: &ProjectName) -> Result<Reach, Refusal> {
        if allowed(principal, Action::PushCode, project).is_ok() {
            return Ok(Reach::Everything);
        }
        // Whoever may not even propose hears what it takes to push.
        allowed(principal, Action::ProposeChange, project)
            .or_else(|_| allowed(principal, Action::PushCode, project))
            .map(|()| Reach::Changes)
    }

    async fn ensure_project(&self, principal: &Principal, project: &ProjectName) -> Result<(), Refusal> {
        authorize(principal, Action::CreateProject, &Resource::Platform)?;
        match create_project(&self.0, &principal.actor, project).await {
            Ok(_) => Ok(()),
            Err(e) => {
                tracing::error!(%project, error = %format!("{e:#}"), "cannot make a project");
                Err(Refusal(format!("the project {project} could not be made; see logs/control.log")))
            }
        }
    }

    async fn received(&self, project: &ProjectName) {
        if let Err(e) = take_in(&self.0, project).await {
            // The rounds take it in later.
            tracing::warn!(%project, error = %format!("{e:#}"), "a push could not be taken in at once");
            self.0.pushed.notify_one();
        }
    }
}

/// Takes in what was pushed, until `stop`: at the start everything that happened while nobody looked, then the spool
/// whenever something is in it, and all refs now and then.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut quiet = 0u32;
    loop {
        let spooled: BTreeSet<ProjectName> = spool::drain(&spool::folder(ctx.data.root()))
            .map(|entries| entries.into_iter().map(|e| e.received.project).collect())
            .unwrap_or_default();
        let all = quiet.is_multiple_of(30);
        let old = Timestamp::from_millis(ctx.now().as_millis() - ABANDONED.as_millis() as i64);
        if all && let Err(e) = ctx.repositories.clear_leftovers(Some(old)) {
            tracing::warn!(error = %e, "cannot look for what killed git processes left");
        }
        if all || !spooled.is_empty() {
            match ctx.repositories.list() {
                Ok(mut repositories) => {
                    repositories.retain(|r| all || spooled.contains(r.project()));
                    for repository in repositories {
                        if let Err(e) = take_in(&ctx, repository.project()).await {
                            tracing::error!(project = %repository.project(), error = %format!("{e:#}"), "cannot take in what was pushed");
                        }
                    }
                }
                Err(e) => tracing::error!(error = %e, "cannot list the repositories"),
            }
        }
        quiet = quiet.wrapping_add(1);
        tokio::select! {
            () = stop.cancelled() => return,
            // The spool is looked at anyhow; all refs are not, for one push.
            () = ctx.pushed.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}

/// Compares a project's refs with those recorded; records what moved, with its events and runs, in one transaction.
pub(crate) async fn take_in(ctx: &Context, project: &ProjectName) -> anyhow::Result<()> {
    let _receiving = ctx.locks.receiving.lock().await;
    for _ in 0..20 {
        // The spool before the refs, as `fold` asks.
        let entries = spool::drain(&spool::folder(ctx.data.root()))?;
        let repository = ctx.repositories.get(project)?;
        let mut actual = repository.ref_map().await?;
        // Made here, of what was pushed.
        actual.retain(|name, _| !name.as_str().starts_with("refs/pull/"));
        let found = ctx.store.get::<RefState>(project.as_str()).await?;
        let (mut state, version) =
            found.map_or_else(|| (RefState::new(project), 0), |f| (f.value, f.version));
        let received: Vec<_> = entries.iter().map(|e| e.received.clone()).collect();
        let before = state.clone();
        let moves = fold(&mut state, &received, &actual);
        if state != before {
            if ctx.store.get::<ProjectDoc>(project.as_str()).await?.is_none() {
                create_project(
                    ctx,
                    &moves.first().and_then(|m| m.pusher.clone()).unwrap_or(Actor::System),
                    project,
                )
                .await?;
            }
            let batch = batch(ctx, project, &moves).await?.update(&state, version);
            match ctx.commit(batch).await {
                Ok(_) => {}
                Err(StoreError::Conflict { .. }) => continue,
                Err(e) => return Err(e.into()),
            }
            ctx.runs_changed.notify_one();
        }
        for entry in entries.iter().filter(|e| e.received.project == *project) {
            entry.remove()?;
        }
        return Ok(());
    }
    anyhow::bail!("the refs of {project} change too fast")
}

/// The events and runs of what moved.
async fn batch(ctx: &Context, project: &ProjectName, moves: &[PushedRef]) -> anyhow::Result<Batch> {
    let repository = ctx.repositories.get(project)?;
    let mut batch = Batch::new();
    let mut changes = Changes::load(ctx, project).await?;
    for moved in moves {
        let update = &moved.update;
        let pusher = match (&moved.pusher, &update.new) {
            (Some(pusher), _) => pusher.clone(),
            (None, Some(new)) => {
                let who = repository.pusher_of(&update.name, new).await;
                who.and_then(|w| w.parse().ok()).unwrap_or(Actor::System)
            }
            (None, None) => Actor::System,
        };
        let change = match update.change() {
            RefChange::Created => "created",
            RefChange::Updated => "updated",
            RefChange::Deleted => "deleted",
        };
        let text = |sha: &Option<Sha>| sha.as_ref().map(|s| s.as_str().to_owned());
        let event = NewEvent::new(ctx.now(), pusher.clone(), "ref.updated", update.name.as_str())
            .project(project)
            .data(json!({"change": change, "old": text(&update.old), "new": text(&update.new), "push": moved.push}));
        batch = batch.event(event);
        // What a job pushes with its own token starts nothing: two workflows could go on for ever.
        if matches!(pusher, Actor::Run(_)) || in_a_crowd(moved, moves) {
            continue;
        }
        let pushed = Pushed { project: project.clone(), update: update.clone(), pusher };
        for (run, events) in start_for_push(ctx, &repository, &pushed, &mut changes).await? {
            batch = batch.create(&run).events(events);
        }
    }
    Ok(changes.keep(batch))
}

/// Whether a ref moved with so many others in one push that none of them starts anything: more than three tags, or more
/// than 5,000 branches, as on GitHub.
fn in_a_crowd(moved: &PushedRef, moves: &[PushedRef]) -> bool {
    const TAGS: usize = 3;
    const BRANCHES: usize = 5_000;
    // How many changes one push may bring, the hook has said.
    if moved.push.is_none() || change_of(&moved.update.name).is_some() {
        return false;
    }
    let is_branch = |of: &PushedRef| of.update.name.as_branch().is_some();
    let alike = |other: &&PushedRef| other.push == moved.push && is_branch(other) == is_branch(moved);
    moves.iter().filter(alike).count() > if is_branch(moved) { BRANCHES } else { TAGS }
}

/// The environments and the state of the manifest on a project's default branch.
pub(crate) async fn manifest_summary(ctx: &Context, project: &ProjectName) -> (Vec<String>, Option<String>) {
    let Ok(repository) = ctx.repositories.get(project) else { return (Vec::new(), None) };
    let tip: Option<Sha> = match repository.default_branch().await {
        Ok(branch) => {
            repository.ref_map().await.ok().and_then(|refs: BTreeMap<_, _>| refs.get(&branch).cloned())
        }
        Err(_) => None,
    };
    let Some(tip) = tip else { return (Vec::new(), None) };
    match crate::runs::manifest_at(ctx, project, tip.as_str()).await {
        Ok(Some(Ok(manifest))) => (manifest.environments.iter().map(|e| e.name.to_string()).collect(), None),
        Ok(Some(Err(findings))) => (Vec::new(), Some(findings)),
        Ok(None) | Err(_) => (Vec::new(), None),
    }
}

#[cfg(test)]
mod tests {
    use windlass_source::RefUpdate;

    use super::*;

    fn moved(name: &str, push: Option<&str>) -> PushedRef {
        let new = Some("1".repeat(40).parse().unwrap());
        let update = RefUpdate { name: name.parse().unwrap(), old: None, new };
        PushedRef { update, pusher: None, push: push.map(str::to_owned) }
    }

    #[test]
    fn more_than_three_tags_of_one_push_start_nothing() {
        let tags = |count: usize, push: Option<&str>| -> Vec<PushedRef> {
            let names = (0..count).map(|i| format!("refs/tags/v{i}"));
            let tags: Vec<PushedRef> = names.map(|name| moved(&name, push)).collect();
            [tags, vec![moved("refs/heads/main", push), moved("refs/tags/other", Some("another"))]].concat()
        };
        for (count, push, wanted) in [(3, Some("p"), 0), (4, Some("p"), 4), (9, None, 0)] {
            let moves = tags(count, push);
            let kept_back = moves.iter().filter(|one| in_a_crowd(one, &moves)).count();
            assert_eq!(kept_back, wanted, "{count} tags, push {push:?}");
        }
        let changes: Vec<PushedRef> =
            (1..9).map(|n| moved(&format!("refs/changes/{n}/head"), Some("p"))).collect();
        assert!(!changes.iter().any(|one| in_a_crowd(one, &changes)), "changes are no tags");
    }
}
