//! What may happen to a repository, as GitHub would tell it.

use serde_json::{Value, json};
use windlass_workflow::trigger::{InputKind, TriggerEvent};
use windlass_workflow::{Admit, parse_admitting};

use super::planned::Repository;

/// An event.
pub(crate) struct Happening {
    /// What it is called in messages.
    pub(crate) title: String,
    name: String,
    action: Option<String>,
    git_ref: String,
    /// The branch that it is for, where that is not the ref's.
    base: String,
    cron: String,
    workflow: String,
    /// The `github` context.
    pub(crate) github: Value,
    /// The `inputs` context.
    pub(crate) inputs: Value,
}

const SHA: &str = "5f1c0d9e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e";

impl Happening {
    /// As the machine is told.
    pub(crate) fn trigger(&self) -> TriggerEvent<'_> {
        let action = self.action.as_deref();
        match self.name.as_str() {
            "push" => TriggerEvent::Push {
                git_ref: &self.git_ref,
                deleted: false,
                changed_files: None,
                head_commit_message: "A change",
            },
            "pull_request" => TriggerEvent::PullRequest {
                action: action.unwrap_or_default(),
                base_branch: &self.base,
                changed_files: None,
                head_commit_message: "A change",
            },
            "pull_request_target" => TriggerEvent::PullRequestTarget {
                action: action.unwrap_or_default(),
                base_branch: &self.base,
                changed_files: None,
            },
            "workflow_dispatch" => TriggerEvent::Dispatch,
            "schedule" => TriggerEvent::Schedule { cron: &self.cron },
            "workflow_run" => TriggerEvent::WorkflowRun {
                workflow: &self.workflow,
                action: action.unwrap_or_default(),
                head_branch: &self.base,
            },
            "repository_dispatch" => {
                TriggerEvent::RepositoryDispatch { event_type: action.unwrap_or_default() }
            }
            event => TriggerEvent::Activity { event, action, branch: Some(&self.base) },
        }
    }

    /// As the oracle is asked.
    pub(crate) fn question(&self, repository: &Repository, file: &str) -> Value {
        let mut files = repository.files.clone();
        files.extend(repository.stubs.clone());
        json!({
            "file": file, "files": files, "github": self.github, "inputs": self.inputs, "vars": {},
            "outputs": repository.outputs,
            "event": {"name": self.name, "ref": self.git_ref, "action": self.action, "base": self.base, "cron": self.cron, "workflow": self.workflow},
        })
    }

    /// An event; `at` is the ref or, for others than pushes, the branch that it is for.
    fn new(name: &str, action: Option<&str>, at: &str, repository: &str, more: Value) -> Self {
        let is_change = name.starts_with("pull_request");
        let git_ref = if at.starts_with("refs/") {
            at.to_owned()
        } else if is_change && name != "pull_request_target" {
            "refs/pull/7/merge".to_owned()
        } else {
            format!("refs/heads/{at}")
        };
        let ref_name = git_ref.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/");
        let ref_name = ref_name.trim_start_matches("refs/pull/").to_owned();
        let base = if at.starts_with("refs/") { ref_name.clone() } else { at.to_owned() };
        let (owner, short) = repository.split_once('/').unwrap();
        let repository_json = json!({
            "name": short, "full_name": repository, "owner": {"login": owner, "type": "Organization"}, "private": false,
            "fork": false, "default_branch": "main", "visibility": "public",
        });
        let mut event = json!({"repository": repository_json, "sender": {"login": "ann", "type": "User"}});
        if let Some(action) = action {
            event["action"] = json!(action);
        }
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            event[key] = value;
        }
        let github = json!({
            "event_name": name, "event": event, "ref": git_ref, "ref_name": ref_name, "sha": SHA,
            "ref_type": if git_ref.starts_with("refs/tags/") { "tag" } else { "branch" }, "ref_protected": false,
            "base_ref": if is_change { base.as_str() } else { "" }, "head_ref": if is_change { "topic" } else { "" },
            "repository": repository, "repository_owner": owner, "actor": "ann", "triggering_actor": "ann", "workflow": "W",
            "run_id": "99", "run_number": "7", "run_attempt": "1", "server_url": "https://github.com",
        });
        Self {
            title: format!("{name} {} {at} of {repository}", action.unwrap_or_default()),
            name: name.to_owned(),
            action: action.map(str::to_owned),
            git_ref,
            base,
            cron: String::new(),
            workflow: String::new(),
            github,
            inputs: Value::Null,
        }
    }
}

fn change(labels: &[&str], merged: bool) -> Value {
    let labels: Vec<_> = labels.iter().map(|name| json!({"name": name})).collect();
    json!({
        "number": 7,
        "label": labels.first(),
        "pull_request": {
            "number": 7, "title": "A change", "body": "", "draft": false, "merged": merged, "labels": labels, "state": "open",
            "user": {"login": "eve", "type": "User"}, "author_association": "CONTRIBUTOR",
            "head": {"ref": "topic", "sha": SHA, "repo": {"full_name": "eve/fork", "fork": true}},
            "base": {"ref": "main", "sha": SHA},
        },
    })
}

/// What somebody may have typed.
fn some_value(kind: &InputKind) -> Value {
    match kind {
        InputKind::Boolean => json!(true),
        InputKind::Number => json!(3),
        InputKind::Choice(options) => json!(options[0]),
        InputKind::String | InputKind::Environment => json!("x"),
    }
}

/// All that is tried with a workflow.
pub(crate) fn all(repository: &Repository, file: &str) -> Vec<Happening> {
    let mut found = Vec::new();
    let parsed = parse_admitting(file, &repository.files[file], Admit::Everything);
    let Some(workflow) = parsed.workflow else {
        panic!("{} {file}: {:?}", repository.name, parsed.diagnostics);
    };
    let on = &workflow.on;
    // The repository itself, and somebody's copy of it, where many jobs are not meant to run.
    for name in [repository.name.as_str(), "eve/fork"] {
        let mut add = |event: &str, action: Option<&str>, at: &str, more: Value| {
            found.push(Happening::new(event, action, at, name, more));
        };
        for at in ["main", "master", "release/1.0", "maint-27"] {
            add("push", None, &format!("refs/heads/{at}"), json!({"head_commit": {"message": "A change"}}));
        }
        add("push", None, "refs/tags/v1.2.3", json!({"created": true}));
        add("push", None, "refs/tags/1.2.3-rc.1", json!({"created": true}));
        for event in ["pull_request", "pull_request_target"] {
            add(event, Some("opened"), "main", change(&[], false));
            add(event, Some("synchronize"), "master", change(&["bug", "ci:full"], false));
            add(event, Some("labeled"), "main", change(&["run-extra-tests"], false));
            add(event, Some("closed"), "main", change(&[], true));
        }
        add(
            "release",
            Some("published"),
            "refs/tags/v1.2.3",
            json!({"release": {"tag_name": "v1.2.3", "prerelease": false}}),
        );
        add(
            "issues",
            Some("labeled"),
            "main",
            json!({"issue": {"number": 3, "labels": [{"name": "bug"}]}, "label": {"name": "bug"}}),
        );
        let comment = json!({"issue": {"number": 3, "pull_request": {}}, "comment": {"body": "/run tests", "author_association": "MEMBER"}});
        add("issue_comment", Some("created"), "main", comment);
        add("merge_group", Some("checks_requested"), "main", json!({}));
        add("repository_dispatch", Some("go"), "main", json!({"client_payload": {}}));
    }
    for scheduled in on.schedules() {
        for name in [repository.name.as_str(), "eve/fork"] {
            let cron = scheduled.cron.value.clone();
            let event = Happening::new("schedule", None, "main", name, json!({"schedule": cron}));
            found.push(Happening { cron, ..event });
        }
    }
    for name in on.workflow_run.iter().flat_map(|on| &on.workflows) {
        let run = json!({"name": name.value, "conclusion": "success", "event": "pull_request", "head_branch": "main"});
        let event = Happening::new(
            "workflow_run",
            Some("completed"),
            "main",
            &repository.name,
            json!({"workflow_run": run}),
        );
        found.push(Happening { workflow: name.value.clone(), ..event });
    }
    if let Some(inputs) = on.dispatch_inputs() {
        let given = inputs.iter().filter(|input| input.required && input.default.is_none());
        let given = given.map(|input| (input.name.value.clone(), some_value(&input.kind)));
        let checked = on.check_inputs(&given.collect()).unwrap();
        let inputs: serde_json::Map<String, Value> =
            checked.iter().map(|(name, value)| (name.clone(), value.to_json())).collect();
        let texts: serde_json::Map<String, Value> =
            checked.iter().map(|(name, value)| (name.clone(), json!(value.to_text()))).collect();
        for name in [repository.name.as_str(), "eve/fork"] {
            let event = Happening::new("workflow_dispatch", None, "main", name, json!({"inputs": texts}));
            found.push(Happening { inputs: Value::Object(inputs.clone()), ..event });
        }
    }
    found
}
