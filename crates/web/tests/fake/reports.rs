//! The reports that the fake platform holds.

use windlass_api::*;

use super::data::{BROKEN, Data, GREEN};

impl Data {
    pub(crate) fn point(&self, number: u64) -> ReportPoint {
        ReportPoint {
            run: GREEN.into(),
            number,
            attempt: 1,
            workflow: self.t("ci"),
            sha: Self::sha(1),
            at: self.ago(5000 - number as i64),
        }
    }

    pub(crate) fn reports(&self, run: &str) -> RunReports {
        if run == BROKEN {
            return RunReports::default();
        }
        let failure = |name: &str, results: &str, flaky| TestFailure {
            name: self.t(name),
            message: self.t("assertion `left == right` failed"),
            output: self.t("\u{1b}[31mleft\u{1b}[0m: 3\nright: 4"),
            path: Some("src/main.rs".into()),
            line: Some(2),
            results: results.into(),
            flaky,
        };
        let tests = TestReport {
            name: self.t("junit-linux"),
            passed: 57,
            failed: 2,
            skipped: 1,
            flaky: 1,
            dropped: 3,
            millis: 8_345,
            failures: vec![
                failure("list › keeps_the_order", "ppppppppf", false),
                failure("store › survives", "pfpfpp-xf", true),
            ],
            slowest: vec![SlowTest { name: self.t("store › kill"), millis: 2_100 }],
        };
        let trend = self.coverage_trend();
        let coverage = CoverageReport {
            name: self.t("coverage"),
            covered: 874,
            total: 1000,
            cut: false,
            base: Some(trend.points[0].clone()),
            files: trend.files,
        };
        RunReports {
            tests: vec![tests],
            coverage: vec![coverage],
            findings: vec![self.findings()],
            load: Vec::new(),
            problems: vec![self.t("junit: results.xml: it is not XML")],
        }
    }

    pub(crate) fn test_history(&self, branch: &str) -> TestHistoryView {
        let line = |name: &str, results: &str, flaky| TestHistoryLine {
            name: self.t(name),
            results: results.into(),
            flaky,
        };
        TestHistoryView {
            branch: branch.into(),
            runs: (30..42).map(|n| self.point(n)).collect(),
            total: 60,
            flaky: 1,
            failing: 1,
            tests: vec![
                line("list › keeps_the_order", "ppppppppppff", false),
                line("store › survives", "pfpfpp-xfpsp", true),
                line("api › answers", "pppppppppppp", false),
            ],
        }
    }

    pub(crate) fn coverage_trend(&self) -> CoverageTrend {
        let file = |path: &str, covered, base: Option<u32>| CoverageFile {
            path: self.t(path),
            covered,
            total: 200,
            base: base.map(|covered| FileLines { covered, total: 200 }),
        };
        CoverageTrend {
            name: self.t("coverage"),
            points: (30..42)
                .map(|n| CoveragePoint { point: self.point(n), covered: 800 + n * 3, total: 1000 })
                .collect(),
            files: vec![file("src/list.rs", 180, Some(170)), file("src/store.rs", 90, None)],
        }
    }

    pub(crate) fn findings(&self) -> FindingsReport {
        let one = |level: &str, new, path: Option<&str>| FindingView {
            tool: self.t("lint"),
            rule: self.t("unsafe-input"),
            level: level.into(),
            message: self.t("the value is used without a check"),
            path: path.map(str::to_owned),
            line: path.map(|_| 3),
            since: self.point(40),
            until: None,
            new,
        };
        let findings = vec![one("error", true, Some("src/main.rs")), one("note", false, None)];
        FindingsReport { name: self.t("sarif"), new: 1, findings }
    }
}
