//! Git: repositories on disk, served over smart HTTP by the `git` program, read for the pages and for the pipeline, and
//! a receive hook that makes sure that no push is ever lost.
//!
//! Nothing here decides a permission (the server does, behind [`Gate`]), and nothing here knows runs or the ledger:
//! what was pushed comes out as [`RefUpdate`]s.

mod changes;
mod error;
mod git;
mod hook;
mod http;
mod leftover;
mod merge;
mod names;
mod objects;
mod read;
mod refs;
mod repositories;
pub mod spool;

pub use changes::{ChangeRecord, Origin, change_of};
pub use error::SourceError;
pub use hook::hook_main;
pub use http::{Gate, HttpLimits, Reach, Refusal, SmartHttp};
pub use merge::Merge;
pub use names::{NameRefused, RefName, RepoPath, Sha};
pub use read::{
    Blob, ChangedFiles, Commit, Diff, DiffLimits, EntryKind, FileChange, FileStatus, Hunk, Line, LogQuery,
    RefEntry, TreeEntry,
};
pub use refs::{PushedRef, RefChange, RefState, RefUpdate, fold, reconcile};
pub use repositories::{Repositories, RepositoriesConfig, Repository};
