//! Reports that runs upload: tests, coverage, findings of analysers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_kernel::Timestamp;

/// The reports of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RunReports {
    /// Test results, one for each upload.
    pub tests: Vec<TestReport>,
    /// Coverage, one for each upload.
    pub coverage: Vec<CoverageReport>,
    /// Findings, one for each upload.
    pub findings: Vec<FindingsReport>,
    /// Results of load tests, one for each summary.
    #[serde(default)]
    pub load: Vec<LoadReport>,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// How a load test went.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct LoadReport {
    /// The upload's name.
    pub name: String,
    /// The program that made the load: `k6`, `vegeta` or `oha`.
    pub tool: String,
    /// How many requests there were.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Requests in a second.
    pub rate: f64,
    /// Milliseconds within which half of them were answered.
    pub p50: Option<f64>,
    /// Milliseconds within which 95 of a hundred were answered.
    pub p95: Option<f64>,
    /// Milliseconds within which 99 of a hundred were answered.
    pub p99: Option<f64>,
    /// What the test itself demanded and did not get.
    pub broken: Vec<String>,
}

/// A run, as a history names it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReportPoint {
    /// The run's id.
    pub run: String,
    /// Its number within the workflow.
    pub number: u64,
    /// Its attempt.
    pub attempt: u32,
    /// The workflow's name.
    pub workflow: String,
    /// The commit.
    pub sha: String,
    /// When it was made.
    #[schema(value_type = i64)]
    pub at: Timestamp,
}

/// Test results.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TestReport {
    /// The upload's name.
    pub name: String,
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were skipped.
    pub skipped: u64,
    /// How many failed and then passed.
    pub flaky: u64,
    /// How many more there were than are kept by name.
    pub dropped: u64,
    /// The time of all tests together, in milliseconds.
    pub millis: u64,
    /// Those that failed; at most 200.
    pub failures: Vec<TestFailure>,
    /// The slowest, slowest first.
    pub slowest: Vec<SlowTest>,
}

/// A test that took long.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SlowTest {
    /// Its name.
    pub name: String,
    /// Its time in milliseconds.
    pub millis: u64,
}

/// A test that failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TestFailure {
    /// Its name.
    pub name: String,
    /// What it said.
    pub message: String,
    /// What it printed, and where it was.
    pub output: String,
    /// The file.
    pub path: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// Its results on this branch, oldest first, as in [`TestHistoryLine::results`].
    pub results: String,
    /// Whether it cannot be trusted, by those results.
    pub flaky: bool,
}

/// A branch's tests from run to run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TestHistoryView {
    /// The branch's full ref.
    pub branch: String,
    /// The runs, oldest first; at most 30.
    pub runs: Vec<ReportPoint>,
    /// How many tests there are.
    pub total: usize,
    /// How many of them are flaky.
    pub flaky: usize,
    /// How many failed when they were last run.
    pub failing: usize,
    /// Those that fit, flaky and failing ones first; at most 200.
    pub tests: Vec<TestHistoryLine>,
}

/// A test from run to run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TestHistoryLine {
    /// Its name.
    pub name: String,
    /// One letter for each run: `p` passed, `f` failed, `s` skipped, `x` failed and passed, `-` not there.
    pub results: String,
    /// It failed and passed in one run or at one commit, or turned at least four times.
    pub flaky: bool,
}

/// Coverage of lines.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CoverageReport {
    /// The upload's name.
    pub name: String,
    /// Lines that were run.
    pub covered: u64,
    /// Lines that could have been.
    pub total: u64,
    /// Not every file fitted.
    pub cut: bool,
    /// What it is compared with: the default branch as it stood, or on it the run before.
    pub base: Option<CoveragePoint>,
    /// By file.
    pub files: Vec<CoverageFile>,
}

/// A file's coverage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CoverageFile {
    /// Its path.
    pub path: String,
    /// Lines that were run.
    pub covered: u32,
    /// Lines that could have been.
    pub total: u32,
    /// What differs in what it is compared with.
    pub base: Option<FileLines>,
}

/// Lines that were run, of lines that could have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileLines {
    /// Lines that were run.
    pub covered: u32,
    /// Lines that could have been.
    pub total: u32,
}

/// A run's coverage, in sum.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CoveragePoint {
    /// The run.
    #[serde(flatten)]
    pub point: ReportPoint,
    /// Lines that were run.
    pub covered: u64,
    /// Lines that could have been.
    pub total: u64,
}

/// A branch's coverage from run to run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CoverageTrend {
    /// The uploads' name.
    pub name: String,
    /// Oldest first; at most 100.
    pub points: Vec<CoveragePoint>,
    /// The newest, by file.
    pub files: Vec<CoverageFile>,
}

/// Findings of analysers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FindingsReport {
    /// The upload's name.
    pub name: String,
    /// How many are new.
    pub new: usize,
    /// All, worst first.
    pub findings: Vec<FindingView>,
}

/// A branch's findings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct BranchFindings {
    /// Those that stand, one for each upload's name.
    pub open: Vec<FindingsReport>,
    /// Those that are gone, newest first; at most 100.
    pub gone: Vec<FindingView>,
}

/// What an analyser found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// The analyser.
    pub tool: String,
    /// Its rule.
    pub rule: String,
    /// `error`, `warning` or `note`.
    pub level: String,
    /// What it says.
    pub message: String,
    /// The file.
    pub path: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// The run that had it first on this branch.
    pub since: ReportPoint,
    /// The run in which it was gone.
    pub until: Option<ReportPoint>,
    /// Not on the default branch; on it: not in the run before.
    pub new: bool,
}
