//! What runs: events, files, jobs, legs, labels; and what is refused before anything does.

use crate::fixture::{Repo, job, on_push};

#[test]
fn the_event_and_its_filters_choose_workflows() {
    let repo = Repo::with(&on_push(&job("pushed", "", "echo it was a push")));
    repo.write(
        ".github/workflows/change.yml",
        &format!("on: pull_request\njobs:\n{}", job("changed", "", "echo $GITHUB_REF $GITHUB_BASE_REF")),
    );
    repo.write(
        ".github/workflows/release.yml",
        &format!("on: {{push: {{branches: [release]}}}}\njobs:\n{}", job("released", "", "echo a release")),
    );
    repo.here(&[]).ended(0).says("it was a push").says_not("a release").says_not("refs/pull");
    repo.here(&["pull_request"]).ended(0).says("refs/pull/1/merge main").says_not("it was a push");
    repo.here(&["-W", ".github/workflows/release.yml"]).ended(0).says("a release");
    repo.here(&["-W", "release.yml"]).ended(0).says("a release");
    repo.here(&["-W", "change.yml"]).ended(0).says("refs/pull/1/merge");
    repo.here(&["schedule"]).ended(3).complains("no workflow runs on schedule").complains("release.yml");
    repo.here(&["nonsense"]).ended(2).complains("neither an event");
    repo.here(&["-W", "none.yml"]).ended(3).complains("none.yml");
}

#[test]
fn a_job_comes_with_what_it_needs() {
    let jobs =
        job("a", "", "echo from a") + &job("b", "needs: a", "echo from b") + &job("c", "", "echo from c");
    let repo = Repo::with(&on_push(&jobs));
    repo.here(&["-j", "b"]).ended(0).says("from a").says("from b").says_not("from c");
    repo.here(&["-j", "A"]).ended(0).says("from a").says_not("from b");
    repo.here(&["-j", "zz"]).ended(3).complains("zz").complains("a, b, c");
}

#[test]
fn legs_are_chosen_by_their_values() {
    let strategy = "strategy:\n  max-parallel: 1\n  matrix:\n    os: [x, y]\n    n: [1, 2]";
    let repo = Repo::with(&on_push(&job("leg", strategy, "echo leg=${{ matrix.os }}${{ matrix.n }}")));
    repo.here(&["--matrix", "os:y"]).ended(0).says("leg=y1").says("leg=y2").says_not("leg=x");
    let both = ["--matrix", "os:y", "--matrix", "n:2", "--matrix", "unknown:z"];
    repo.here(&both).ended(0).says("leg=y2").says_not("leg=y1");
    repo.here(&["--matrix", "os:zz"]).ended(1).complains("no leg of the job `leg`");
}

#[test]
fn a_label_that_nobody_serves_is_an_error_before_anything_runs() {
    let jobs =
        job("first", "", "echo ran") + &job("odd", "", "true").replace("ubuntu-latest", "windows-latest");
    let repo = Repo::with(&on_push(&jobs));
    let said = repo.here(&[]).ended(2).says_not("ran");
    said.complains("windows-latest").complains("ci.yml:10:14").complains("-P windows-latest=host");
    repo.here(&["-P", "windows-latest=host"]).ended(0).says("ran");
    // What would be is told all the same: the plan is not cut short by it.
    let repo = Repo::with(&on_push(&(jobs + &job("last", "needs: odd", "true"))));
    repo.here(&["--dry-run"]).ended(1).says("○ first").says("✗ odd  no one here serves").says("○ last");
    repo.here(&["--graph"]).ended(0).says("nobody here serves `windows-latest`").says("└─ last");
    // A label that only an expression tells is known when its job's turn has come: then it fails, it is not skipped.
    let late = job("late", "", "true").replace("ubuntu-latest", "${{ fromJSON('\"gpu\"') }}");
    Repo::with(&on_push(&late)).here(&[]).ended(1).says("late  failure").says("`gpu`");
}

#[test]
fn what_is_wrong_with_a_file_is_said_by_line_and_nothing_runs() {
    let repo = Repo::with(&on_push(&job("fine", "", "echo ran")));
    repo.write(
        ".github/workflows/bad.yml",
        "on: push\njobs:\n  x:\n    rns-on: y\n    steps:\n      - run: x\n",
    );
    repo.here(&[]).ended(1).complains("bad.yml:4:5").complains("nothing was run").says_not("ran");
    repo.here(&["-j", "fine"]).ended(0).says("ran");
}

#[test]
fn a_dry_run_decides_everything_and_starts_nothing() {
    let jobs = job("build", "strategy: {matrix: {os: [x, y]}}", "touch /tmp/windlass-must-not-be")
        + &job("never", "needs: build\nif: github.ref == 'refs/heads/other'", "true")
        + &job("last", "needs: build", "true");
    let repo = Repo::with(&on_push(&jobs));
    let said = repo.here(&["--dry-run"]).ended(0);
    said.says("build (x)")
        .says("build (y)")
        .says("Run touch")
        .says("never  skipped")
        .says("refs/heads/other")
        .says("last");
    assert!(!std::path::Path::new("/tmp/windlass-must-not-be").exists());
    assert!(!repo.cache().exists(), "a dry run left files");
    repo.here(&["--graph"]).ended(0).says("└─ build").says("after build");
    let graph = repo.here(&["--graph", "--json"]).ended(0);
    assert_eq!(graph.objects()[0]["jobs"][1]["needs"], serde_json::json!(["build"]));
}

#[test]
fn the_commands_about_a_platforms_runs_are_still_there() {
    let repo = Repo::with(&on_push(&job("a", "", "true")));
    repo.run(&["list"]).ended(5).complains("windlass up");
    repo.run(&["--help"])
        .ended(0)
        .says("windlass run pull_request")
        .says("Commands:")
        .says("--debug-on-failure");
}
