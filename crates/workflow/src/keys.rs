//! The one table of the language's keys: where each stands, what it may be, which contexts its expressions
//! may name. The parser is driven by it, and the reference is made from it; what of it Windlass does not run yet
//! is listed in [`crate::supported`].

pub mod schema;
mod table;

pub use table::KEYS;

use crate::availability::Availability;
use crate::yaml::Value;

/// A mapping of the file that has fixed keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The workflow file itself.
    Workflow,
    /// `on` as a mapping (the events are not in this table).
    Push,
    /// `on.pull_request`
    PullRequest,
    /// `on.workflow_run`
    WorkflowRun,
    /// `on.repository_dispatch`
    RepositoryDispatch,
    /// `on.workflow_call`
    Called,
    /// `on.workflow_call.inputs.<id>`
    CallInput,
    /// `on.workflow_call.outputs.<id>`
    CallOutput,
    /// `on.workflow_call.secrets.<id>`
    CallSecret,
    /// Any other event behind `on`; which of the keys it has stands in [`crate::events`].
    Activity,
    /// `on.workflow_dispatch`
    Dispatch,
    /// `on.workflow_dispatch.inputs.<id>`
    DispatchInput,
    /// An item of `on.schedule`.
    Schedule,
    /// `defaults`, of the workflow.
    Defaults,
    /// `defaults.run`, of the workflow.
    RunDefaults,
    /// `concurrency`, of the workflow.
    Concurrency,
    /// `jobs.<id>`
    Job,
    /// `jobs.<id>.defaults`
    JobDefaults,
    /// `jobs.<id>.defaults.run`
    JobRunDefaults,
    /// `jobs.<id>.concurrency`
    JobConcurrency,
    /// `jobs.<id>.runs-on`
    RunsOn,
    /// `jobs.<id>.strategy`
    Strategy,
    /// `jobs.<id>.environment`
    Environment,
    /// `jobs.<id>.container`
    Container,
    /// `jobs.<id>.services.<id>`
    Service,
    /// `credentials` of a container or service.
    Credentials,
    /// `jobs.<id>.snapshot`
    Snapshot,
    /// An item of `jobs.<id>.steps`.
    Step,
    /// An action's metadata file itself.
    Action,
    /// `inputs.<id>` of an action.
    ActionInput,
    /// `outputs.<id>` of an action.
    ActionOutput,
    /// `runs` of a composite action.
    CompositeRuns,
    /// `runs` of a JavaScript action.
    NodeRuns,
    /// `runs` of a Docker action.
    DockerRuns,
    /// An item of `runs.steps` of a composite action.
    CompositeStep,
}

impl Place {
    /// The way to it, as the reference writes it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Workflow => "(workflow)",
            Self::Push => "on.push",
            Self::PullRequest => "on.pull_request",
            Self::WorkflowRun => "on.workflow_run",
            Self::RepositoryDispatch => "on.repository_dispatch",
            Self::Called => "on.workflow_call",
            Self::CallInput => "on.workflow_call.inputs.<id>",
            Self::CallOutput => "on.workflow_call.outputs.<id>",
            Self::CallSecret => "on.workflow_call.secrets.<id>",
            Self::Activity => "on.<event>",
            Self::Dispatch => "on.workflow_dispatch",
            Self::DispatchInput => "on.workflow_dispatch.inputs.<id>",
            Self::Schedule => "on.schedule[*]",
            Self::Defaults => "defaults",
            Self::RunDefaults => "defaults.run",
            Self::Concurrency => "concurrency",
            Self::Job => "jobs.<id>",
            Self::JobDefaults => "jobs.<id>.defaults",
            Self::JobRunDefaults => "jobs.<id>.defaults.run",
            Self::JobConcurrency => "jobs.<id>.concurrency",
            Self::RunsOn => "jobs.<id>.runs-on",
            Self::Strategy => "jobs.<id>.strategy",
            Self::Environment => "jobs.<id>.environment",
            Self::Container => "jobs.<id>.container",
            Self::Service => "jobs.<id>.services.<id>",
            Self::Credentials => "jobs.<id>.container.credentials",
            Self::Snapshot => "jobs.<id>.snapshot",
            Self::Step => "jobs.<id>.steps[*]",
            Self::Action => "(action)",
            Self::ActionInput => "inputs.<id>",
            Self::ActionOutput => "outputs.<id>",
            Self::CompositeRuns => "runs (composite)",
            Self::NodeRuns => "runs (JavaScript)",
            Self::DockerRuns => "runs (Docker)",
            Self::CompositeStep => "runs.steps[*]",
        }
    }
}

/// What a key's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A string; other scalars become one.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// An expression, with or without `${{ }}`.
    Condition,
    /// Any scalar.
    Scalar,
    /// A list.
    List,
    /// A string, or a list of strings.
    TextOrList,
    /// A mapping.
    Mapping,
    /// A string or a mapping.
    TextOrMapping,
    /// A string, a list or a mapping.
    TextListOrMapping,
    /// Nothing, or a mapping.
    OptionalMapping,
    /// Whatever.
    Anything,
}

impl Kind {
    /// What it may be, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Condition => "condition",
            Self::Scalar => "scalar",
            Self::List => "list",
            Self::TextOrList => "string or list",
            Self::Mapping => "mapping",
            Self::TextOrMapping => "string or mapping",
            Self::TextListOrMapping => "string, list or mapping",
            Self::OptionalMapping => "mapping or nothing",
            Self::Anything => "anything",
        }
    }

    const fn takes_list(self) -> bool {
        matches!(self, Self::List | Self::TextOrList | Self::TextListOrMapping | Self::Anything)
    }

    const fn takes_mapping(self) -> bool {
        matches!(
            self,
            Self::Mapping
                | Self::TextOrMapping
                | Self::TextListOrMapping
                | Self::OptionalMapping
                | Self::Anything
        )
    }

    const fn takes_scalar(self) -> bool {
        !matches!(self, Self::List | Self::Mapping | Self::OptionalMapping)
    }

    /// What is wrong with a value's shape, in the language's own words; `None` when it fits.
    pub(crate) fn misfit(self, value: &Value) -> Option<String> {
        match value {
            Value::Sequence(_) if !self.takes_list() => Some("A sequence was not expected".to_owned()),
            Value::Mapping(_) if !self.takes_mapping() => Some("A mapping was not expected".to_owned()),
            Value::Scalar(scalar) if !self.takes_scalar() => {
                let nothing = self == Self::OptionalMapping && scalar.as_text().is_empty();
                (!nothing).then(|| format!("Unexpected value '{}'", scalar.text))
            }
            _ => None,
        }
    }
}

/// A key of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The mapping it stands in.
    pub place: Place,
    /// Its name.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What its expressions may name.
    pub availability: Availability,
    /// Whether it must be there.
    pub required: bool,
}

/// The keys of a place, in the table's order.
pub fn keys_of(place: Place) -> impl Iterator<Item = &'static KeyRow> {
    KEYS.iter().filter(move |key| key.place == place)
}

/// A key by its place and its name.
pub fn key(place: Place, name: &str) -> Option<&'static KeyRow> {
    keys_of(place).find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_twice() {
        for (at, row) in KEYS.iter().enumerate() {
            let again = KEYS[at + 1..].iter().any(|other| other.place == row.place && other.name == row.name);
            assert!(!again, "{} {}", row.place.path(), row.name);
        }
    }
}
