//! What each of a job's credentials is for. A job has several, so that what its steps hold opens no more than
//! `permissions` says, whatever the job unit itself must be able to do.

use serde::{Deserialize, Serialize};

/// What a job's credential is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobUse {
    /// The job unit's own: reports, logs, what the built-in actions do.
    #[default]
    Unit,
    /// The same for a job of an untrusted change: no images, no deployments.
    UntrustedUnit,
    /// `GITHUB_TOKEN`: what the workflow's `permissions` give.
    Steps(Permissions),
    /// `ACTIONS_RUNTIME_TOKEN`: the run's artifacts and the project's caches.
    Results,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`: identity tokens.
    IdToken,
}

/// How far a scope reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Not at all.
    #[default]
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// The scopes of `permissions` that have something behind them here. A workflow may name GitHub's other scopes; there
/// is nothing that they would open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// `actions`: runs of the project; with write also starting, cancelling and repeating them.
    pub actions: Grant,
    /// `contents`: the project's repository.
    pub contents: Grant,
    /// `packages`: the project's images.
    pub packages: Grant,
}

impl Permissions {
    /// What holds when a workflow says nothing: code and images may be read.
    pub const RESTRICTED: Self = Self { actions: Grant::None, contents: Grant::Read, packages: Grant::Read };
    /// `read-all`
    pub const READ_ALL: Self = Self { actions: Grant::Read, contents: Grant::Read, packages: Grant::Read };
    /// `write-all`
    pub const WRITE_ALL: Self =
        Self { actions: Grant::Write, contents: Grant::Write, packages: Grant::Write };

    /// The scope of this name, if there is anything behind it here.
    pub fn scope(&mut self, name: &str) -> Option<&mut Grant> {
        match name {
            "actions" => Some(&mut self.actions),
            "contents" => Some(&mut self.contents),
            "packages" => Some(&mut self.packages),
            _ => None,
        }
    }

    /// The same without any writing: for a run of an untrusted change.
    pub fn read_only(self) -> Self {
        let lower = |grant: Grant| grant.min(Grant::Read);
        Self { actions: lower(self.actions), contents: lower(self.contents), packages: lower(self.packages) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowering_takes_writing_away_and_gives_nothing() {
        assert_eq!(Permissions::WRITE_ALL.read_only(), Permissions::READ_ALL);
        assert_eq!(Permissions::default().read_only(), Permissions::default());
        assert_eq!(Permissions::RESTRICTED.read_only(), Permissions::RESTRICTED);
    }

    #[test]
    fn scopes_are_found_by_their_names_in_a_workflow() {
        let mut permissions = Permissions::default();
        for name in ["actions", "contents", "packages"] {
            *permissions.scope(name).unwrap() = Grant::Write;
        }
        assert_eq!(permissions, Permissions::WRITE_ALL);
        assert!(permissions.scope("issues").is_none());
    }
}
