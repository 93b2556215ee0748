use super::*;
use crate::concurrency::Member;

#[test]
fn a_run_queues_what_needs_nothing_and_tells_the_ledger() {
    let play = Play::jobs(&(job("build", "") + &job("test", "needs: build")));
    assert_eq!(play.states(), ["build: queued", "test: needs"]);
    assert_eq!(kinds(&play.actions), ["run.created", "job.queued"]);
    let queue = Action::Queue { job: play.id("build"), labels: vec!["linux".into()] };
    assert!(play.actions.contains(&queue), "{:?}", play.actions);
    assert_eq!(play.reason("test"), "waits for build");
}

#[test]
fn a_whole_run_from_push_to_success() {
    let mut play = Play::jobs(&(job("build", "") + &job("test", "needs: build")));
    play.succeed("build");
    assert_eq!(play.states(), ["build: success", "test: queued"]);
    assert_eq!(play.run.conclusion(), None);
    play.succeed("test");
    assert_eq!(play.run.conclusion(), Some(Conclusion::Success));
    assert_eq!(
        kinds(&play.actions),
        [
            "run.created",
            "job.queued",
            "run.started",
            "job.started",
            "job.completed",
            "job.queued",
            "job.started",
            "job.completed",
            "run.completed"
        ]
    );
    assert!(play.run.started_at.is_some() && play.run.finished_at().is_some());
}

#[test]
fn a_workflow_with_errors_ends_at_once_with_its_findings() {
    let play = Play::workflow("on: push\njobs:\n  a:\n    runs-on: linux\n    steps: []\n    nonsense: 1\n");
    assert_eq!(play.run.conclusion(), Some(Conclusion::StartupFailure));
    assert!(
        play.run.diagnostics.iter().any(|d| d.severity == "error" && d.line == 6),
        "{:?}",
        play.run.diagnostics
    );
    assert_eq!(kinds(&play.actions), ["run.created", "run.completed"]);
    let error =
        Play { ..play }.attempt(RunEvent::Rerun { by: Actor::System, which: Again::All }).unwrap_err();
    assert!(matches!(error, InvalidTransition::Run { .. }));
}

#[test]
fn the_title_and_name_come_from_the_workflow() {
    let text = "name: CI\nrun-name: ${{ github.actor }} on ${{ github.ref_name }} in ${{ vars.REGION }}\non: push\njobs:\n";
    let play = Play::workflow(&(text.to_owned() + &job("a", "")));
    assert_eq!((play.run.title.as_str(), play.run.workflow.name.as_str()), ("ada on main in eu", "CI"));
    let play = Play::jobs(&job("a", ""));
    assert_eq!(play.run.title, "Fix the basket");
    assert_eq!(play.run.workflow.name, ".github/workflows/ci.yml");
}

#[test]
fn a_run_waits_for_its_group_and_leaves_it_once() {
    let text =
        "on: push\nconcurrency:\n  group: deploy-${{ github.ref_name }}\n  cancel-in-progress: true\njobs:\n";
    let mut play = Play::workflow(&(text.to_owned() + &job("a", "")));
    let member = Member { run: play.run.id, job: None };
    let manner = crate::concurrency::Manner { cancel_in_progress: true, queued: false };
    let join = Action::JoinGroup { member, group: "deploy-main".into(), manner };
    assert!(play.actions.contains(&join));
    assert_eq!(play.states(), ["a: needs"]);
    play.send(play.admitted(None));
    assert_eq!(play.states(), ["a: queued"]);
    assert_eq!(play.send(play.admitted(None)), [], "said twice");
    let last = play.succeed("a");
    let leave = Action::LeaveGroup { member, group: "deploy-main".into() };
    assert_eq!(last.iter().filter(|action| **action == leave).count(), 1);
}

#[test]
fn a_run_pushed_out_of_its_group_before_it_began_runs_nothing() {
    let text = "on: push\nconcurrency: x\njobs:\n";
    let mut play = Play::workflow(&(text.to_owned() + &job("a", "if: always()")));
    play.send(RunEvent::GroupCancelled { job: None, reason: "a newer one waits".into() });
    assert_eq!(play.states(), ["a: cancelled"]);
    assert_eq!(play.run.conclusion(), Some(Conclusion::Cancelled));
    assert_eq!(play.reason("a"), "a newer one waits");
}

#[test]
fn a_group_without_a_name_ends_the_run() {
    let text = "on: push\nconcurrency: ${{ vars.NONE }}\njobs:\n";
    let play = Play::workflow(&(text.to_owned() + &job("a", "")));
    assert_eq!(play.run.conclusion(), Some(Conclusion::StartupFailure));
    assert!(play.run.diagnostics[0].message.contains("cannot be empty"));
}

#[test]
fn all_again() {
    let mut play = Play::jobs(&(job("build", "") + &job("test", "needs: build")));
    play.succeed("build");
    play.fail("test");
    assert_eq!(play.run.conclusion(), Some(Conclusion::Failure));
    let before = play.id("build");
    let by = Actor::User("bob".parse().unwrap());
    let actions = play.send(RunEvent::Rerun { by, which: Again::All });
    assert_eq!(play.states(), ["build: queued", "test: needs"]);
    assert_eq!((play.run.attempt, play.run.started_at, play.run.conclusion()), (2, None, None));
    assert_ne!(play.id("build"), before);
    assert_eq!(play.run.github["run_attempt"], "2");
    assert_eq!(kinds(&actions), ["run.created", "job.queued"]);
}

#[test]
fn only_what_failed_again_with_what_depends_on_it() {
    let mut play = Play::jobs(
        &(job("lint", "")
            + &job("test", "strategy:\n  fail-fast: false\n  matrix:\n    v: [1, 2]")
            + &job("ship", "needs: [lint, test]")
            + &job("notes", "needs: lint")),
    );
    for name in ["lint", "test (1)", "notes"] {
        play.succeed(name);
    }
    play.fail("test (2)");
    assert_eq!(
        play.states(),
        ["lint: success", "test (1): success", "test (2): failure", "ship: skipped", "notes: success"]
    );
    let kept = play.id("test (1)");
    play.send(RunEvent::Rerun { by: Actor::System, which: Again::Failed });
    assert_eq!(
        play.states(),
        ["lint: success", "test (1): success", "test (2): queued", "ship: needs", "notes: success"]
    );
    assert_eq!(play.id("test (1)"), kept);
    assert_eq!(assignment(&play.run, play.id("test (2)")).unwrap().matrix, json!({"v": 2}));
    play.succeed("test (2)");
    play.succeed("ship");
    assert_eq!(play.run.conclusion(), Some(Conclusion::Success));
}

#[test]
fn a_run_that_goes_on_is_not_done_again() {
    let mut play = Play::jobs(&job("a", ""));
    let error = play.attempt(RunEvent::Rerun { by: Actor::System, which: Again::Failed }).unwrap_err();
    assert_eq!(error.to_string(), "a re-run cannot happen to a run that is active");
}

#[test]
fn a_run_is_kept_as_a_document() {
    let mut play = Play::jobs(&(job("a", "strategy:\n  matrix:\n    v: [1, x]") + &job("b", "needs: a")));
    play.start("a (1)");
    let text = serde_json::to_string(&play.run).unwrap();
    assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), play.run);
    use windlass_kernel::Document;
    assert_eq!(
        (Document::parent(&play.run).as_str(), Document::state(&play.run).as_str()),
        ("shop", "active")
    );
}

#[test]
fn the_runner_is_told_the_contexts() {
    let mut play = Play::jobs(
        &(job("build", "")
            + &job(
                "test",
                "needs: build\nname: T ${{ matrix.v }}\ntimeout-minutes: ${{ fromJSON(vars.LIMIT) }}\nenvironment: ${{ github.ref_name }}-${{ matrix.v }}\nstrategy:\n  max-parallel: 1\n  matrix:\n    v: [1, 2]",
            )),
    );
    play.finish("build", Conclusion::Success, &[("image", "sha256:1"), ("none", "")]);
    let context = assignment(&play.run, play.id("T 2")).unwrap();
    assert_eq!(context.needs, json!({"build": {"result": "success", "outputs": {"image": "sha256:1"}}}));
    assert_eq!(
        context.strategy,
        json!({"fail-fast": true, "job-index": 1, "job-total": 2, "max-parallel": 1})
    );
    assert_eq!(context.matrix, json!({"v": 2}));
    assert_eq!(context.environment.as_deref(), Some("main-2"));
    assert!((context.timeout_minutes - 7.5).abs() < 1e-9);
    assert_eq!(context.github["ref_name"], "main");
    let plain = assignment(&play.run, play.id("build")).unwrap();
    assert_eq!(plain.strategy, json!({"fail-fast": true, "job-index": 0, "job-total": 1, "max-parallel": 1}));
    assert_eq!((plain.matrix, plain.timeout_minutes.to_bits()), (Json::Null, 360f64.to_bits()));
    assert_eq!((plain.needs, plain.inputs), (json!({}), json!({})));
}
