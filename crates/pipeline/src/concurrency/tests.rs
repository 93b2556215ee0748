use std::sync::Arc;

use proptest::prelude::*;
use windlass_kernel::{Ids, JobId, RunId};
use windlass_testkit::{TestClock, TestEntropy};

use super::*;

fn members(n: usize) -> Vec<Member> {
    let ids = Ids::new(Arc::new(TestClock::at(0)), Arc::new(TestEntropy::default()));
    (0..n).map(|_| Member { run: RunId::new(&ids), job: Some(JobId::new(&ids)) }).collect()
}

fn group() -> Group {
    Group::new("shop".parse().unwrap(), "Deploy/Production")
}

fn cancelled(actions: &[GroupAction]) -> Vec<Member> {
    let of = |action: &GroupAction| match action {
        GroupAction::Cancel { member, .. } => Some(*member),
        GroupAction::Admit(_) => None,
    };
    actions.iter().filter_map(of).collect()
}

#[test]
fn names_ignore_case() {
    assert_eq!(Document::id(&group()), "shop/deploy/production");
    assert_eq!(Group::key(&"shop".parse().unwrap(), "DEPLOY/production"), Document::id(&group()));
}

#[test]
fn one_runs_one_waits_and_a_newer_one_takes_the_waiting_place() {
    let m = members(3);
    let mut group = group();
    assert_eq!(group.join(m[0], false), [GroupAction::Admit(m[0])]);
    assert_eq!(group.join(m[1], false), []);
    assert_eq!(cancelled(&group.join(m[2], false)), [m[1]]);
    assert_eq!(group.leave(m[1]), [], "it was pushed out before");
    assert_eq!(group.leave(m[0]), [GroupAction::Admit(m[2])]);
    assert_eq!(group.leave(m[0]), [], "nobody leaves twice");
    assert_eq!(group.leave(m[2]), []);
    assert!(group.is_empty());
}

#[test]
fn cancel_in_progress_asks_the_running_one_to_go_and_waits_for_it() {
    let m = members(3);
    let mut group = group();
    group.join(m[0], false);
    assert_eq!(cancelled(&group.join(m[1], true)), [m[0]]);
    assert_eq!(cancelled(&group.join(m[2], true)), [m[1], m[0]]);
    assert_eq!(group.running(), Some(m[0]), "it holds its place until it leaves");
    assert_eq!(group.leave(m[0]), [GroupAction::Admit(m[2])]);
}

#[test]
fn joining_again_changes_nothing() {
    let m = members(2);
    let mut group = group();
    group.join(m[0], false);
    group.join(m[1], false);
    let before = group.clone();
    assert_eq!(group.join(m[0], true), [GroupAction::Admit(m[0])]);
    assert_eq!(group.join(m[1], false), []);
    assert_eq!(group, before);
}

#[test]
fn one_that_waits_may_leave() {
    let m = members(2);
    let mut group = group();
    group.join(m[0], false);
    group.join(m[1], false);
    assert_eq!(group.leave(m[1]), []);
    assert_eq!(group.leave(m[0]), []);
    assert!(group.is_empty());
}

proptest! {
    #[test]
    fn at_most_one_runs_and_nobody_is_forgotten(moves in prop::collection::vec((0usize..5, 0u8..3), 0..40)) {
        let m = members(5);
        let mut group = group();
        // Who was told to go on and has not left; who waits and was not pushed out.
        let (mut running, mut waiting) = (None, None);
        for (who, what) in moves {
            let member = m[who];
            let known = running == Some(member) || waiting == Some(member);
            let actions = if what == 0 { group.leave(member) } else { group.join(member, what == 2) };
            if what == 0 {
                running = running.filter(|r| *r != member);
                waiting = waiting.filter(|w| *w != member);
            } else if !known {
                waiting = Some(member);
            }
            for action in actions {
                match action {
                    GroupAction::Admit(admitted) => {
                        prop_assert!(running.is_none() || running == Some(admitted), "two run");
                        waiting = waiting.filter(|w| *w != admitted);
                        running = Some(admitted);
                    }
                    GroupAction::Cancel { member: gone, .. } => prop_assert!(gone != member),
                }
            }
            prop_assert_eq!((group.running(), group.pending()), (running, waiting));
            prop_assert!(running.is_some() || waiting.is_none(), "one waits for nobody");
        }
    }
}
