//! Reports that a run uploads, as `windlass report` tells them.

use windlass_api::{Conclusion, TestHistoryView};

use crate::platform::{Platform, Repository, told, wait_for};

const CI: &str = r"on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/upload-artifact@v4
        with: { name: junit, path: results.xml }
      - uses: actions/upload-artifact@v4
        with: { name: coverage, path: lcov.info }
      - uses: actions/upload-artifact@v4
        with: { name: sarif, path: out.sarif }
";

const RESULTS: &str = "<testsuite name='shop'><testcase name='adds'/><testcase name='pays'>\
    <failure message='3 is not 4'>at line 7</failure></testcase></testsuite>";
const COVERAGE: &str = "SF:src/pay.rs\nDA:1,1\nDA:2,0\nDA:3,0\nend_of_record\n";
const FINDINGS: &str = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"look"}},"results":[
    {"ruleId":"R1","level":"warning","message":{"text":"never used"}}]}]}"#;

#[test]
fn what_a_run_reports_is_told_on_the_command_line() {
    let Some(platform) = Platform::start("reports: command line") else { return };
    let repository = Repository::new(&platform, "shop");
    repository.write(".github/workflows/ci.yml", CI).write("results.xml", RESULTS);
    repository.write("lcov.info", COVERAGE).write("out.sarif", FINDINGS);
    let sha = repository.ship(&platform, "Report");
    let run = platform.concludes("shop", &sha, Conclusion::Success).summary.id;
    wait_for("the reports to be read", 30, || {
        let path = "/api/v1/projects/shop/reports/tests?branch=main";
        platform.try_get::<TestHistoryView>(path).ok().filter(|history| history.total == 2)
    });
    for arguments in [&["report", "tests", "shop"][..], &["report", "tests", "--run", &run]] {
        let output = platform.run(arguments);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(1), "a test fails, so it fails: {said}");
        assert!(said.contains("pays"), "{arguments:?}: {said}");
    }
    let said = platform.run(&["report", "tests", "shop", "--find", "adds"]);
    assert!(!told(&said).contains("pays"), "{}", told(&said));
    for arguments in [&["report", "coverage", "shop"][..], &["report", "coverage", "--run", &run]] {
        let said = platform.ok(arguments);
        assert!(said.contains("33.3 %") && said.contains("src/pay.rs"), "{arguments:?}: {said}");
    }
    let said = platform.ok(&["report", "findings", "shop", "--branch", "main"]);
    assert!(said.contains("look R1") && said.contains("never used"), "{said}");
    let said = platform.ok(&["report", "findings", "--run", &run, "--json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&said).is_ok_and(|found| found.is_array()), "{said}");
    let output = platform.run(&["report", "tests"]);
    assert_eq!(output.status.code(), Some(2), "neither project nor run: {}", told(&output));
}
