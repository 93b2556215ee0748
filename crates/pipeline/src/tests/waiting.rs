use super::*;
use crate::concurrency::{Manner, Member};

#[test]
fn an_environment_asks_its_gate_first() {
    let mut play = Play::jobs(&job("ship", "environment:\n  name: ${{ vars.REGION }}-prod"));
    assert_eq!(play.states(), ["ship: gate"]);
    let ask = Action::AskGate { job: play.id("ship"), environment: "eu-prod".into() };
    assert!(play.actions.contains(&ask));
    assert_eq!(kinds(&play.actions), ["run.created", "job.waiting"]);
    let job = play.id("ship");
    play.send(RunEvent::GatePassed { job });
    assert_eq!(play.states(), ["ship: queued"]);
    assert!(matches!(
        play.attempt(RunEvent::GatePassed { job }),
        Err(InvalidTransition::Job { state: "queued", .. })
    ));
}

#[test]
fn a_rejected_gate_fails_the_job_with_the_reason() {
    let mut play =
        Play::jobs(&(job("ship", "environment: prod") + &job("tell", "needs: ship\nif: failure()")));
    let job = play.id("ship");
    play.send(RunEvent::GateRejected { job, reason: "rejected by bob: not today".into() });
    assert_eq!(play.states(), ["ship: failure", "tell: queued"]);
    assert_eq!(play.reason("ship"), "rejected by bob: not today");
}

#[test]
fn an_environment_without_a_name_is_none() {
    assert_eq!(Play::jobs(&job("a", "environment: ${{ vars.NONE }}")).states(), ["a: queued"]);
}

#[test]
fn a_group_comes_after_the_gate_and_is_left_at_the_end() {
    let mut play = Play::jobs(&job(
        "ship",
        "environment: prod\nconcurrency:\n  group: ship-${{ github.ref_name }}\n  cancel-in-progress: ${{ vars.REGION == 'eu' }}",
    ));
    let job = play.id("ship");
    let member = Member { run: play.run.id, job: Some(job) };
    let joined = play.send(RunEvent::GatePassed { job });
    assert!(joined.contains(&Action::JoinGroup {
        member,
        group: "ship-main".into(),
        manner: Manner { cancel_in_progress: true, queued: false }
    }));
    assert_eq!(play.reason("ship"), "waits in the concurrency group 'ship-main'");
    play.send(play.admitted(Some(job)));
    assert_eq!(play.send(play.admitted(Some(job))), []);
    let done = play.succeed("ship");
    assert!(done.contains(&Action::LeaveGroup { member, group: "ship-main".into() }));
    assert!(play.attempt(play.admitted(Some(job))).is_err());
}

#[test]
fn a_job_makes_way_for_a_newer_one() {
    let mut play = Play::jobs(&(job("ship", "concurrency: x") + &job("other", "")));
    let job = play.id("ship");
    let actions = play.send(RunEvent::GroupCancelled { job: Some(job), reason: "a newer one waits".into() });
    assert_eq!(play.states(), ["ship: cancelled", "other: queued"]);
    assert!(matches!(actions[0], Action::LeaveGroup { .. }));
    let again = play.attempt(RunEvent::GroupCancelled { job: Some(job), reason: String::new() });
    assert!(again.is_err());
}

#[test]
fn a_running_job_that_must_make_way_is_told_so_and_holds_its_place_until_it_ends() {
    let mut play = Play::jobs(&job("ship", "concurrency: x"));
    let job = play.id("ship");
    play.send(play.admitted(Some(job)));
    play.start("ship");
    let actions = play.send(RunEvent::GroupCancelled { job: Some(job), reason: "newer".into() });
    assert_eq!(actions, [Action::CancelJob { job, reason: "newer".into() }]);
    assert_eq!(play.reason("ship"), "is being stopped: newer");
    let done = play.finish("ship", Conclusion::Cancelled, &[]);
    assert!(done.iter().any(|action| matches!(action, Action::LeaveGroup { .. })));
}

#[test]
fn a_job_does_not_wait_for_its_own_run() {
    let text = "on: push\nconcurrency: ${{ github.ref_name }}\njobs:\n";
    let mut play = Play::workflow(&(text.to_owned() + &job("a", "concurrency: ${{ github.ref_name }}")));
    play.send(play.admitted(None));
    assert_eq!(play.states(), ["a: queued"]);
    let done = play.succeed("a");
    assert_eq!(done.iter().filter(|action| matches!(action, Action::LeaveGroup { .. })).count(), 1);
}
