//! What starts runs: a push, a hand, a clock, another run. The workflows are read at the commit that the run is of.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Value, json};
use windlass_kernel::{Actor, JobId, NewEvent, ProjectName, RunId};
use windlass_pipeline::{NewRun, Run};
use windlass_source::{Commit, LogQuery, RefName, RefUpdate, RepoPath, Repository, Sha};
use windlass_workflow::Parsed;
use windlass_workflow::model::Workflow;
use windlass_workflow::trigger::TriggerEvent;

use crate::context::Context;
use crate::runs::called;
use crate::runs::changes::{Changes, Moved};
use crate::runs::engine::ledger_events;
use crate::runs::payload::{
    NO_COMMIT, commit_json, github, login, message, person, repository_json, short_ref,
};
use crate::runs::trust;
use crate::source::LARGEST_TEXT;

/// The owner part of `owner/repository`, where workflows expect one.
pub(crate) const OWNER: &str = "windlass";
/// Above this many changed files, filters by path pass.
const MOST_FILES: usize = 3000;
/// The most commits that a push's payload lists.
const MOST_COMMITS: usize = 20;

/// One ref that somebody moved.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) project: ProjectName,
    pub(crate) update: RefUpdate,
    pub(crate) pusher: Actor,
}

/// A workflow file. It is parsed when that is first asked for, and once.
#[derive(Clone, Debug)]
pub(crate) struct WorkflowFile {
    pub(crate) path: String,
    pub(crate) text: String,
    parsed: OnceLock<Parsed>,
}

impl WorkflowFile {
    /// What it says.
    pub(crate) fn parsed(&self) -> &Parsed {
        self.parsed.get_or_init(|| windlass_workflow::parse(&self.path, &self.text))
    }

    /// The workflow, unless the file has errors.
    pub(crate) fn workflow(&self) -> Option<&Workflow> {
        self.parsed().workflow.as_ref()
    }
}

/// What a run is started with, whatever started it.
#[derive(Clone)]
pub(crate) struct Cause<'a> {
    pub(crate) event: &'a str,
    pub(crate) payload: Value,
    pub(crate) git_ref: &'a str,
    pub(crate) sha: &'a str,
    pub(crate) base_ref: &'a str,
    pub(crate) head_ref: &'a str,
    pub(crate) actor: &'a Actor,
    pub(crate) title: String,
    pub(crate) inputs: Value,
    /// Why the run waits for an approval before anything of it begins: it is of a change that somebody proposed who may
    /// not write, and is not trusted ever after either.
    pub(crate) held: Option<&'a str>,
}

/// A run that is not kept yet, with its ledger events.
pub(crate) type Begun = (Run, Vec<NewEvent>);

/// The workflow files of a commit.
pub(crate) async fn workflows(repository: &Repository, sha: &Sha) -> anyhow::Result<Vec<WorkflowFile>> {
    let folder: RepoPath = ".github/workflows".parse()?;
    let files = repository.files_in(sha, &folder, &[".yml", ".yaml"], LARGEST_TEXT).await?;
    let texts = files.into_iter().map(|(path, blob)| WorkflowFile {
        path: path.as_str().to_owned(),
        // What is no text or too large becomes a run that says so: the parser refuses it with its own message.
        text: String::from_utf8_lossy(&blob.bytes).into_owned(),
        parsed: OnceLock::new(),
    });
    Ok(texts.collect())
}

/// The default branch with its tip, if it has one.
pub(crate) async fn default_tip(repository: &Repository) -> anyhow::Result<Option<(RefName, Sha)>> {
    let default = repository.default_branch().await?;
    let tip = repository.resolve(default.as_str()).await?;
    Ok(tip.map(|tip| (default, tip)))
}

/// The runs that an event starts among some workflows.
pub(crate) async fn start_all(
    ctx: &Context,
    project: &ProjectName,
    files: &[WorkflowFile],
    event: &TriggerEvent<'_>,
    cause: &Cause<'_>,
) -> anyhow::Result<Vec<Begun>> {
    let mut started = Vec::new();
    for file in files {
        if file.workflow().is_some_and(|w| w.on.decide(event).run) {
            started.push(begin(ctx, project, file, cause.clone()).await?);
        }
    }
    Ok(started)
}

/// The runs that a moved ref starts, with their ledger events; to be kept with the move, and with `changes`.
pub(crate) async fn start_for_push(
    ctx: &Context,
    repository: &Repository,
    pushed: &Pushed,
    changes: &mut Changes,
) -> anyhow::Result<Vec<Begun>> {
    let moved = Moved { ctx, repository, pushed };
    let update = &pushed.update;
    if update.name.as_branch().is_none() && update.name.as_tag().is_none() {
        return moved.proposed(changes).await;
    }
    let Some(new) = &update.new else { return start_for_deletion(&moved, changes).await };
    let Some(commit) = repository.commit(new).await? else { return Ok(Vec::new()) };
    let tip = &commit.sha;
    let default = repository.default_branch().await?;
    let against_default = match update.name.as_branch() {
        Some(_) if update.name != default => change_base(repository, &default, tip).await?,
        _ => None,
    };
    let mut started = start_for_commit(&moved, &commit, &default, against_default.as_ref()).await?;
    if let (Some(branch), Some(_)) = (update.name.as_branch(), against_default) {
        started.extend(moved.branch(changes, branch, &default, &commit).await?);
    }
    if let Some(branch) = update.name.as_branch() {
        started.extend(moved.base(changes, branch).await?);
    }
    Ok(started)
}

/// The runs of `push` and `create` that the new commit of a branch or a tag starts.
async fn start_for_commit(
    moved: &Moved<'_>,
    commit: &Commit,
    default: &RefName,
    against_default: Option<&Sha>,
) -> anyhow::Result<Vec<Begun>> {
    let Moved { ctx, repository, pushed } = *moved;
    // A new branch is compared with where it left the default branch.
    let before = pushed.update.old.as_ref().or(against_default);
    let all = workflows(repository, &commit.sha).await?;
    let heeded = all.iter().filter_map(WorkflowFile::workflow).any(|workflow| workflow.on.push_heeds_paths());
    let files = if heeded { changed(repository, before, &commit.sha).await } else { None };
    let text = message(commit);
    let push = TriggerEvent::Push {
        git_ref: pushed.update.name.as_str(),
        deleted: false,
        changed_files: files.as_deref(),
        head_commit_message: &text,
    };
    let mut started = Vec::new();
    let mut payload: Option<Value> = None;
    for file in &all {
        // An invalid file cannot say what it runs on: its failure is shown on every push to a branch.
        let runs =
            file.workflow().map_or(pushed.update.name.as_branch().is_some(), |w| w.on.decide(&push).run);
        if runs {
            if payload.is_none() {
                let made = push_payload(ctx, repository, pushed, commit, before, default.short());
                payload = Some(made.await?);
            }
            let cause = of_commit("push", payload.clone().unwrap_or_default(), pushed, commit);
            started.push(begin(ctx, &pushed.project, file, cause).await?);
        }
    }
    if pushed.update.old.is_none() {
        let event = TriggerEvent::Activity { event: "create", action: None, branch: None };
        let payload = ref_payload(ctx, pushed, default.short());
        let cause = of_commit("create", payload, pushed, commit);
        started.extend(start_all(ctx, &pushed.project, &all, &event, &cause).await?);
    }
    Ok(started)
}

/// The runs that a deleted ref starts: `delete`, from the default branch; and the end of what its branch proposed.
async fn start_for_deletion(moved: &Moved<'_>, changes: &mut Changes) -> anyhow::Result<Vec<Begun>> {
    let Moved { ctx, repository, pushed } = *moved;
    let Some((default, tip)) = default_tip(repository).await? else { return Ok(Vec::new()) };
    let Some(commit) = repository.commit(&tip).await? else { return Ok(Vec::new()) };
    let event = TriggerEvent::Activity { event: "delete", action: None, branch: None };
    let cause = Cause {
        event: "delete",
        payload: ref_payload(ctx, pushed, default.short()),
        git_ref: default.as_str(),
        sha: tip.as_str(),
        base_ref: "",
        head_ref: "",
        actor: &pushed.pusher,
        title: commit.subject.clone(),
        inputs: Value::Null,
        held: None,
    };
    let all = workflows(repository, &tip).await?;
    let mut started = start_all(ctx, &pushed.project, &all, &event, &cause).await?;
    if let Some(branch) = pushed.update.name.as_branch() {
        started.extend(moved.branch_deleted(changes, branch, &tip).await?);
    }
    Ok(started)
}

/// Where a branch left the default branch, if it did.
async fn change_base(repository: &Repository, default: &RefName, tip: &Sha) -> anyhow::Result<Option<Sha>> {
    let Some(main) = repository.resolve(default.as_str()).await? else { return Ok(None) };
    let base = repository.merge_base(&main, tip).await?;
    Ok(base.filter(|base| base != tip))
}

/// The files in which two commits differ, unless they are too many to be known.
pub(crate) async fn changed(repository: &Repository, from: Option<&Sha>, to: &Sha) -> Option<Vec<String>> {
    match repository.changed_files(from, to, MOST_FILES).await {
        Ok(files) if !files.truncated => Some(files.paths),
        _ => None,
    }
}

/// A cause whose commit is the tip of the ref that moved.
fn of_commit<'a>(event: &'a str, payload: Value, pushed: &'a Pushed, commit: &'a Commit) -> Cause<'a> {
    Cause {
        event,
        payload,
        git_ref: pushed.update.name.as_str(),
        sha: commit.sha.as_str(),
        base_ref: "",
        head_ref: "",
        actor: &pushed.pusher,
        title: commit.subject.clone(),
        inputs: Value::Null,
        held: None,
    }
}

/// The payload of `push`.
async fn push_payload(
    ctx: &Context,
    repository: &Repository,
    pushed: &Pushed,
    commit: &Commit,
    since: Option<&Sha>,
    default: &str,
) -> anyhow::Result<Value> {
    let before = pushed.update.old.as_ref().map_or(NO_COMMIT, Sha::as_str);
    let query = LogQuery { not: since.cloned(), ..LogQuery::new(commit.sha.clone(), MOST_COMMITS) };
    let mut commits = repository.log(&query).await?;
    commits.reverse();
    let commits: Vec<Value> = commits.iter().map(|c| commit_json(ctx, &pushed.project, c)).collect();
    let forced = match &pushed.update.old {
        Some(old) => !repository.is_ancestor(old, &commit.sha).await?,
        None => false,
    };
    let pages = format!("{}/projects/{}", ctx.endpoint.url, pushed.project);
    Ok(json!({
        "ref": pushed.update.name.as_str(),
        "before": before,
        "after": commit.sha.as_str(),
        "base_ref": null,
        "created": pushed.update.old.is_none(),
        "deleted": false,
        "forced": forced,
        "compare": format!("{pages}/compare/{before}...{}", commit.sha.as_str()),
        "head_commit": commit_json(ctx, &pushed.project, commit),
        "commits": commits,
        "repository": repository_json(ctx, &pushed.project, default),
        "pusher": {"name": login(&pushed.pusher)},
        "sender": person(&pushed.pusher),
    }))
}

/// The payload of `create` and `delete`.
fn ref_payload(ctx: &Context, pushed: &Pushed, default: &str) -> Value {
    let (kind, short) = short_ref(pushed.update.name.as_str());
    json!({
        "ref": short,
        "ref_type": kind,
        "master_branch": default,
        "description": null,
        "pusher_type": "user",
        "repository": repository_json(ctx, &pushed.project, default),
        "sender": person(&pushed.pusher),
    })
}

/// A new run of a workflow file, not kept yet, with its ledger events.
pub(crate) async fn begin(
    ctx: &Context,
    project: &ProjectName,
    file: &WorkflowFile,
    cause: Cause<'_>,
) -> anyhow::Result<Begun> {
    let number = ctx.store.next_number(&format!("run/{project}/{}", file.path)).await?;
    let id = RunId::new(&ctx.ids);
    let variables: BTreeMap<String, String> = ctx.job_variables(project, None).await?;
    let default = ctx.repositories.get(project)?.default_branch().await?;
    let mut context = github(ctx, project, file, &cause, id, number);
    context["ref_protected"] = json!(is_protected(&default, cause.git_ref));
    let new = NewRun {
        id,
        project: project.clone(),
        number,
        file: file.path.clone(),
        text: file.text.clone(),
        title: cause.title.clone(),
        event: cause.event.to_owned(),
        github: context,
        git_ref: cause.git_ref.to_owned(),
        sha: cause.sha.to_owned(),
        actor: cause.actor.clone(),
        inputs: cause.inputs,
        vars: json!(variables),
        called: called::load(ctx, project, cause.sha, file).await?,
    };
    let now = ctx.now();
    let new_id = &mut || JobId::new(&ctx.ids);
    let (mut run, actions) = match cause.held {
        Some(reason) => Run::untrusted(new, reason, now, new_id),
        None => Run::new(new, now, new_id),
    };
    let mut events = ledger_events(&run, &actions, now);
    if run.untrusted {
        events.push(trust::restrict(&mut run, now));
    }
    Ok((run, events))
}

/// Whether only those who may write to the project say what is on a ref. Until there are rules for branches, that is the
/// default branch.
fn is_protected(default: &RefName, git_ref: &str) -> bool {
    default.as_str() == git_ref
}
