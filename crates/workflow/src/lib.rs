//! The workflow language: text to typed workflow and diagnostics; expressions; pure and total.

pub mod diagnostic;
pub mod yaml;

pub use diagnostic::{Diagnostic, Position, Severity, Span};
