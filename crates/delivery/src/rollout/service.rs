//! One service's part of a plan.
//!
//! Three questions, in this order, each answered from facts: which instances belong to the goal, which of
//! the others are held until the goal can do without them, and what the route should be. Whatever is
//! neither wanted nor held nor routed is retired, a step at a time.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use windlass_kernel::{InstanceId, ServiceName, Timestamp};

use super::scene::{Role, Scene, active, backoff};
use super::{Action, Mode, failure};
use crate::instance::{Instance, InstanceState};
use crate::manifest::Strategy;

/// What one service wants done.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) route: Option<Action>,
    pub(super) actions: Vec<Action>,
    pub(super) notes: Vec<String>,
    pub(super) wake: Vec<Timestamp>,
    pub(super) waiting: Option<String>,
    /// The observed route holds an instance of the goal.
    pub(super) touched: bool,
    /// The observed route is the goal's, whole.
    pub(super) switched: bool,
    /// Switched, and nothing else is left to do or to wait for.
    pub(super) settled: bool,
}

struct Part<'s, 'a> {
    scene: &'s Scene<'a>,
    name: &'a ServiceName,
    wanted: usize,
    /// The goal's instances that count, the best first; at most `wanted`.
    own: Vec<&'a Instance>,
    /// All other instances, the goal's surplus among them.
    others: Vec<&'a Instance>,
    /// Those of the others that must go on serving.
    held: BTreeSet<InstanceId>,
    turn: Turn,
}

pub(super) fn turn<'a>(scene: &Scene<'a>, name: &'a ServiceName) -> Turn {
    let wanted = scene.wanted(name);
    let (mut own, mut others): (Vec<_>, Vec<_>) =
        scene.instances(name).partition(|i| scene.role(i) == Role::Goal && counts(scene, i));
    own.sort_by_key(|i| (Reverse(worth(scene, i)), i.id));
    others.extend(own.split_off(wanted.min(own.len())));
    others.sort_by_key(|i| (Reverse(worth(scene, i)), scene.role(i), i.id));
    let mut part = Part { scene, name, wanted, own, others, held: BTreeSet::new(), turn: Turn::default() };
    let keep = part.keep();
    part.held = part.others.iter().filter(|i| holdable(scene, i)).take(keep).map(|i| i.id).collect();
    let route = part.route();
    part.retire(&route);
    part.revive_others(keep);
    part.revive_own();
    part.start(keep);
    part.finish(&route);
    part.turn
}

/// Whether an instance of the goal fills a place. One that failed out of the route does not, nor does one that
/// ended and was there before the deployment: a new one is better.
fn counts(scene: &Scene<'_>, i: &Instance) -> bool {
    match i.state {
        InstanceState::Stopping => false,
        InstanceState::Warm { healthy, .. } | InstanceState::Draining { healthy, .. } => healthy,
        InstanceState::Exited { .. } => scene.deploying_since().is_none_or(|since| i.created_at >= since),
        _ => true,
    }
}

/// Which instance to prefer.
fn worth(scene: &Scene<'_>, i: &Instance) -> u8 {
    match &i.state {
        state if state.ready() && scene.routed(i) => 5,
        state if state.ready() => 4,
        InstanceState::Unhealthy { .. } if scene.routed(i) => 3,
        InstanceState::Unhealthy { .. } | InstanceState::Starting => 2,
        InstanceState::Exited { .. } => 1,
        _ => 0,
    }
}

/// Whether an instance that is not the goal's can go on serving meanwhile.
fn holdable(scene: &Scene<'_>, i: &Instance) -> bool {
    scene.role(i) != Role::Goal
        && matches!(
            i.state,
            InstanceState::Healthy { .. } | InstanceState::Unhealthy { .. } | InstanceState::Starting
        )
}

impl<'a> Part<'_, 'a> {
    fn ready(&self) -> impl Iterator<Item = &'a Instance> {
        self.own.iter().copied().filter(|i| i.state.ready())
    }

    fn strategy(&self) -> Strategy {
        self.scene.goal_spec(self.name).map(|spec| spec.service.strategy).unwrap_or_default()
    }

    /// How many of the others must go on serving for now.
    fn keep(&self) -> usize {
        if self.wanted == 0 || self.scene.deploying_since().is_none() {
            return 0;
        }
        match self.strategy() {
            Strategy::Rolling => self.wanted - self.ready().count(),
            Strategy::BlueGreen if self.scene.all_green() => 0,
            Strategy::BlueGreen => {
                let before = self.scene.desired.previous.as_ref().and_then(|p| p.service(self.name));
                before.map_or(self.wanted, |spec| spec.service.replicas as usize)
            }
        }
    }

    /// What the route should be now; asks for it if it is not.
    fn route(&mut self) -> BTreeSet<InstanceId> {
        let observed = self.scene.route(self.name);
        let green = self.scene.deploying_since().is_none()
            || self.strategy() == Strategy::Rolling
            || self.scene.all_green();
        let mut route: BTreeSet<InstanceId> = self.ready().filter(|_| green).map(|i| i.id).collect();
        let held = self.others.iter().filter(|i| self.held.contains(&i.id) && i.state.ready());
        route.extend(held.map(|i| i.id));
        if route.is_empty() && self.wanted > 0 {
            route = self.last_resort(&observed);
        }
        let asleep = |i: &Instance| {
            route.contains(&i.id)
                && matches!(i.state, InstanceState::Warm { .. } | InstanceState::Draining { .. })
        };
        if route != observed || self.own.iter().chain(&self.others).any(|i| asleep(i)) {
            let new = self.own.iter().filter(|i| route.contains(&i.id)).count();
            self.turn.notes.push(self.route_note(new, route.len() - new));
            self.turn.route = Some(Action::Route { service: self.name.clone(), instances: route.clone() });
        }
        route
    }

    /// Nothing better is there: what answers badly, or is of the wrong release, is better than nothing. Those that
    /// are held come first: to route the others too would keep them from making room.
    fn last_resort(&self, observed: &BTreeSet<InstanceId>) -> BTreeSet<InstanceId> {
        let running: Vec<&Instance> = self
            .own
            .iter()
            .chain(&self.others)
            .copied()
            .filter(|i| observed.contains(&i.id))
            .filter(|i| i.state.ready() || matches!(i.state, InstanceState::Unhealthy { .. }))
            .collect();
        let own = |i: &&&Instance| self.own.iter().any(|own| own.id == i.id) || self.held.contains(&i.id);
        let route: BTreeSet<InstanceId> = running.iter().filter(own).map(|i| i.id).collect();
        if route.is_empty() { running.iter().map(|i| i.id).collect() } else { route }
    }

    fn route_note(&self, new: usize, old: usize) -> String {
        let name = self.name;
        let instances = |n: usize| if n == 1 { "1 instance".to_owned() } else { format!("{n} instances") };
        match (self.scene.goal, new, old) {
            (_, 0, 0) => format!("no traffic goes to {name}"),
            (Some(goal), new, 0) => {
                format!("traffic to {name} goes to {} of release {}", instances(new), goal.number)
            }
            (_, 0, old) => format!("traffic to {name} goes to {} from before", instances(old)),
            (Some(goal), new, old) => format!(
                "traffic to {name} goes to {} of release {} and {} from before",
                instances(new),
                goal.number,
                instances(old)
            ),
            (None, ..) => format!("no release is to serve {name}"),
        }
    }

    /// Moves whatever is neither wanted nor held nor routed one step towards its end.
    fn retire(&mut self, route: &BTreeSet<InstanceId>) {
        for i in self.others.clone() {
            if self.held.contains(&i.id) || route.contains(&i.id) {
                continue;
            }
            // Not before the route that is in force lets go of it; but what has ended can serve nobody.
            if self.scene.routed(i) && !matches!(i.state, InstanceState::Exited { .. }) {
                continue;
            }
            self.retire_one(i);
        }
    }

    fn retire_one(&mut self, i: &'a Instance) {
        let (id, role) = (i.id, self.scene.role(i));
        let name = self.name;
        match i.state {
            InstanceState::Stopping => {}
            InstanceState::Starting => {
                self.turn.notes.push(format!("stopping an instance of {name} that is not needed"));
                self.turn.actions.push(Action::Stop { instance: id });
            }
            InstanceState::Healthy { .. } | InstanceState::Unhealthy { .. } => {
                self.turn.notes.push(format!("an instance of {name} ends what it has begun"));
                self.turn.actions.push(Action::Drain { instance: id });
            }
            InstanceState::Draining { since, healthy } => {
                let end = since + self.scene.drain(i);
                if !self.scene.observed.drained.contains(&id) && self.scene.now < end {
                    self.turn.wake.push(end);
                    self.turn.waiting = Some(format!("old instances of {name} end what they have begun"));
                } else if role == Role::Previous && healthy {
                    self.turn.notes.push(format!("an instance of {name} stays warm, to go back to"));
                    self.turn.actions.push(Action::KeepWarm { instance: id });
                } else {
                    self.turn.notes.push(format!("stopping an old instance of {name}"));
                    self.turn.actions.push(Action::Stop { instance: id });
                }
            }
            InstanceState::Warm { healthy, .. } => {
                if !(healthy && matches!(role, Role::Previous | Role::Older)) {
                    self.turn.notes.push(format!("stopping a warm instance of {name}"));
                    self.turn.actions.push(Action::Stop { instance: id });
                }
            }
            InstanceState::Exited { .. } => {
                if !self.may_serve_again(i) {
                    self.turn.notes.push(format!("clearing away an ended instance of {name}"));
                    self.turn.actions.push(Action::Stop { instance: id });
                }
            }
        }
    }

    /// An ended instance of the release before, while a deployment still leans on that release.
    fn may_serve_again(&self, i: &Instance) -> bool {
        self.lacking(self.keep()) > 0 && self.scene.role(i) == Role::Previous
    }

    /// How many of the others are missing from those that must go on serving.
    fn lacking(&self, keep: usize) -> usize {
        keep.saturating_sub(self.held.len())
    }

    /// Starts ended instances of the release before again, where the goal cannot do without them yet.
    fn revive_others(&mut self, keep: usize) {
        for i in self.revivable(keep) {
            if let InstanceState::Exited { at, .. } = i.state {
                self.restart_at(i, at + backoff(i.restarts));
            }
        }
    }

    fn revivable(&self, keep: usize) -> Vec<&'a Instance> {
        let ended = |i: &&Instance| {
            matches!(i.state, InstanceState::Exited { .. }) && self.scene.role(i) == Role::Previous
        };
        self.others.iter().copied().filter(ended).take(self.lacking(keep).min(self.room())).collect()
    }

    /// Starts the goal's ended instances again; outside a deployment also those that hang.
    fn revive_own(&mut self) {
        let deadline =
            self.scene.goal_spec(self.name).map_or(Duration::ZERO, |spec| spec.service.health.deadline);
        let deploying = self.scene.deploying_since();
        for i in self.own.clone() {
            let patience = deadline.max(backoff(i.restarts));
            match (&i.state, deploying) {
                (InstanceState::Exited { at, .. }, _) => self.restart_at(i, *at + backoff(i.restarts)),
                // A deployment fails by then; the planner looks again at that time.
                (InstanceState::Starting, Some(since)) => {
                    self.turn.wake.push(failure::begun(i, since) + deadline);
                }
                (InstanceState::Unhealthy { .. }, Some(since)) => self.turn.wake.push(since + deadline),
                (InstanceState::Starting, None) => self.restart_at(i, i.started_at + patience),
                (InstanceState::Unhealthy { since }, None) => self.restart_at(i, *since + patience),
                _ => {}
            }
        }
    }

    fn restart_at(&mut self, i: &Instance, at: Timestamp) {
        if self.scene.now < at {
            self.turn.wake.push(at);
            return;
        }
        self.turn.notes.push(format!(
            "starting an instance of {} again (time {})",
            self.name,
            i.restarts + 1
        ));
        self.turn.actions.push(Action::Restart { instance: i.id });
    }

    /// How many more may run beside the warm ones: under a rolling deployment one more than wanted in all.
    fn room(&self) -> usize {
        if self.scene.deploying_since().is_none() || self.strategy() != Strategy::Rolling {
            return usize::MAX;
        }
        let others = self.others.iter().filter(|i| active(i)).count();
        (self.wanted + 1).saturating_sub(self.own.len() + others)
    }

    /// Starts what is missing, as far as there is room.
    fn start(&mut self, keep: usize) {
        let Some(goal) = self.scene.goal else { return };
        // What is about to be started again takes up its place already.
        let room = self.room().saturating_sub(self.revivable(keep).len());
        let count = (self.wanted - self.own.len()).min(room);
        if count == 0 {
            return;
        }
        let noun = if count == 1 { "instance" } else { "instances" };
        self.turn.notes.push(format!("starting {count} {noun} of {} (release {})", self.name, goal.number));
        self.turn.actions.push(Action::Start {
            service: self.name.clone(),
            release: goal.release,
            count: u32::try_from(count).unwrap_or(u32::MAX),
        });
    }

    fn finish(&mut self, route: &BTreeSet<InstanceId>) {
        let observed = self.scene.route(self.name);
        let ready = self.ready().count();
        let whole = ready == self.wanted && self.own.len() == self.wanted;
        self.turn.touched = self.own.iter().any(|i| observed.contains(&i.id));
        self.turn.switched = whole && observed == *route && self.own.iter().all(|i| observed.contains(&i.id));
        // Warm ones stay, and what was told to end does; anything else is still to be dealt with.
        let left = self.others.iter().any(|i| active(i) || matches!(i.state, InstanceState::Exited { .. }));
        let busy = self.turn.route.is_some() || !self.turn.actions.is_empty();
        self.turn.settled = self.turn.switched && !left && !busy;
        if !whole && matches!(self.scene.desired.mode, Mode::Deploying { .. } | Mode::RollingBack { .. }) {
            self.turn.waiting = Some(failure::waiting(self.name, ready, self.wanted));
        }
    }
}
