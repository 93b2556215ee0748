//! The one table of the language's events: what can happen of each, and which filters may stand behind it. The
//! parser is driven by it, and the reference and the schema are made from it; which of them start runs is said in
//! [`crate::supported`].

/// An event of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its name behind `on`.
    pub name: &'static str,
    /// What can happen (`types`); empty for events without types, and for those whose types are free.
    pub types: &'static [&'static str],
    /// The types when none are named; empty means all.
    pub default_types: &'static [&'static str],
    /// The other keys that may stand in it.
    pub filters: &'static [&'static str],
}

impl EventRow {
    /// The types when none are named.
    pub fn defaults(&self) -> &'static [&'static str] {
        if self.default_types.is_empty() { self.types } else { self.default_types }
    }
}

/// An event by its name.
pub fn event(name: &str) -> Option<&'static EventRow> {
    EVENTS.iter().find(|row| row.name == name)
}

const fn row(name: &'static str, types: &'static [&'static str]) -> EventRow {
    EventRow { name, types, default_types: &[], filters: &[] }
}

const COMMENT: &[&str] = &["created", "edited", "deleted"];
/// What happens to a pull request unless types are named.
pub const PULL_REQUEST_DEFAULTS: &[&str] = &["opened", "synchronize", "reopened"];
const PULL_REQUEST: &[&str] = &[
    "opened",
    "synchronize",
    "reopened",
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "edited",
    "closed",
    "converted_to_draft",
    "ready_for_review",
    "locked",
    "unlocked",
    "milestoned",
    "demilestoned",
    "review_requested",
    "review_request_removed",
    "auto_merge_enabled",
    "auto_merge_disabled",
    "enqueued",
    "dequeued",
    "stacked",
];
const ISSUES: &[&str] = &[
    "opened",
    "edited",
    "deleted",
    "transferred",
    "pinned",
    "unpinned",
    "closed",
    "reopened",
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "locked",
    "unlocked",
    "milestoned",
    "demilestoned",
    "typed",
    "untyped",
    "field_added",
    "field_removed",
];
const DISCUSSION: &[&str] = &[
    "created",
    "edited",
    "deleted",
    "transferred",
    "pinned",
    "unpinned",
    "labeled",
    "unlabeled",
    "locked",
    "unlocked",
    "category_changed",
    "answered",
    "unanswered",
];
const BRANCHES: &[&str] = &["branches", "branches-ignore"];
const BRANCHES_AND_PATHS: &[&str] = &["branches", "branches-ignore", "paths", "paths-ignore"];

/// All events, by name.
pub const EVENTS: &[EventRow] = &[
    row("branch_protection_rule", COMMENT),
    row("check_run", &["created", "rerequested", "completed", "requested_action"]),
    row("check_suite", &["completed"]),
    row("create", &[]),
    row("delete", &[]),
    row("deployment", &[]),
    row("deployment_status", &[]),
    row("discussion", DISCUSSION),
    row("discussion_comment", COMMENT),
    row("fork", &[]),
    row("gollum", &[]),
    EventRow { filters: &["names", "versions"], ..row("image_version", &["created", "ready", "deleted"]) },
    row("issue_comment", COMMENT),
    row("issues", ISSUES),
    row("label", COMMENT),
    EventRow { filters: BRANCHES, ..row("merge_group", &["checks_requested"]) },
    row("milestone", &["created", "closed", "opened", "edited", "deleted"]),
    row("page_build", &[]),
    row("public", &[]),
    EventRow {
        default_types: PULL_REQUEST_DEFAULTS,
        filters: BRANCHES_AND_PATHS,
        ..row("pull_request", PULL_REQUEST)
    },
    EventRow { filters: BRANCHES, ..row("pull_request_review", &["submitted", "edited", "dismissed"]) },
    EventRow { filters: BRANCHES, ..row("pull_request_review_comment", COMMENT) },
    EventRow {
        default_types: PULL_REQUEST_DEFAULTS,
        filters: BRANCHES_AND_PATHS,
        ..row("pull_request_target", PULL_REQUEST)
    },
    EventRow {
        filters: &["branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore"],
        ..row("push", &[])
    },
    row("registry_package", &["published", "updated"]),
    row("release", &["published", "unpublished", "created", "edited", "deleted", "prereleased", "released"]),
    EventRow { filters: &["types"], ..row("repository_dispatch", &[]) },
    row("schedule", &[]),
    row("status", &[]),
    row("watch", &["started"]),
    EventRow { filters: &["inputs", "outputs", "secrets"], ..row("workflow_call", &[]) },
    EventRow { filters: &["inputs"], ..row("workflow_dispatch", &[]) },
    EventRow {
        filters: &["workflows", "branches", "branches-ignore"],
        ..row("workflow_run", &["requested", "in_progress", "completed"])
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_stand_in_order_and_once_and_defaults_are_types() {
        assert!(EVENTS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for row in EVENTS {
            assert!(row.default_types.iter().all(|name| row.types.contains(name)), "{}", row.name);
        }
        assert_eq!(event("release").map(|row| row.defaults().len()), Some(7));
        assert_eq!(event("pull_request").map(EventRow::defaults), Some(PULL_REQUEST_DEFAULTS));
    }
}
