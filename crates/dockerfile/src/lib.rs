//! The Dockerfile language, as BuildKit reads it: text to stages and instructions, or findings with spans. Pure and total.
//!
//! The way of a text:
//!
//! 1. [`parse()`] makes a [`Dockerfile`] of it (what is written, with places, nothing expanded) and [`Diagnostic`]s.
//! 2. [`Plan::new`] takes the file and the [`Options`] of one build: it evaluates the global `ARG`s, expands the `FROM`
//!    lines, finds the target and which stages it needs, in an order in which each comes after what it needs.
//! 3. For each needed stage, whoever builds it begins a [`StageRun`] with the configuration of its base, and takes one
//!    [`Step`] after the other: everything in it is expanded and resolved. At the end it has the image's configuration.
//!
//! ```text
//! parse(text: &str) -> Parsed { dockerfile: Option<Dockerfile>, diagnostics: Vec<Diagnostic> }
//! Plan::new(&Dockerfile, Options) -> Result<Plan, Vec<Diagnostic>>
//! plan.target() -> usize;  plan.stages() -> &[PlannedStage];  plan.order() -> Vec<usize>  (needed ones only)
//! plan.begin(stage: usize, Parent::Image(ImageConfig) | Parent::Stage(&StageRun)) -> Result<StageRun, Diagnostic>
//! StageRun: Iterator<Item = Result<Step, Diagnostic>>;  run.config() -> &ImageConfig, as it is after the last step
//! Ignore::parse(text: &str) -> Ignore;  ignore.excludes(path: &str) -> bool                   (.dockerignore)
//! ```
//!
//! [`auto`] is for projects that have no Dockerfile: it says what they are, and writes one.
//!
//! Nothing here reads files, asks a registry or runs a program: that is `windlass-build`.

pub mod ast;
pub mod auto;
pub mod expand;
pub mod ignore;
pub mod lint;
pub mod parse;
pub mod plan;

pub use ast::{Command, Dockerfile, Instruction, Stage, Word};
pub use ignore::{Ignore, IgnoreError};
pub use lint::lint;
pub use parse::{Parsed, parse, parse_bytes};
pub use plan::{
    Action, Base, ImageConfig, Options, Origin, Parent, Plan, PlannedStage, Platform, StageRun, Step,
};
pub use windlass_kernel::diagnostic::{self, Diagnostic, Position, Severity, Span};
