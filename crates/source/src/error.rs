//! What can go wrong with a repository.

use std::io;

/// Why a repository could not be made, read or served.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such repository.
    #[error("there is no repository {0}")]
    NoRepository(String),
    /// The name is taken.
    #[error("the repository {0} exists already")]
    Exists(String),
    /// The `git` program is missing.
    #[error("the git program is missing: install git (2.38 or newer) and make sure it is on the PATH")]
    NoGit,
    /// `git` failed.
    #[error("git {command} failed: {why}")]
    Git {
        /// What was run.
        command: String,
        /// What it said.
        why: String,
    },
    /// `git` took too long.
    #[error("git {command} took longer than {seconds} s and was stopped")]
    TimedOut {
        /// What was run.
        command: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// `git` wrote more than was allowed for.
    #[error("git {command} gave more than {limit} bytes")]
    TooLarge {
        /// What was run.
        command: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// `git` said something that could not be understood.
    #[error("git {command} gave an answer that cannot be read: {what}")]
    Answer {
        /// What was run.
        command: String,
        /// What was strange.
        what: String,
    },
    /// The file system failed.
    #[error("the repositories' folder cannot be used: {0}")]
    Io(#[from] io::Error),
}
