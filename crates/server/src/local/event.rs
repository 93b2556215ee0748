//! What a local run was started by: the event as GitHub would tell it, made up from the repository, and what the caller
//! says about it.

use serde_json::{Map, Value, json};
use windlass_workflow::Workflow;
use windlass_workflow::trigger::{Decision, TriggerEvent};

use super::repository::{Commit, NO_COMMIT, Repository, short};

/// An event, as runs are started with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LocalEvent {
    pub(super) name: String,
    pub(super) payload: Value,
    pub(super) git_ref: String,
    pub(super) sha: String,
    pub(super) base_ref: String,
    pub(super) head_ref: String,
    /// The runs' title, unless their workflow has one.
    pub(super) title: String,
}

/// The number of the change that a local run of `pull_request` is of.
const NUMBER: u64 = 1;

impl LocalEvent {
    /// The event `name` of a repository; `given` entries take the place of those made up.
    pub(super) fn new(
        name: &str,
        repository: &Repository,
        actor: &str,
        given: Option<&Map<String, Value>>,
        inputs: &std::collections::BTreeMap<String, String>,
    ) -> Self {
        let commit = repository.commit().unwrap_or_default();
        let mut payload = json!({
            "repository": repository_json(repository),
            "sender": {"login": actor, "type": "User"},
        });
        let made_up = match name {
            "push" => push(repository, &commit, actor),
            "pull_request" | "pull_request_target" => change(repository, &commit, actor),
            "workflow_dispatch" => json!({"ref": repository.git_ref, "inputs": inputs}),
            _ => json!({}),
        };
        for more in [made_up.as_object(), given].into_iter().flatten() {
            if let Some(payload) = payload.as_object_mut() {
                payload.extend(more.clone());
            }
        }
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let is_change = name.starts_with("pull_request");
        let (mut base_ref, mut head_ref) = (String::new(), String::new());
        let git_ref = if is_change {
            base_ref = text("/pull_request/base/ref").unwrap_or_else(|| repository.default_branch.clone());
            head_ref = text("/pull_request/head/ref").unwrap_or_else(|| repository.short_ref().to_owned());
            let number = payload.pointer("/number").and_then(Value::as_u64).unwrap_or(NUMBER);
            if name == "pull_request_target" {
                format!("refs/heads/{base_ref}")
            } else {
                format!("refs/pull/{number}/merge")
            }
        } else {
            text("/ref")
                .filter(|name| name.starts_with("refs/"))
                .unwrap_or_else(|| repository.git_ref.clone())
        };
        let sha = text("/after").filter(|sha| sha != NO_COMMIT).unwrap_or_else(|| repository.sha.clone());
        let title = commit.message.lines().next().unwrap_or_default().to_owned();
        let title = if title.is_empty() { format!("{name} of the working tree") } else { title };
        Self { name: name.to_owned(), payload, git_ref, sha, base_ref, head_ref, title }
    }

    /// Whether the event starts a workflow. Filters by path pass: what has changed is not known before a push.
    pub(super) fn decide(&self, workflow: &Workflow) -> Decision {
        let text = |pointer: &str| self.payload.pointer(pointer).and_then(Value::as_str);
        let action = text("/action");
        let event = match self.name.as_str() {
            // Whoever starts it by hand means it: instructions in the commit's message do not skip it.
            "push" => TriggerEvent::Push {
                git_ref: &self.git_ref,
                deleted: false,
                changed_files: None,
                head_commit_message: "",
            },
            "pull_request" => TriggerEvent::PullRequest {
                action: action.unwrap_or("synchronize"),
                base_branch: &self.base_ref,
                changed_files: None,
                head_commit_message: "",
            },
            "pull_request_target" => TriggerEvent::PullRequestTarget {
                action: action.unwrap_or("synchronize"),
                base_branch: &self.base_ref,
                changed_files: None,
            },
            "workflow_dispatch" => TriggerEvent::Dispatch,
            "schedule" => {
                let first = workflow.on.schedules().first().map_or("", |scheduled| &scheduled.cron.value);
                TriggerEvent::Schedule { cron: text("/schedule").unwrap_or(first) }
            }
            "repository_dispatch" => {
                TriggerEvent::RepositoryDispatch { event_type: action.unwrap_or_default() }
            }
            "workflow_run" => TriggerEvent::WorkflowRun {
                workflow: text("/workflow_run/name").unwrap_or_default(),
                action: action.unwrap_or("completed"),
                head_branch: text("/workflow_run/head_branch").unwrap_or(&self.head_ref),
            },
            other => TriggerEvent::Activity { event: other, action, branch: Some(short(&self.git_ref)) },
        };
        workflow.on.decide(&event)
    }

    /// `branch` or `tag`.
    pub(super) fn ref_type(&self) -> &'static str {
        if self.git_ref.starts_with("refs/tags/") { "tag" } else { "branch" }
    }

    /// The ref as `github.ref_name` has it.
    pub(super) fn ref_name(&self) -> &str {
        short(&self.git_ref)
    }
}

fn repository_json(repository: &Repository) -> Value {
    let (owner, name) = repository.name.split_once('/').unwrap_or(("local", &repository.name));
    json!({
        "name": name,
        "full_name": repository.name,
        "owner": {"login": owner, "name": owner},
        "default_branch": repository.default_branch,
        "html_url": format!("{}/{}", repository.server_url, repository.name),
        "clone_url": format!("{}/{}.git", repository.server_url, repository.name),
        "private": true,
    })
}

fn push(repository: &Repository, commit: &Commit, actor: &str) -> Value {
    let head = json!({
        "id": repository.sha,
        "tree_id": commit.tree,
        "message": commit.message,
        "timestamp": commit.time,
        "author": {"name": commit.author, "email": commit.email},
        "committer": {"name": commit.author, "email": commit.email},
    });
    json!({
        "ref": repository.git_ref,
        "before": if commit.parent.is_empty() { NO_COMMIT } else { &commit.parent },
        "after": repository.sha,
        "created": false,
        "deleted": false,
        "forced": false,
        "head_commit": head,
        "commits": [head],
        "pusher": {"name": actor},
    })
}

fn change(repository: &Repository, commit: &Commit, actor: &str) -> Value {
    let mut lines = commit.message.splitn(2, '\n');
    json!({
        "action": "synchronize",
        "number": NUMBER,
        "pull_request": {
            "number": NUMBER,
            "title": lines.next().unwrap_or_default(),
            "body": lines.next().unwrap_or_default().trim(),
            "state": "open",
            "draft": false,
            "user": {"login": actor},
            "head": {"ref": repository.short_ref(), "sha": repository.sha, "repo": repository_json(repository)},
            "base": {"ref": repository.default_branch, "sha": commit.parent, "repo": repository_json(repository)},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Repository {
        Repository {
            root: "/nowhere".into(),
            name: "octo/shop".into(),
            git_ref: "refs/heads/feature/x".into(),
            sha: NO_COMMIT.into(),
            default_branch: "main".into(),
            server_url: "https://github.com".into(),
        }
    }

    fn event(name: &str, given: &Value) -> LocalEvent {
        LocalEvent::new(name, &repository(), "ann", given.as_object(), &std::collections::BTreeMap::new())
    }

    fn starts(on: &str, event: &LocalEvent) -> bool {
        let text = format!("on: {on}\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: x\n");
        let parsed = windlass_workflow::parse("w.yml", &text);
        event.decide(&parsed.workflow.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics))).run
    }

    #[test]
    fn events_have_their_refs() {
        let push = event("push", &json!({}));
        assert_eq!((push.git_ref.as_str(), push.ref_name()), ("refs/heads/feature/x", "feature/x"));
        let tag = event("push", &json!({"ref": "refs/tags/v1"}));
        assert_eq!((tag.git_ref.as_str(), tag.ref_type()), ("refs/tags/v1", "tag"));
        let change = event("pull_request", &json!({"number": 7}));
        assert_eq!(change.git_ref, "refs/pull/7/merge");
        assert_eq!((change.base_ref.as_str(), change.head_ref.as_str()), ("main", "feature/x"));
        assert_eq!(change.payload["pull_request"]["head"]["ref"], "feature/x");
    }

    #[test]
    fn filters_hold_as_they_would_on_a_server() {
        let push = event("push", &json!({}));
        assert!(starts("push", &push));
        assert!(starts("{push: {branches: ['feature/**']}}", &push));
        assert!(starts("{push: {paths: [src/**]}}", &push), "what changed is not known");
        assert!(!starts("{push: {branches: [main]}}", &push));
        assert!(!starts("pull_request", &push));
        let change = event("pull_request", &json!({}));
        assert!(starts("{pull_request: {branches: [main]}}", &change));
        assert!(!starts("{pull_request: {types: [labeled]}}", &change));
        let labeled = event("pull_request", &json!({"action": "labeled"}));
        assert!(starts("{pull_request: {types: [labeled]}}", &labeled));
        assert!(starts("{schedule: [{cron: '5 4 * * *'}]}", &event("schedule", &json!({}))));
        assert!(starts("workflow_dispatch", &event("workflow_dispatch", &json!({}))));
    }
}
