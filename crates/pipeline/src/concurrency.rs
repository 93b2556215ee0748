//! Concurrency groups: one member runs, others wait. How many may wait, and whether a newer one cancels them and the one
//! that runs, the member that joins says: its `queue` and its `cancel-in-progress`.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize};
use windlass_kernel::{Document, JobId, ProjectName, RunId};

/// The most members that wait with `queue: max`.
pub const MAX_PENDING: usize = 100;

/// A run, or a job of a run, in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The run.
    pub run: RunId,
    /// The job, where the job and not the run is the member.
    pub job: Option<JobId>,
}

/// How a member joins a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manner {
    /// Whether the one that runs is cancelled.
    pub cancel_in_progress: bool,
    /// Whether it waits behind those that wait already (`queue: max`), instead of taking their place.
    #[serde(default)]
    pub queued: bool,
}

/// A group of a project. Its name ignores case; it is kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    project: ProjectName,
    name: String,
    running: Option<Member>,
    #[serde(deserialize_with = "waiting")]
    pending: VecDeque<Member>,
}

/// Those who wait; before there were queues it was one or none.
fn waiting<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VecDeque<Member>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Waiting {
        Many(VecDeque<Member>),
        One(Option<Member>),
    }
    Ok(match Waiting::deserialize(deserializer)? {
        Waiting::Many(members) => members,
        Waiting::One(member) => member.into_iter().collect(),
    })
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
        Self { project, name: name.to_lowercase(), running: None, pending: VecDeque::new() }
    }

    /// The document's id of the group `name`.
    pub fn key(project: &ProjectName, name: &str) -> String {
        format!("{project}/{}", name.to_lowercase())
    }

    /// Its name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a name means this group.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name.to_lowercase()
    }

    /// The one that runs.
    pub fn running(&self) -> Option<Member> {
        self.running
    }

    /// Those that wait, the next first.
    pub fn pending(&self) -> impl Iterator<Item = Member> {
        self.pending.iter().copied()
    }

    /// Whether nobody is in it: then its document may go.
    pub fn is_empty(&self) -> bool {
        self.running.is_none() && self.pending.is_empty()
    }

    /// `member` joins. In an empty group it is admitted. Otherwise it waits: with `queue: max` behind those that wait,
    /// as long as there is room, else in their place, and they are cancelled. With `cancel-in-progress` the one that
    /// runs is cancelled too (it keeps its place until it leaves). Joining twice changes nothing and answers the same.
    pub fn join(&mut self, member: Member, manner: Manner) -> Vec<GroupAction> {
        if self.running == Some(member) {
            return vec![GroupAction::Admit(member)];
        }
        let Some(running) = self.running else {
            self.running = Some(member);
            return vec![GroupAction::Admit(member)];
        };
        let newer = format!("a newer one waits in the concurrency group '{}'", self.name);
        let cancel = |member: Member, reason: &str| GroupAction::Cancel { member, reason: reason.to_owned() };
        let mut actions = Vec::new();
        let known = self.pending.contains(&member);
        if known {
            // It waits already, and answers as before; whoever came later is no concern of it.
        } else if manner.queued {
            if self.pending.len() >= MAX_PENDING {
                let full = format!("{MAX_PENDING} wait in the concurrency group '{}' already", self.name);
                return vec![cancel(member, &full)];
            }
            self.pending.push_back(member);
        } else {
            actions.extend(self.pending.drain(..).map(|pending| cancel(pending, &newer)));
            self.pending.push_back(member);
        }
        // Only the newest speaks of the one that runs: what came before it has said so already.
        if manner.cancel_in_progress && self.pending.back() == Some(&member) {
            actions.push(cancel(running, &newer));
        }
        actions
    }

    /// `member` leaves, whether it ran, waited or was never there; the first that waits then moves up.
    pub fn leave(&mut self, member: Member) -> Vec<GroupAction> {
        self.pending.retain(|pending| *pending != member);
        if self.running != Some(member) {
            return Vec::new();
        }
        self.running = self.pending.pop_front();
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
