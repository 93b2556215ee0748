//! When a deployment has failed, and how that is said.

use std::time::Duration;

use windlass_kernel::{ServiceName, Timestamp};

use super::scene::{Role, Scene};
use super::{Failure, Mode};
use crate::instance::{Instance, InstanceState};
use crate::manifest::reader::words;
use crate::manifest::{ServiceSpec, Strategy};

/// A new instance may end by itself so often and be started again before its deployment has failed.
const RESTARTS: u32 = 2;

/// Time that the machine itself may need for a step, beyond what the manifest grants.
const SLACK: Duration = Duration::from_mins(1);

/// At most so many lines go into a failure.
const LINES: usize = 20;

/// The first failure of a running deployment; none in other modes.
pub(super) fn found(scene: &Scene<'_>) -> Option<Failure> {
    let since = scene.deploying_since()?;
    for spec in &scene.desired.target.services {
        let mut own = scene.instances(&spec.name).filter(|i| scene.role(i) == Role::Goal);
        if let Some(failure) = own.find_map(|i| of_instance(scene, spec, i, since)) {
            return Some(failure);
        }
    }
    let deadline = deadline(scene)?;
    if scene.now < deadline {
        return None;
    }
    let target = &scene.desired.target;
    let lacking = target.services.iter().find(|spec| {
        let own = scene.instances(&spec.name).filter(|i| scene.role(i) == Role::Goal && i.state.ready());
        own.count() < spec.service.replicas as usize
    });
    let what = match lacking {
        Some(spec) => format!("not all instances of {} became healthy", spec.name),
        None => "the old instances did not end".to_owned(),
    };
    let reason = format!("{} was not live within {}: {what}", target.words(), words(deadline.since(since)));
    Some(Failure { service: lacking.map(|spec| spec.name.clone()), ..Failure::new(reason) })
}

/// When a deployment, or the way back from one, has taken too long.
pub(super) fn deadline(scene: &Scene<'_>) -> Option<Timestamp> {
    let since = match scene.desired.mode {
        Mode::Steady => return None,
        Mode::Deploying { since } | Mode::RollingBack { since, .. } => since,
    };
    let both = [Some(&scene.desired.target), scene.desired.previous.as_ref()];
    let longest = both.into_iter().flatten().flat_map(|release| &release.services).map(patience).max();
    Some(since + longest.unwrap_or_default() + SLACK)
}

/// The longest that a service can rightly take.
fn patience(spec: &ServiceSpec) -> Duration {
    let service = &spec.service;
    let step = service.health.deadline * (RESTARTS + 1) + service.drain + SLACK;
    match service.strategy {
        Strategy::Rolling => step * service.replicas,
        Strategy::BlueGreen => step,
    }
}

fn of_instance(scene: &Scene<'_>, spec: &ServiceSpec, i: &Instance, since: Timestamp) -> Option<Failure> {
    let health = &spec.service.health;
    let answer = || {
        i.last_health
            .as_ref()
            .map_or_else(|| format!("nothing answered {}", health.words()), |h| h.text.clone())
    };
    let what = match &i.state {
        // One from before this deployment is replaced by a new one; its end says nothing about this release.
        InstanceState::Exited { code, .. } if i.restarts >= RESTARTS && i.created_at >= since => {
            format!("ended by itself {} times, {}", i.restarts + 1, ending(*code))
        }
        InstanceState::Starting if scene.now >= begun(i, since) + health.deadline => {
            format!("never became healthy within {}: {}", words(health.deadline), answer())
        }
        InstanceState::Unhealthy { since: turned } if *turned >= since => {
            format!("became unhealthy: {}", answer())
        }
        // It was unhealthy before this deployment began: it has the time of a new one to recover.
        InstanceState::Unhealthy { .. } if scene.now >= since + health.deadline => {
            format!("stayed unhealthy for {}: {}", words(health.deadline), answer())
        }
        _ => return None,
    };
    let target = &scene.desired.target;
    let mut last_lines = scene.observed.lines.get(&i.id).cloned().unwrap_or_default();
    last_lines.drain(..last_lines.len().saturating_sub(LINES));
    Some(Failure {
        reason: format!("version {} of {} {what}", target.short_sha(), spec.name),
        service: Some(spec.name.clone()),
        last_health: i.last_health.as_ref().map(|h| h.text.clone()),
        last_lines,
    })
}

/// From when on an instance's deadline counts.
pub(super) fn begun(instance: &Instance, since: Timestamp) -> Timestamp {
    instance.started_at.max(since)
}

fn ending(code: Option<i32>) -> String {
    match code {
        Some(code) => format!("the last time with exit status {code}"),
        None => "the last time without an exit status".to_owned(),
    }
}

/// What a service waits for, for the log.
pub(super) fn waiting(name: &ServiceName, ready: usize, wanted: usize) -> String {
    let noun = if wanted == 1 { "instance" } else { "instances" };
    format!("{ready} of {wanted} {noun} of {name} healthy")
}
