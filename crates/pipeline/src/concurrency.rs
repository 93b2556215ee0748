//! Concurrency groups: one member runs, one waits; a newer one takes the place of the one that waits.

use serde::{Deserialize, Serialize};
use windlass_kernel::{Document, JobId, ProjectName, RunId};

/// A run, or a job of a run, in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The run.
    pub run: RunId,
    /// The job, where the job and not the run is the member.
    pub job: Option<JobId>,
}

/// A group of a project. Its name ignores case; it is kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    project: ProjectName,
    name: String,
    running: Option<Member>,
    pending: Option<Member>,
}

/// What is to be done about a group's members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupAction {
    /// The member may go on: tell its run [`crate::RunEvent::GroupAdmitted`].
    Admit(Member),
    /// The member must end: tell its run [`crate::RunEvent::GroupCancelled`].
    Cancel {
        /// Who.
        member: Member,
        /// Why.
        reason: String,
    },
}

impl Group {
    /// An empty group.
    pub fn new(project: ProjectName, name: &str) -> Self {
        Self { project, name: name.to_lowercase(), running: None, pending: None }
    }

    /// The document's id of the group `name`.
    pub fn key(project: &ProjectName, name: &str) -> String {
        format!("{project}/{}", name.to_lowercase())
    }

    /// The one that runs.
    pub fn running(&self) -> Option<Member> {
        self.running
    }

    /// The one that waits.
    pub fn pending(&self) -> Option<Member> {
        self.pending
    }

    /// Whether nobody is in it: then its document may go.
    pub fn is_empty(&self) -> bool {
        self.running.is_none() && self.pending.is_none()
    }

    /// `member` joins. In an empty group it is admitted; otherwise it waits, the one that waited before is cancelled,
    /// and with `cancel_in_progress` also the one that runs (which keeps its place until it leaves). Joining twice
    /// changes nothing and answers the same.
    pub fn join(&mut self, member: Member, cancel_in_progress: bool) -> Vec<GroupAction> {
        if self.running == Some(member) {
            return vec![GroupAction::Admit(member)];
        }
        let Some(running) = self.running else {
            self.running = Some(member);
            return vec![GroupAction::Admit(member)];
        };
        let mut actions = Vec::new();
        let reason = || format!("a newer one waits in the concurrency group '{}'", self.name);
        if let Some(pending) = self.pending.filter(|pending| *pending != member) {
            actions.push(GroupAction::Cancel { member: pending, reason: reason() });
        }
        if cancel_in_progress {
            actions.push(GroupAction::Cancel { member: running, reason: reason() });
        }
        self.pending = Some(member);
        actions
    }

    /// `member` leaves, whether it ran, waited or was never there; the one that waits then moves up.
    pub fn leave(&mut self, member: Member) -> Vec<GroupAction> {
        if self.pending == Some(member) {
            self.pending = None;
        }
        if self.running != Some(member) {
            return Vec::new();
        }
        self.running = self.pending.take();
        self.running.map(GroupAction::Admit).into_iter().collect()
    }
}

impl Document for Group {
    const KIND: &'static str = "group";

    fn id(&self) -> String {
        Self::key(&self.project, &self.name)
    }

    fn parent(&self) -> String {
        self.project.to_string()
    }
}

#[cfg(test)]
mod tests;
