//! `windlass report`: the tests, the coverage and the findings that runs uploaded, of a run or of a branch.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use windlass_api::{
    BranchFindings, CoverageFile, CoverageTrend, FindingView, FindingsReport, ProjectView, RunReports,
    TestHistoryView,
};

use crate::connection::{Global, part};
use crate::failure::Exit;
use crate::show::{self, Field, Tone};

/// How many files of a coverage are listed, those with most lines that no test runs first.
const FILES: usize = 30;

/// Reports that runs uploaded: tests, coverage, findings
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Report {
    /// A branch's tests from run to run, those that fail or are flaky first; or a run's that failed
    #[command(after_help = "Examples:
  windlass report tests shop
  windlass report tests shop --branch feature --find login
  windlass report tests --run RUN")]
    Tests(Tests),
    /// Coverage of a branch from run to run, or of a run, by file
    #[command(
        after_help = "Examples:\n  windlass report coverage shop\n  windlass report coverage --run RUN"
    )]
    Coverage(Of),
    /// Findings that stand on a branch, and which are new; or a run's
    #[command(
        after_help = "Examples:\n  windlass report findings shop\n  windlass report findings --run RUN"
    )]
    Findings(Of),
}

/// Of what.
#[derive(Args, Clone, Debug)]
pub(crate) struct Of {
    /// The project
    #[arg(required_unless_present = "run", conflicts_with = "run")]
    project: Option<String>,
    /// The branch [default: the default branch]
    #[arg(long, short, conflicts_with = "run")]
    branch: Option<String>,
    /// A run instead, by its id
    #[arg(long)]
    run: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Tests {
    #[command(flatten)]
    of: Of,
    /// Only tests whose names hold this
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "run")]
    find: String,
}

/// Carries a report command out. It fails where a test fails or a finding is new, so that scripts can ask.
pub(crate) async fn run(global: &Global, report: Report) -> Result<Exit> {
    let well = match report {
        Report::Tests(Tests { of, find }) => match &of.run {
            Some(run) => tests_of_run(global, run).await?,
            None => {
                let path = of.path(global, "tests").await? + &format!("&q={}", part(&find));
                tests(global, &fetch(global, &path).await?)?
            }
        },
        Report::Coverage(of) => match &of.run {
            Some(run) => coverage_of_run(global, run).await?,
            None => {
                let path = of.path(global, "coverage").await?;
                coverage(global, &fetch::<Vec<CoverageTrend>>(global, &path).await?)?
            }
        },
        Report::Findings(of) => match &of.run {
            Some(run) => {
                let reports: RunReports = fetch(global, &of_run(run)).await?;
                findings(global, &reports.findings, &reports.findings)?
            }
            None => {
                let path = of.path(global, "findings").await?;
                let found: BranchFindings = fetch(global, &path).await?;
                findings(global, &found, &found.open)?
            }
        },
    };
    Ok(if well { Exit::Done } else { Exit::Failed })
}

impl Of {
    /// Where a branch's reports of a kind are.
    async fn path(&self, global: &Global, kind: &str) -> Result<String> {
        let project = part(self.project.as_deref().unwrap_or_default());
        let branch = match &self.branch {
            Some(branch) => branch.clone(),
            None => {
                fetch::<ProjectView>(global, &format!("/api/v1/projects/{project}")).await?.default_branch
            }
        };
        Ok(format!("/api/v1/projects/{project}/reports/{kind}?branch={}", part(&branch)))
    }
}

fn of_run(run: &str) -> String {
    format!("/api/v1/runs/{}/reports", part(run))
}

async fn fetch<T: DeserializeOwned>(global: &Global, path: &str) -> Result<T> {
    Ok(global.client()?.get(path).await?)
}

/// A test's results by letters that say what they are to somebody who does not know ours.
fn signs(results: &str) -> String {
    let sign = |letter: char| match letter {
        'p' => '✓',
        'f' => '✗',
        's' => '○',
        'x' => '!',
        _ => '·',
    };
    results.chars().map(sign).collect()
}

fn tests(global: &Global, history: &TestHistoryView) -> Result<bool> {
    if global.json {
        show::json(history)?;
        return Ok(history.failing == 0);
    }
    let rows = history.tests.iter().map(|test| {
        let failing = test.results.ends_with(['f', 'x']);
        let (word, tone) = match (failing, test.flaky) {
            (_, true) => ("flaky", Tone::Busy),
            (true, false) => ("fails", Tone::Bad),
            (false, false) => ("passes", Tone::Good),
        };
        [Field::toned(word, tone), test.name.clone().into(), signs(&test.results).into()]
    });
    show::table(["state", "test", "runs"], rows.collect(), "no test report of this branch yet")?;
    if history.total > 0 {
        let (total, failing, flaky) = (history.total, history.failing, history.flaky);
        show::print(&format!(
            "{total} tests in the last {} runs: {failing} fail, {flaky} are flaky",
            history.runs.len()
        ))?;
    }
    Ok(history.failing == 0)
}

async fn tests_of_run(global: &Global, run: &str) -> Result<bool> {
    let reports: RunReports = fetch(global, &of_run(run)).await?;
    let failed: u64 = reports.tests.iter().map(|report| report.failed).sum();
    if global.json {
        show::json(&reports.tests)?;
        return Ok(failed == 0);
    }
    let rows = reports.tests.iter().flat_map(|report| {
        report.failures.iter().map(|failure| {
            let place = match (&failure.path, failure.line) {
                (Some(path), Some(line)) => format!("{path}:{line}"),
                (Some(path), None) => path.clone(),
                (None, _) => String::new(),
            };
            [
                report.name.clone().into(),
                Field::toned(failure.name.clone(), if failure.flaky { Tone::Busy } else { Tone::Bad }),
                failure.message.lines().next().unwrap_or_default().to_owned().into(),
                Field::dim(place),
            ]
        })
    });
    show::table(["report", "test", "message", "place"], rows.collect(), "no test of this run failed")?;
    for report in &reports.tests {
        show::print(&format!(
            "{}: {} passed, {} failed, {} skipped, {} flaky",
            show::clean(&report.name),
            report.passed,
            report.failed,
            report.skipped,
            report.flaky
        ))?;
    }
    for problem in &reports.problems {
        eprintln!("not read: {}", show::clean(problem));
    }
    Ok(failed == 0)
}

/// Of so many lines so many, in percent.
fn percent(covered: u64, total: u64) -> String {
    if total == 0 {
        return "–".to_owned();
    }
    let tenths = covered.saturating_mul(1000) / total;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

fn files(files: &[CoverageFile]) -> Result<()> {
    let mut worst: Vec<&CoverageFile> = files.iter().filter(|file| file.covered < file.total).collect();
    worst.sort_by_key(|file| (std::cmp::Reverse(file.total - file.covered), &file.path));
    let more = worst.len().saturating_sub(FILES);
    let rows = worst.into_iter().take(FILES).map(|file| {
        [
            file.path.clone().into(),
            percent(file.covered.into(), file.total.into()).into(),
            (file.total - file.covered).to_string().into(),
        ]
    });
    show::table(
        ["file", "covered", "lines without a test"],
        rows.collect(),
        "every line of every file is run",
    )?;
    if more > 0 {
        show::print(&format!("and {more} more files; --json has them all"))?;
    }
    Ok(())
}

fn coverage(global: &Global, trends: &[CoverageTrend]) -> Result<bool> {
    if global.json {
        show::json(&trends)?;
        return Ok(true);
    }
    if trends.is_empty() {
        eprintln!("no coverage of this branch yet");
    }
    for trend in trends {
        let points: Vec<String> = trend
            .points
            .iter()
            .rev()
            .take(10)
            .rev()
            .map(|point| percent(point.covered, point.total))
            .collect();
        show::print(&format!("{}: {}", show::clean(&trend.name), points.join(" → ")))?;
        files(&trend.files)?;
    }
    Ok(true)
}

async fn coverage_of_run(global: &Global, run: &str) -> Result<bool> {
    let reports: RunReports = fetch(global, &of_run(run)).await?;
    if global.json {
        show::json(&reports.coverage)?;
        return Ok(true);
    }
    if reports.coverage.is_empty() {
        eprintln!("this run uploaded no coverage");
    }
    for report in &reports.coverage {
        let before =
            report.base.as_ref().map(|base| format!(", before {}", percent(base.covered, base.total)));
        show::print(&format!(
            "{}: {}{}",
            show::clean(&report.name),
            percent(report.covered, report.total),
            before.unwrap_or_default()
        ))?;
        files(&report.files)?;
    }
    Ok(true)
}

fn findings<T: serde::Serialize>(global: &Global, whole: &T, open: &[FindingsReport]) -> Result<bool> {
    let new: usize = open.iter().map(|report| report.new).sum();
    if global.json {
        show::json(whole)?;
        return Ok(new == 0);
    }
    let rows = open.iter().flat_map(|report| &report.findings).map(|finding: &FindingView| {
        let tone = match finding.level.as_str() {
            "error" => Tone::Bad,
            "warning" => Tone::Busy,
            _ => Tone::Plain,
        };
        let place = match (&finding.path, finding.line) {
            (Some(path), Some(line)) => format!("{path}:{line}"),
            (path, _) => path.clone().unwrap_or_default(),
        };
        [
            if finding.new {
                Field::toned("new", Tone::Bad)
            } else {
                Field::dim(show::ago(finding.since.at))
            },
            Field::toned(finding.level.clone(), tone),
            format!("{} {}", finding.tool, finding.rule).into(),
            finding.message.lines().next().unwrap_or_default().to_owned().into(),
            place.into(),
        ]
    });
    show::table(["since", "level", "rule", "message", "place"], rows.collect(), "no finding stands")?;
    Ok(new == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_shares_are_readable() {
        assert_eq!(signs("pfsx-"), "✓✗○!·");
        for (covered, total, wanted) in
            [(0, 0, "–"), (1, 3, "33.3 %"), (3, 3, "100.0 %"), (999, 1000, "99.9 %")]
        {
            assert_eq!(percent(covered, total), wanted);
        }
    }
}
