use std::sync::Arc;

use proptest::prelude::*;
use windlass_kernel::{Ids, JobId, RunId};
use windlass_testkit::{TestClock, TestEntropy};

use super::*;

fn members(n: usize) -> Vec<Member> {
    let ids = Ids::new(Arc::new(TestClock::at(0)), Arc::new(TestEntropy::default()));
    (0..n).map(|_| Member { run: RunId::new(&ids), job: Some(JobId::new(&ids)) }).collect()
}

const PLAIN: Manner = Manner { cancel_in_progress: false, queued: false };
const CANCELLING: Manner = Manner { cancel_in_progress: true, queued: false };
const QUEUED: Manner = Manner { cancel_in_progress: false, queued: true };

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
    assert_eq!(group.join(m[0], PLAIN), [GroupAction::Admit(m[0])]);
    assert_eq!(group.join(m[1], PLAIN), []);
    assert_eq!(cancelled(&group.join(m[2], PLAIN)), [m[1]]);
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
    group.join(m[0], PLAIN);
    assert_eq!(cancelled(&group.join(m[1], CANCELLING)), [m[0]]);
    assert_eq!(cancelled(&group.join(m[2], CANCELLING)), [m[1], m[0]]);
    assert_eq!(group.running(), Some(m[0]), "it holds its place until it leaves");
    assert_eq!(group.leave(m[0]), [GroupAction::Admit(m[2])]);
}

#[test]
fn joining_again_changes_nothing() {
    let m = members(2);
    let mut group = group();
    group.join(m[0], PLAIN);
    group.join(m[1], PLAIN);
    let before = group.clone();
    assert_eq!(group.join(m[0], CANCELLING), [GroupAction::Admit(m[0])]);
    assert_eq!(group.join(m[1], PLAIN), []);
    assert_eq!(group, before);
}

#[test]
fn one_that_waits_may_leave() {
    let m = members(2);
    let mut group = group();
    group.join(m[0], PLAIN);
    group.join(m[1], PLAIN);
    assert_eq!(group.leave(m[1]), []);
    assert_eq!(group.leave(m[0]), []);
    assert!(group.is_empty());
}

#[test]
fn with_queue_max_all_wait_in_order() {
    let m = members(4);
    let mut group = group();
    for member in &m {
        group.join(*member, QUEUED);
    }
    assert_eq!(group.join(m[2], QUEUED), [], "joining again changes nothing");
    assert_eq!(group.pending().collect::<Vec<_>>(), m[1..]);
    assert_eq!(group.leave(m[2]), []);
    assert_eq!(group.leave(m[0]), [GroupAction::Admit(m[1])]);
    assert_eq!(group.leave(m[1]), [GroupAction::Admit(m[3])]);
}

#[test]
fn a_full_queue_takes_nobody_more() {
    let m = members(MAX_PENDING + 2);
    let mut group = group();
    for member in &m[..=MAX_PENDING] {
        assert_eq!(cancelled(&group.join(*member, QUEUED)), []);
    }
    let last = m[MAX_PENDING + 1];
    assert_eq!(cancelled(&group.join(last, QUEUED)), [last]);
    assert_eq!(group.pending().count(), MAX_PENDING);
}

#[test]
fn one_that_does_not_queue_takes_the_place_of_all_that_wait() {
    let m = members(4);
    let mut group = group();
    for member in &m[..3] {
        group.join(*member, QUEUED);
    }
    assert_eq!(cancelled(&group.join(m[3], PLAIN)), m[1..3]);
    assert_eq!(group.leave(m[0]), [GroupAction::Admit(m[3])]);
}

#[test]
fn a_group_from_before_there_were_queues_is_read() {
    let m = members(2);
    let mut group = group();
    group.join(m[0], PLAIN);
    let mut kept = serde_json::to_value(&group).unwrap();
    kept["pending"] = serde_json::Value::Null;
    assert_eq!(serde_json::from_value::<Group>(kept.clone()).unwrap(), group);
    kept["pending"] = serde_json::to_value(m[1]).unwrap();
    assert_eq!(serde_json::from_value::<Group>(kept).unwrap().pending().collect::<Vec<_>>(), [m[1]]);
}

proptest! {
    #[test]
    fn at_most_one_runs_and_nobody_is_forgotten(moves in prop::collection::vec((0usize..5, 0u8..4), 0..40)) {
        let m = members(5);
        let mut group = group();
        // Who was told to go on and has not left; who waits and was not pushed out.
        let mut running: Option<Member> = None;
        let mut waiting: Vec<Member> = Vec::new();
        for (who, what) in moves {
            let member = m[who];
            let known = running == Some(member) || waiting.contains(&member);
            let actions = match what {
                0 => group.leave(member),
                1 => group.join(member, PLAIN),
                2 => group.join(member, CANCELLING),
                _ => group.join(member, QUEUED),
            };
            if what == 0 {
                running = running.filter(|r| *r != member);
                waiting.retain(|w| *w != member);
            } else if !known {
                waiting.push(member);
            }
            for action in actions {
                match action {
                    GroupAction::Admit(admitted) => {
                        prop_assert!(running.is_none() || running == Some(admitted), "two run");
                        waiting.retain(|w| *w != admitted);
                        running = Some(admitted);
                    }
                    GroupAction::Cancel { member: gone, .. } => {
                        prop_assert!(gone != member);
                        waiting.retain(|w| *w != gone);
                    }
                }
            }
            prop_assert_eq!(group.running(), running);
            prop_assert_eq!(group.pending().collect::<Vec<_>>(), waiting.clone());
            prop_assert!(running.is_some() || waiting.is_empty(), "one waits for nobody");
        }
    }
}
