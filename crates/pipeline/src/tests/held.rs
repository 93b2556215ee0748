//! Runs of changes that somebody proposed who may not write.

use super::*;

const GROUPS: &str = "on: push\nconcurrency: { group: deploy, cancel-in-progress: true }\njobs:\n";

fn max() -> Actor {
    Actor::User("max".parse().unwrap())
}

fn approved() -> RunEvent {
    RunEvent::Approved { by: max(), comment: "looked at".into() }
}

/// A held run of this workflow.
fn held(text: &str) -> Play {
    let mut play = Play::workflow(text);
    let new = NewRun { git_ref: "refs/pull/7/merge".into(), ..new_run(text, &play.ids) };
    let now = play.now();
    let (run, actions) = Run::untrusted(new, "first change of eve", now, &mut || JobId::new(&play.ids));
    (play.run, play.actions) = (run, actions);
    play
}

#[test]
fn nothing_of_a_held_run_begins_before_it_is_approved() {
    let mut play = held(&format!("on: push\njobs:\n{}", job("a", "") + &job("b", "environment: prod")));
    assert_eq!(play.run.state, RunState::Held { reason: "first change of eve".into() });
    assert_eq!(play.states(), ["a: needs", "b: needs"]);
    assert_eq!(kinds(&play.actions), ["run.created", "run.held"]);
    let job = play.id("a");
    let until = play.now();
    for early in [
        RunEvent::Leased { job, runner: "r".into(), until },
        RunEvent::GatePassed { job },
        RunEvent::GroupAdmitted { job: None, group: "deploy".into() },
        RunEvent::GroupAdmitted { job: Some(job), group: "deploy".into() },
        RunEvent::Rerun { by: max(), which: Again::All },
    ] {
        assert!(play.attempt(early.clone()).is_err(), "{early:?}");
    }
    let actions = play.send(approved());
    assert_eq!(play.states(), ["a: queued", "b: gate"]);
    let told = actions.iter().find_map(|action| match action {
        Action::Emit { actor, kind: "run.approved", data, .. } => Some((actor, data)),
        _ => None,
    });
    let (actor, data) = told.expect("the approval is told");
    assert_eq!((actor, &data["sha"]), (&max(), &json!(play.run.sha)));
    assert!(play.attempt(approved()).is_err(), "an approval counts once");
}

#[test]
fn a_held_run_that_is_rejected_ends_with_nothing_done() {
    let mut play = held(&format!("on: push\njobs:\n{}", job("a", "if: always()")));
    play.cancel();
    assert_eq!(play.states(), ["a: cancelled"]);
    assert_eq!(play.run.conclusion(), Some(Conclusion::Cancelled));
    assert!(play.attempt(approved()).is_err());
}

#[test]
fn a_run_that_nobody_decides_on_ends_by_itself() {
    let mut play = held(&format!("on: push\njobs:\n{}", job("a", "")));
    play.clock.advance(std::time::Duration::from_hours(24 * 36));
    let due = due(&play.run, play.now());
    assert!(matches!(due[..], [RunEvent::CancelRequested { .. }]), "{due:?}");
    play.send(due[0].clone());
    assert!(play.run.is_completed());
}

#[test]
fn its_concurrency_groups_are_never_the_projects_own() {
    let mut play = held(&(GROUPS.to_owned() + &job("a", "concurrency: production")));
    assert!(!play.actions.iter().any(|action| matches!(action, Action::JoinGroup { .. })), "not before");
    let joined = play.send(approved());
    let groups = |actions: &[Action]| -> Vec<String> {
        let group = |action: &Action| match action {
            Action::JoinGroup { group, .. } => Some(group.clone()),
            _ => None,
        };
        actions.iter().filter_map(group).collect()
    };
    assert_eq!(groups(&joined), ["refs/pull/7/merge: deploy"]);
    let inner = play.send(play.admitted(None));
    assert_eq!(groups(&inner), ["refs/pull/7/merge: production"]);
    let own = Play::workflow(&(GROUPS.to_owned() + &job("a", "")));
    assert_eq!(groups(&own.actions), ["deploy"]);
}

#[test]
fn whoever_runs_it_again_has_looked_at_it() {
    let mut play = held(&format!("on: push\njobs:\n{}", job("a", "")));
    play.send(approved());
    play.fail("a");
    play.send(RunEvent::Rerun { by: max(), which: Again::All });
    assert_eq!(play.states(), ["a: queued"]);
    assert!(play.run.untrusted, "it stays what it is");
}
