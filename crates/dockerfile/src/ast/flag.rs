//! The flags of instructions: `--name=value`.

use super::Word;
use crate::Span;

/// A flag as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name, without the two dashes.
    pub name: String,
    /// What follows `=`, if there is one.
    pub value: Option<Word>,
    /// All of it.
    pub span: Span,
}

/// `--mount` of a `RUN`, as it is written; [`crate::plan::Mount`] is what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFlag {
    /// Its options, in order.
    pub options: Vec<MountOption>,
    /// All of it.
    pub span: Span,
}

impl MountFlag {
    /// The last value of an option, unexpanded.
    pub fn get(&self, name: &str) -> Option<&Word> {
        self.options.iter().rev().find(|option| option.name == name).and_then(|option| option.value.as_ref())
    }
}

/// `NAME` or `NAME=value` within a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    /// The name, in small letters, in its usual form: `target`, not `dst`; `source`, not `src`; `readonly`, not `ro`;
    /// `readwrite`, not `rw`.
    pub name: String,
    /// The value, unexpanded.
    pub value: Option<Word>,
    /// All of it.
    pub span: Span,
}

/// `--network` of a `RUN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NetworkMode {
    /// As the build has it.
    #[default]
    Default,
    /// None but loopback.
    None,
    /// The machine's.
    Host,
}

/// `--security` of a `RUN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SecurityMode {
    /// Confined.
    #[default]
    Sandbox,
    /// With all of a container's powers.
    Insecure,
}
