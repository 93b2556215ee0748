//! A deployment: a release on its way to one environment. Its states carry their data, its transitions
//! refuse what is unlawful, and it always ends in a state with a reason.

use serde::{Deserialize, Serialize};
use windlass_kernel::{
    Actor, DeploymentId, Document, EnvironmentName, ProjectName, ReleaseId, ServiceName, Timestamp,
};

use crate::manifest::Strategy;
use crate::rollout::Outcome;

/// So many steps of a log are kept: the first half and the newest ones.
pub const LONGEST_LOG: usize = 500;

/// A release on its way to one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release that is to be live.
    pub release: ReleaseId,
    /// The release that was live when this deployment began to run.
    pub previous: Option<ReleaseId>,
    /// How it takes over, for people: blue-green as soon as one of its services does it so.
    pub strategy: Strategy,
    /// Why it was made.
    pub cause: Cause,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: Actor,
    /// Where it stands.
    pub state: DeploymentState,
    /// What was done, in order; at most [`LONGEST_LOG`].
    pub log: Vec<Step>,
}

/// Why a deployment was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A release is to become live.
    Deploy,
    /// A release that was live before is to be live again.
    Rollback,
    /// The live release is to be started anew.
    Redeploy,
}

/// A line of a deployment's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What was done or seen.
    pub text: String,
}

/// How far a running deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// New instances are being started and checked.
    Starting,
    /// Some traffic goes to the new release, some to the old one.
    Switching,
    /// All traffic goes to the new release; the old instances end what they have begun.
    Draining,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In a sentence, without a full stop.
    pub reason: String,
    /// The service that failed, if it was one.
    pub service: Option<ServiceName>,
    /// The last answer to a health check.
    pub last_health: Option<String>,
    /// The last lines that the failing instance wrote.
    pub last_lines: Vec<String>,
}

/// Where a deployment stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum DeploymentState {
    /// Another deployment to the same environment comes first.
    Queued,
    /// It is under way.
    Running {
        /// Since when.
        since: Timestamp,
        /// How far it is.
        phase: Phase,
    },
    /// It goes back to the previous release (or to nothing, if there was none).
    RollingBack {
        /// Since when.
        since: Timestamp,
        /// Why.
        failure: Failure,
        /// Whether somebody cancelled it: then it ends as cancelled.
        cancelled: bool,
    },
    /// It is live.
    Succeeded {
        /// Since when.
        at: Timestamp,
        /// What was reached, in a sentence.
        reason: String,
    },
    /// It failed, and there was nothing to go back to or going back failed as well.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        failure: Failure,
    },
    /// It failed, and the previous release serves again.
    RolledBack {
        /// When.
        at: Timestamp,
        /// The release that serves.
        to: ReleaseId,
        /// Why.
        failure: Failure,
    },
    /// It was stopped by somebody before its end.
    Cancelled {
        /// When.
        at: Timestamp,
        /// By whom and what it left.
        reason: String,
    },
}

/// A transition that the present state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a deployment that is {from} cannot become {to}")]
pub struct InvalidTransition {
    from: &'static str,
    to: &'static str,
}

impl Document for Deployment {
    const KIND: &'static str = "deployment";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn parent(&self) -> String {
        format!("{}/{}", self.project, self.environment)
    }

    fn state(&self) -> String {
        let word = match &self.state {
            DeploymentState::Queued => "queued",
            DeploymentState::Running { .. } | DeploymentState::RollingBack { .. } => "active",
            _ => "finished",
        };
        word.to_owned()
    }
}

impl DeploymentState {
    /// In words, for errors and the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::RollingBack { .. } => "rolling back",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::RolledBack { .. } => "rolled back",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// When it ended, if it has.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self {
            Self::Succeeded { at, .. }
            | Self::Failed { at, .. }
            | Self::RolledBack { at, .. }
            | Self::Cancelled { at, .. } => Some(*at),
            Self::Queued | Self::Running { .. } | Self::RollingBack { .. } => None,
        }
    }

    /// What went wrong, if something did.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::RollingBack { failure, .. }
            | Self::Failed { failure, .. }
            | Self::RolledBack { failure, .. } => Some(failure),
            _ => None,
        }
    }
}

impl Failure {
    /// A failure that no instance can say more about.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), service: None, last_health: None, last_lines: Vec::new() }
    }
}

impl Deployment {
    /// Why it stands where it stands, in a sentence.
    pub fn reason(&self) -> String {
        match &self.state {
            DeploymentState::Queued => "another deployment to this environment comes first".into(),
            DeploymentState::Running { phase: Phase::Starting, .. } => {
                "new instances are being started".into()
            }
            DeploymentState::Running { phase: Phase::Switching, .. } => "traffic is being moved".into(),
            DeploymentState::Running { phase: Phase::Draining, .. } => {
                "live; the old instances end what they have begun".into()
            }
            DeploymentState::RollingBack { failure, .. }
            | DeploymentState::Failed { failure, .. }
            | DeploymentState::RolledBack { failure, .. } => failure.reason.clone(),
            DeploymentState::Succeeded { reason, .. } | DeploymentState::Cancelled { reason, .. } => {
                reason.clone()
            }
        }
    }

    /// Queued → running. `previous` is the release that is live now.
    pub fn start(mut self, previous: Option<ReleaseId>, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self.state {
            DeploymentState::Queued => {
                self.previous = previous;
                self.state = DeploymentState::Running { since: now, phase: Phase::Starting };
                Ok(self)
            }
            _ => self.refuse("running"),
        }
    }

    /// Running → running, in this phase.
    pub fn reach(mut self, reached: Phase) -> Result<Self, InvalidTransition> {
        match &mut self.state {
            DeploymentState::Running { phase, .. } => {
                *phase = reached;
                Ok(self)
            }
            _ => self.refuse("running"),
        }
    }

    /// Running → rolling back, because of this.
    pub fn roll_back(mut self, failure: Failure, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self.state {
            DeploymentState::Running { .. } => {
                self.note(now, &failure.reason);
                self.state = DeploymentState::RollingBack { since: now, failure, cancelled: false };
                Ok(self)
            }
            _ => self.refuse("rolling back"),
        }
    }

    /// Somebody stops it. Queued: cancelled at once. Running: it goes back first.
    pub fn cancel(mut self, by: &Actor, now: Timestamp) -> Result<Self, InvalidTransition> {
        let reason = format!("cancelled by {}", person(by));
        match self.state {
            DeploymentState::Queued => {
                self.note(now, &reason);
                let reason = format!("{reason} before it began; nothing was changed");
                self.state = DeploymentState::Cancelled { at: now, reason };
                Ok(self)
            }
            DeploymentState::Running { .. } => {
                self.note(now, &reason);
                let failure = Failure::new(reason);
                self.state = DeploymentState::RollingBack { since: now, failure, cancelled: true };
                Ok(self)
            }
            _ => self.refuse("cancelled"),
        }
    }

    /// Running or rolling back → its end, as the planner found it.
    pub fn end(mut self, outcome: Outcome, now: Timestamp) -> Result<Self, InvalidTransition> {
        let state = match (&self.state, outcome) {
            (DeploymentState::Running { .. }, Outcome::Succeeded { reason }) => {
                DeploymentState::Succeeded { at: now, reason }
            }
            (
                DeploymentState::RollingBack { cancelled: true, .. },
                Outcome::RolledBack { failure, .. } | Outcome::Failed { failure },
            ) => DeploymentState::Cancelled { at: now, reason: failure.reason },
            (DeploymentState::RollingBack { .. }, Outcome::RolledBack { to, failure }) => {
                DeploymentState::RolledBack { at: now, to, failure }
            }
            (
                DeploymentState::RollingBack { .. } | DeploymentState::Running { .. },
                Outcome::Failed { failure },
            ) => DeploymentState::Failed { at: now, failure },
            (_, Outcome::Succeeded { .. }) => return self.refuse("succeeded"),
            (_, Outcome::RolledBack { .. }) => return self.refuse("rolled back"),
            (_, Outcome::Failed { .. }) => return self.refuse("failed"),
        };
        self.state = state;
        let reason = self.reason();
        self.note(now, &reason);
        Ok(self)
    }

    /// Adds a line to the log. The same line twice in a row stands once. A full log loses its middle: the
    /// beginning and the end are what a person reads.
    pub fn note(&mut self, now: Timestamp, text: &str) {
        if self.log.last().is_some_and(|last| last.text == text) {
            return;
        }
        if self.log.len() >= LONGEST_LOG {
            self.log.remove(LONGEST_LOG / 2);
        }
        self.log.push(Step { at: now, text: text.to_owned() });
    }

    fn refuse(&self, to: &'static str) -> Result<Self, InvalidTransition> {
        Err(InvalidTransition { from: self.state.word(), to })
    }
}

fn person(actor: &Actor) -> String {
    match actor {
        Actor::User(name) => name.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
