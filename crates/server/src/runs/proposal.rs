//! The runs of a change: `pull_request` workflows as they stand in its merge with the base, `pull_request_target`
//! workflows as they stand on the default branch.

use serde_json::{Value, json};
use windlass_source::{Commit, Repository, Sha};
use windlass_workflow::trigger::TriggerEvent;

use crate::context::Context;
use crate::runs::changes::{ChangeDoc, ChangeState};
use crate::runs::payload::{login, message, number_of, person, repository_json};
use crate::runs::start::{Begun, Cause, OWNER, Pushed, default_tip, start_all, workflows};

/// What happened to a change.
pub(crate) struct Proposal<'a> {
    /// What happened.
    pub(crate) action: &'a str,
    pub(crate) change: &'a ChangeDoc,
    /// The tip of the branch that it is proposed for.
    pub(crate) base: &'a Sha,
    /// Its newest commit before, when it moved.
    pub(crate) before: Option<&'a str>,
    /// Its newest commit.
    pub(crate) commit: &'a Commit,
    /// The files that it changes, if they are known.
    pub(crate) files: Option<&'a [String]>,
    /// Whether nothing of its author's was ever approved.
    pub(crate) first: bool,
}

impl Proposal<'_> {
    /// The commit that its `pull_request` runs are of; none while it conflicts with its base.
    fn tested(&self) -> Option<String> {
        match (self.action, self.change.state) {
            ("closed", ChangeState::Merged) => Some(self.base.as_str().to_owned()),
            ("closed", _) => Some(self.change.merge.clone().unwrap_or_else(|| self.change.head.clone())),
            _ => self.change.merge.clone(),
        }
    }

    /// Why its `pull_request` runs wait for an approval, if they do.
    fn held(&self) -> Option<String> {
        self.change.outside.then(|| {
            let name = login(&self.change.author);
            let what = if self.first { "first change of" } else { "a change of" };
            format!("waiting for approval: {what} {name}")
        })
    }

    /// Whether it is closed with nothing of it ever approved: then there is nobody to run for.
    fn is_void(&self) -> bool {
        let approved = self.change.decision(&self.change.head).is_some_and(|decision| decision.approve);
        self.action == "closed" && self.change.outside && !approved
    }
}

/// The runs that what happened to a change starts.
pub(crate) async fn start(
    ctx: &Context,
    repository: &Repository,
    pushed: &Pushed,
    proposal: &Proposal<'_>,
) -> anyhow::Result<Vec<Begun>> {
    let text = message(proposal.commit);
    let (change, held, git_ref) = (proposal.change, proposal.held(), proposal.change.merge_ref());
    let default = default_tip(repository).await?;
    let default_name = default.as_ref().map_or("main", |(name, _)| name.short());
    let tested = proposal.tested().filter(|_| !proposal.is_void());
    let cause = Cause {
        event: "pull_request",
        payload: payload(ctx, pushed, proposal, default_name),
        git_ref: &git_ref,
        sha: tested.as_deref().unwrap_or_default(),
        base_ref: &change.base,
        head_ref: &change.head_name,
        actor: &pushed.pusher,
        title: proposal.commit.subject.clone(),
        inputs: Value::Null,
        held: held.as_deref(),
    };
    let mut started = Vec::new();
    if let Some(tested) = &tested {
        let event = TriggerEvent::PullRequest {
            action: proposal.action,
            base_branch: &change.base,
            changed_files: proposal.files,
            head_commit_message: &text,
        };
        let all = workflows(repository, &tested.parse()?).await?;
        started.extend(start_all(ctx, &pushed.project, &all, &event, &cause).await?);
    }
    if let Some((default, tip)) = &default {
        let event = TriggerEvent::PullRequestTarget {
            action: proposal.action,
            base_branch: &change.base,
            changed_files: proposal.files,
        };
        // What runs here is the default branch's own, whoever proposes: it is trusted, and waits for nobody.
        let cause = Cause {
            event: "pull_request_target",
            git_ref: default.as_str(),
            sha: tip.as_str(),
            held: None,
            ..cause
        };
        let all = workflows(repository, tip).await?;
        started.extend(start_all(ctx, &pushed.project, &all, &event, &cause).await?);
    }
    Ok(started)
}

fn payload(ctx: &Context, pushed: &Pushed, proposal: &Proposal<'_>, default: &str) -> Value {
    let change = proposal.change;
    let repository = repository_json(ctx, &pushed.project, default);
    let sha = proposal.commit.sha.as_str();
    let author = login(&change.author);
    let (head_owner, head_repository) = if change.outside {
        (author.clone(), fork_json(&repository, &author, &pushed.project))
    } else {
        (OWNER.to_owned(), repository.clone())
    };
    let side = |owner: &str, name: &str, sha: &str, repo: &Value| json!({"ref": name, "sha": sha, "label": format!("{owner}:{name}"), "repo": repo, "user": {"login": owner}});
    let pages = format!("{}/projects/{}", ctx.endpoint.url, pushed.project);
    let mut payload = json!({
        "action": proposal.action,
        "number": change.number,
        "repository": repository,
        "sender": person(&pushed.pusher),
        "pull_request": {
            "id": number_of(&format!("{}/changes/{}", pushed.project, change.number)),
            "number": change.number,
            "title": proposal.commit.subject,
            "body": proposal.commit.body,
            "state": if proposal.action == "closed" { "closed" } else { "open" },
            "draft": false,
            "locked": false,
            "merged": change.state == ChangeState::Merged,
            "mergeable": change.merge.is_some(),
            "user": person(&change.author),
            "labels": [],
            "assignees": [],
            "requested_reviewers": [],
            "milestone": null,
            "merge_commit_sha": proposal.tested(),
            "author_association": association(change, proposal.first),
            "html_url": format!("{pages}/changes"),
            "head": side(&head_owner, &change.head_name, sha, &head_repository),
            "base": side(OWNER, &change.base, proposal.base.as_str(), &repository),
        },
    });
    if let (Value::Object(map), Some(files)) = (&mut payload["pull_request"], proposal.files) {
        map.insert("changed_files".into(), files.len().into());
    }
    if let (Value::Object(map), Some(before)) = (&mut payload, proposal.before) {
        map.insert("before".into(), before.into());
        map.insert("after".into(), sha.into());
    }
    payload
}

fn association(change: &ChangeDoc, first: bool) -> &'static str {
    match (change.outside, first) {
        (false, _) => "MEMBER",
        (true, true) => "FIRST_TIME_CONTRIBUTOR",
        (true, false) => "CONTRIBUTOR",
    }
}

/// `repository`, as workflows expect it of somebody who has one of their own: not this project's.
fn fork_json(repository: &Value, owner: &str, project: &windlass_kernel::ProjectName) -> Value {
    let mut fork = repository.clone();
    let name = format!("{owner}/{project}");
    fork["id"] = json!(number_of(&name));
    fork["full_name"] = json!(name);
    fork["owner"] = json!({"login": owner, "name": owner, "id": number_of(owner), "type": "User"});
    fork["fork"] = json!(true);
    fork
}
