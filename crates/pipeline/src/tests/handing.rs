use super::*;

fn reported(play: &Play, name: &str, hand_out: u32, seq: u64, report: Report) -> RunEvent {
    RunEvent::Reported { job: play.id(name), hand_out, seq, at: play.now(), report }
}

fn summary(text: &str) -> Report {
    Report::Summary(text.into())
}

#[test]
fn reports_are_taken_once_and_in_order() {
    let mut play = Play::jobs(&job("a", ""));
    play.lease("a");
    play.send(reported(&play, "a", 1, 1, Report::Started { sandbox: "namespaces".into() }));
    play.send(reported(&play, "a", 1, 2, summary("# one\n")));
    assert_eq!(play.send(reported(&play, "a", 1, 2, summary("# one\n"))), []);
    assert_eq!(play.named("a").summary, "# one\n");
    let gap = play.attempt(reported(&play, "a", 1, 4, summary("x"))).unwrap_err();
    assert!(matches!(gap, InvalidTransition::Gap { expected: 3, found: 4, .. }));
    assert_eq!(play.named("a").acknowledged, 2);
    assert_eq!(play.named("a").sandbox.as_deref(), Some("namespaces"));
    play.succeed("a");
    let end = Report::Finished {
        conclusion: Conclusion::Failure,
        reason: None,
        outputs: BTreeMap::new(),
        environment_url: None,
    };
    assert_eq!(play.send(reported(&play, "a", 1, 3, end.clone())), [], "the last report, told again");
    assert!(matches!(
        play.attempt(reported(&play, "a", 1, 4, end)),
        Err(InvalidTransition::LeaseGone { .. })
    ));
    assert_eq!(play.run.conclusion(), Some(Conclusion::Success));
}

#[test]
fn steps_are_kept_by_number_in_their_newest_state() {
    let mut play = Play::jobs(&job("a", ""));
    play.start("a");
    let step = |number, state, log_end| StepRecord {
        number,
        name: format!("step {number}"),
        state,
        outcome: None,
        conclusion: None,
        started_at: None,
        finished_at: None,
        log_start: 0,
        log_end,
    };
    for record in [
        step(2, StepState::Running, None),
        step(1, StepState::Completed, Some(5)),
        step(2, StepState::Completed, Some(9)),
    ] {
        play.report("a", Report::Step(record));
    }
    let kept: Vec<_> = play.named("a").steps.iter().map(|s| (s.number, s.state, s.log_end)).collect();
    assert_eq!(kept, [(1, StepState::Completed, Some(5)), (2, StepState::Completed, Some(9))]);
}

#[test]
fn a_lost_runner_is_replaced_twice_then_the_job_fails() {
    let mut play = Play::jobs(&job("a", ""));
    let job = play.id("a");
    for hand_out in 1..=3 {
        assert_eq!(play.lease("a"), hand_out);
        play.report("a", Report::Started { sandbox: "plain".into() });
        play.report("a", summary("half"));
        let actions =
            play.send(RunEvent::LeaseLost { job, hand_out, reason: "not heard of for 30 s".into() });
        if hand_out < 3 {
            assert_eq!(kinds(&actions), ["job.requeued", "job.queued"]);
            assert_eq!(
                play.reason("a"),
                format!("queued again (try {} of 3): not heard of for 30 s", hand_out + 1)
            );
            assert_eq!(play.named("a").summary, "");
            let late = play.attempt(reported(&play, "a", hand_out, 3, summary("late")));
            assert!(matches!(late, Err(InvalidTransition::LeaseGone { .. })));
        }
    }
    assert_eq!(play.states(), ["a: failure"]);
    assert_eq!(play.reason("a"), "its runner was lost 3 times; the last time: not heard of for 30 s");
}

#[test]
fn an_old_hand_out_says_nothing_any_more() {
    let mut play = Play::jobs(&job("a", ""));
    let job = play.id("a");
    play.start("a");
    play.send(RunEvent::LeaseLost { job, hand_out: 1, reason: "x".into() });
    play.lease("a");
    for event in [
        reported(&play, "a", 1, 1, summary("old")),
        RunEvent::Renewed { job, hand_out: 1, until: play.now() },
        RunEvent::LeaseLost { job, hand_out: 1, reason: "y".into() },
    ] {
        assert!(matches!(play.attempt(event), Err(InvalidTransition::LeaseGone { hand_out: 1, .. })));
    }
    let until = play.now() + std::time::Duration::from_secs(90);
    play.send(RunEvent::Renewed { job, hand_out: 2, until });
    assert_eq!(play.named("a").lease().unwrap().until, until);
}

#[test]
fn a_job_that_was_being_stopped_is_not_queued_again() {
    let mut play = Play::jobs(&job("a", ""));
    play.start("a");
    play.cancel();
    let job = play.id("a");
    play.send(RunEvent::LeaseLost { job, hand_out: 1, reason: "gone".into() });
    assert_eq!(play.states(), ["a: cancelled"]);
    assert_eq!(play.reason("a"), "cancelled by ada; its runner was lost meanwhile: gone");
}

#[test]
fn a_job_is_leased_once() {
    let mut play = Play::jobs(&(job("a", "") + &job("b", "needs: a")));
    play.lease("a");
    for name in ["a", "b"] {
        let job = play.id(name);
        let again = play.attempt(RunEvent::Leased { job, runner: "r2".into(), until: play.now() });
        assert!(matches!(again, Err(InvalidTransition::Job { event: "a lease", .. })), "{name}");
    }
}

#[test]
fn outputs_and_times_that_cannot_be_are_bounded() {
    let mut play = Play::jobs(&job("a", ""));
    play.start("a");
    let late = play.now() + std::time::Duration::from_hours(1);
    let outputs = BTreeMap::from([("x".to_owned(), "y".repeat(2 * 1024 * 1024))]);
    let report =
        Report::Finished { conclusion: Conclusion::Success, reason: None, outputs, environment_url: None };
    play.send(RunEvent::Reported { job: play.id("a"), hand_out: 1, seq: 2, at: late, report });
    assert_eq!(play.states(), ["a: failure"]);
    assert!(play.run.jobs[0].finished_at().unwrap() <= play.now());
}
