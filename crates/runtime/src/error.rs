//! What can go wrong when a program is to run, in words for the person whose program it is.

use std::path::PathBuf;

/// Why a sandbox or a program in it did not start, or could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The description itself cannot be carried out.
    #[error("the sandbox's description is not usable: {0}")]
    Invalid(String),
    /// The sandbox could not be set up.
    #[error("the sandbox did not start: {step}: {reason}")]
    Start {
        /// What was being done.
        step: String,
        /// What the system answered.
        reason: String,
    },
    /// A level was asked for that this machine does not permit.
    #[error("this machine does not permit sandboxes of level {level}: {reason}")]
    LevelRefused {
        /// The level by its name in `WINDLASS_SANDBOX`.
        level: String,
        /// Why not.
        reason: String,
    },
    /// There is no such program in the sandbox.
    #[error("no program `{program}` in the sandbox (searched: {searched})")]
    ProgramNotFound {
        /// What was asked for.
        program: String,
        /// Where it was looked for.
        searched: String,
    },
    /// The program is there, but the system refused to run it.
    #[error("`{program}` could not be run: {reason}")]
    NotRunnable {
        /// What was asked for.
        program: String,
        /// What the system answered.
        reason: String,
    },
    /// The working directory is not there.
    #[error("the working directory `{}` is not usable in the sandbox: {reason}", path.display())]
    WorkingDirectory {
        /// The directory as seen inside.
        path: PathBuf,
        /// What the system answered.
        reason: String,
    },
    /// The sandbox ended before the answer came.
    #[error("the sandbox has ended")]
    Ended,
    /// A file or folder of Windlass itself could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// What the system answered.
        source: std::io::Error,
    },
}

impl RuntimeError {
    /// An I/O error, with what was being done.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// A failed step of setting a sandbox up.
    pub(crate) fn start(step: impl Into<String>, reason: impl ToString) -> Self {
        Self::Start { step: step.into(), reason: reason.to_string() }
    }
}
