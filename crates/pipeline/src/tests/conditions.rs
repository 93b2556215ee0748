use super::*;

#[test]
fn a_failure_skips_what_needs_it_down_the_line() {
    let mut play =
        Play::jobs(&(job("a", "") + &job("b", "needs: a") + &job("c", "needs: b") + &job("d", "")));
    play.fail("a");
    assert_eq!(play.states(), ["a: failure", "b: skipped", "c: skipped", "d: queued"]);
    assert_eq!(play.reason("b"), "'a' ended with failure");
    assert_eq!(play.reason("c"), "'b' ended with skipped");
    play.succeed("d");
    assert_eq!(play.run.conclusion(), Some(Conclusion::Failure));
}

#[test]
fn conditions_after_each_end_of_what_is_needed() {
    // What `b` does when `a` ends so: success, failure, skipped.
    let table = [
        ("", ["queued", "skipped", "skipped"]),
        ("if: always()", ["queued", "queued", "queued"]),
        ("if: failure()", ["skipped", "queued", "skipped"]),
        ("if: success()", ["queued", "skipped", "skipped"]),
        ("if: ${{ !cancelled() }}", ["queued", "queued", "queued"]),
        ("if: failure('a')", ["skipped", "queued", "skipped"]),
        ("if: needs.a.result == 'failure'", ["skipped", "skipped", "skipped"]),
        ("if: always() && needs.a.result == 'failure'", ["skipped", "queued", "skipped"]),
        ("if: always() && needs.a.result == 'skipped'", ["skipped", "skipped", "queued"]),
        ("if: github.ref == 'refs/heads/main'", ["queued", "skipped", "skipped"]),
        ("if: github.ref == 'refs/heads/x'", ["skipped", "skipped", "skipped"]),
        ("if: vars.REGION == 'EU' && needs.a.outputs.go", ["queued", "skipped", "skipped"]),
        ("if: false", ["skipped", "skipped", "skipped"]),
    ];
    for (condition, expected) in table {
        for (ending, expected) in ["success", "failure", "skipped"].into_iter().zip(expected) {
            let first = if ending == "skipped" { "if: false" } else { "" };
            let mut play = Play::jobs(&(job("a", first) + &job("b", &format!("needs: a\n{condition}"))));
            match ending {
                "success" => drop(play.finish("a", Conclusion::Success, &[("go", "1")])),
                "failure" => drop(play.fail("a")),
                _ => {}
            }
            assert_eq!(play.states()[1], format!("b: {expected}"), "{condition} after {ending}");
        }
    }
}

#[test]
fn a_skip_passes_through_a_job_that_always_runs() {
    let mut play = Play::jobs(&(job("a", "") + &job("b", "needs: a\nif: always()") + &job("c", "needs: b")));
    play.fail("a");
    play.succeed("b");
    assert_eq!(play.states(), ["a: failure", "b: success", "c: skipped"]);
    assert_eq!(play.reason("c"), "a job that it depends on did not succeed");
}

#[test]
fn a_skip_says_what_was_found() {
    let play = Play::jobs(&job("a", "if: github.ref_name == 'release' && vars.REGION != 'us'"));
    assert_eq!(
        play.reason("a"),
        "its condition `github.ref_name == 'release' && vars.REGION != 'us'` is not met: success() && (('main' == 'release') && ('eu' != 'us'))"
    );
    assert_eq!(play.run.conclusion(), Some(Conclusion::Skipped));
    assert_eq!(kinds(&play.actions), ["run.created", "job.completed", "run.completed"]);
}

#[test]
fn a_condition_that_breaks_fails_the_job() {
    let play = Play::jobs(&job("a", "if: fromJSON(vars.REGION)"));
    assert_eq!(play.states(), ["a: failure"]);
    assert!(
        play.reason("a").starts_with("its condition could not be evaluated: fromJSON:"),
        "{}",
        play.reason("a")
    );
}

#[test]
fn continue_on_error_counts_as_success() {
    let mut play = Play::jobs(&(job("a", "continue-on-error: true") + &job("b", "needs: a")));
    play.fail("a");
    assert_eq!(play.states(), ["a: failure", "b: queued"]);
    let needs = assignment(&play.run, play.id("b")).unwrap().needs;
    assert_eq!(needs["a"]["result"], "success");
    play.succeed("b");
    assert_eq!(play.run.conclusion(), Some(Conclusion::Success));
}

#[test]
fn settings_that_cannot_be_evaluated_fail_the_job_with_the_key() {
    let table = [
        ("timeout-minutes: ${{ vars.REGION }}", "`timeout-minutes` must be a number, not 'eu'"),
        ("timeout-minutes: ${{ fromJSON('0') }}", "`timeout-minutes` must be more than 0"),
        ("continue-on-error: ${{ vars.REGION }}", "`continue-on-error` must be true or false, not 'eu'"),
        ("concurrency: ${{ vars.NONE }}", "Concurrency group name cannot be empty"),
        ("name: ${{ fromJSON('') }}", "`name` could not be evaluated: fromJSON: the text is empty"),
        ("strategy:\n  matrix: ${{ fromJSON('[1]') }}", "the matrix must be a mapping"),
        (
            "strategy:\n  matrix:\n    v: ${{ fromJSON('[]') }}",
            "Matrix vector 'v' does not contain any values",
        ),
        (
            "strategy:\n  max-parallel: ${{ fromJSON('0') }}\n  matrix:\n    v: [1]",
            "`strategy.max-parallel` must be 1 or more",
        ),
    ];
    for (setting, reason) in table {
        let play = Play::jobs(&job("a", setting));
        assert_eq!(
            (play.states(), play.reason("a").as_str()),
            (vec!["a: failure".to_owned()], reason),
            "{setting}"
        );
        assert_eq!(play.run.conclusion(), Some(Conclusion::Failure));
    }
    let text = "on: push\njobs:\n  a:\n    runs-on: ${{ vars.NONE }}\n    steps:\n      - run: x\n";
    assert_eq!(Play::workflow(text).reason("a"), "`runs-on` gave no label");
    let text =
        "on: push\njobs:\n  a:\n    runs-on: ${{ fromJSON('[\"x\", \"y\"]') }}\n    steps:\n      - run: x\n";
    assert_eq!(Play::workflow(text).named("a").labels, ["x", "y"]);
}
