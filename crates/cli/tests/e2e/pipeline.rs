//! The workflow language, run for real: graphs, matrices, artifacts, caches, groups, limits, and what is refused.

use serde_json::Value;
use windlass_api::{Conclusion, RunDetail, RunSummary, State};

use crate::platform::{Options, Platform, Repository, job, told, wait_for};

const GRAPH: &str = r####"
name: graph
run-name: Graph of ${{ github.ref_name }}
on: push
env: { COLOUR: red }
jobs:
  legs:
    runs-on: ubuntu-latest
    strategy:
      fail-fast: false
      matrix:
        size: [small, large]
        flavour: [sweet, salty]
        exclude: [{ size: large, flavour: salty }]
        include: [{ size: small, flavour: sweet, extra: "yes" }]
    outputs:
      last: ${{ steps.say.outputs.said }}
    steps:
      - id: say
        env: { EXTRA: "${{ matrix.extra || 'no' }}" }
        run: |
          echo "said=${{ matrix.size }}" >> "$GITHUB_OUTPUT"
          echo "leg ${{ matrix.size }} ${{ matrix.flavour }} extra $EXTRA $COLOUR" | tee leg.txt
      - uses: actions/upload-artifact@v4
        with: { name: "leg-${{ strategy.job-index }}", path: leg.txt }
  fails:
    runs-on: ubuntu-latest
    steps:
      - id: tolerated
        continue-on-error: true
        run: exit 3
      - if: steps.tolerated.outcome == 'failure' && steps.tolerated.conclusion == 'success'
        run: echo "tolerated"
      - run: |
          echo "::error file=src/main.c,line=7,col=3::it does not compile"
          echo "### What happened" >> "$GITHUB_STEP_SUMMARY"
          exit 7
      - run: echo "must not run"
      - if: always()
        run: echo "cleaned up"
  skipped:
    needs: fails
    runs-on: ubuntu-latest
    steps: [{ run: echo "must not run" }]
  rescue:
    needs: [fails, legs]
    if: failure()
    runs-on: ubuntu-latest
    steps:
      - uses: actions/download-artifact@v4
        with: { path: all, pattern: "leg-*", merge-multiple: false }
      - run: |
          cat all/*/leg.txt | sort
          echo "fails: ${{ needs.fails.result }}, legs: ${{ needs.legs.result }}, last: ${{ needs.legs.outputs.last }}"
  never:
    if: github.ref == 'refs/heads/other'
    runs-on: ubuntu-latest
    steps: [{ run: echo "must not run" }]
"####;

#[test]
fn a_graph_with_a_matrix_artifacts_conditions_and_a_failure() {
    let Some(platform) = Platform::start("pipeline: graph") else { return };
    let repository = Repository::new(&platform, "graph");
    repository.write(".github/workflows/graph.yml", GRAPH);
    let sha = repository.ship(&platform, "A graph");
    let run = platform.concludes("graph", &sha, Conclusion::Failure);
    assert_eq!(run.summary.title, "Graph of main");
    let of = |key: &str| -> Vec<_> {
        run.jobs.iter().filter(|j| j.key == key).map(|j| j.conclusion.unwrap()).collect()
    };
    assert_eq!(of("legs"), [Conclusion::Success; 3]);
    assert_eq!(of("fails"), [Conclusion::Failure]);
    assert_eq!(of("skipped"), [Conclusion::Skipped]);
    assert_eq!(of("never"), [Conclusion::Skipped]);
    assert_eq!(of("rescue"), [Conclusion::Success]);

    let failed = job(&run, "fails");
    let log = platform.log(&run, "fails");
    assert!(log.contains("tolerated") && log.contains("cleaned up"), "{log}");
    assert!(!log.lines().any(|l| l.ends_with("must not run") && !l.contains("echo")), "{log}");
    assert!(failed.summary.contains("### What happened"), "{:?}", failed.summary);
    let said =
        failed.annotations.iter().find(|a| a.message == "it does not compile").expect("its annotation");
    assert_eq!((said.path.as_deref(), said.line, said.column), (Some("src/main.c"), Some(7), Some(3)));

    let log = platform.log(&run, "rescue");
    for line in [
        "leg large sweet extra no red",
        "leg small salty extra no red",
        "leg small sweet extra yes red",
        "fails: failure, legs: success, last: ",
    ] {
        assert!(log.contains(line), "`{line}` is not in {log}");
    }
    assert_eq!(run.artifacts.len(), 3);
    let archive = crate::platform::page(&platform, &format!("/api/v1/artifacts/{}", run.artifacts[0].id));
    assert!(archive.status == 200 && archive.body.starts_with("PK"), "{} {}", archive.status, archive.head);
    let shown = platform.ok(&["run", "view", &run.summary.id]);
    assert!(shown.contains("fails") && shown.contains("rescue"), "{shown}");

    again(&platform, &run);
}

/// Only what failed, and what hangs on it.
fn again(platform: &Platform, run: &RunDetail) {
    platform.ok(&["run", "rerun", &run.summary.id, "--failed"]);
    let again = wait_for("the second attempt's end", 60, || {
        let now = platform.run_now(&run.summary.id)?;
        (now.summary.attempt == 2 && now.summary.state == State::Completed).then_some(now)
    });
    assert_eq!(again.summary.conclusion, Some(Conclusion::Failure));
    let first_leg = |run: &RunDetail| run.jobs.iter().find(|j| j.key == "legs").map(|j| j.finished_at);
    assert_eq!(first_leg(&again), first_leg(run), "a job that had succeeded ran again");
}

const BY_HAND: &str = r#"
name: by hand
on:
  workflow_dispatch:
    inputs:
      level: { type: choice, options: [debug, info], default: info }
      count: { type: number, required: true }
      loud: { type: boolean, default: false }
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - id: cache
        uses: actions/cache@v4
        with: { path: kept, key: "kept-${{ inputs.count }}", restore-keys: kept- }
      - run: |
          echo "level ${{ inputs.level }} sum ${{ inputs.count }} loud ${{ inputs.loud && 'very' || 'not' }}"
          echo "hit '${{ steps.cache.outputs.cache-hit }}' had '$(cat kept/file 2>/dev/null)'"
          mkdir -p kept; echo "from ${{ github.run_number }}" > kept/file
"#;

#[test]
fn a_workflow_started_by_hand_takes_typed_inputs_and_finds_its_cache() {
    let Some(platform) = Platform::start("pipeline: by hand") else { return };
    let repository = Repository::new(&platform, "hand");
    repository.write(".github/workflows/hand.yml", BY_HAND);
    repository.ship(&platform, "By hand");
    let start = |inputs: &[&str]| {
        let mut arguments = vec!["workflow", "run", "hand", "hand.yml", "--json"];
        for input in inputs {
            arguments.extend(["-i", input]);
        }
        platform.run(&arguments)
    };
    let log = |inputs: &[&str]| {
        let output = start(inputs);
        assert!(output.status.success(), "{}", told(&output));
        let run: RunSummary = serde_json::from_slice(&output.stdout).unwrap();
        let run = platform.ended(&run.id, 60);
        assert_eq!(run.summary.conclusion, Some(Conclusion::Success));
        platform.log(&run, "one")
    };
    assert!(platform.runs("hand").is_empty(), "a push started it");
    let first = log(&["count=3", "loud=true"]);
    assert!(first.contains("level info sum 3 loud very") && first.contains("hit '' had ''"), "{first}");
    let second = log(&["count=3", "level=debug"]);
    assert!(second.contains("level debug sum 3 loud not"), "{second}");
    assert!(second.contains("hit 'true' had 'from 1'"), "{second}");
    let third = log(&["count=4"]);
    assert!(third.contains("hit 'false' had 'from 1'"), "{third}");
    for (inputs, said) in [
        (&["level=debug"][..], "count"),
        (&["count=many"], "count"),
        (&["count=1", "level=trace"], "level"),
        (&["count=1", "unknown=1"], "unknown"),
    ] {
        let output = start(inputs);
        assert!(!output.status.success() && told(&output).contains(said), "{inputs:?}: {}", told(&output));
    }
}

const GROUPED: &str = r#"
name: grouped
on: { push: { branches: [main] } }
concurrency: { group: "only-${{ github.ref }}", cancel-in-progress: true }
jobs:
  long:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          echo begun
          test "$(cat speed)" = fast || sleep 300
"#;

const LIMITED: &str = r#"
name: limited
on: { push: { branches: [limits] } }
jobs:
  slow:
    runs-on: ubuntu-latest
    timeout-minutes: 1
    steps:
      - run: "echo begun; sleep 300 & sleep 300"
  stubborn:
    runs-on: ubuntu-latest
    steps:
      - run: |
          trap 'echo "not now"' TERM INT HUP
          bash -c 'trap "" TERM INT HUP; while :; do sleep 1; done' &
          echo begun
          while :; do sleep 0.2; done
      - if: always()
        run: echo "cleaned up"
"#;

#[test]
fn groups_cancel_the_older_run_limits_end_a_job_and_a_job_deaf_to_signals_is_cancelled() {
    let options = Options { slots: Some(4), ..Options::default() };
    let Some(platform) = Platform::start_with("pipeline: stops", options) else { return };
    let repository = Repository::new(&platform, "stops");
    repository.write(".github/workflows/grouped.yml", GROUPED).write("speed", "slow");
    repository.write(".github/workflows/limited.yml", LIMITED);
    let first = repository.commit("Slow");
    // A job with a time limit of a minute runs beside all that follows.
    repository.git(&["branch", "limits"]);
    repository.push_ref(&platform, "limits");
    let id = platform.run_of("stops", &first).summary.id;
    platform.says(&id, "slow", "begun");
    platform.says(&id, "stubborn", "begun");
    repository.write("other", "another commit");
    let first = repository.ship(&platform, "Slow once more");
    let first_id = platform.run_of("stops", &first).summary.id;
    platform.says(&first_id, "long", "begun");
    repository.write("speed", "fast");
    let second = repository.ship(&platform, "Fast");
    platform.concludes("stops", &second, Conclusion::Success);
    let cancelled = platform.ended(&first_id, 10);
    assert_eq!(cancelled.summary.conclusion, Some(Conclusion::Cancelled));
    let reason = job(&cancelled, "long").reason.clone().unwrap_or_default();
    assert!(reason.contains("only-refs/heads/main"), "the reason does not name the group: {reason}");

    let slow = wait_for("the time limit to end the job", 100, || {
        let run = platform.run_now(&id)?;
        let slow = job(&run, "slow").clone();
        (slow.state == State::Completed).then_some(slow)
    });
    let reason = slow.reason.unwrap_or_default();
    assert!(reason.contains("1 minute"), "the reason does not name the limit: {reason}");
    platform.ok(&["run", "cancel", &id]);
    let run = platform.ended(&id, 60);
    assert_eq!(run.summary.conclusion, Some(Conclusion::Cancelled));
    assert_eq!(job(&run, "stubborn").conclusion, Some(Conclusion::Cancelled));
    assert!(platform.log(&run, "stubborn").contains("cleaned up"), "`if: always()` did not run");
    platform.assert_ledger_whole();
}

#[test]
fn what_is_wrong_or_not_there_yet_is_said_with_file_line_and_column_and_nothing_runs() {
    let Some(platform) = Platform::start("pipeline: refusals") else { return };
    let repository = Repository::new(&platform, "wrong");
    let cases = [
        ("unknown-key", "on: push\njobs:\n  a:\n    runs-on: x\n    setps: []\n", 5, 5, "setps"),
        (
            "not-yet",
            "on: push\njobs:\n  a:\n    runs-on: x\n    snapshot: image\n    steps: [{ run: x }]\n",
            5,
            5,
            "not supported yet",
        ),
        (
            "no-such-job",
            "on: push\njobs:\n  a:\n    needs: b\n    runs-on: x\n    steps: [{ run: x }]\n",
            4,
            12,
            "b",
        ),
        (
            "expression",
            "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo ${{ gihtub.sha }}\n",
            6,
            23,
            "gihtub",
        ),
        ("yaml", "on: push\njobs:\n  a: [\n", 0, 0, ""),
    ];
    for (name, text, ..) in cases {
        repository.write(&format!(".github/workflows/{name}.yml"), text);
    }
    let sha = repository.ship(&platform, "All wrong");
    let runs = wait_for("a run for each file", 30, || {
        let runs = platform.runs("wrong");
        (runs.len() == cases.len()).then_some(runs)
    });
    for (name, _, line, column, said) in cases {
        let file = format!(".github/workflows/{name}.yml");
        let run = runs.iter().find(|r| r.workflow_file == file).unwrap();
        assert_eq!(
            (run.sha.as_str(), run.conclusion),
            (sha.as_str(), Some(Conclusion::StartupFailure)),
            "{name}"
        );
        let run = platform.run_now(&run.id).unwrap();
        let found = &run.diagnostics;
        let fits = |d: &windlass_api::DiagnosticView| {
            d.file == file
                && d.severity == "error"
                && d.message.contains(said)
                && (line == 0 || (d.line, d.column) == (line, column))
        };
        assert!(found.iter().any(fits), "{name}: {line}:{column} `{said}` is not in {found:#?}");
    }
    let shown: Value = serde_json::from_str(&platform.ok(&["run-list", "--json"])).unwrap();
    assert_eq!(shown.as_array().map(Vec::len), Some(cases.len()));
    // The same findings before the push.
    let lint = platform.command(&["lint"]).current_dir(&repository.folder).output().unwrap();
    assert_eq!(lint.status.code(), Some(1), "{}", told(&lint));
    assert!(told(&lint).contains("unknown-key.yml:5:5"), "{}", told(&lint));
}
