use super::*;

#[test]
fn a_cancelled_run_ends_what_waits_and_tells_what_runs() {
    let mut play = Play::jobs(
        &(job("run", "")
            + &job("queued", "")
            + &job("gate", "environment: prod")
            + &job("later", "needs: run")
            + &job("clean", "needs: run\nif: always()")
            + &job("fallback", "needs: run\nif: failure()")),
    );
    play.start("run");
    let (id, actions) = (play.id("run"), play.cancel());
    assert_eq!(
        play.states(),
        [
            "run: running",
            "queued: cancelled",
            "gate: cancelled",
            "later: cancelled",
            "clean: needs",
            "fallback: needs"
        ]
    );
    assert!(actions.contains(&Action::CancelJob { job: id, reason: "cancelled by ada".into() }));
    assert_eq!(
        play.send(RunEvent::CancelRequested { by: Actor::System, reason: "again".into(), force: false }),
        []
    );
    play.finish("run", Conclusion::Cancelled, &[]);
    assert_eq!(play.states()[4..], ["clean: queued", "fallback: cancelled"]);
    play.succeed("clean");
    assert_eq!(play.run.conclusion(), Some(Conclusion::Cancelled));
    assert_eq!(kinds(&play.actions).iter().filter(|kind| **kind == "run.cancelled").count(), 1);
    assert!(matches!(
        play.attempt(RunEvent::CancelRequested { by: Actor::System, reason: String::new(), force: false }),
        Err(InvalidTransition::Run { state: "completed", .. })
    ));
}

#[test]
fn what_still_holds_goes_on() {
    let mut play = Play::jobs(
        &(job("a", "if: always()") + &job("b", "if: ${{ !cancelled() }}") + &job("c", "if: cancelled()")),
    );
    assert_eq!(play.states(), ["a: queued", "b: queued", "c: skipped"]);
    play.start("a");
    play.start("b");
    let actions = play.cancel();
    let told: Vec<_> = actions.iter().filter(|action| matches!(action, Action::CancelJob { .. })).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(play.named("a").stopping, None);
    assert_eq!(play.named("b").stopping.as_deref(), Some("cancelled by ada"));
}

#[test]
fn a_run_that_had_nothing_left_to_cancel_keeps_its_success() {
    let mut play = Play::jobs(&job("a", ""));
    play.start("a");
    play.cancel();
    play.succeed("a");
    assert_eq!(play.run.conclusion(), Some(Conclusion::Success));
}

#[test]
fn a_time_out_ends_the_job_and_its_runner_is_told() {
    let mut play = Play::jobs(&(job("a", "timeout-minutes: 1.5") + &job("b", "needs: a")));
    play.start("a");
    let job = play.id("a");
    let actions = play.send(RunEvent::TimedOut { job });
    let reason = "it took longer than its limit of 1.5 minutes";
    assert!(actions.contains(&Action::CancelJob { job, reason: reason.into() }));
    assert_eq!(play.states(), ["a: cancelled", "b: skipped"]);
    assert_eq!(play.reason("a"), reason);
    assert!(play.attempt(RunEvent::TimedOut { job }).is_err());
}

#[test]
fn force_ends_even_what_would_go_on() {
    let mut play = Play::jobs(
        &(job("a", "if: always()")
            + &job("b", "if: always()\nenvironment: prod")
            + &job("c", "needs: a\nif: always()")),
    );
    play.start("a");
    play.cancel();
    assert_eq!(play.states(), ["a: running", "b: gate", "c: needs"]);
    let job = play.id("a");
    let by = Actor::User("ada".parse().unwrap());
    let actions = play.send(RunEvent::CancelRequested { by, reason: "at once".into(), force: true });
    assert!(actions.contains(&Action::CancelJob { job, reason: "at once".into() }));
    assert_eq!(play.states(), ["a: running", "b: cancelled", "c: cancelled"]);
}

#[test]
fn nothing_succeeds_in_a_cancelled_run() {
    let mut play = Play::jobs(
        &(job("a", "if: success()")
            + &job("clean", "if: always()")
            + &job("b", "needs: clean\nif: success()")
            + &job("c", "needs: clean\nif: success('clean') || cancelled()")),
    );
    play.start("a");
    play.cancel();
    assert_eq!(play.named("a").stopping.as_deref(), Some("cancelled by ada"));
    play.succeed("clean");
    assert_eq!(play.states(), ["a: running", "clean: success", "b: cancelled", "c: queued"]);
}
