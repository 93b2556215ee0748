//! What starts runs: a push, a hand, a clock. The workflows are read at the commit that the run is of.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_kernel::{Actor, JobId, NewEvent, ProjectName, RunId};
use windlass_pipeline::{NewRun, Run};
use windlass_source::{Commit, RefUpdate, RepoPath, Repository, Sha};
use windlass_workflow::trigger::TriggerEvent;

use crate::context::Context;
use crate::runs::called;
use crate::runs::engine::ledger_events;
use crate::source::LARGEST_TEXT;

/// The owner part of `owner/repository`, where workflows expect one.
pub(crate) const OWNER: &str = "windlass";
/// Above this many changed files, filters by path pass.
const MOST_FILES: usize = 3000;

/// One ref that somebody moved.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) project: ProjectName,
    pub(crate) update: RefUpdate,
    pub(crate) pusher: Actor,
}

/// A workflow file.
#[derive(Debug)]
pub(crate) struct WorkflowFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// What a run is started with, whatever started it.
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
}

/// The workflow files of a commit.
pub(crate) async fn workflows(repository: &Repository, sha: &Sha) -> anyhow::Result<Vec<WorkflowFile>> {
    let folder: RepoPath = ".github/workflows".parse()?;
    let files = repository.files_in(sha, &folder, &[".yml", ".yaml"], LARGEST_TEXT).await?;
    let texts = files.into_iter().map(|(path, blob)| WorkflowFile {
        path: path.as_str().to_owned(),
        // What is no text or too large becomes a run that says so: the parser refuses it with its own message.
        text: String::from_utf8_lossy(&blob.bytes).into_owned(),
    });
    Ok(texts.collect())
}

/// The runs that a moved ref starts, with their ledger events; to be kept with the move.
pub(crate) async fn start_for_push(
    ctx: &Context,
    repository: &Repository,
    pushed: &Pushed,
) -> anyhow::Result<Vec<(Run, Vec<NewEvent>)>> {
    let Some(new) = &pushed.update.new else { return Ok(Vec::new()) };
    let Some(commit) = repository.commit(new).await? else { return Ok(Vec::new()) };
    let name = pushed.update.name.as_str();
    let tip = &commit.sha;
    let default = repository.default_branch().await?;
    let against_default = match pushed.update.name.as_branch() {
        Some(_) if pushed.update.name != default => change_base(repository, &default, tip).await?,
        _ => None,
    };
    // A new branch is compared with where it left the default branch.
    let before = pushed.update.old.clone().or_else(|| against_default.clone());
    let files = changed(repository, before.as_ref(), tip).await;
    let message = format!("{}\n\n{}", commit.subject, commit.body);
    let push = TriggerEvent::Push {
        git_ref: name,
        deleted: false,
        changed_files: files.as_deref(),
        head_commit_message: &message,
    };
    let mut started = Vec::new();
    let all = workflows(repository, tip).await?;
    for file in &all {
        let parsed = windlass_workflow::parse(&file.path, &file.text);
        // An invalid file cannot say what it runs on: its failure is shown on every push to a branch.
        let runs =
            parsed.workflow.map_or(pushed.update.name.as_branch().is_some(), |w| w.on.decide(&push).run);
        if runs {
            let cause = push_cause(ctx, pushed, &commit);
            started.push(begin(ctx, &pushed.project, file, cause).await?);
        }
    }
    if let (Some(branch), Some(base)) = (pushed.update.name.as_branch(), against_default) {
        let proposal =
            Proposal { branch, base: &base, default: default.short(), commit: &commit, message: &message };
        started.extend(start_for_change(ctx, repository, pushed, &all, &proposal).await?);
    }
    Ok(started)
}

/// A branch as a change proposed for the default branch.
struct Proposal<'a> {
    branch: &'a str,
    base: &'a Sha,
    default: &'a str,
    commit: &'a Commit,
    message: &'a str,
}

/// A branch that differs from the default branch is a proposed change: `pull_request` workflows run for it.
async fn start_for_change(
    ctx: &Context,
    repository: &Repository,
    pushed: &Pushed,
    all: &[WorkflowFile],
    proposal: &Proposal<'_>,
) -> anyhow::Result<Vec<(Run, Vec<NewEvent>)>> {
    let files = changed(repository, Some(proposal.base), &proposal.commit.sha).await;
    let action = if pushed.update.old.is_none() { "opened" } else { "synchronize" };
    let event = TriggerEvent::PullRequest {
        action,
        base_branch: proposal.default,
        changed_files: files.as_deref(),
        head_commit_message: proposal.message,
    };
    let mut started = Vec::new();
    for file in all {
        let parsed = windlass_workflow::parse(&file.path, &file.text);
        if !parsed.workflow.is_some_and(|w| w.on.decide(&event).run) {
            continue;
        }
        let payload = json!({
            "action": action,
            "repository": repository_json(ctx, &pushed.project, proposal.default),
            "sender": {"login": login(&pushed.pusher)},
            "pull_request": {
                "title": proposal.commit.subject,
                "body": proposal.commit.body,
                "state": "open",
                "user": {"login": login(&pushed.pusher)},
                "head": {"ref": proposal.branch, "sha": proposal.commit.sha.as_str()},
                "base": {"ref": proposal.default, "sha": proposal.base.as_str()},
            },
        });
        let cause = Cause {
            event: "pull_request",
            payload,
            git_ref: pushed.update.name.as_str(),
            sha: proposal.commit.sha.as_str(),
            base_ref: proposal.default,
            head_ref: proposal.branch,
            actor: &pushed.pusher,
            title: proposal.commit.subject.clone(),
            inputs: Value::Null,
        };
        started.push(begin(ctx, &pushed.project, file, cause).await?);
    }
    Ok(started)
}

/// Where a branch left the default branch, if it did.
async fn change_base(
    repository: &Repository,
    default: &windlass_source::RefName,
    tip: &Sha,
) -> anyhow::Result<Option<Sha>> {
    let refs = repository.ref_map().await?;
    let Some(main) = refs.get(default) else { return Ok(None) };
    let base = repository.merge_base(main, tip).await?;
    Ok(base.filter(|base| base != tip))
}

async fn changed(repository: &Repository, from: Option<&Sha>, to: &Sha) -> Option<Vec<String>> {
    match repository.changed_files(from, to, MOST_FILES).await {
        Ok(files) if !files.truncated => Some(files.paths),
        _ => None,
    }
}

fn push_cause<'a>(ctx: &Context, pushed: &'a Pushed, commit: &'a Commit) -> Cause<'a> {
    const ZEROS: &str = "0000000000000000000000000000000000000000";
    let before = pushed.update.old.as_ref().map_or(ZEROS, Sha::as_str);
    let head = json!({
        "id": commit.sha.as_str(),
        "tree_id": commit.tree.as_str(),
        "message": if commit.body.is_empty() { commit.subject.clone() } else { format!("{}\n\n{}", commit.subject, commit.body) },
        "timestamp": commit.committed_at.to_string(),
        "author": {"name": commit.author, "email": commit.author_email},
        "committer": {"name": commit.committer, "email": commit.committer_email},
    });
    let payload = json!({
        "ref": pushed.update.name.as_str(),
        "before": before,
        "after": commit.sha.as_str(),
        "created": pushed.update.old.is_none(),
        "deleted": false,
        "forced": false,
        "head_commit": head,
        "commits": [head],
        "repository": repository_json(ctx, &pushed.project, ""),
        "pusher": {"name": login(&pushed.pusher)},
        "sender": {"login": login(&pushed.pusher)},
    });
    Cause {
        event: "push",
        payload,
        git_ref: pushed.update.name.as_str(),
        sha: commit.sha.as_str(),
        base_ref: "",
        head_ref: "",
        actor: &pushed.pusher,
        title: commit.subject.clone(),
        inputs: Value::Null,
    }
}

/// A new run of a workflow file, not kept yet, with its ledger events.
pub(crate) async fn begin(
    ctx: &Context,
    project: &ProjectName,
    file: &WorkflowFile,
    cause: Cause<'_>,
) -> anyhow::Result<(Run, Vec<NewEvent>)> {
    let number = ctx.store.next_number(&format!("run/{project}/{}", file.path)).await?;
    let id = RunId::new(&ctx.ids);
    let variables: BTreeMap<String, String> = ctx.job_variables(project, None).await?;
    let new = NewRun {
        id,
        project: project.clone(),
        number,
        file: file.path.clone(),
        text: file.text.clone(),
        title: cause.title.clone(),
        event: cause.event.to_owned(),
        github: github(ctx, project, file, &cause, id, number),
        git_ref: cause.git_ref.to_owned(),
        sha: cause.sha.to_owned(),
        actor: cause.actor.clone(),
        inputs: cause.inputs,
        vars: json!(variables),
        called: called::load(ctx, project, cause.sha, file).await?,
    };
    let now = ctx.now();
    let (run, actions) = Run::new(new, now, &mut || JobId::new(&ctx.ids));
    let events = ledger_events(&run, &actions, now);
    Ok((run, events))
}

/// The `github` context, but for what only the runner knows.
fn github(
    ctx: &Context,
    project: &ProjectName,
    file: &WorkflowFile,
    cause: &Cause<'_>,
    id: RunId,
    number: u64,
) -> Value {
    let name = cause.git_ref;
    let (kind, short) = match (name.strip_prefix("refs/heads/"), name.strip_prefix("refs/tags/")) {
        (Some(branch), _) => ("branch", branch),
        (_, Some(tag)) => ("tag", tag),
        _ => ("branch", name),
    };
    let parsed = windlass_workflow::parse(&file.path, &file.text);
    let workflow = parsed.workflow.map_or_else(|| file.path.clone(), |w| w.display_name().to_owned());
    let repository = format!("{OWNER}/{project}");
    json!({
        "event_name": cause.event,
        "event": cause.payload,
        "ref": name,
        "ref_name": short,
        "ref_type": kind,
        "ref_protected": false,
        "sha": cause.sha,
        "base_ref": cause.base_ref,
        "head_ref": cause.head_ref,
        "actor": login(cause.actor),
        "actor_id": "0",
        "triggering_actor": login(cause.actor),
        "repository": repository,
        "repository_id": "0",
        "repository_owner": OWNER,
        "repository_owner_id": "0",
        "repositoryUrl": format!("{}/{project}.git", ctx.endpoint.url),
        "server_url": ctx.endpoint.url,
        "api_url": format!("{}/api/v1", ctx.endpoint.url),
        "graphql_url": "",
        "run_id": id.to_string(),
        "run_number": number.to_string(),
        "run_attempt": "1",
        "retention_days": "90",
        "secret_source": "Actions",
        "workflow": workflow,
        "workflow_ref": format!("{repository}/{}@{name}", file.path),
        "workflow_sha": cause.sha,
    })
}

pub(crate) fn repository_json(ctx: &Context, project: &ProjectName, default_branch: &str) -> Value {
    json!({
        "name": project.as_str(),
        "full_name": format!("{OWNER}/{project}"),
        "owner": {"login": OWNER, "name": OWNER},
        "default_branch": default_branch,
        "clone_url": format!("{}/{project}.git", ctx.endpoint.url),
        "html_url": format!("{}/projects/{project}", ctx.endpoint.url),
        "private": true,
    })
}

/// An actor as GitHub names people.
pub(crate) fn login(actor: &Actor) -> String {
    match actor {
        Actor::User(name) => name.to_string(),
        other => other.to_string(),
    }
}
