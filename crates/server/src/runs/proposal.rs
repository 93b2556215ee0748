//! A branch that differs from the default branch is a proposed change: `pull_request` workflows run for it as they stand on
//! the branch, `pull_request_target` workflows as they stand on the default branch.

use serde_json::{Value, json};
use windlass_source::{Commit, Repository, Sha};
use windlass_workflow::trigger::TriggerEvent;

use crate::context::Context;
use crate::runs::payload::{message, number_of, person, repository_json};
use crate::runs::start::{Begun, Cause, OWNER, Pushed, WorkflowFile, default_tip, start_all, workflows};

/// A branch as a change proposed for the default branch.
pub(crate) struct Proposal<'a> {
    /// What happened to it.
    pub(crate) action: &'a str,
    pub(crate) branch: &'a str,
    /// Where it left the default branch.
    pub(crate) base: &'a Sha,
    pub(crate) default: &'a str,
    /// Its tip.
    pub(crate) commit: &'a Commit,
    /// The files that it changes, if they are known.
    pub(crate) files: Option<&'a [String]>,
    /// Whether the default branch has all of it.
    pub(crate) merged: bool,
}

/// The runs that what happened to a proposal starts. `all` are the workflows of its tip.
pub(crate) async fn start(
    ctx: &Context,
    repository: &Repository,
    pushed: &Pushed,
    all: &[WorkflowFile],
    proposal: &Proposal<'_>,
) -> anyhow::Result<Vec<Begun>> {
    let text = message(proposal.commit);
    let event = TriggerEvent::PullRequest {
        action: proposal.action,
        base_branch: proposal.default,
        changed_files: proposal.files,
        head_commit_message: &text,
    };
    let cause = Cause {
        event: "pull_request",
        payload: payload(ctx, pushed, proposal),
        git_ref: pushed.update.name.as_str(),
        sha: proposal.commit.sha.as_str(),
        base_ref: proposal.default,
        head_ref: proposal.branch,
        actor: &pushed.pusher,
        title: proposal.commit.subject.clone(),
        inputs: Value::Null,
    };
    let mut started = start_all(ctx, &pushed.project, all, &event, &cause).await?;
    if let Some((default, tip)) = default_tip(repository).await? {
        let event = TriggerEvent::PullRequestTarget {
            action: proposal.action,
            base_branch: proposal.default,
            changed_files: proposal.files,
        };
        let cause =
            Cause { event: "pull_request_target", git_ref: default.as_str(), sha: tip.as_str(), ..cause };
        let all = workflows(repository, &tip).await?;
        started.extend(start_all(ctx, &pushed.project, &all, &event, &cause).await?);
    }
    Ok(started)
}

fn payload(ctx: &Context, pushed: &Pushed, proposal: &Proposal<'_>) -> Value {
    let repository = repository_json(ctx, &pushed.project, proposal.default);
    let sha = proposal.commit.sha.as_str();
    // A change has no number here: its branch's name stands for it.
    let number = number_of(&format!("{}/{}", pushed.project, proposal.branch));
    let closed = proposal.action == "closed";
    let side = |name: &str, sha: &str| {
        json!({
            "ref": name,
            "sha": sha,
            "label": format!("{OWNER}:{name}"),
            "repo": repository,
            "user": {"login": OWNER},
        })
    };
    let mut payload = json!({
        "action": proposal.action,
        "number": number,
        "repository": repository,
        "sender": person(&pushed.pusher),
        "pull_request": {
            "id": number,
            "number": number,
            "title": proposal.commit.subject,
            "body": proposal.commit.body,
            "state": if closed { "closed" } else { "open" },
            "draft": false,
            "locked": false,
            "merged": proposal.merged,
            "user": person(&pushed.pusher),
            "labels": [],
            "assignees": [],
            "requested_reviewers": [],
            "milestone": null,
            "merge_commit_sha": sha,
            "author_association": "MEMBER",
            "head": side(proposal.branch, sha),
            "base": side(proposal.default, proposal.base.as_str()),
        },
    });
    if let (Value::Object(map), Some(files)) = (&mut payload["pull_request"], proposal.files) {
        map.insert("changed_files".into(), files.len().into());
    }
    if let (Value::Object(map), "synchronize", Some(old)) =
        (&mut payload, proposal.action, &pushed.update.old)
    {
        map.insert("before".into(), old.as_str().into());
        map.insert("after".into(), sha.into());
    }
    payload
}
