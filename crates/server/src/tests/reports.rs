//! From an upload to a run's reports, and to what its branch remembers.

use std::io::Write as _;

use axum::body::Body;
use windlass_api::ErrorCode;
use windlass_identity::Role;

use super::runs::CI;
use super::world::{World, bearer, finished, person, started};

const MAIN: &str = "refs/heads/main";

fn zipped(files: &[(&str, String)]) -> Body {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    Body::from(zip.finish().unwrap().into_inner())
}

fn junit(fails: bool) -> String {
    let inside = if fails { "<failure message='3 is not 4'>at line 7</failure>" } else { "" };
    format!(
        "<testsuite name='s'><testcase name='good'/><testcase name='wobbly'>{inside}</testcase></testsuite>"
    )
}

fn lcov(hit: u32) -> String {
    format!("SF:src/a.rs\nDA:1,1\nDA:2,{hit}\nend_of_record\n")
}

fn sarif(rules: &[&str]) -> String {
    let results: Vec<String> =
        rules.iter().map(|r| format!("{{\"ruleId\":\"{r}\",\"message\":{{\"text\":\"m\"}}}}")).collect();
    format!(
        "{{\"version\":\"2.1.0\",\"runs\":[{{\"tool\":{{\"driver\":{{\"name\":\"sarif\"}}}},\"results\":[{}]}}]}}",
        results.join(",")
    )
}

/// A run of what was pushed last that uploads this, from its lease to its end; gives its id.
async fn run_with(world: &World, uploads: &[(&str, &[(&str, String)])]) -> String {
    let job = world.lease().await.unwrap().unwrap();
    world.tell(&job, 1, &[started()]).await.unwrap();
    for (name, files) in uploads {
        let body = zipped(files);
        world.ctx.put_artifact(&bearer(&job), &job.job, name, None, false, body).await.unwrap();
    }
    world.tell(&job, 2, &[finished()]).await.unwrap();
    crate::reports::take_in(&world.ctx, &mut None).await.unwrap();
    job.run
}

async fn pushed(world: &World, branch: &str, text: &str) {
    world.push("shop", branch, "ada", &[("file", text)]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn what_runs_upload_is_read_and_remembered() {
    let world = World::new();
    let ada = person("ada", Role::Viewer);
    world.pushed("shop", "ada", &[CI]).await;
    let first = run_with(
        &world,
        &[
            ("junit-linux", &[("deep/r.xml", junit(false))]),
            ("coverage", &[("lcov.info", lcov(0))]),
            ("sarif", &[("out.sarif", sarif(&["A"]))]),
            ("image", &[("r.xml", junit(true))]),
        ],
    )
    .await;
    let reports = world.ctx.run_reports(&ada, &first).await.unwrap();
    assert_eq!((reports.tests.len(), reports.tests[0].passed, reports.tests[0].failed), (1, 2, 0));
    assert_eq!((reports.coverage[0].covered, reports.coverage[0].total), (1, 2));
    assert!(reports.coverage[0].base.is_none() && reports.findings[0].new == 0, "{reports:?}");
    assert_eq!(world.told("report.taken").await, 3, "what does not say that it is a report is not opened");

    pushed(&world, "main", "two").await;
    let second = run_with(
        &world,
        &[
            ("junit-linux", &[("r.xml", junit(true))]),
            ("coverage", &[("lcov.info", lcov(5))]),
            ("sarif", &[("out.sarif", sarif(&["A", "B"]))]),
            ("test-results-broken", &[("r.xml", "<testsuite>".into())]),
        ],
    )
    .await;
    // Told again, as after a crash before the place was written down: nothing is counted twice.
    crate::reports::take_in(&world.ctx, &mut Some(0)).await.unwrap();
    let reports = world.ctx.run_reports(&ada, &second).await.unwrap();
    let failure = &reports.tests[0].failures[0];
    assert_eq!((failure.name.as_str(), failure.results.as_str(), failure.flaky), ("s › wobbly", "pf", false));
    assert_eq!((failure.message.as_str(), failure.output.as_str()), ("3 is not 4", "at line 7"));
    assert_eq!(reports.problems.len(), 1, "{:?}", reports.problems);
    let base = reports.coverage[0].base.as_ref().unwrap();
    assert_eq!((base.point.run.as_str(), base.covered), (first.as_str(), 1));
    assert_eq!(reports.coverage[0].files[0].base.unwrap().covered, 1);
    let new: Vec<(&str, bool)> =
        reports.findings[0].findings.iter().map(|f| (f.rule.as_str(), f.new)).collect();
    assert_eq!(new, [("B", true), ("A", false)]);
    assert_eq!(world.told("report.taken").await, 7);

    let history = world.ctx.test_history(&ada, "shop", "main", "WOB").await.unwrap();
    assert_eq!((history.total, history.failing, history.tests.len()), (2, 1, 1));
    assert_eq!(history.runs.iter().map(|r| r.number).collect::<Vec<_>>(), [1, 2]);
    let trend = world.ctx.coverage_trend(&ada, "shop", MAIN).await.unwrap();
    assert_eq!(trend[0].points.iter().map(|p| p.covered).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_branch_is_compared_with_the_default_branch() {
    let world = World::new();
    let ada = person("ada", Role::Viewer);
    world.pushed("shop", "ada", &[CI]).await;
    run_with(&world, &[("sarif", &[("a.sarif", sarif(&["A"]))]), ("coverage", &[("l.info", lcov(5))])]).await;
    pushed(&world, "topic", "one").await;
    let topic = run_with(
        &world,
        &[("sarif", &[("a.sarif", sarif(&["A", "C"]))]), ("coverage", &[("l.info", lcov(0))])],
    )
    .await;
    let reports = world.ctx.run_reports(&ada, &topic).await.unwrap();
    let new: Vec<(&str, bool)> =
        reports.findings[0].findings.iter().map(|f| (f.rule.as_str(), f.new)).collect();
    assert_eq!(new, [("C", true), ("A", false)]);
    assert_eq!(reports.coverage[0].base.as_ref().unwrap().covered, 2);
    let main = world.ctx.branch_findings(&ada, "shop", "main").await.unwrap();
    assert_eq!(main.open[0].findings.len(), 1, "a branch's findings are its own");
    let unknown = world.ctx.run_reports(&ada, "run_01kag0000000000000000000a1").await;
    assert_eq!(unknown.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_branch_that_is_gone_leaves_no_memory() {
    let world = World::new();
    let ada = person("ada", Role::Viewer);
    let uploads: [(&str, &[(&str, String)]); 3] = [
        ("sarif", &[("a.sarif", sarif(&["A"]))]),
        ("coverage", &[("l.info", lcov(5))]),
        ("junit", &[("r.xml", junit(true))]),
    ];
    world.pushed("shop", "ada", &[CI]).await;
    run_with(&world, &uploads).await;
    pushed(&world, "topic", "one").await;
    let run = run_with(&world, &uploads).await;
    let known = async |branch: &str| {
        let tests = world.ctx.test_history(&ada, "shop", branch, "").await.map_or(0, |h| h.runs.len());
        let findings = world.ctx.branch_findings(&ada, "shop", branch).await.map_or(0, |f| f.open.len());
        let coverage = world.ctx.coverage_trend(&ada, "shop", branch).await.map_or(0, |c| c.len());
        (tests, findings, coverage)
    };
    assert_eq!(known("topic").await, (1, 1, 1));
    world.git("shop", &["push", "--quiet", "TARGET", ":topic"]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    crate::reports::take_in(&world.ctx, &mut None).await.unwrap();
    assert_eq!(known("topic").await, (0, 0, 0));
    assert_eq!(known("main").await, (1, 1, 1), "others' memory stays");
    assert_eq!(
        world.ctx.run_reports(&ada, &run).await.unwrap().tests.len(),
        1,
        "and what the run itself told"
    );
}
