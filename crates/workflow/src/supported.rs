//! What of the language Windlass runs, and what it refuses for now. The only list of that: what is taken out
//! here must be run by the rest of Windlass.

use crate::keys::Place;

/// The events that start runs.
pub const EVENTS: &[&str] = &["push", "pull_request", "workflow_dispatch", "schedule", "workflow_call"];

/// The events of the language that do not start runs yet.
pub const EVENTS_NOT_YET: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "image_version",
    "issue_comment",
    "issues",
    "label",
    "merge_group",
    "milestone",
    "page_build",
    "public",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_target",
    "registry_package",
    "release",
    "repository_dispatch",
    "status",
    "watch",
    "workflow_run",
];

/// The actions that are built in, in lower case; all other remote actions are refused for now.
pub const ACTIONS: &[&str] = &[
    "actions/checkout",
    "actions/upload-artifact",
    "actions/download-artifact",
    "actions/cache",
    "actions/cache/restore",
    "actions/cache/save",
    "actions/setup-node",
    "actions/setup-python",
    "actions/setup-go",
    "actions/setup-java",
    "actions/setup-dotnet",
    "dtolnay/rust-toolchain",
    "actions-rs/toolchain",
    "actions-rust-lang/setup-rust-toolchain",
    "swatinem/rust-cache",
    "windlass/build",
    "windlass/deploy",
];

/// The keys that are refused for now, and what they would ask for.
pub const KEYS_NOT_YET: &[(Place, &str, &str)] = &[
    (Place::Workflow, "cache-mode", "cache access modes"),
    (Place::Job, "container", "jobs in a container"),
    (Place::Job, "services", "service containers"),
    (Place::Job, "snapshot", "snapshots of the runner's image"),
    (Place::Job, "cache-mode", "cache access modes"),
    (Place::Environment, "deployment", "environments without a deployment record"),
];

/// A form of the language that no single key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `uses: docker://IMAGE`
    DockerAction,
    /// `uses: $/PATH`
    OwnAction,
    /// `uses: OWNER/REPO@REF` of an action that is not built in.
    RemoteAction,
    /// An expression as a key.
    ComputedKey,
    /// One expression for the whole of `strategy` or `defaults.run`.
    WholeMapping,
}

/// Forms that are refused for now, wherever they stand: taking a row out lets the parser take the form.
pub const FORMS_NOT_YET: &[(Form, &str, &str)] = &[
    (Form::DockerAction, "uses: docker://IMAGE", "Docker actions"),
    (Form::ComputedKey, "${{ EXPRESSION }}: …", "expressions as keys"),
    (
        Form::WholeMapping,
        "strategy: ${{ EXPRESSION }}, defaults.run: ${{ EXPRESSION }}",
        "the whole of it as one expression",
    ),
];

/// What a reading of a file admits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admit {
    /// What Windlass runs; all else is refused. What every run uses.
    #[default]
    Supported,
    /// The whole language.
    Everything,
}

/// What a form that is refused for now would ask for; `None` for one that works.
pub fn form_not_yet(form: Form) -> Option<&'static str> {
    FORMS_NOT_YET.iter().find(|(row, ..)| *row == form).map(|(.., meaning)| *meaning)
}

/// The sentence that refuses something of the language.
pub fn refusal(what: &str, meaning: &str) -> String {
    format!("{what} is not supported yet ({meaning})")
}

/// What a key that is refused for now would ask for; `None` for one that works.
pub fn key_not_yet(place: Place, name: &str) -> Option<&'static str> {
    let found = KEYS_NOT_YET.iter().find(|(at, key, _)| *at == place && *key == name);
    found.map(|(_, _, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_key_is_one_of_the_language() {
        for (place, name, _) in KEYS_NOT_YET {
            assert!(crate::keys::key(*place, name).is_some(), "{} {name}", place.path());
        }
    }

    #[test]
    fn every_event_is_in_exactly_one_list() {
        for row in crate::events::EVENTS {
            let lists = [EVENTS, EVENTS_NOT_YET];
            let found = lists.iter().filter(|list| list.contains(&row.name)).count();
            assert_eq!(found, 1, "{}", row.name);
        }
        assert_eq!(EVENTS.len() + EVENTS_NOT_YET.len(), crate::events::EVENTS.len());
    }

    #[test]
    fn actions_are_in_lower_case() {
        for action in ACTIONS {
            assert_eq!(*action, action.to_lowercase());
        }
    }
}
