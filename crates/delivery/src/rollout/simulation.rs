//! The planner against a world in which anything may happen at any moment: instances start, become healthy
//! or not, end, hang; plans are carried out in part or not at all; the machine restarts; deployments fail,
//! are cancelled, go back. What must hold all the time is checked all the time.

use proptest::prelude::*;

use super::scene::active;
use super::tests::{at, deployment, instance, release, spec, wanted};
use super::*;
use crate::deployment::{Cause, Deployment, DeploymentState};
use crate::instance::{HealthAnswer, InstanceState};
use crate::manifest::Strategy;

/// How instances of a release behave.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Nature {
    Good,
    NeverHealthy,
    Ends,
    /// Healthy for a few seconds, then no more.
    Turns,
}

#[derive(Clone, Debug)]
enum Op {
    /// A new release comes, with its services' replicas and strategies (`web` may be missing).
    Deploy {
        nature: Nature,
        tasks: (u32, bool),
        web: Option<(u32, bool)>,
    },
    /// Back to the warm release.
    Back,
    /// The live release anew.
    Redeploy,
    Cancel,
    /// Time passes.
    Tick(i64),
    /// Plan, and carry out some of the actions: those whose bit is set.
    Plan(u16),
    /// An instance's process ends.
    Kill(usize),
    /// An instance hangs.
    Hang(usize),
    Reboot,
}

struct Release {
    nature: Nature,
    services: Vec<ServiceSpec>,
}

struct World {
    now: i64,
    observed: Observed,
    hung: BTreeSet<InstanceId>,
    releases: Vec<Release>,
    made: usize,
    deployments: u64,
    live: Option<Live>,
    warm: Option<Live>,
    active: Option<Under>,
    ended: Vec<Deployment>,
}

/// A release that is (or was) live, by its index.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Live {
    release: usize,
    generation: Option<u64>,
}

struct Under {
    deployment: Deployment,
    target: Live,
    /// Nothing was done to any instance from outside since it began, and the service before was whole then.
    calm: bool,
}

impl World {
    fn new() -> Self {
        Self {
            now: 0,
            observed: Observed::default(),
            hung: BTreeSet::new(),
            releases: Vec::new(),
            made: 0,
            deployments: 0,
            live: None,
            warm: None,
            active: None,
            ended: Vec::new(),
        }
    }

    fn wanted(&self, live: Live) -> Wanted {
        let generation = live.generation.map(deployment);
        Wanted { generation, ..wanted(live.release as u64, self.releases[live.release].services.clone()) }
    }

    fn desired(&self) -> Desired {
        let environment = "production".parse().unwrap();
        match &self.active {
            None => {
                let nothing = wanted(999, Vec::new());
                let target = self.live.map_or(nothing, |live| self.wanted(live));
                Desired {
                    environment,
                    target,
                    previous: self.warm.map(|w| self.wanted(w)),
                    mode: Mode::Steady,
                }
            }
            Some(under) => {
                let mode = match &under.deployment.state {
                    DeploymentState::Running { since, .. } => Mode::Deploying { since: *since },
                    DeploymentState::RollingBack { since, failure, .. } => {
                        Mode::RollingBack { since: *since, failure: failure.clone() }
                    }
                    other => panic!("{} is not under way", other.word()),
                };
                let previous = self.live.map(|live| self.wanted(live));
                Desired { environment, target: self.wanted(under.target), previous, mode }
            }
        }
    }

    fn begin(&mut self, target: Live, cause: Cause) {
        self.deployments += 1;
        let now = at(self.now);
        let queued = Deployment {
            id: deployment(self.deployments),
            project: "tasks".parse().unwrap(),
            environment: "production".parse().unwrap(),
            release: release(target.release as u64),
            previous: None,
            strategy: Strategy::Rolling,
            cause,
            created_at: now,
            created_by: windlass_kernel::Actor::System,
            state: DeploymentState::Queued,
            log: Vec::new(),
        };
        let deployment = queued.start(self.live.map(|live| release(live.release as u64)), now).unwrap();
        let calm = self.live.is_some_and(|live| {
            let whole = |s: &ServiceSpec| self.serving(&s.name) >= s.service.replicas as usize;
            let hangs = self.observed.instances.iter().any(|i| self.hung.contains(&i.id));
            !hangs && self.releases[live.release].services.iter().all(whole)
        });
        self.active = Some(Under { deployment, target, calm });
    }

    /// Routed instances that are healthy.
    fn serving(&self, service: &ServiceName) -> usize {
        let Some(route) = self.observed.routes.get(service) else { return 0 };
        self.observed.instances.iter().filter(|i| route.contains(&i.id) && i.state.ready()).count()
    }

    fn disturbed(&mut self) {
        if let Some(under) = &mut self.active {
            under.calm = false;
        }
    }

    fn tick(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now += 1;
            let now = at(self.now);
            // What was told to end has ended by now, and is forgotten.
            self.observed.instances.retain(|i| i.state != InstanceState::Stopping);
            for i in &mut self.observed.instances {
                let number = i.release.to_string().trim_start_matches("rel_").parse::<usize>().unwrap();
                let age = now.since(i.started_at).as_secs();
                let nature = self.releases[number].nature;
                if nature == Nature::Ends && age >= 1 {
                    i.exited(Some(1), now);
                }
                if age < 2 || matches!(i.state, InstanceState::Exited { .. }) {
                    continue;
                }
                let healthy = !self.hung.contains(&i.id)
                    && match nature {
                        Nature::Good => true,
                        Nature::NeverHealthy | Nature::Ends => false,
                        Nature::Turns => age < 9,
                    };
                let answer = HealthAnswer { at: now, healthy, text: "GET /health".into() };
                i.answered(answer, &crate::manifest::Health::default());
                // Every other instance never gets rid of its requests: its drain ends by the deadline.
                let odd = i.port % 2 == 1;
                if matches!(i.state, InstanceState::Draining { since, .. } if now.since(since).as_secs() >= 1 && !odd)
                {
                    self.observed.drained.insert(i.id);
                }
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Deploy { nature, tasks, web } if self.active.is_none() => {
                let service = |name: &str, (replicas, green): (u32, bool)| {
                    spec(name, replicas, if green { Strategy::BlueGreen } else { Strategy::Rolling })
                };
                let mut services = vec![service("tasks", *tasks)];
                services.extend(web.map(|web| service("web", web)));
                self.releases.push(Release { nature: *nature, services });
                self.begin(Live { release: self.releases.len() - 1, generation: None }, Cause::Deploy);
            }
            Op::Back if self.active.is_none() => {
                if let Some(warm) = self.warm {
                    self.begin(Live { generation: None, ..warm }, Cause::Rollback);
                }
            }
            Op::Redeploy if self.active.is_none() => {
                if let Some(live) = self.live {
                    let target = Live { generation: Some(self.deployments + 1), ..live };
                    self.begin(target, Cause::Redeploy);
                }
            }
            Op::Cancel => {
                if let Some(mut under) = self.active.take() {
                    let before = under.deployment.clone();
                    under.deployment = under
                        .deployment
                        .cancel(&windlass_kernel::Actor::System, at(self.now))
                        .unwrap_or(before);
                    self.active = Some(under);
                }
            }
            Op::Tick(seconds) => self.tick(*seconds),
            Op::Plan(carry) => self.plan(*carry),
            Op::Kill(n) => {
                self.disturbed();
                let now = at(self.now);
                if let Some(i) = self.pick(*n) {
                    i.exited(Some(137), now);
                }
            }
            Op::Hang(n) => {
                self.disturbed();
                if let Some(id) = self.pick(*n).map(|i| i.id) {
                    self.hung.insert(id);
                }
            }
            Op::Reboot => {
                self.disturbed();
                let now = at(self.now);
                self.hung.clear();
                self.observed.instances.iter_mut().for_each(|i| i.exited(None, now));
            }
            Op::Deploy { .. } | Op::Back | Op::Redeploy => {}
        }
    }

    fn pick(&mut self, n: usize) -> Option<&mut Instance> {
        let count = self.observed.instances.len();
        (count > 0).then(|| &mut self.observed.instances[n % count])
    }

    /// Plans, checks the plan, carries out those of its actions whose bit is set, and takes note of the rest.
    fn plan(&mut self, carry: u16) {
        let desired = self.desired();
        let plan = plan(&desired, &self.observed, at(self.now));
        assert_eq!(
            plan,
            super::plan(&desired, &self.observed, at(self.now)),
            "the same facts, the same plan"
        );
        if plan.actions.is_empty()
            && plan.outcome.is_none()
            && plan.roll_back.is_none()
            && self.active.is_some()
        {
            assert!(
                plan.next.is_some_and(|next| next > at(self.now)),
                "a deployment that waits knows for when"
            );
        }
        let places: BTreeMap<ServiceName, usize> = self.places(&desired.target);
        for (_, action) in plan.actions.iter().enumerate().filter(|(n, _)| carry >> (n % 16) & 1 == 1) {
            self.carry_out(action);
            self.check_availability(&desired);
        }
        self.check_room(&desired, &places);
        let Some(mut under) = self.active.take() else {
            assert!(plan.outcome.is_none() && plan.roll_back.is_none());
            return;
        };
        let now = at(self.now);
        if let Some(failure) = plan.roll_back {
            assert!(plan.actions.is_empty() && plan.outcome.is_none());
            assert!(!failure.reason.is_empty());
            under.deployment = under.deployment.roll_back(failure, now).unwrap();
        }
        if let Some(outcome) = plan.outcome {
            if matches!(outcome, Outcome::Succeeded { .. }) {
                if under.deployment.cause != Cause::Redeploy {
                    self.warm = self.live;
                }
                self.live = Some(under.target);
            }
            self.ended.push(under.deployment.end(outcome, now).unwrap());
        } else {
            self.active = Some(under);
        }
    }

    /// Instances that take up a place, by service. The target's warm ones count: they may be woken at any time.
    /// Under blue-green only the target's count: the others are as many as they were.
    fn places(&self, target: &Wanted) -> BTreeMap<ServiceName, usize> {
        let mut places = BTreeMap::new();
        for i in &self.observed.instances {
            let warm = matches!(i.state, InstanceState::Warm { .. }) && target.owns(i);
            let green = target.service(&i.service).is_some_and(|s| s.service.strategy == Strategy::BlueGreen);
            if (active(i) || warm) && (target.owns(i) || !green) {
                *places.entry(i.service.clone()).or_default() += 1;
            }
        }
        places
    }

    fn carry_out(&mut self, action: &Action) {
        let now = at(self.now);
        if let Action::Start { service, release: of, count } = action {
            assert!(*count > 0);
            for _ in 0..*count {
                self.made += 1;
                let number = of.to_string().trim_start_matches("rel_").parse().unwrap();
                let mut i = instance(self.made, service.as_str(), number, InstanceState::Starting, now);
                i.port = self.made as u16;
                i.deployment = self.active.as_ref().map(|under| under.deployment.id);
                self.observed.instances.push(i);
            }
            return;
        }
        if let Action::Route { service, instances } = action {
            let before = self.observed.routes.get(service).cloned().unwrap_or_default();
            for i in self.observed.instances.iter_mut().filter(|i| instances.contains(&i.id)) {
                assert!(
                    i.state.ready() || before.contains(&i.id),
                    "routed to {} that is {}",
                    i.id,
                    i.state.word()
                );
                assert!(!matches!(i.state, InstanceState::Exited { .. } | InstanceState::Stopping));
                i.routed(now);
            }
            let known = self.observed.instances.iter().filter(|i| instances.contains(&i.id)).count();
            assert_eq!(known, instances.len(), "routed to what does not exist");
            self.observed.routes.insert(service.clone(), instances.clone());
            return;
        }
        let (Action::Restart { instance }
        | Action::Drain { instance }
        | Action::KeepWarm { instance }
        | Action::Stop { instance }) = action
        else {
            return;
        };
        let routed = self.observed.routes.values().any(|set| set.contains(instance));
        let i = self.observed.instances.iter_mut().find(|i| i.id == *instance).expect("it exists");
        let gone = matches!(i.state, InstanceState::Exited { .. });
        match action {
            Action::Restart { .. } => {
                self.hung.remove(instance);
                i.restarted(now);
            }
            Action::Drain { .. } => {
                assert!(!routed, "drained before the route let go of it");
                i.drain(now);
            }
            Action::KeepWarm { .. } => {
                assert!(i.state.ready() && matches!(i.state, InstanceState::Draining { .. }));
                i.keep_warm(now);
            }
            _ => {
                assert!(!routed || gone, "stopped before the route let go of it");
                i.stopping();
            }
        }
    }

    /// A service that was whole before a deployment never has fewer healthy routed instances than wanted, as long
    /// as nobody but the deployment itself does it harm.
    fn check_availability(&self, desired: &Desired) {
        let Some(under) = self.active.as_ref().filter(|under| under.calm) else { return };
        let own = self.live.expect("calm means that one was live").release;
        // A version that is healthy first and no more later can do harm that nobody could foresee.
        if [own, under.target.release].iter().any(|r| self.releases[*r].nature == Nature::Turns) {
            return;
        }
        for spec in &desired.target.services {
            let Some(before) = desired.previous.as_ref().and_then(|p| p.service(&spec.name)) else {
                continue;
            };
            let least = before.service.replicas.min(spec.service.replicas) as usize;
            assert!(self.serving(&spec.name) >= least, "fewer than {least} of {} serve", spec.name);
        }
    }

    /// No more instances beside the warm ones than the strategy allows.
    fn check_room(&self, desired: &Desired, before: &BTreeMap<ServiceName, usize>) {
        if !matches!(desired.mode, Mode::Deploying { .. }) {
            return;
        }
        let after = self.places(&desired.target);
        for spec in &desired.target.services {
            let replicas = spec.service.replicas as usize;
            let room = match spec.service.strategy {
                Strategy::Rolling => replicas + 1,
                Strategy::BlueGreen => replicas,
            };
            let most = room.max(before.get(&spec.name).copied().unwrap_or(0));
            let now = after.get(&spec.name).copied().unwrap_or(0);
            assert!(now <= most, "{now} instances of {} where {most} may be", spec.name);
        }
    }

    /// Lets the world run without further harm until nothing is under way.
    fn calm_down(&mut self) {
        self.hung.clear();
        for _ in 0..6000 {
            self.plan(u16::MAX);
            if self.active.is_none() {
                return;
            }
            // As a server does: plan again while there is something to do, then let time pass.
            self.settle();
            self.tick(1);
        }
        panic!("the deployment never ends: {:?}", self.active.as_ref().map(|u| &u.deployment));
    }

    /// Plans at one moment until nothing is left to do; it must come to rest.
    fn settle(&mut self) {
        for _ in 0..40 {
            let desired = self.desired();
            if plan(&desired, &self.observed, at(self.now)).actions.is_empty() {
                return;
            }
            self.plan(u16::MAX);
        }
        panic!("the planner never comes to rest");
    }

    /// What must stand once nothing happens any more. Returns without a word where a release that is not good is
    /// involved: that one is started again for ever.
    fn check_rest(&mut self, harmed: bool) {
        for _ in 0..200 {
            self.settle();
            self.tick(1);
        }
        let natures = [self.live, self.warm].map(|l| l.map(|l| self.releases[l.release].nature));
        if natures.iter().flatten().any(|nature| *nature != Nature::Good) {
            return;
        }
        let live = self.live.map(|live| self.wanted(live));
        let warm = self.warm.map(|warm| self.wanted(warm));
        for i in &self.observed.instances {
            let routed = self.observed.routes.get(&i.service).is_some_and(|set| set.contains(&i.id));
            let word = i.state.word();
            if live.as_ref().is_some_and(|l| l.owns(i)) {
                assert!(
                    routed && word == "healthy",
                    "{} of the live release is {word}, routed: {routed}",
                    i.id
                );
            } else {
                assert!(warm.as_ref().is_some_and(|w| w.owns(i)), "{} is left over, {word}", i.id);
                assert!(
                    !routed && word == "warm",
                    "{} of the release before is {word}, routed: {routed}",
                    i.id
                );
            }
        }
        for spec in live.iter().flat_map(|live| &live.services) {
            assert_eq!(self.serving(&spec.name), spec.service.replicas as usize);
        }
        for spec in warm.iter().filter(|_| !harmed).flat_map(|warm| &warm.services) {
            let own = self.observed.instances.iter().filter(|i| i.service == spec.name);
            let kept = own.filter(|i| matches!(i.state, InstanceState::Warm { .. })).count();
            assert_eq!(kept, spec.service.replicas as usize, "of {} all stay warm to go back to", spec.name);
        }
        for (service, route) in &self.observed.routes {
            let wanted = live.as_ref().is_some_and(|l| l.service(service).is_some());
            assert!(wanted || route.is_empty(), "{service} is routed, but nobody wants it");
        }
    }
}

fn nature() -> impl Strategy_<Value = Nature> {
    prop_oneof![
        4 => Just(Nature::Good),
        1 => Just(Nature::NeverHealthy),
        1 => Just(Nature::Ends),
        1 => Just(Nature::Turns),
    ]
}

use proptest::strategy::Strategy as Strategy_;

fn deploy(nature: impl Strategy_<Value = Nature>) -> impl Strategy_<Value = Op> {
    let shape = || (1u32..4, any::<bool>());
    (nature, shape(), prop::option::of(shape())).prop_map(|(nature, tasks, web)| Op::Deploy {
        nature,
        tasks,
        web,
    })
}

fn usual() -> impl Strategy_<Value = Op> {
    prop_oneof![
        6 => any::<u16>().prop_map(Op::Plan),
        6 => Just(Op::Plan(u16::MAX)),
        8 => (1i64..6).prop_map(Op::Tick),
        3 => deploy(nature()),
        1 => Just(Op::Back),
        1 => Just(Op::Redeploy),
    ]
}

fn hostile() -> impl Strategy_<Value = Op> {
    prop_oneof![
        30 => usual(),
        2 => any::<usize>().prop_map(Op::Kill),
        2 => any::<usize>().prop_map(Op::Hang),
        1 => Just(Op::Reboot),
        1 => Just(Op::Cancel),
        1 => (30i64..400).prop_map(Op::Tick),
    ]
}

fn run(ops: &[Op]) -> World {
    let mut world = World::new();
    for op in ops {
        world.apply(op);
    }
    world.calm_down();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Anything may happen: it never panics, every deployment ends with a reason, and what is left is in order.
    #[test]
    fn anything_may_happen(ops in prop::collection::vec(hostile(), 1..150)) {
        let mut world = run(&ops);
        for ended in &world.ended {
            prop_assert!(ended.state.finished_at().is_some());
            prop_assert!(!ended.reason().is_empty());
        }
        world.check_rest(true);
    }

    /// Only versions do harm here: good ones get live, bad ones never do, and what was there before serves on.
    #[test]
    fn good_versions_get_live_and_bad_ones_do_not(ops in prop::collection::vec(usual(), 1..150)) {
        let mut world = run(&ops);
        for ended in &world.ended {
            let number = ended.release.to_string().trim_start_matches("rel_").parse::<usize>().unwrap();
            let had_one = ended.previous.is_some();
            match (world.releases[number].nature, ended.state.word()) {
                (Nature::Good, "succeeded") | (Nature::Turns, _) => {}
                (Nature::NeverHealthy | Nature::Ends, "rolled back") => prop_assert!(had_one),
                (Nature::NeverHealthy | Nature::Ends, "failed") => {
                    let turned = world.releases.iter().any(|r| r.nature == Nature::Turns);
                    prop_assert!(!had_one || turned, "{}", ended.reason());
                }
                (nature, word) => prop_assert!(false, "{nature:?} {word}: {}", ended.reason()),
            }
        }
        world.check_rest(false);
    }
}
