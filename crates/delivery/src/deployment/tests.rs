//! Deployments: lawful and unlawful transitions, and the log.

use std::sync::Arc;

use windlass_kernel::Ids;
use windlass_testkit::{TestClock, TestEntropy};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1000);

fn deployment() -> Deployment {
    let ids = Ids::new(Arc::new(TestClock::at(0)), Arc::new(TestEntropy::default()));
    Deployment {
        id: DeploymentId::new(&ids),
        project: "tasks".parse().unwrap(),
        environment: "production".parse().unwrap(),
        release: ReleaseId::new(&ids),
        previous: None,
        strategy: Strategy::Rolling,
        cause: Cause::Deploy,
        created_at: NOW,
        created_by: Actor::System,
        state: DeploymentState::Queued,
        log: Vec::new(),
    }
}

fn outcomes(to: ReleaseId) -> [Outcome; 3] {
    [
        Outcome::Succeeded { reason: "live".into() },
        Outcome::RolledBack { to, failure: Failure::new("it failed") },
        Outcome::Failed { failure: Failure::new("it failed") },
    ]
}

#[test]
fn the_lawful_ways_lead_to_an_end_with_a_reason() {
    let to = deployment().release;
    let [good, back, bad] = outcomes(to);
    let running = deployment().start(Some(to), NOW).unwrap().reach(Phase::Switching).unwrap();
    assert_eq!(running.state(), "active");
    let live = running.clone().end(good, NOW).unwrap();
    assert_eq!((live.state(), live.reason()), ("finished".into(), "live".into()));
    let turned = running.clone().roll_back(Failure::new("never healthy"), NOW).unwrap();
    assert_eq!(turned.clone().end(back.clone(), NOW).unwrap().state.word(), "rolled back");
    assert_eq!(turned.end(bad, NOW).unwrap().state.word(), "failed");
    let cancelled = running.cancel(&Actor::User("ada".parse().unwrap()), NOW).unwrap();
    assert_eq!(cancelled.state(), "active", "it goes back first");
    assert_eq!(cancelled.end(back, NOW).unwrap().state.word(), "cancelled");
}

#[test]
fn nothing_leaves_an_end_and_nothing_is_skipped() {
    let to = deployment().release;
    assert!(deployment().reach(Phase::Draining).is_err());
    assert!(deployment().roll_back(Failure::new("x"), NOW).is_err());
    for outcome in outcomes(to) {
        assert!(deployment().end(outcome, NOW).is_err(), "a queued one has no outcome");
    }
    let ended = deployment().cancel(&Actor::System, NOW).unwrap();
    assert!(ended.state.finished_at().is_some());
    assert!(ended.clone().start(None, NOW).is_err());
    assert!(ended.clone().roll_back(Failure::new("x"), NOW).is_err());
    let error = ended.clone().cancel(&Actor::System, NOW).unwrap_err();
    assert_eq!(error.to_string(), "a deployment that is cancelled cannot become cancelled");
    for outcome in outcomes(to) {
        assert!(ended.clone().end(outcome, NOW).is_err());
    }
    let turned = deployment().start(None, NOW).unwrap().roll_back(Failure::new("x"), NOW).unwrap();
    let [good, ..] = outcomes(to);
    assert!(turned.end(good, NOW).is_err(), "what goes back cannot succeed");
}

#[test]
fn the_log_is_bounded_and_keeps_both_ends() {
    let mut d = deployment();
    for n in 0..2000 {
        d.note(NOW, &format!("step {n}"));
        d.note(NOW, &format!("step {n}"));
    }
    assert_eq!(d.log.len(), LONGEST_LOG);
    assert_eq!(d.log[0].text, "step 0");
    assert_eq!(d.log.last().unwrap().text, "step 1999");
}

#[test]
fn documents_survive_the_store() {
    let d = deployment().start(None, NOW).unwrap().roll_back(Failure::new("x"), NOW).unwrap();
    let text = serde_json::to_string(&d).unwrap();
    assert_eq!(serde_json::from_str::<Deployment>(&text).unwrap(), d);
}
