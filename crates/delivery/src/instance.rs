//! An instance: one running copy of a service, as the server knows it. Facts, not wishes: what should
//! become of it is the planner's business.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_kernel::{
    DeploymentId, Document, EnvironmentName, InstanceId, ProjectName, ReleaseId, ServiceName, Timestamp,
};

use crate::manifest::Health;

/// An instance that was healthy for so long before it ended counts its restarts from zero again.
const FORGIVEN_AFTER: Duration = Duration::from_mins(5);

/// One running copy of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The service.
    pub service: ServiceName,
    /// The release that it belongs to.
    pub release: ReleaseId,
    /// The deployment that started it.
    pub deployment: Option<DeploymentId>,
    /// The port that it listens on, on loopback.
    pub port: u16,
    /// Where it stands.
    pub state: InstanceState,
    /// How often it was started again after it ended (or hung) by itself.
    pub restarts: u32,
    /// The last answer to a health check since it was started.
    pub last_health: Option<HealthAnswer>,
    /// Answers of the same kind in a row, the last one included.
    #[serde(default)]
    pub streak: u32,
    /// When it was first started.
    pub created_at: Timestamp,
    /// When its present process was started.
    pub started_at: Timestamp,
}

/// Where an instance stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum InstanceState {
    /// Being started, or started and not yet healthy.
    Starting,
    /// It answers well.
    Healthy {
        /// Since when.
        since: Timestamp,
    },
    /// It was healthy and answers no longer well.
    Unhealthy {
        /// Since when.
        since: Timestamp,
    },
    /// Out of the route, ending what it has begun.
    Draining {
        /// Since when.
        since: Timestamp,
        /// Whether its health check still passes.
        healthy: bool,
    },
    /// Out of the route, kept running to go back to.
    Warm {
        /// Since when.
        since: Timestamp,
        /// Whether its health check still passes.
        healthy: bool,
    },
    /// Told to end; it will be forgotten once it has.
    Stopping,
    /// Its process ended by itself, vanished with the machine, or could not be started.
    Exited {
        /// The exit status; none if it is not known.
        code: Option<i32>,
        /// When this was seen.
        at: Timestamp,
    },
}

/// An answer to a health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    /// When.
    pub at: Timestamp,
    /// Whether it was good.
    pub healthy: bool,
    /// In words, such as `GET /health answered 500`.
    pub text: String,
}

impl Document for Instance {
    const KIND: &'static str = "instance";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn parent(&self) -> String {
        format!("{}/{}", self.project, self.environment)
    }

    fn state(&self) -> String {
        self.state.word().to_owned()
    }
}

impl InstanceState {
    /// As on the wire and on the pages.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy { .. } => "healthy",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Draining { .. } => "draining",
            Self::Warm { .. } => "warm",
            Self::Stopping => "stopping",
            Self::Exited { .. } => "exited",
        }
    }

    /// Whether a request could be sent to it now: its health check passes, whatever its duty.
    pub fn ready(&self) -> bool {
        matches!(
            self,
            Self::Healthy { .. } | Self::Draining { healthy: true, .. } | Self::Warm { healthy: true, .. }
        )
    }
}

impl Instance {
    /// A health check was answered. Enough answers of a kind in a row change the state.
    pub fn answered(&mut self, answer: HealthAnswer, health: &Health) {
        let same = self.last_health.as_ref().is_some_and(|last| last.healthy == answer.healthy);
        self.streak = if same { self.streak.saturating_add(1) } else { 1 };
        let good = answer.healthy && self.streak >= health.healthy_after;
        let bad = !answer.healthy && self.streak >= health.unhealthy_after;
        let at = answer.at;
        self.last_health = Some(answer);
        match &mut self.state {
            InstanceState::Starting | InstanceState::Unhealthy { .. } if good => {
                self.state = InstanceState::Healthy { since: at };
            }
            InstanceState::Healthy { .. } if bad => self.state = InstanceState::Unhealthy { since: at },
            InstanceState::Draining { healthy, .. } | InstanceState::Warm { healthy, .. } => {
                *healthy = (*healthy || good) && !bad;
            }
            _ => {}
        }
    }

    /// Its process ended by itself, is gone, or could not be started. One that was told to end is on its way out
    /// and stays so.
    pub fn exited(&mut self, code: Option<i32>, at: Timestamp) {
        if let InstanceState::Healthy { since } = self.state
            && at.since(since) >= FORGIVEN_AFTER
        {
            self.restarts = 0;
        }
        if !matches!(self.state, InstanceState::Exited { .. } | InstanceState::Stopping) {
            self.state = InstanceState::Exited { code, at };
        }
    }

    /// It is started again ([`crate::Action::Restart`]).
    pub fn restarted(&mut self, at: Timestamp) {
        self.restarts = self.restarts.saturating_add(1);
        self.state = InstanceState::Starting;
        self.last_health = None;
        self.streak = 0;
        self.started_at = at;
    }

    /// It was put into the route ([`crate::Action::Route`]): a warm or draining one serves again.
    pub fn routed(&mut self, at: Timestamp) {
        if let InstanceState::Warm { healthy: true, .. } | InstanceState::Draining { healthy: true, .. } =
            self.state
        {
            self.state = InstanceState::Healthy { since: at };
        }
    }

    /// It is to end what it has begun ([`crate::Action::Drain`]).
    pub fn drain(&mut self, at: Timestamp) {
        if let InstanceState::Healthy { .. } | InstanceState::Unhealthy { .. } | InstanceState::Starting =
            self.state
        {
            self.state = InstanceState::Draining { since: at, healthy: self.state.ready() };
        }
    }

    /// It stays as the one to go back to ([`crate::Action::KeepWarm`]).
    pub fn keep_warm(&mut self, at: Timestamp) {
        if let InstanceState::Draining { healthy, .. } = self.state {
            self.state = InstanceState::Warm { since: at, healthy };
        }
    }

    /// It is told to end ([`crate::Action::Stop`]).
    pub fn stopping(&mut self) {
        self.state = InstanceState::Stopping;
    }
}

#[cfg(test)]
mod tests;
