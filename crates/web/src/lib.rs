//! The faces of Windlass: JSON handlers under `/api/v1` and HTML pages, both over [`Platform`].

mod platform;

pub use platform::{Answer, Credential, Download, Page, Platform, RunnerPlatform};
