//! Runs, jobs, matrix, concurrency, scheduling: pure machines.
//!
//! [`step`] takes a run, what happened and the time, and gives the run that follows and what is to be done about it.
//! Nothing is done here, nothing is read, and no clock is asked; a shell carries the [`Action`]s out and reports back
//! with [`RunEvent`]s. [`concurrency`] is the same for groups, and [`assignment`] is what a runner needs to know.

mod assignment;
pub mod concurrency;
mod event;
mod job;
mod machine;
mod run;
mod scope;
mod settings;

pub use assignment::{JobContext, assignment};
pub use event::{Action, InvalidTransition, Report, RunEvent};
pub use job::{
    Annotation, Conclusion, GroupHold, Job, JobState, Lease, Leg, MAX_TRIES, StepRecord, StepState,
    WaitingFor,
};
pub use machine::step;
pub use run::{Cancellation, Finding, NewRun, Run, RunState, WorkflowSource};

#[cfg(test)]
mod tests;
