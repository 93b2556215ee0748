//! One build of a Dockerfile: which stages, in which order, from what; and each stage's steps, expanded.

mod action;
mod config;
mod mount;
mod platform;

use std::collections::{BTreeMap, BTreeSet};

pub use action::{
    Action, Checksum, GitSource, InlineFile, Mode, Origin, RunStep, Source, Step, TransferStep,
};
pub use config::{HealthCheck, ImageConfig};
pub use mount::{Mount, MountKind, Sharing};
pub use platform::{Platform, PlatformError};

/// What a build is told besides the file.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--build-arg`, by name. The proxy arguments (`HTTP_PROXY` and so on) are among them and need no `ARG`.
    pub build_args: BTreeMap<String, String>,
    /// `--target`: the name or number of the stage that is wanted; the last one when it is not said.
    pub target: Option<String>,
    /// For which platform the image is.
    pub platform: Platform,
    /// On which platform the build runs.
    pub build_platform: Platform,
    /// The names of `--build-context`: they go before stages and images of that name.
    pub contexts: BTreeSet<String>,
}

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// Another stage, by its number.
    Stage(usize),
    /// An image, as its name is written.
    Image(String),
    /// A named context of [`Options::contexts`].
    Context(String),
}

/// A stage of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStage {
    /// Its number.
    pub index: usize,
    /// Its name, in small letters.
    pub name: Option<String>,
    /// What it starts from.
    pub base: Base,
    /// For which platform it is: `--platform`, else its base stage's, else that of the build.
    pub platform: Platform,
    /// The stages that have to be there before it: its base, and those that `COPY --from` and mounts name.
    pub needs: BTreeSet<usize>,
    /// Everything else that it takes files from, its base not among it.
    pub origins: BTreeSet<Origin>,
    /// Whether the target needs it. What is not needed is never built.
    pub needed: bool,
}
