use super::*;

#[test]
fn legs_stand_in_order_where_the_job_stood() {
    let play = Play::jobs(&(job("a", "strategy:\n  matrix:\n    os: [x, y]\n    v: [1, 2]") + &job("b", "")));
    assert_eq!(
        play.states(),
        ["a (x, 1): queued", "a (x, 2): queued", "a (y, 1): queued", "a (y, 2): queued", "b: queued"]
    );
    let ids: std::collections::HashSet<_> = play.run.jobs.iter().map(|job| job.id).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn a_matrix_from_an_output() {
    let mut play = Play::jobs(
        &(job("plan", "")
            + &job(
                "test",
                "needs: plan\nname: check ${{ matrix.dir }}\nstrategy:\n  matrix: ${{ fromJSON(needs.plan.outputs.m) }}",
            )
            + &job(
                "vector",
                "needs: plan\nstrategy:\n  matrix:\n    d: ${{ fromJSON(needs.plan.outputs.v) }}",
            )),
    );
    assert_eq!(play.states(), ["plan: queued", "test: needs", "vector: needs"]);
    play.finish("plan", Conclusion::Success, &[("m", r#"{"dir": ["a", "b"]}"#), ("v", "[1]")]);
    assert_eq!(play.states(), ["plan: success", "check a: queued", "check b: queued", "vector (1): queued"]);
}

#[test]
fn a_strategy_and_names_in_a_matrix_from_expressions() {
    let mut play = Play::jobs(
        &(job("plan", "")
            + &job("whole", "needs: plan\nstrategy: ${{ fromJSON(needs.plan.outputs.s) }}")
            + &job("plain", "needs: plan\nstrategy: ${{ fromJSON('{\"fail-fast\":false}') }}")
            + &job(
                "named",
                "needs: plan\nstrategy:\n  matrix:\n    ${{ format('v{0}', 1) }}: [1, 2]\n    ${{ insert }}: {w: [3]}",
            )),
    );
    play.finish("plan", Conclusion::Success, &[("s", r#"{"matrix": {"d": [1, 2]}, "max-parallel": 1}"#)]);
    assert_eq!(
        play.states(),
        [
            "plan: success",
            "whole (1): queued",
            "whole (2): siblings",
            "plain: queued",
            "named (1, 3): queued",
            "named (2, 3): queued"
        ]
    );
}

#[test]
fn a_matrix_of_nothing_is_skipped() {
    let play = Play::jobs(&job("a", "strategy:\n  matrix:\n    v: [1]\n    exclude:\n      - v: 1"));
    assert_eq!(play.states(), ["a: skipped"]);
    assert_eq!(play.reason("a"), "its matrix has no combination left");
}

#[test]
fn a_failing_leg_cancels_its_siblings_only() {
    let mut play = Play::jobs(&(job("a", "strategy:\n  matrix:\n    v: [1, 2, 3]") + &job("b", "")));
    play.start("a (2)");
    let (two, actions) = (play.id("a (2)"), play.fail("a (1)"));
    assert_eq!(play.states(), ["a (1): failure", "a (2): running", "a (3): cancelled", "b: queued"]);
    assert_eq!(play.reason("a (3)"), "'a (1)' failed (fail-fast)");
    assert!(actions.contains(&Action::CancelJob { job: two, reason: "'a (1)' failed (fail-fast)".into() }));
    play.finish("a (2)", Conclusion::Cancelled, &[]);
    assert_eq!(play.reason("a (2)"), "'a (1)' failed (fail-fast)");
    play.succeed("b");
    assert_eq!(play.run.conclusion(), Some(Conclusion::Failure));
}

#[test]
fn no_fail_fast_when_told_so_or_when_the_failure_does_not_count() {
    for setting in [
        "strategy:\n  fail-fast: false\n  matrix:\n    v: [1, 2]",
        "continue-on-error: true\nstrategy:\n  matrix:\n    v: [1, 2]",
    ] {
        let mut play = Play::jobs(&job("a", setting));
        play.fail("a (1)");
        assert_eq!(play.states(), ["a (1): failure", "a (2): queued"], "{setting}");
    }
}

#[test]
fn max_parallel_lets_so_many_go_on() {
    let mut play = Play::jobs(&job("a", "strategy:\n  max-parallel: 2\n  matrix:\n    v: [1, 2, 3, 4]"));
    assert_eq!(play.states(), ["a (1): queued", "a (2): queued", "a (3): siblings", "a (4): siblings"]);
    play.succeed("a (2)");
    assert_eq!(play.states(), ["a (1): queued", "a (2): success", "a (3): queued", "a (4): siblings"]);
    play.fail("a (1)");
    assert_eq!(play.states()[2..], ["a (3): cancelled", "a (4): cancelled"]);
}

#[test]
fn outputs_of_legs_merge_and_the_last_to_finish_wins() {
    let mut play = Play::jobs(&(job("a", "strategy:\n  matrix:\n    v: [1, 2]") + &job("b", "needs: a")));
    play.finish("a (2)", Conclusion::Success, &[("x", "two"), ("y", "2")]);
    play.finish("a (1)", Conclusion::Success, &[("x", "one"), ("y", "")]);
    let needs = assignment(&play.run, play.id("b")).unwrap().needs;
    assert_eq!(needs, json!({"a": {"result": "success", "outputs": {"x": "one", "y": "2"}}}));
}

#[test]
fn a_leg_that_cannot_be_prepared_fails_alone_or_takes_the_others() {
    let broken = "timeout-minutes: ${{ matrix.v }}\nstrategy:\n  fail-fast: false\n  matrix:\n    v: [1, x]";
    assert_eq!(Play::jobs(&job("a", broken)).states(), ["a (1): queued", "a (x): failure"]);
    let fast = broken.replace("false", "true");
    let play = Play::jobs(&job("a", &fast));
    assert_eq!(play.states(), ["a (1): cancelled", "a (x): failure"]);
    assert_eq!(play.run.conclusion(), Some(Conclusion::Failure));
}
