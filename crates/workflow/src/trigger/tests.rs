use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::expr::Value;

fn triggers(on: &str) -> Triggers {
    let text = format!("on:\n{on}\njobs: {{a: {{runs-on: x, steps: [{{run: x}}]}}}}\n");
    let parsed = crate::parse("w.yml", &text);
    let shown: Vec<String> = parsed.diagnostics.iter().map(|found| found.one_line("w.yml")).collect();
    parsed.workflow.unwrap_or_else(|| panic!("{text}\n{shown:#?}")).on
}

fn push<'a>(git_ref: &'a str, files: Option<&'a [String]>) -> TriggerEvent<'a> {
    TriggerEvent::Push { git_ref, deleted: false, changed_files: files, head_commit_message: "Fix" }
}

#[test]
fn refs() {
    let both = "  push: {branches: [main, 'rel/**', '!rel/old'], tags: ['v*']}";
    for (on, git_ref, wanted) in [
        ("  push:", "refs/heads/x", true),
        ("  push:", "refs/tags/x", true),
        ("  push:", "refs/notes/x", false),
        ("  push: {branches: [main]}", "refs/heads/main", true),
        ("  push: {branches: [main]}", "refs/heads/Main", false),
        ("  push: {branches: [main]}", "refs/tags/main", false),
        ("  push: {tags: ['v*']}", "refs/heads/main", false),
        ("  push: {tags: ['v*']}", "refs/tags/v1", true),
        ("  push: {branches-ignore: [main]}", "refs/heads/main", false),
        ("  push: {branches-ignore: [main]}", "refs/heads/x", true),
        ("  push: {branches-ignore: [main]}", "refs/tags/x", false),
        ("  push: {tags-ignore: ['v*']}", "refs/tags/v1", false),
        ("  push: {tags-ignore: ['v*']}", "refs/tags/x", true),
        (both, "refs/heads/rel/a/b", true),
        (both, "refs/heads/rel/old", false),
        (both, "refs/tags/v2", true),
        (both, "refs/tags/w2", false),
        ("  pull_request:", "refs/heads/main", false),
        ("  push: {branches: main}", "refs/heads/main", true),
    ] {
        let decision = triggers(on).decide(&push(git_ref, None));
        assert_eq!(decision.run, wanted, "{on} {git_ref}: {}", decision.reason);
    }
}

#[test]
fn paths() {
    let files = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let docs = files(&["docs/a.md", "docs/b/c.md"]);
    let mixed = files(&["docs/a.md", "src/lib.rs"]);
    let none = files(&[]);
    let only = "  push: {paths: ['src/**']}";
    let except = "  push: {paths-ignore: ['docs/**']}";
    for (on, changed, git_ref, wanted) in [
        (only, Some(&docs), "refs/heads/m", false),
        (only, Some(&mixed), "refs/heads/m", true),
        (only, None, "refs/heads/m", true),
        (only, Some(&none), "refs/heads/m", false),
        (only, Some(&docs), "refs/tags/v1", true),
        (except, Some(&docs), "refs/heads/m", false),
        (except, Some(&mixed), "refs/heads/m", true),
        ("  push: {paths: ['**', '!docs/**']}", Some(&docs), "refs/heads/m", false),
        ("  push: {paths: ['**', '!docs/**']}", Some(&mixed), "refs/heads/m", true),
        ("  push: {branches: [x], paths: ['**']}", Some(&mixed), "refs/heads/m", false),
    ] {
        let decision = triggers(on).decide(&push(git_ref, changed.map(Vec::as_slice)));
        assert_eq!(decision.run, wanted, "{on} {changed:?}: {}", decision.reason);
        assert!(triggers(on).push_heeds_paths(), "{on}");
    }
    assert!(!triggers("  push: {branches: [x]}\n  pull_request: {paths: [x]}").push_heeds_paths());
}

#[test]
fn pull_requests() {
    let event = |action, base_branch| TriggerEvent::PullRequest {
        action,
        base_branch,
        changed_files: None,
        head_commit_message: "Fix",
    };
    for (on, action, base, wanted) in [
        ("  pull_request:", "opened", "main", true),
        ("  pull_request:", "synchronize", "main", true),
        ("  pull_request:", "closed", "main", false),
        ("  pull_request: {types: [closed]}", "closed", "main", true),
        ("  pull_request: {types: [closed]}", "opened", "main", false),
        ("  pull_request: {branches: ['rel/*']}", "opened", "main", false),
        ("  pull_request: {branches: ['rel/*']}", "opened", "rel/1", true),
        ("  push:", "opened", "main", false),
    ] {
        let decision = triggers(on).decide(&event(action, base));
        assert_eq!(decision.run, wanted, "{on} {action} {base}: {}", decision.reason);
    }
}

#[test]
fn what_skips() {
    let on = triggers("  push:\n  pull_request:\n  workflow_dispatch:");
    let skipping = TriggerEvent::Push {
        git_ref: "refs/heads/m",
        deleted: false,
        changed_files: None,
        head_commit_message: "Fix [skip ci]",
    };
    assert_eq!(on.decide(&skipping), Decision::no("the head commit's message holds '[skip ci]'"));
    let deleted = TriggerEvent::Push {
        git_ref: "refs/heads/m",
        deleted: true,
        changed_files: None,
        head_commit_message: "",
    };
    assert!(!on.decide(&deleted).run);
    assert!(on.decide(&TriggerEvent::Dispatch).run);
    assert!(!triggers("  push:").decide(&TriggerEvent::Dispatch).run);
}

#[test]
fn schedules() {
    let on = triggers("  schedule:\n    - cron: '0 3 * * 1'\n    - {cron: '5 4 * * *', timezone: UTC}");
    assert_eq!(on.schedules().len(), 2);
    assert!(on.decide(&TriggerEvent::Schedule { cron: "5 4 * * *" }).run);
    assert!(!on.decide(&TriggerEvent::Schedule { cron: "5 4 * * 1" }).run);
    assert_eq!(on.names(), ["schedule"]);
}

const INPUTS: &str = "  workflow_dispatch:
    inputs:
      Level: {type: choice, options: [low, high], default: high}
      dry: {type: boolean, default: false}
      count: {type: number, required: true}
      note: {description: what for}
      where: {type: environment}
";

fn given(pairs: serde_json::Value) -> BTreeMap<String, serde_json::Value> {
    serde_json::from_value(pairs).expect("an object")
}

#[test]
fn inputs_are_typed() {
    let on = triggers(INPUTS);
    let values = on.check_inputs(&given(json!({"count": "3", "DRY": "true", "note": 5}))).unwrap();
    assert_eq!(values["Level"], Value::from("high"));
    assert_eq!(values["dry"], Value::Bool(true));
    assert_eq!(values["count"], Value::Number(3.0));
    assert_eq!(values["note"], Value::from("5"));
    assert_eq!(values["where"], Value::from(""));
}

#[test]
fn wrong_inputs_are_all_told() {
    let on = triggers(INPUTS);
    let wrong =
        on.check_inputs(&given(json!({"level": "mid", "dry": "yes", "nte": "x", "where": []}))).unwrap_err();
    assert_eq!(
        wrong,
        [
            "the workflow has no input 'nte'; did you mean 'note'?",
            "the input 'Level' must be one of low, high, not 'mid'",
            "the input 'dry' must be true or false, not 'yes'",
            "the input 'count' is required",
            "the input 'where' must be a text, a number or a boolean",
        ]
    );
    assert!(triggers("  push:").check_inputs(&BTreeMap::new()).is_err());
}
