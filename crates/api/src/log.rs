//! A job's log by lines: how long it is, its parts, a window of it, what a search finds in it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The shape of a job's log, without its text. Lines are numbered from 1 through the whole log; one that is longer than
/// 64 KiB counts as several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogOutline {
    /// How many lines are whole.
    pub lines: u64,
    /// How many bytes there are.
    pub bytes: u64,
    /// The job has ended, and the log with it.
    pub ended: bool,
    /// Where each step stands in the log.
    pub steps: Vec<LogStep>,
    /// The groups, in order; at most 10,000 of them.
    pub groups: Vec<LogGroup>,
}

/// Where a step stands in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogStep {
    /// The step's number.
    pub number: u32,
    /// Its first line.
    pub first: u64,
    /// Its last line; below `first` while it has none.
    pub last: u64,
}

/// Lines that fold: from `##[group]` to `##[endgroup]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogGroup {
    /// The line that holds its title.
    pub first: u64,
    /// Its last line, the one with the end mark included.
    pub last: u64,
    /// The last line is an end mark, which has nothing to show.
    pub marked: bool,
}

/// A window of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogWindow {
    /// The number of the first line below.
    pub first: u64,
    /// The lines, each as it was written, time stamp and colour codes included; none longer than 16 KiB.
    pub lines: Vec<String>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogHits {
    /// The lines, in order.
    pub hits: Vec<LogHit>,
    /// Where to go on: the search ended early because it had found or read enough.
    pub next: Option<u64>,
}

/// A line that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogHit {
    /// Its number.
    pub line: u64,
    /// Its text without time stamp and colour codes, at most 400 characters.
    pub text: String,
}
