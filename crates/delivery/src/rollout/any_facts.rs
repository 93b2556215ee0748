//! The planner on facts that no world would bring about: a store restored from a backup, a route table from
//! another day. It plans something lawful whatever it is shown.

use proptest::prelude::*;

use super::tests::{at, deployment, instance, spec, wanted};
use super::*;
use crate::instance::InstanceState;
use crate::manifest;

fn state() -> impl Strategy<Value = InstanceState> {
    (0u8..7, 0i64..200, any::<bool>()).prop_map(|(kind, seconds, healthy)| {
        let since = at(seconds);
        match kind {
            0 => InstanceState::Starting,
            1 => InstanceState::Healthy { since },
            2 => InstanceState::Unhealthy { since },
            3 => InstanceState::Draining { since, healthy },
            4 => InstanceState::Warm { since, healthy },
            5 => InstanceState::Stopping,
            _ => InstanceState::Exited { code: None, at: since },
        }
    })
}

prop_compose! {
    fn observed()(facts in prop::collection::vec(
        (state(), 0u64..4, prop::sample::select(vec!["tasks", "web", "gone"]), 0i64..200, 0u32..4, 0u64..4,
         any::<bool>(), any::<bool>()),
        0..12,
    )) -> Observed {
        let mut observed = Observed::default();
        for (n, (state, of, service, started, restarts, by, routed, drained)) in facts.into_iter().enumerate() {
            let mut i = instance(n, service, of, state, at(started));
            i.restarts = restarts;
            i.deployment = (by > 0).then(|| deployment(by));
            if routed {
                observed.routes.entry(i.service.clone()).or_default().insert(i.id);
            }
            if drained {
                observed.drained.insert(i.id);
            }
            observed.instances.push(i);
        }
        // A route to an instance that nobody knows any more.
        let unknown = instance(99, "tasks", 0, InstanceState::Starting, at(0));
        if observed.instances.len() % 3 == 1 {
            observed.routes.entry(unknown.service.clone()).or_default().insert(unknown.id);
        }
        observed
    }
}

prop_compose! {
    fn release_wanted()(number in 0u64..4, generation in prop::option::of(1u64..4), tasks in (0u32..4, any::<bool>()),
        web in prop::option::of((1u32..4, any::<bool>()))) -> Wanted
    {
        let service = |name: &str, (replicas, green): (u32, bool)| {
            spec(name, replicas, if green { manifest::Strategy::BlueGreen } else { manifest::Strategy::Rolling })
        };
        let mut services = vec![service("tasks", tasks)];
        services.extend(web.map(|web| service("web", web)));
        Wanted { generation: generation.map(deployment), ..wanted(number, services) }
    }
}

fn desired() -> impl Strategy<Value = Desired> {
    let mode = (0u8..3, 0i64..200).prop_map(|(kind, since)| match kind {
        0 => Mode::Steady,
        1 => Mode::Deploying { since: at(since) },
        _ => Mode::RollingBack { since: at(since), failure: Failure::new("it failed") },
    });
    (release_wanted(), prop::option::of(release_wanted()), mode).prop_map(|(target, previous, mode)| {
        Desired { environment: "production".parse().unwrap(), target, previous, mode }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_seen_the_plan_is_lawful(desired in desired(), observed in observed(), now in 0i64..1000) {
        let plan = plan(&desired, &observed, at(now));
        prop_assert!(plan.next.is_none_or(|next| next > at(now)));
        prop_assert!(plan.actions.is_empty() || (plan.outcome.is_none() && plan.roll_back.is_none()));
        let mut acted_on = BTreeSet::new();
        for action in &plan.actions {
            match action {
                Action::Start { count, .. } => prop_assert!(*count > 0),
                Action::Route { service, instances } => {
                    for id in instances {
                        let i = observed.instances.iter().find(|i| i.id == *id);
                        let routed = observed.routes.get(service).is_some_and(|set| set.contains(id));
                        prop_assert!(i.is_some_and(|i| i.service == *service), "{id} is no instance of {service}");
                        prop_assert!(i.is_some_and(|i| i.state.ready() || routed), "{id} was not healthy");
                    }
                }
                Action::Restart { instance }
                | Action::Drain { instance }
                | Action::KeepWarm { instance }
                | Action::Stop { instance } => {
                    let i = observed.instances.iter().find(|i| i.id == *instance).expect("it exists");
                    prop_assert!(acted_on.insert(*instance), "{instance} is told two things at once");
                    let routed = observed.routes.get(&i.service).is_some_and(|set| set.contains(instance));
                    let gone = matches!(i.state, InstanceState::Exited { .. });
                    let restart = matches!(action, Action::Restart { .. });
                    prop_assert!(!routed || gone || restart, "{instance} is still in the route");
                }
            }
        }
    }
}
