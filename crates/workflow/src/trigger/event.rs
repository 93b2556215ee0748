//! What happened, and the triggers that heed what has no rules of its own.

use super::{Decision, NameFilter};
use crate::diagnostic::Span;
use crate::model::Spanned;

/// Something that happened. Those with `changed_files` know none (`None`) when the list could not be made: then
/// filters by path pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerEvent<'a> {
    /// A branch or tag moved.
    Push {
        /// The full ref, such as `refs/heads/main`.
        git_ref: &'a str,
        /// Whether it is gone.
        deleted: bool,
        /// The paths that changed between before and after.
        changed_files: Option<&'a [String]>,
        /// The message of the commit at its tip.
        head_commit_message: &'a str,
    },
    /// Something happened to a change that is proposed for a branch.
    PullRequest {
        /// What, such as `opened`.
        action: &'a str,
        /// The branch that it is to be merged into, such as `main`.
        base_branch: &'a str,
        /// The paths that it changes.
        changed_files: Option<&'a [String]>,
        /// The message of the commit at its tip.
        head_commit_message: &'a str,
    },
    /// The same, for workflows of the default branch.
    PullRequestTarget {
        /// What, such as `opened`.
        action: &'a str,
        /// The branch that it is to be merged into, such as `main`.
        base_branch: &'a str,
        /// The paths that it changes.
        changed_files: Option<&'a [String]>,
    },
    /// Someone started it by hand.
    Dispatch,
    /// A time has come.
    Schedule {
        /// The `cron` text whose time it is.
        cron: &'a str,
    },
    /// A run of another workflow was requested, began or ended.
    WorkflowRun {
        /// The other workflow's name.
        workflow: &'a str,
        /// `requested`, `in_progress` or `completed`.
        action: &'a str,
        /// The branch that the other run is of.
        head_branch: &'a str,
    },
    /// Someone sent an event of their own.
    RepositoryDispatch {
        /// Its type, as the sender names it.
        event_type: &'a str,
    },
    /// Any other event.
    Activity {
        /// Its name, such as `release`.
        event: &'a str,
        /// What happened, such as `published`; `None` for events without types.
        action: Option<&'a str>,
        /// The branch that it is about, where there is one.
        branch: Option<&'a str>,
    },
}

/// `on.workflow_run`
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowRun {
    /// `workflows`: the names of other workflows; never empty.
    pub workflows: Vec<Spanned<String>>,
    /// `types`
    pub types: Vec<String>,
    /// `branches` or `branches-ignore`, of the other run.
    pub branches: Option<NameFilter>,
    /// Where it stands.
    pub span: Span,
}

/// `on.repository_dispatch`
#[derive(Clone, Debug, PartialEq)]
pub struct RepositoryDispatch {
    /// `types`; empty means all.
    pub types: Vec<String>,
    /// Where it stands.
    pub span: Span,
}

/// Any other event.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// Its name.
    pub event: &'static str,
    /// `types`; empty for events without any.
    pub types: Vec<String>,
    /// `branches` or `branches-ignore`
    pub branches: Option<NameFilter>,
    /// `names`, of `image_version`.
    pub names: Option<NameFilter>,
    /// `versions`, of `image_version`.
    pub versions: Option<NameFilter>,
    /// Where it stands.
    pub span: Span,
}

impl WorkflowRun {
    pub(super) fn decide(&self, workflow: &str, action: &str, head: &str) -> Decision {
        if !self.workflows.iter().any(|name| name.value == workflow) {
            return Decision::no(format!("the workflow '{workflow}' is not one that it waits for"));
        }
        if !self.types.iter().any(|wanted| wanted == action) {
            return Decision::no(format!("the workflow does not run when another's run is {action}"));
        }
        if self.branches.as_ref().is_some_and(|filter| !filter.passes(head)) {
            return Decision::no(format!("the branch '{head}' does not pass the filter"));
        }
        Decision::yes(format!("the run of '{workflow}' is {action}"))
    }
}

impl RepositoryDispatch {
    pub(super) fn decide(&self, event_type: &str) -> Decision {
        if self.types.is_empty() || self.types.iter().any(|wanted| wanted == event_type) {
            return Decision::yes(format!("the event '{event_type}' was sent"));
        }
        Decision::no(format!("the workflow does not run on the event '{event_type}'"))
    }
}

impl Activity {
    pub(super) fn decide(&self, action: Option<&str>, branch: Option<&str>) -> Decision {
        let event = self.event;
        if let Some(action) = action
            && !self.types.is_empty()
            && !self.types.iter().any(|wanted| wanted == action)
        {
            return Decision::no(format!("the workflow does not run on {event} when it is {action}"));
        }
        if let (Some(filter), Some(branch)) = (&self.branches, branch)
            && !filter.passes(branch)
        {
            return Decision::no(format!("the branch '{branch}' does not pass the filter"));
        }
        Decision::yes(match action {
            Some(action) => format!("{event}: {action}"),
            None => event.to_owned(),
        })
    }
}
