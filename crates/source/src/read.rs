//! Reading repositories: refs, commits, diffs, folders and files. Every list and every text has a limit.

mod blob;
mod commit;
mod diff;

pub use blob::{Blob, EntryKind, TreeEntry};
pub use commit::{Commit, LogQuery, RefEntry};
pub use diff::{ChangedFiles, Diff, DiffLimits, FileChange, FileStatus, Hunk, Line};

use crate::SourceError;

/// Splits what `-z` separates; the end of the text ends the last one.
fn fields(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let none = bytes.is_empty();
    bytes.split(|b| *b == 0).filter(move |_| !none).map(|f| String::from_utf8_lossy(f).into_owned())
}

pub(crate) fn strange(command: &str, what: impl Into<String>) -> SourceError {
    SourceError::Answer { command: command.into(), what: what.into() }
}
