//! Instances: health answers in a row, and what each fact does to each state.

use std::sync::Arc;

use windlass_kernel::Ids;
use windlass_testkit::{TestClock, TestEntropy};

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn instance() -> Instance {
    let ids = Ids::new(Arc::new(TestClock::at(0)), Arc::new(TestEntropy::default()));
    Instance {
        id: InstanceId::new(&ids),
        project: "tasks".parse().unwrap(),
        environment: "production".parse().unwrap(),
        service: "tasks".parse().unwrap(),
        release: ReleaseId::new(&ids),
        deployment: None,
        port: 4000,
        state: InstanceState::Starting,
        restarts: 0,
        last_health: None,
        streak: 0,
        created_at: at(0),
        started_at: at(0),
    }
}

/// Plays a string of answers, `+` good and `-` bad, a second apart, and tells the states.
fn play(instance: &mut Instance, answers: &str, health: &Health) -> Vec<String> {
    let mut states = Vec::new();
    for (n, c) in answers.chars().enumerate() {
        let answer = HealthAnswer { at: at(n as i64 + 1), healthy: c == '+', text: c.to_string() };
        instance.answered(answer, health);
        states.push(format!("{}{}", instance.state.word(), if instance.state.ready() { "" } else { "!" }));
    }
    states
}

#[test]
fn answers_in_a_row_change_the_state() {
    let health = Health { healthy_after: 2, unhealthy_after: 3, ..Health::default() };
    let mut i = instance();
    assert_eq!(
        play(&mut i, "-+-++", &health),
        ["starting!", "starting!", "starting!", "starting!", "healthy"]
    );
    assert_eq!(i.state, InstanceState::Healthy { since: at(5) });
    assert_eq!(play(&mut i, "--+---", &health)[5], "unhealthy!");
    assert_eq!(play(&mut i, "++", &health), ["unhealthy!", "healthy"]);
    i.drain(at(9));
    assert_eq!(play(&mut i, "---", &health), ["draining", "draining", "draining!"]);
    assert_eq!(play(&mut i, "++", &health), ["draining!", "draining"]);
    i.keep_warm(at(10));
    assert_eq!(play(&mut i, "---++", &health), ["warm", "warm", "warm!", "warm!", "warm"]);
    i.routed(at(11));
    assert_eq!(i.state, InstanceState::Healthy { since: at(11) });
}

#[test]
fn what_does_not_apply_changes_nothing() {
    let mut i = instance();
    i.keep_warm(at(1));
    i.routed(at(1));
    assert_eq!(i.state, InstanceState::Starting, "one that never was healthy is not made so by a route");
    i.exited(Some(1), at(2));
    i.drain(at(3));
    i.exited(None, at(4));
    assert_eq!(
        i.state,
        InstanceState::Exited { code: Some(1), at: at(2) },
        "the first account of an end stands"
    );
    assert_eq!(play(&mut i, "+", &Health::default()), ["exited!"], "a late answer revives nobody");
    i.stopping();
    i.exited(None, at(5));
    assert_eq!(i.state, InstanceState::Stopping);
}

#[test]
fn restarts_are_forgiven_after_a_long_healthy_time() {
    let mut i = instance();
    i.exited(Some(1), at(1));
    i.restarted(at(2));
    assert_eq!((i.restarts, i.started_at, i.created_at), (1, at(2), at(0)));
    i.state = InstanceState::Healthy { since: at(3) };
    i.exited(Some(1), at(30));
    assert_eq!(i.restarts, 1);
    i.restarted(at(31));
    i.state = InstanceState::Healthy { since: at(32) };
    i.exited(Some(1), at(32 + 300));
    assert_eq!(i.restarts, 0);
}

#[test]
fn documents_survive_the_store() {
    for state in [
        InstanceState::Starting,
        InstanceState::Warm { since: at(1), healthy: true },
        InstanceState::Exited { code: None, at: at(1) },
    ] {
        let i = Instance { state, ..instance() };
        let text = serde_json::to_string(&i).unwrap();
        assert_eq!(serde_json::from_str::<Instance>(&text).unwrap(), i);
    }
}
