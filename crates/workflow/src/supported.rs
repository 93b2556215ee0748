//! What of the language Windlass runs, and what it refuses for now. The only list of that: what is taken out
//! here must be run by the rest of Windlass.

use crate::keys::Place;

/// The events that start runs.
pub const EVENTS: &[&str] = &[
    "create",
    "delete",
    "pull_request",
    "pull_request_target",
    "push",
    "repository_dispatch",
    "schedule",
    "workflow_call",
    "workflow_dispatch",
    "workflow_run",
];

/// The events that never happen here, and why. A workflow may name them: they start nothing, and a warning says so.
pub const INERT_EVENTS: &[(&str, &str)] = &[
    ("branch_protection_rule", "there are no rules for branches yet"),
    ("check_run", "there are no checks of other programs yet"),
    ("check_suite", "there are no checks of other programs yet"),
    ("deployment", "deployments start no workflows yet"),
    ("deployment_status", "deployments start no workflows yet"),
    ("discussion", "there are no discussions"),
    ("discussion_comment", "there are no discussions"),
    ("fork", "projects are not forked"),
    ("gollum", "there are no wikis"),
    ("image_version", "there are no images of runners"),
    ("issue_comment", "there are no issues"),
    ("issues", "there are no issues"),
    ("label", "there are no labels"),
    ("merge_group", "there are no merge queues"),
    ("milestone", "there are no milestones"),
    ("page_build", "there are no sites of projects"),
    ("public", "projects are not made public"),
    ("pull_request_review", "proposed changes are not reviewed here yet"),
    ("pull_request_review_comment", "proposed changes are not reviewed here yet"),
    ("registry_package", "the registry starts no workflows yet"),
    ("release", "releases here are made by deployments, and start no workflows yet"),
    ("status", "commits have no statuses of other programs yet"),
    ("watch", "projects have no stars"),
];

/// Why an event never happens here; `None` for one that does.
pub fn inert(event: &str) -> Option<&'static str> {
    INERT_EVENTS.iter().find(|(name, _)| *name == event).map(|(_, why)| *why)
}

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
    "actions/github-script",
    "docker/metadata-action",
    "docker/login-action",
    "docker/setup-buildx-action",
    "docker/setup-qemu-action",
    "docker/build-push-action",
    "github/codeql-action/upload-sarif",
    "codecov/codecov-action",
    "dtolnay/rust-toolchain",
    "actions-rs/toolchain",
    "actions-rust-lang/setup-rust-toolchain",
    "swatinem/rust-cache",
    "windlass/build",
    "windlass/deploy",
    "windlass/report",
];

/// The keys that are refused for now, and what they would ask for.
pub const KEYS_NOT_YET: &[(Place, &str, &str)] = &[(
    Place::Job,
    "snapshot",
    "an image made of the machine that the job ran on: jobs here run in a sandbox on the runner's machine, which has no image of \
         its own; build one with a Dockerfile, and name it as the job's 'container'",
)];

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
pub const FORMS_NOT_YET: &[(Form, &str, &str)] = &[];

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
            assert_ne!(EVENTS.contains(&row.name), inert(row.name).is_some(), "{}", row.name);
        }
        assert_eq!(EVENTS.len() + INERT_EVENTS.len(), crate::events::EVENTS.len());
    }

    #[test]
    fn actions_are_in_lower_case() {
        for action in ACTIONS {
            assert_eq!(*action, action.to_lowercase());
        }
    }
}
