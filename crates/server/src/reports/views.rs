//! Reports as the API tells them.

use std::collections::BTreeMap;

use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{ProjectName, Query, RunId, StoreExt as _, Versioned};

use super::documents::{CoverageHistory, FindingsHistory, Known, Point, ReportDoc, TestHistory, of_branch};
use crate::context::{Context, may, may_project, parse, stored};

type Answer<T> = Result<T, Problem>;

/// The most reports of a run and the most tests of a list that are told.
const REPORTS: usize = 50;
const TESTS: usize = 200;

/// The reports of a run's present attempt, for statements about what it made.
pub(crate) async fn of_run(ctx: &Context, run: RunId) -> anyhow::Result<api::RunReports> {
    let query =
        Query { parent: Some(run.to_string()), limit: REPORTS, newest_first: true, ..Query::default() };
    let mut found = ctx.store.list::<ReportDoc>(&query).await?;
    let newest = found.iter().map(|d| d.value.point.attempt).max();
    found.retain(|d| Some(d.value.point.attempt) == newest);
    ctx.told(&found).await.map_err(|problem| anyhow::anyhow!("{problem}"))
}

fn load(name: &str, of: &super::load::Load) -> api::LoadReport {
    api::LoadReport {
        name: name.to_owned(),
        tool: of.tool.clone(),
        requests: of.requests,
        failed: of.failed,
        rate: of.rate,
        p50: of.p50,
        p95: of.p95,
        p99: of.p99,
        broken: of.broken.clone(),
    }
}

impl Context {
    /// The reports of a run; of uploads of one name the newest.
    pub(crate) async fn run_reports(&self, who: &Principal, run: &str) -> Answer<api::RunReports> {
        let id: RunId = parse(run)?;
        let query =
            Query { parent: Some(id.to_string()), limit: REPORTS, newest_first: true, ..Query::default() };
        let found = self.store.list::<ReportDoc>(&query).await.map_err(stored)?;
        let Some(first) = found.first().map(|d| &d.value) else {
            // Whether there is such a run is told to those who may see it.
            self.run(who, run).await?;
            return Ok(api::RunReports::default());
        };
        may(who, Action::ReadRuns, &Resource::Run { project: first.project.clone(), run: id })?;
        self.told(&found).await
    }

    /// What reports say, newest first; of uploads of one name the newest.
    async fn told(&self, found: &[Versioned<ReportDoc>]) -> Answer<api::RunReports> {
        let Some(first) = found.first().map(|d| &d.value) else { return Ok(api::RunReports::default()) };
        let key = of_branch(&first.project, &first.branch);
        let failed = found.iter().any(|d| d.value.tests.as_ref().is_some_and(|t| !t.failures.is_empty()));
        let history = if failed {
            self.store.get::<TestHistory>(&key).await.map_err(stored)?.map(|d| d.value)
        } else {
            None
        };
        let mut reports = api::RunReports::default();
        let mut seen = Vec::new();
        for doc in found {
            let doc = &doc.value;
            if seen.contains(&doc.name.as_str()) {
                continue;
            }
            seen.push(&doc.name);
            reports.tests.extend(tests(doc, history.as_ref()));
            reports.coverage.extend(coverage(doc));
            reports.findings.extend(doc.findings.as_ref().map(|known| findings(&doc.name, known)));
            reports.load.extend(doc.load.iter().map(|one| load(&doc.name, one)));
            reports.problems.extend(doc.problems.iter().map(|p| format!("{}: {p}", doc.name)));
        }
        Ok(reports)
    }

    async fn of_branch<T: windlass_kernel::Document>(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
    ) -> Answer<Option<T>> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::ReadRuns, &project)?;
        let branch =
            if branch.starts_with("refs/") { branch.to_owned() } else { format!("refs/heads/{branch}") };
        let found = self.store.get::<T>(&of_branch(&project, &branch)).await.map_err(stored)?;
        Ok(found.map(|d| d.value))
    }

    /// A branch's tests whose names hold `wanted`.
    pub(crate) async fn test_history(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
        wanted: &str,
    ) -> Answer<api::TestHistoryView> {
        let Some(history) = self.of_branch::<TestHistory>(who, project, branch).await? else {
            return Ok(api::TestHistoryView { branch: branch.to_owned(), ..api::TestHistoryView::default() });
        };
        let wanted = wanted.to_lowercase();
        let mut lines: Vec<(bool, bool, &String, &String)> = history
            .tests
            .iter()
            .map(|(name, results)| {
                let last = results.chars().rev().find(|c| *c != '-' && *c != 's');
                (history.is_flaky(results), last == Some('f'), name, results)
            })
            .collect();
        let (total, flaky) = (lines.len(), lines.iter().filter(|l| l.0).count());
        let failing = lines.iter().filter(|l| l.1).count();
        lines.retain(|(_, _, name, _)| wanted.is_empty() || name.to_lowercase().contains(&wanted));
        lines.sort_by_key(|(flaky, failing, ..)| (!failing, !flaky));
        let tests = lines.into_iter().take(TESTS).map(|(flaky, _, name, results)| api::TestHistoryLine {
            name: name.clone(),
            results: results.clone(),
            flaky,
        });
        let tests = tests.collect();
        let runs = history.runs.iter().map(point).collect();
        Ok(api::TestHistoryView { branch: history.branch, runs, total, flaky, failing, tests })
    }

    /// A branch's coverage.
    pub(crate) async fn coverage_trend(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
    ) -> Answer<Vec<api::CoverageTrend>> {
        let history = self.of_branch::<CoverageHistory>(who, project, branch).await?;
        let series = history.map(|h| h.series).unwrap_or_default();
        let trend = |(name, series): (String, super::documents::Series)| api::CoverageTrend {
            name,
            points: series.points.iter().map(|(p, sum)| coverage_point(p, *sum)).collect(),
            files: files(&series.files, None),
        };
        Ok(series.into_iter().map(trend).collect())
    }

    /// A branch's findings.
    pub(crate) async fn branch_findings(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
    ) -> Answer<api::BranchFindings> {
        let Some(history) = self.of_branch::<FindingsHistory>(who, project, branch).await? else {
            return Ok(api::BranchFindings::default());
        };
        let open = history.open.iter().map(|(name, known)| findings(name, known)).collect();
        let gone = history.gone.iter().map(|(known, until)| finding(known, Some(until))).collect();
        Ok(api::BranchFindings { open, gone })
    }
}

fn point(point: &Point) -> api::ReportPoint {
    api::ReportPoint {
        run: point.run.to_string(),
        number: point.number,
        attempt: point.attempt,
        workflow: point.workflow.clone(),
        sha: point.sha.clone(),
        at: point.at,
    }
}

fn tests(doc: &ReportDoc, history: Option<&TestHistory>) -> Option<api::TestReport> {
    let tests = doc.tests.as_ref()?;
    let failure = |f: &super::junit::Failure| {
        let results = history.and_then(|h| h.tests.get(&f.name)).cloned().unwrap_or_default();
        api::TestFailure {
            name: f.name.clone(),
            message: f.message.clone(),
            output: f.output.clone(),
            path: f.path.clone(),
            line: f.line,
            flaky: history.is_some_and(|h| h.is_flaky(&results)),
            results,
        }
    };
    Some(api::TestReport {
        name: doc.name.clone(),
        passed: tests.passed,
        failed: tests.failed,
        skipped: tests.skipped,
        flaky: tests.flaky,
        dropped: tests.dropped,
        millis: tests.millis,
        failures: tests.failures.iter().map(failure).collect(),
        slowest: tests
            .slowest
            .iter()
            .map(|(name, millis)| api::SlowTest { name: name.clone(), millis: *millis })
            .collect(),
    })
}

fn coverage(doc: &ReportDoc) -> Option<api::CoverageReport> {
    let coverage = doc.coverage.as_ref()?;
    Some(api::CoverageReport {
        name: doc.name.clone(),
        covered: coverage.sum.0,
        total: coverage.sum.1,
        cut: coverage.cut,
        base: coverage.base.as_ref().map(|b| coverage_point(&b.point, b.sum)),
        files: files(&coverage.files, coverage.base.as_ref().map(|b| &b.files)),
    })
}

fn coverage_point(at: &Point, sum: (u64, u64)) -> api::CoveragePoint {
    api::CoveragePoint { point: point(at), covered: sum.0, total: sum.1 }
}

fn files(
    files: &BTreeMap<String, (u32, u32)>,
    base: Option<&BTreeMap<String, (u32, u32)>>,
) -> Vec<api::CoverageFile> {
    let lines = |(covered, total): (u32, u32)| api::FileLines { covered, total };
    let file = |(path, sum): (&String, &(u32, u32))| api::CoverageFile {
        path: path.clone(),
        covered: sum.0,
        total: sum.1,
        base: base.and_then(|b| b.get(path)).copied().map(lines),
    };
    files.iter().map(file).collect()
}

fn findings(name: &str, known: &[Known]) -> api::FindingsReport {
    let mut all: Vec<api::FindingView> = known.iter().map(|k| finding(k, None)).collect();
    let rank = |level: &str| ["error", "warning"].iter().position(|l| *l == level).unwrap_or(2);
    all.sort_by_key(|f| (!f.new, rank(&f.level)));
    api::FindingsReport { name: name.to_owned(), new: all.iter().filter(|f| f.new).count(), findings: all }
}

fn finding(known: &Known, until: Option<&Point>) -> api::FindingView {
    let found = &known.finding;
    api::FindingView {
        tool: found.tool.clone(),
        rule: found.rule.clone(),
        level: found.level.clone(),
        message: found.message.clone(),
        path: found.path.clone(),
        line: found.line,
        since: point(&known.since),
        until: until.map(point),
        new: known.new,
    }
}
