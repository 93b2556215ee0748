//! What runs jobs: the dispatcher that leases them, and the unit that carries one out.
//!
//! - [`dispatcher`] is the role `windlass runner`: it asks control for work and starts a detached unit per job.
//! - [`unit`] is `windlass job DIR`: steps, actions, log and reports of one job; it outlives the dispatcher.
//! - [`tool_main`] is `windlass job-tool`: the unit's hand inside the job's sandbox.
//!
//! Who the job is for is behind the port [`Control`]. Not here: what starts runs (crate `server`), how a sandbox is
//! made (crate `runtime`), what the language means (crate `workflow`).

mod action;
mod backoff;
mod beneath;
mod command;
mod container;
mod context;
mod control;
pub mod dispatcher;
mod docker;
mod env_file;
mod folder;
#[cfg(test)]
mod fuzz;
mod halt;
mod job;
mod kept;
mod layered;
mod local;
mod log;
mod matcher;
mod place;
mod report;
mod shell;
mod stop;
mod tool;
mod transcript;
pub mod unit;

pub use action::ActionSources;
pub use control::{CacheStored, Control, ControlError, HttpControl, MemoryControl, NewArtifact};
pub use docker::{Docker, engine_mark};
pub use halt::end_jobs;
pub use job::Hooks;
pub use kept::evict;
pub use layered::ContainerSettings;
pub use local::{
    AfterFailure, FailedStep, JobStop, Listener, LocalEnd, LocalJob, SourceTrees, StepPlace, StepShell,
    run_local_job,
};
pub use log::DEFAULT_LIMIT as DEFAULT_LOG_LIMIT;
pub use tool::{hash_files, tool_main};
