//! What is kept of reports: one document for each upload, and one for each branch that remembers its tests, its coverage
//! and its findings from run to run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use windlass_kernel::{ArtifactId, Document, ProjectName, RunId, Timestamp};

use super::junit::{Case, Failure, Outcome, together};
use super::sarif::Finding;

/// How many runs a branch's history of tests goes back, and its coverage.
const RUNS: usize = 30;
const POINTS: usize = 100;
/// How many findings that are gone a branch remembers.
const GONE: usize = 100;

/// A run, as far as a report needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) run: RunId,
    pub(super) number: u64,
    pub(super) attempt: u32,
    pub(super) workflow: String,
    pub(super) sha: String,
    pub(super) at: Timestamp,
}

/// The reports of one upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReportDoc {
    pub(super) artifact: ArtifactId,
    pub(super) name: String,
    pub(super) project: ProjectName,
    pub(super) branch: String,
    pub(super) point: Point,
    pub(super) problems: Vec<String>,
    pub(super) tests: Option<Tests>,
    pub(super) coverage: Option<Coverage>,
    pub(super) findings: Option<Vec<Known>>,
    #[serde(default)]
    pub(super) load: Vec<super::load::Load>,
}

/// Tests in sum, and those that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tests {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    pub(super) flaky: u64,
    pub(super) dropped: u64,
    pub(super) millis: u64,
    pub(super) failures: Vec<Failure>,
    /// The slowest, with their milliseconds.
    pub(super) slowest: Vec<(String, u64)>,
}

/// Coverage in sum and by file: lines that were run, and lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Coverage {
    pub(super) sum: (u64, u64),
    pub(super) files: BTreeMap<String, (u32, u32)>,
    /// Something did not fit.
    pub(super) cut: bool,
    /// What it is compared with: the default branch as it stood.
    pub(super) base: Option<Base>,
}

/// What a coverage is compared with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Base {
    pub(super) point: Point,
    pub(super) sum: (u64, u64),
    /// Files whose figures differ now.
    pub(super) files: BTreeMap<String, (u32, u32)>,
}

/// A finding, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) finding: Finding,
    /// The run that had it first on this branch.
    pub(super) since: Point,
    /// Neither the default branch nor this one had it before.
    pub(super) new: bool,
}

/// A branch's tests from run to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TestHistory {
    pub(super) project: ProjectName,
    pub(super) branch: String,
    pub(super) runs: Vec<Point>,
    /// For each test one letter for each run: `p`, `f`, `s`, `x` (failed and passed), or `-` (was not there).
    pub(super) tests: BTreeMap<String, String>,
}

/// A branch's coverage from run to run, by the upload's name; with the newest files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CoverageHistory {
    pub(super) project: ProjectName,
    pub(super) branch: String,
    pub(super) series: BTreeMap<String, Series>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) points: Vec<(Point, (u64, u64))>,
    pub(super) files: BTreeMap<String, (u32, u32)>,
}

/// A branch's findings, by the upload's name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FindingsHistory {
    pub(super) project: ProjectName,
    pub(super) branch: String,
    pub(super) open: BTreeMap<String, Vec<Known>>,
    /// Those that are gone, newest first, and the run in which they were gone.
    pub(super) gone: Vec<(Known, Point)>,
}

/// The key of a branch's documents.
pub(super) fn of_branch(project: &ProjectName, branch: &str) -> String {
    format!("{project}:{branch}")
}

impl Document for ReportDoc {
    const KIND: &'static str = "report";

    fn id(&self) -> String {
        self.artifact.to_string()
    }

    fn parent(&self) -> String {
        self.point.run.to_string()
    }
}

/// The documents that there is one of for each branch.
macro_rules! branch_document {
    ($type:ty, $kind:literal) => {
        impl Document for $type {
            const KIND: &'static str = $kind;

            fn id(&self) -> String {
                of_branch(&self.project, &self.branch)
            }

            fn parent(&self) -> String {
                self.project.to_string()
            }
        }
    };
}

branch_document!(TestHistory, "test_history");
branch_document!(CoverageHistory, "coverage_history");
branch_document!(FindingsHistory, "findings_history");

fn letter(outcome: Outcome) -> char {
    match outcome {
        Outcome::Passed => 'p',
        Outcome::Failed => 'f',
        Outcome::Skipped => 's',
        Outcome::Flaky => 'x',
    }
}

fn outcome(letter: char) -> Option<Outcome> {
    match letter {
        'p' => Some(Outcome::Passed),
        'f' => Some(Outcome::Failed),
        's' => Some(Outcome::Skipped),
        'x' => Some(Outcome::Flaky),
        _ => None,
    }
}

impl TestHistory {
    pub(super) fn new(project: &ProjectName, branch: &str) -> Self {
        Self { project: project.clone(), branch: branch.to_owned(), runs: Vec::new(), tests: BTreeMap::new() }
    }

    /// Takes a run's results in. The same results again change nothing; other results of the same run join them.
    pub(super) fn take(&mut self, point: &Point, cases: &[Case], most: usize) {
        let same = |p: &Point| p.run == point.run && p.attempt == point.attempt;
        let column = self.runs.iter().position(same).unwrap_or_else(|| {
            self.runs.push(point.clone());
            for results in self.tests.values_mut() {
                results.push('-');
            }
            self.runs.len() - 1
        });
        for case in cases {
            if !self.tests.contains_key(&case.name) && self.tests.len() >= most {
                continue;
            }
            let results = self.tests.entry(case.name.clone()).or_insert_with(|| "-".repeat(self.runs.len()));
            let known = results.chars().nth(column).and_then(outcome);
            let now = known.map_or(case.outcome, |known| together(known, case.outcome));
            results.replace_range(column..=column, letter(now).encode_utf8(&mut [0; 4]));
        }
        if self.runs.len() > RUNS {
            let gone = self.runs.len() - RUNS;
            self.runs.drain(..gone);
            for results in self.tests.values_mut() {
                results.drain(..gone);
            }
        }
        // A test that no run of the window has is forgotten.
        self.tests.retain(|_, results| results.chars().any(|c| c != '-'));
    }

    /// Whether a test cannot be trusted: it failed and passed in one run or at one commit, or turned back and forth.
    pub(super) fn is_flaky(&self, results: &str) -> bool {
        let mut by_commit: BTreeMap<&str, BTreeSet<char>> = BTreeMap::new();
        let mut turns = 0;
        let mut last = None;
        for (point, letter) in self.runs.iter().zip(results.chars()) {
            if letter == 'x' {
                return true;
            }
            if letter == 'p' || letter == 'f' {
                by_commit.entry(&point.sha).or_default().insert(letter);
                turns += usize::from(last.is_some_and(|last| last != letter));
                last = Some(letter);
            }
        }
        turns >= 4 || by_commit.values().any(|letters| letters.len() > 1)
    }
}

impl CoverageHistory {
    pub(super) fn new(project: &ProjectName, branch: &str) -> Self {
        Self { project: project.clone(), branch: branch.to_owned(), series: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, name: &str, point: &Point, coverage: &Coverage) {
        let series = self.series.entry(name.to_owned()).or_default();
        series.points.retain(|(p, _)| p.run != point.run);
        series.points.push((point.clone(), coverage.sum));
        let gone = series.points.len().saturating_sub(POINTS);
        series.points.drain(..gone);
        series.files.clone_from(&coverage.files);
    }

    /// What a run's coverage is compared with: the newest of another run, with the files that differ from these.
    pub(super) fn base(&self, name: &str, run: RunId, files: &BTreeMap<String, (u32, u32)>) -> Option<Base> {
        let series = self.series.get(name)?;
        let (point, sum) = series.points.iter().rev().find(|(p, _)| p.run != run)?;
        // Told again: the files that stand there are this run's own.
        let newest = series.points.last().is_some_and(|(p, _)| p.run != run);
        let differs = |path: &String, now: &(u32, u32)| files.get(path) != Some(now);
        let known = series.files.iter().filter(|(path, now)| newest && differs(path, now));
        let files = known.map(|(path, now)| (path.clone(), *now)).collect();
        Some(Base { point: point.clone(), sum: *sum, files })
    }
}

impl FindingsHistory {
    pub(super) fn new(project: &ProjectName, branch: &str) -> Self {
        Self { project: project.clone(), branch: branch.to_owned(), open: BTreeMap::new(), gone: Vec::new() }
    }

    /// Takes a run's findings in; gives them with when each was first seen here. `default` is the default branch, where
    /// this is another one.
    pub(super) fn take(
        &mut self,
        name: &str,
        point: &Point,
        findings: Vec<Finding>,
        default: Option<&Self>,
    ) -> Vec<Known> {
        let before = self.open.remove(name);
        let there = default.map(|d| d.open.get(name));
        let known_at = |list: Option<&Vec<Known>>, finding: &Finding| {
            list.and_then(|l| l.iter().find(|k| k.finding.fingerprint == finding.fingerprint)).cloned()
        };
        let mut now = Vec::new();
        for finding in findings {
            let known = known_at(before.as_ref(), &finding);
            let elsewhere = there.flatten().is_some_and(|_| known_at(there.flatten(), &finding).is_some());
            // The first report of all says nothing of what is new.
            let compared = before.is_some() || there.flatten().is_some();
            let new = match (&known, there) {
                // Told again, or not yet on the default branch.
                (Some(known), Some(_)) => known.new && !elsewhere,
                (Some(known), None) => known.new && known.since.run == point.run,
                (None, _) => compared && !elsewhere,
            };
            let since = known.map_or_else(|| point.clone(), |k| k.since);
            now.push(Known { finding, since, new });
        }
        for gone in before.unwrap_or_default() {
            if !now.iter().any(|k| k.finding.fingerprint == gone.finding.fingerprint) {
                self.gone.insert(0, (gone, point.clone()));
            }
        }
        self.gone.truncate(GONE);
        self.open.insert(name.to_owned(), now.clone());
        now
    }
}

#[cfg(test)]
mod tests;
