//! What starts a workflow: `on`, and whether an event does.

mod called;
mod event;
mod input;
mod skip;

use jiff::tz::TimeZone;
use windlass_kernel::Timestamp;

use crate::diagnostic::Span;
use crate::glob::Filter;
use crate::model::Spanned;

pub use called::{CallInput, CallInputKind, CallOutput, CallSecret, Called};
pub use event::{Activity, RepositoryDispatch, TriggerEvent, WorkflowRun};
pub use input::{Input, InputKind, MAX_INPUTS};
pub use skip::skip_instruction;

/// `on`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Triggers {
    /// `push`
    pub push: Option<Push>,
    /// `pull_request`
    pub pull_request: Option<PullRequest>,
    /// `pull_request_target`
    pub pull_request_target: Option<PullRequest>,
    /// `workflow_call`
    pub call: Option<Called>,
    /// `workflow_run`
    pub workflow_run: Option<WorkflowRun>,
    /// `repository_dispatch`
    pub repository_dispatch: Option<RepositoryDispatch>,
    /// All other events, in the file's order.
    pub activities: Vec<Activity>,
    /// `workflow_dispatch`
    pub dispatch: Option<Dispatch>,
    /// `schedule`, in the file's order.
    pub schedule: Vec<Scheduled>,
}

/// `on.push`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Push {
    /// `branches` or `branches-ignore`
    pub branches: Option<NameFilter>,
    /// `tags` or `tags-ignore`
    pub tags: Option<NameFilter>,
    /// `paths` or `paths-ignore`
    pub paths: Option<NameFilter>,
    /// Where it stands.
    pub span: Span,
}

/// `on.pull_request`, `on.pull_request_target`
#[derive(Clone, Debug, PartialEq)]
pub struct PullRequest {
    /// `types`: what happened to it.
    pub types: Vec<String>,
    /// `branches` or `branches-ignore`, of the branch that it is to be merged into.
    pub branches: Option<NameFilter>,
    /// `paths` or `paths-ignore`
    pub paths: Option<NameFilter>,
    /// Where it stands.
    pub span: Span,
}

/// `on.workflow_dispatch`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dispatch {
    /// `inputs`, in the file's order.
    pub inputs: Vec<Input>,
    /// Where it stands.
    pub span: Span,
}

/// An item of `on.schedule`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// `cron`, as written: `github.event.schedule`.
    pub cron: Spanned<String>,
    /// When it is due, by the clock of `zone`.
    pub schedule: crate::cron::Schedule,
    /// `timezone`; UTC when absent.
    pub zone: TimeZone,
}

impl Scheduled {
    /// When it is due next after a time; `None` when it never is.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedule.next_after(after, &self.zone)
    }
}

/// A filter of names or paths.
#[derive(Clone, Debug, PartialEq)]
pub enum NameFilter {
    /// `branches`, `tags`, `paths`: those that match.
    Only(Filter),
    /// `branches-ignore`, …: all but those that match.
    Except(Filter),
}

impl NameFilter {
    /// Whether a name passes.
    pub fn passes(&self, name: &str) -> bool {
        match self {
            Self::Only(filter) => filter.matches(name),
            Self::Except(filter) => !filter.matches(name),
        }
    }
}

/// Whether an event starts a workflow, and why (not).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it runs.
    pub run: bool,
    /// Why, for a person.
    pub reason: String,
}

impl Decision {
    fn yes(reason: impl Into<String>) -> Self {
        Self { run: true, reason: reason.into() }
    }

    fn no(reason: impl Into<String>) -> Self {
        Self { run: false, reason: reason.into() }
    }
}

impl Triggers {
    /// Whether `push` heeds which files changed: else nobody needs to know.
    pub fn push_heeds_paths(&self) -> bool {
        self.push.as_ref().is_some_and(|push| push.paths.is_some())
    }

    /// Whether an event starts the workflow.
    pub fn decide(&self, event: &TriggerEvent<'_>) -> Decision {
        match *event {
            TriggerEvent::Push { git_ref, deleted, changed_files, head_commit_message } => match &self.push {
                None => Decision::no("the workflow does not run on push"),
                Some(_) if deleted => Decision::no(format!("{git_ref} was deleted")),
                Some(push) => {
                    skipped(head_commit_message).unwrap_or_else(|| push.decide(git_ref, changed_files))
                }
            },
            TriggerEvent::PullRequest { action, base_branch, changed_files, head_commit_message } => {
                match &self.pull_request {
                    None => Decision::no("the workflow does not run on pull_request"),
                    Some(request) => skipped(head_commit_message)
                        .unwrap_or_else(|| request.decide(action, base_branch, changed_files)),
                }
            }
            TriggerEvent::PullRequestTarget { action, base_branch, changed_files } => {
                match &self.pull_request_target {
                    None => Decision::no("the workflow does not run on pull_request_target"),
                    Some(request) => request.decide(action, base_branch, changed_files),
                }
            }
            TriggerEvent::WorkflowRun { workflow, action, head_branch } => match &self.workflow_run {
                None => Decision::no("the workflow does not run on workflow_run"),
                Some(run) => run.decide(workflow, action, head_branch),
            },
            TriggerEvent::RepositoryDispatch { event_type } => match &self.repository_dispatch {
                None => Decision::no("the workflow does not run on repository_dispatch"),
                Some(dispatch) => dispatch.decide(event_type),
            },
            TriggerEvent::Activity { event, action, branch } => {
                match self.activities.iter().find(|activity| activity.event == event) {
                    None => Decision::no(format!("the workflow does not run on {event}")),
                    Some(activity) => activity.decide(action, branch),
                }
            }
            TriggerEvent::Dispatch if self.dispatch.is_some() => Decision::yes("started by hand"),
            TriggerEvent::Dispatch => {
                Decision::no("the workflow cannot be started by hand: it has no 'workflow_dispatch' in 'on'")
            }
            TriggerEvent::Schedule { cron } => {
                if self.schedule.iter().any(|scheduled| scheduled.cron.value == cron) {
                    Decision::yes(format!("the schedule '{cron}' is due"))
                } else {
                    Decision::no(format!("the workflow has no schedule '{cron}'"))
                }
            }
        }
    }

    /// When it runs by itself.
    pub fn schedules(&self) -> &[Scheduled] {
        &self.schedule
    }

    /// The inputs of a start by hand; `None` when it cannot be started by hand.
    pub fn dispatch_inputs(&self) -> Option<&[Input]> {
        self.dispatch.as_ref().map(|dispatch| dispatch.inputs.as_slice())
    }

    /// The names of the events that start it.
    pub fn names(&self) -> Vec<&'static str> {
        let own = [
            ("push", self.push.is_some()),
            ("pull_request", self.pull_request.is_some()),
            ("pull_request_target", self.pull_request_target.is_some()),
            ("workflow_dispatch", self.dispatch.is_some()),
            ("schedule", !self.schedule.is_empty()),
            ("workflow_call", self.call.is_some()),
            ("workflow_run", self.workflow_run.is_some()),
            ("repository_dispatch", self.repository_dispatch.is_some()),
        ];
        let own = own.into_iter().filter_map(|(name, there)| there.then_some(name));
        own.chain(self.activities.iter().map(|activity| activity.event)).collect()
    }
}

fn skipped(message: &str) -> Option<Decision> {
    let instruction = skip_instruction(message)?;
    Some(Decision::no(format!("the head commit's message holds '{instruction}'")))
}

impl Push {
    fn decide(&self, git_ref: &str, changed_files: Option<&[String]>) -> Decision {
        let (what, name, own, other) = if let Some(tag) = git_ref.strip_prefix("refs/tags/") {
            ("tag", tag, &self.tags, &self.branches)
        } else if let Some(branch) = git_ref.strip_prefix("refs/heads/") {
            ("branch", branch, &self.branches, &self.tags)
        } else {
            return Decision::no(format!("{git_ref} is neither a branch nor a tag"));
        };
        match own {
            Some(filter) if !filter.passes(name) => {
                return Decision::no(format!("the {what} '{name}' does not pass the filter"));
            }
            // Naming only the one kind leaves out the other.
            None if other.is_some() => {
                return Decision::no(format!(
                    "only the other kind of ref is named, and '{name}' is a {what}"
                ));
            }
            _ => {}
        }
        if what == "tag" {
            return Decision::yes(format!("push of the tag '{name}'"));
        }
        by_paths(self.paths.as_ref(), changed_files)
            .unwrap_or_else(|| Decision::yes(format!("push to the branch '{name}'")))
    }
}

impl PullRequest {
    fn decide(&self, action: &str, base: &str, changed_files: Option<&[String]>) -> Decision {
        if !self.types.iter().any(|wanted| wanted == action) {
            return Decision::no(format!("the workflow does not run when a pull request is {action}"));
        }
        if self.branches.as_ref().is_some_and(|filter| !filter.passes(base)) {
            return Decision::no(format!("the branch '{base}' does not pass the filter"));
        }
        by_paths(self.paths.as_ref(), changed_files)
            .unwrap_or_else(|| Decision::yes(format!("pull request to '{base}': {action}")))
    }
}

/// A refusal by the filter of paths.
fn by_paths(filter: Option<&NameFilter>, changed: Option<&[String]>) -> Option<Decision> {
    let (filter, changed) = (filter?, changed?);
    // For `paths` some file must match; for `paths-ignore` some file must not. Both are: some file passes.
    if changed.iter().any(|path| filter.passes(path)) {
        return None;
    }
    Some(Decision::no(match filter {
        NameFilter::Only(_) => "no changed file matches 'paths'",
        NameFilter::Except(_) => "every changed file matches 'paths-ignore'",
    }))
}

#[cfg(test)]
mod tests;
