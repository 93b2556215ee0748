//! The rows.

use super::Kind::{
    Anything, Boolean, Condition, List, Mapping, Number, OptionalMapping, Scalar, Text, TextListOrMapping,
    TextOrList, TextOrMapping,
};
use super::{KeyRow, Kind, Place};
use crate::availability::Availability as A;

const fn row(place: Place, name: &'static str, kind: Kind, availability: A) -> KeyRow {
    KeyRow { place, name, kind, availability, required: false }
}

impl KeyRow {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

const LIT: A = A::LITERAL;

/// All keys.
pub const KEYS: &[KeyRow] = &[
    row(Place::Workflow, "name", Text, LIT),
    row(Place::Workflow, "run-name", Text, A::RUN),
    row(Place::Workflow, "on", TextListOrMapping, LIT).required(),
    row(Place::Workflow, "permissions", TextOrMapping, LIT),
    row(Place::Workflow, "env", Mapping, A::RUN.with(A::SECRETS)),
    row(Place::Workflow, "defaults", Mapping, LIT),
    row(Place::Workflow, "concurrency", TextOrMapping, A::RUN),
    row(Place::Workflow, "cache-mode", Text, LIT),
    row(Place::Workflow, "jobs", Mapping, LIT).required(),
    //
    row(Place::Push, "branches", TextOrList, LIT),
    row(Place::Push, "branches-ignore", TextOrList, LIT),
    row(Place::Push, "tags", TextOrList, LIT),
    row(Place::Push, "tags-ignore", TextOrList, LIT),
    row(Place::Push, "paths", TextOrList, LIT),
    row(Place::Push, "paths-ignore", TextOrList, LIT),
    //
    row(Place::PullRequest, "types", TextOrList, LIT),
    row(Place::PullRequest, "branches", TextOrList, LIT),
    row(Place::PullRequest, "branches-ignore", TextOrList, LIT),
    row(Place::PullRequest, "paths", TextOrList, LIT),
    row(Place::PullRequest, "paths-ignore", TextOrList, LIT),
    //
    row(Place::Dispatch, "inputs", OptionalMapping, LIT),
    row(Place::DispatchInput, "description", Text, LIT),
    row(Place::DispatchInput, "type", Text, LIT),
    row(Place::DispatchInput, "required", Boolean, LIT),
    row(Place::DispatchInput, "default", Scalar, LIT),
    row(Place::DispatchInput, "options", List, LIT),
    row(Place::DispatchInput, "deprecationMessage", Text, LIT),
    //
    row(Place::Schedule, "cron", Text, LIT).required(),
    row(Place::Schedule, "timezone", Text, LIT),
    //
    row(Place::Defaults, "run", Mapping, LIT),
    row(Place::RunDefaults, "shell", Text, LIT),
    row(Place::RunDefaults, "working-directory", Text, LIT),
    row(Place::Concurrency, "group", Text, A::RUN).required(),
    row(Place::Concurrency, "cancel-in-progress", Boolean, A::RUN),
    row(Place::Concurrency, "queue", Text, LIT),
    //
    row(Place::Job, "name", Text, A::LEG),
    row(Place::Job, "needs", TextOrList, LIT),
    row(Place::Job, "if", Condition, A::AFTER_NEEDS.with(A::STATUS)),
    row(Place::Job, "runs-on", TextListOrMapping, A::LEG),
    row(Place::Job, "strategy", Mapping, A::AFTER_NEEDS),
    row(Place::Job, "env", Mapping, A::LEG.with(A::SECRETS)),
    row(Place::Job, "defaults", Mapping, LIT),
    row(Place::Job, "outputs", Mapping, A::JOB),
    row(Place::Job, "timeout-minutes", Number, A::LEG),
    row(Place::Job, "cancel-timeout-minutes", Number, A::LEG),
    row(Place::Job, "continue-on-error", Boolean, A::LEG),
    row(Place::Job, "concurrency", TextOrMapping, A::LEG),
    row(Place::Job, "environment", TextOrMapping, A::LEG),
    row(Place::Job, "permissions", TextOrMapping, LIT),
    row(Place::Job, "steps", List, LIT),
    row(Place::Job, "container", TextOrMapping, A::LEG),
    row(Place::Job, "services", Mapping, A::LEG),
    row(Place::Job, "snapshot", TextOrMapping, A::LEG),
    row(Place::Job, "cache-mode", Text, LIT),
    row(Place::Job, "uses", Text, LIT),
    row(Place::Job, "with", Mapping, A::LEG),
    row(Place::Job, "secrets", TextOrMapping, A::LEG.with(A::SECRETS)),
    //
    row(Place::JobDefaults, "run", Mapping, A::LEG.with(A::ENV)),
    row(Place::JobRunDefaults, "shell", Text, A::LEG.with(A::ENV)),
    row(Place::JobRunDefaults, "working-directory", Text, A::LEG.with(A::ENV)),
    row(Place::JobConcurrency, "group", Text, A::LEG).required(),
    row(Place::JobConcurrency, "cancel-in-progress", Boolean, A::LEG),
    row(Place::JobConcurrency, "queue", Text, LIT),
    row(Place::RunsOn, "group", Text, A::LEG),
    row(Place::RunsOn, "labels", TextOrList, A::LEG),
    row(Place::Strategy, "matrix", Mapping, A::AFTER_NEEDS),
    row(Place::Strategy, "fail-fast", Boolean, A::AFTER_NEEDS),
    row(Place::Strategy, "max-parallel", Number, A::AFTER_NEEDS),
    row(Place::Environment, "name", Text, A::LEG).required(),
    row(Place::Environment, "url", Text, A::JOB.without(A::SECRETS)),
    row(Place::Environment, "deployment", Boolean, A::LEG),
    //
    row(Place::Step, "id", Text, LIT),
    row(Place::Step, "name", Text, A::STEP),
    row(Place::Step, "if", Condition, A::STEP_IF),
    row(Place::Step, "run", Text, A::STEP),
    row(Place::Step, "shell", Text, LIT),
    row(Place::Step, "working-directory", Text, A::STEP),
    row(Place::Step, "uses", Text, LIT),
    row(Place::Step, "with", Mapping, A::STEP),
    row(Place::Step, "env", Mapping, A::STEP),
    row(Place::Step, "continue-on-error", Boolean, A::STEP),
    row(Place::Step, "timeout-minutes", Number, A::STEP),
    row(Place::Step, "background", Boolean, LIT),
    row(Place::Step, "wait", TextOrList, LIT),
    row(Place::Step, "wait-all", Scalar, LIT),
    row(Place::Step, "cancel", Text, LIT),
    row(Place::Step, "parallel", List, LIT),
    //
    row(Place::Action, "name", Text, LIT),
    row(Place::Action, "author", Text, LIT),
    row(Place::Action, "description", Text, LIT),
    row(Place::Action, "branding", Anything, LIT),
    row(Place::Action, "inputs", OptionalMapping, LIT),
    row(Place::Action, "outputs", OptionalMapping, LIT),
    row(Place::Action, "runs", Mapping, LIT).required(),
    row(Place::ActionInput, "description", Text, LIT),
    row(Place::ActionInput, "required", Boolean, LIT),
    row(Place::ActionInput, "default", Text, A::ACTION_DEFAULT),
    row(Place::ActionInput, "deprecationMessage", Text, LIT),
    row(Place::ActionOutput, "description", Text, LIT),
    row(Place::ActionOutput, "value", Text, A::COMPOSITE_OUTPUT),
    row(Place::CompositeRuns, "using", Text, LIT).required(),
    row(Place::CompositeRuns, "steps", List, LIT).required(),
    row(Place::NodeRuns, "using", Text, LIT).required(),
    row(Place::NodeRuns, "main", Text, LIT).required(),
    row(Place::NodeRuns, "pre", Text, LIT),
    row(Place::NodeRuns, "pre-if", Text, LIT),
    row(Place::NodeRuns, "post", Text, LIT),
    row(Place::NodeRuns, "post-if", Text, LIT),
    row(Place::DockerRuns, "using", Text, LIT).required(),
    row(Place::DockerRuns, "image", Text, LIT).required(),
    row(Place::DockerRuns, "entrypoint", Text, LIT),
    row(Place::DockerRuns, "args", List, A::ACTION_INPUTS),
    row(Place::DockerRuns, "env", Mapping, A::ACTION_INPUTS),
    row(Place::DockerRuns, "pre-entrypoint", Text, LIT),
    row(Place::DockerRuns, "post-entrypoint", Text, LIT),
    row(Place::DockerRuns, "pre-if", Text, LIT),
    row(Place::DockerRuns, "post-if", Text, LIT),
    //
    row(Place::CompositeStep, "id", Text, LIT),
    row(Place::CompositeStep, "name", Text, A::COMPOSITE),
    row(Place::CompositeStep, "if", Condition, A::COMPOSITE_IF),
    row(Place::CompositeStep, "run", Text, A::COMPOSITE),
    row(Place::CompositeStep, "shell", Text, A::COMPOSITE),
    row(Place::CompositeStep, "working-directory", Text, A::COMPOSITE),
    row(Place::CompositeStep, "uses", Text, LIT),
    row(Place::CompositeStep, "with", Mapping, A::COMPOSITE),
    row(Place::CompositeStep, "env", Mapping, A::COMPOSITE),
    row(Place::CompositeStep, "continue-on-error", Boolean, A::COMPOSITE),
];
