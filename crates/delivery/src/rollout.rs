//! The rollout planner: what is wanted and what is seen in, the next actions out.
//!
//! `plan` is called again and again: after each round of actions, on each change of a fact, and at
//! [`Plan::next`]. It keeps nothing between calls and derives everything from observed facts, so that it
//! may be interrupted at any point. The order at a switch is kept by never acting on a wish: an instance
//! is drained only once the *observed* route no longer holds it, and stopped only once it is drained.

use std::collections::{BTreeMap, BTreeSet};

use windlass_kernel::{DeploymentId, EnvironmentName, InstanceId, ReleaseId, ServiceName, Timestamp};

use crate::deployment::{Failure, Phase};
use crate::instance::Instance;
use crate::manifest::ServiceSpec;

mod failure;
mod scene;
mod service;

use scene::Scene;

/// What is wanted of one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The environment.
    pub environment: EnvironmentName,
    /// The release that is to be live. Under [`Mode::Steady`]: the one that is.
    pub target: Wanted,
    /// Under a deployment: the release that was live before, to go back to. Under [`Mode::Steady`]: the
    /// release whose instances stay warm.
    pub previous: Option<Wanted>,
    /// What is going on.
    pub mode: Mode,
}

/// A release as it is to run in one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The release.
    pub release: ReleaseId,
    /// Its number, for people.
    pub number: u64,
    /// Its commit, for people.
    pub sha: String,
    /// When set, instances that an older deployment started do not count as this release's. Set to the redeploy's
    /// id while (`target`) and after (`target` under [`Mode::Steady`], then `previous`) a redeploy, which replaces
    /// instances of the very same release; never for the target of a rollback. A redeploy that succeeded leaves
    /// the release to go back to as it was: what it replaced is stopped, not kept.
    pub generation: Option<DeploymentId>,
    /// Its services, resolved for the environment.
    pub services: Vec<ServiceSpec>,
}

/// What is going on in the environment.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// No deployment: keep the live release running. Where none is live, a `target` without services clears away
    /// what is left.
    Steady,
    /// A deployment to `target` is running.
    Deploying {
        /// Since when; but not before control itself was started: time in which nobody asked for anyone's health
        /// counts against nobody.
        since: Timestamp,
    },
    /// The deployment to `target` failed (or was cancelled): back to `previous`, or to nothing.
    RollingBack {
        /// Since when; not before control itself was started.
        since: Timestamp,
        /// Why.
        failure: Failure,
    },
}

/// What is seen in the environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Every instance that is not forgotten, of whatever release.
    pub instances: Vec<Instance>,
    /// Where requests go now, by service; also for services without a route of their own (for those it is
    /// bookkeeping only).
    pub routes: BTreeMap<ServiceName, BTreeSet<InstanceId>>,
    /// Those of the draining instances that have no request in flight any more.
    pub drained: BTreeSet<InstanceId>,
    /// The last lines that instances wrote, for the reason of a failure.
    pub lines: BTreeMap<InstanceId, Vec<String>>,
}

/// Something to do. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start so many new instances. Their [`Instance::deployment`] is the one under way, if there is one. Each is kept as a document (`Starting`) before its process is started,
    /// so that the next plan counts it.
    Start {
        /// The service.
        service: ServiceName,
        /// The release.
        release: ReleaseId,
        /// How many more.
        count: u32,
    },
    /// End what is left of the instance's process and start it again ([`Instance::restarted`]).
    Restart {
        /// The instance.
        instance: InstanceId,
    },
    /// Send the service's requests to exactly these ([`Instance::routed`] for each). All `Route`s of one plan
    /// go into one new route table.
    Route {
        /// The service.
        service: ServiceName,
        /// The instances; none: it has none to answer.
        instances: BTreeSet<InstanceId>,
    },
    /// It is out of the route: let it end what it has begun ([`Instance::drain`]).
    Drain {
        /// The instance.
        instance: InstanceId,
    },
    /// Drained; keep it running to go back to ([`Instance::keep_warm`]).
    KeepWarm {
        /// The instance.
        instance: InstanceId,
    },
    /// End it, if it still runs, and forget it ([`Instance::stopping`], then delete).
    Stop {
        /// The instance.
        instance: InstanceId,
    },
}

/// How a deployment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target is live and alone.
    Succeeded {
        /// What was reached, in a sentence.
        reason: String,
    },
    /// The previous release serves again.
    RolledBack {
        /// The release that serves.
        to: ReleaseId,
        /// Why; the reason says where it went back to.
        failure: Failure,
    },
    /// It failed, and there was nothing to go back to, or going back failed as well.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// To be carried out in this order; then plan again at once. None depends on another of the same plan: one
    /// that fails is left for the next plan, the others go on.
    pub actions: Vec<Action>,
    /// With nothing else happening, plan again at this time.
    pub next: Option<Timestamp>,
    /// The deployment failed: move it to rolling back with this, and plan again.
    pub roll_back: Option<Failure>,
    /// The deployment ended: keep it, and plan again as [`Mode::Steady`].
    pub outcome: Option<Outcome>,
    /// How far the deployment is.
    pub phase: Option<Phase>,
    /// What is being done, in sentences, or the one thing that is waited for: for the deployment's log
    /// ([`crate::Deployment::note`]).
    pub notes: Vec<String>,
}

impl Wanted {
    /// Whether an instance is one of this release's. Ids sort by age, so that a later deployment's instances count;
    /// so do those that were started with no deployment under way.
    pub fn owns(&self, instance: &Instance) -> bool {
        let older = |generation| instance.deployment.is_some_and(|deployment| deployment < generation);
        instance.release == self.release && !self.generation.is_some_and(older)
    }

    /// A service of it.
    pub fn service(&self, name: &ServiceName) -> Option<&ServiceSpec> {
        self.services.iter().find(|s| s.name == *name)
    }

    /// For people: `release 4 (1a2b3c4)`.
    pub fn words(&self) -> String {
        format!("release {} ({})", self.number, self.short_sha())
    }

    fn short_sha(&self) -> &str {
        self.sha.get(..7).unwrap_or(&self.sha)
    }
}

/// Decides what to do next. See the module's text for how it is to be called.
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    let scene = Scene::new(desired, observed, now);
    if let Some(failure) = failure::found(&scene) {
        return Plan { roll_back: Some(failure), ..Plan::default() };
    }
    let turns: Vec<service::Turn> =
        scene.services().into_iter().map(|name| service::turn(&scene, name)).collect();
    let mut plan = Plan { phase: phase(&scene, &turns), ..Plan::default() };
    let settled = turns.iter().all(|turn| turn.settled);
    let mut next: Vec<Timestamp> = Vec::new();
    let (mut routes, mut rest, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for turn in turns {
        routes.extend(turn.route);
        rest.extend(turn.actions);
        plan.notes.extend(turn.notes);
        next.extend(turn.wake);
        waiting.extend(turn.waiting);
    }
    plan.actions = routes;
    plan.actions.extend(rest);
    if plan.actions.is_empty() {
        plan.outcome = outcome(&scene, settled);
        plan.notes = if waiting.is_empty() || plan.outcome.is_some() {
            Vec::new()
        } else {
            vec![format!("waiting: {}", waiting.join("; "))]
        };
    }
    next.extend(failure::deadline(&scene));
    plan.next = next.into_iter().filter(|at| *at > now).min();
    plan
}

fn phase(scene: &Scene<'_>, turns: &[service::Turn]) -> Option<Phase> {
    if !matches!(scene.desired.mode, Mode::Deploying { .. }) {
        return None;
    }
    if turns.iter().all(|turn| turn.switched) {
        Some(Phase::Draining)
    } else if turns.iter().any(|turn| turn.touched) {
        Some(Phase::Switching)
    } else {
        Some(Phase::Starting)
    }
}

fn outcome(scene: &Scene<'_>, settled: bool) -> Option<Outcome> {
    match &scene.desired.mode {
        Mode::Steady => None,
        Mode::Deploying { .. } => settled
            .then(|| Outcome::Succeeded { reason: format!("{} is live", scene.desired.target.words()) }),
        Mode::RollingBack { failure, .. } => {
            let because =
                |end: String| Failure { reason: format!("{}; {end}", failure.reason), ..failure.clone() };
            let late = failure::deadline(scene).is_some_and(|deadline| scene.now >= deadline);
            match (&scene.desired.previous, settled) {
                (Some(previous), true) => Some(Outcome::RolledBack {
                    to: previous.release,
                    failure: because(format!("it went back to release {}", previous.number)),
                }),
                (Some(previous), false) if late => Some(Outcome::Failed {
                    failure: because(format!(
                        "going back to release {} did not succeed either",
                        previous.number
                    )),
                }),
                (None, settled) if settled || late => Some(Outcome::Failed {
                    failure: because("there was no release before it, so nothing is served".into()),
                }),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod any_facts;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
