//! Runs, jobs, matrix, concurrency, scheduling: pure machines.
//!
//! [`step`] takes a run, what happened and the time, and gives the run that follows and what is to be done about it.
//! Nothing is done here, nothing is read, and no clock is asked; a shell carries the [`Action`]s out and reports back
//! with [`RunEvent`]s. [`concurrency`] is the same for groups, [`due`] says what time alone brings about, [`Loading`] what
//! files a run needs besides its own, and [`assignment`] what a runner needs to know.

mod assignment;
mod called;
pub mod concurrency;
mod due;
mod event;
mod frame;
mod job;
mod machine;
mod permissions;
mod run;
mod scope;
mod secrets;
mod settings;

pub use assignment::{JobContext, JobWorkflow, assignment};
pub use called::{CalledWorkflow, Found, Loaded, Loading, MAX_CALLED, MAX_LEVELS, Wanted};
pub use due::due;
pub use event::{Action, Again, InvalidTransition, Report, RunEvent};
pub use frame::Models;
pub use job::{
    Annotation, CallState, Conclusion, GroupHold, Job, JobState, Lease, Leg, MAX_TRIES, StepRecord,
    StepState, WaitingFor,
};
pub use machine::{step, step_with};
pub use permissions::{Granted, cache_mode, permissions};
pub use run::{Cancellation, Finding, NewRun, Run, RunState, WorkflowSource};
pub use secrets::secrets;

#[cfg(test)]
mod tests;
