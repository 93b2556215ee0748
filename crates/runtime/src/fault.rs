//! What failed while a sandbox was set up: what was being done, and what the system answered.
//! It travels from the sandbox's init to its owner, who makes a [`RuntimeError`](crate::RuntimeError) of it.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::RuntimeError;

/// A failed step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// What was being done.
    pub(crate) doing: String,
    /// What the system answered.
    pub(crate) reason: String,
}

impl Fault {
    /// A failure that is not the system's.
    pub(crate) fn new(doing: impl Into<String>, reason: impl Display) -> Self {
        Self { doing: doing.into(), reason: reason.to_string() }
    }
}

impl From<Fault> for RuntimeError {
    fn from(fault: Fault) -> Self {
        Self::Start { step: fault.doing, reason: fault.reason }
    }
}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    /// Adds what was being done.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Fault>;
}

impl<T, E: Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Fault> {
        self.map_err(|error| Fault { doing: what(), reason: error.to_string() })
    }
}
