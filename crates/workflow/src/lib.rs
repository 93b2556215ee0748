//! The workflow language: text to typed workflow and diagnostics; expressions; pure and total.

pub mod action;
pub mod availability;
mod check;
pub mod cron;
pub mod events;
pub mod expr;
pub mod glob;
pub mod keys;
pub mod lint;
pub mod matrix;
pub mod model;
pub mod parse;
pub mod supported;
pub mod template;
pub mod trigger;
pub mod yaml;

pub use model::Workflow;
pub use parse::{Parsed, parse, parse_action, parse_admitting, parse_bytes};
pub use supported::Admit;
pub use windlass_kernel::diagnostic::{self, Diagnostic, Position, Severity, Span};
