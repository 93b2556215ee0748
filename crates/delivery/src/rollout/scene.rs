//! What the planner looks at: the desired and the observed, sorted by role.

use std::collections::BTreeSet;
use std::time::Duration;

use windlass_kernel::{InstanceId, ServiceName, Timestamp};

use super::{Desired, Mode, Observed, Wanted};
use crate::instance::{Instance, InstanceState};
use crate::manifest::{ServiceSpec, Strategy};

/// The drain time of an instance whose release is not known any more.
const USUAL_DRAIN: Duration = Duration::from_secs(10);

pub(super) struct Scene<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    /// What should serve in the end; none: nothing.
    pub(super) goal: Option<&'a Wanted>,
}

/// What an instance is to the present plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Of the release that should serve in the end.
    Goal,
    /// Of the release before: kept warm once it serves no more.
    Previous,
    /// Of the release that failed, or of one that nobody asks for.
    Leftover,
    /// Of an older release; may be warm still, for as long as the deployment has not succeeded.
    Older,
}

impl<'a> Scene<'a> {
    pub(super) fn new(desired: &'a Desired, observed: &'a Observed, now: Timestamp) -> Self {
        let goal = match desired.mode {
            Mode::Steady | Mode::Deploying { .. } => Some(&desired.target),
            Mode::RollingBack { .. } => desired.previous.as_ref(),
        };
        Self { desired, observed, now, goal }
    }

    pub(super) fn role(&self, instance: &Instance) -> Role {
        let target = &self.desired.target;
        let of_target = target.owns(instance);
        let of_previous = self.desired.previous.as_ref().is_some_and(|p| p.owns(instance));
        // While a redeploy is under way, its own instances are exactly those that it started.
        let new = of_target && (target.generation.is_none() || instance.deployment.is_some());
        match &self.desired.mode {
            Mode::Steady if of_target => Role::Goal,
            Mode::Deploying { .. } if new => Role::Goal,
            Mode::Steady | Mode::Deploying { .. } if of_previous => Role::Previous,
            Mode::Steady => Role::Leftover,
            // On the way back only the goal's instances are started: whatever is this young is one of them.
            Mode::RollingBack { since, .. } if of_previous && instance.created_at >= *since => Role::Goal,
            // A redeploy's own instances are of the previous release too: being the target's comes first, unless
            // the two are the very same thing.
            Mode::RollingBack { .. } if new && !(of_previous && self.same()) => Role::Leftover,
            Mode::RollingBack { .. } if of_previous => Role::Goal,
            Mode::RollingBack { .. } | Mode::Deploying { .. } => Role::Older,
        }
    }

    fn same(&self) -> bool {
        let target = &self.desired.target;
        self.desired
            .previous
            .as_ref()
            .is_some_and(|p| p.release == target.release && p.generation == target.generation)
    }

    /// Every service that is wanted, routed or has an instance.
    pub(super) fn services(&self) -> BTreeSet<&'a ServiceName> {
        let wanted = self.goal.iter().flat_map(|goal| &goal.services).map(|s| &s.name);
        let routed = self.observed.routes.keys();
        wanted.chain(routed).chain(self.observed.instances.iter().map(|i| &i.service)).collect()
    }

    pub(super) fn instances(&self, service: &'a ServiceName) -> impl Iterator<Item = &'a Instance> {
        self.observed.instances.iter().filter(move |i| i.service == *service)
    }

    pub(super) fn goal_spec(&self, service: &ServiceName) -> Option<&'a ServiceSpec> {
        self.goal.and_then(|goal| goal.service(service))
    }

    /// How many instances of a service should serve in the end.
    pub(super) fn wanted(&self, service: &ServiceName) -> usize {
        self.goal_spec(service).map_or(0, |spec| spec.service.replicas as usize)
    }

    pub(super) fn routed(&self, instance: &Instance) -> bool {
        self.observed.routes.get(&instance.service).is_some_and(|set| set.contains(&instance.id))
    }

    pub(super) fn route(&self, service: &ServiceName) -> BTreeSet<InstanceId> {
        self.observed.routes.get(service).cloned().unwrap_or_default()
    }

    /// How long an instance may drain, by the release that it belongs to.
    pub(super) fn drain(&self, instance: &Instance) -> Duration {
        let releases = [Some(&self.desired.target), self.desired.previous.as_ref()];
        let own = releases.into_iter().flatten().find(|r| r.release == instance.release);
        own.and_then(|r| r.service(&instance.service)).map_or(USUAL_DRAIN, |spec| spec.service.drain)
    }

    pub(super) fn deploying_since(&self) -> Option<Timestamp> {
        match self.desired.mode {
            Mode::Deploying { since } => Some(since),
            _ => None,
        }
    }

    /// Whether the goal's instances of every blue-green service may take over together: each has all of its
    /// instances ready, or has taken over already (and then never goes back by itself).
    pub(super) fn all_green(&self) -> bool {
        let services = self.goal.iter().flat_map(|goal| &goal.services);
        services.filter(|spec| spec.service.strategy == Strategy::BlueGreen).all(|spec| {
            let own = || self.instances(&spec.name).filter(|i| self.role(i) == Role::Goal);
            own().any(|i| self.routed(i))
                || own().filter(|i| i.state.ready()).count() >= spec.service.replicas as usize
        })
    }
}

/// Whether an instance takes up a place: it runs, and is neither warm nor on its way out.
pub(super) fn active(instance: &Instance) -> bool {
    !matches!(
        instance.state,
        InstanceState::Warm { .. } | InstanceState::Exited { .. } | InstanceState::Stopping
    )
}

/// Time to wait before the next start of an instance that has been started again so often.
pub(super) fn backoff(restarts: u32) -> Duration {
    match restarts {
        0 => Duration::ZERO,
        n => Duration::from_secs((1u64 << (n - 1).min(6)).min(60)),
    }
}
