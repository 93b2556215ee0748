//! Accounts and roles.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use windlass_kernel::{Document, Entropy, Secret, Timestamp, UserId, UserName};

use crate::{PasswordError, PasswordHash, Principal};

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything a person does.
    Admin,
    /// May work: push, run, deploy, approve, set secrets.
    Member,
    /// May look, and propose changes: what they push runs only once somebody who may write has approved it.
    Contributor,
    /// May look.
    Viewer,
    /// A job with its own token. Not for accounts.
    Job,
    /// A runner. Not for accounts.
    Runner,
}

/// Why an account cannot be made or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The text is no role of an account.
    #[error("`{0}` is not a role: choose admin, member, contributor or viewer")]
    Role(String),
    /// The password does not do.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Stays the same whatever else changes.
    pub id: UserId,
    /// The name to log in with; also the document's id.
    pub name: UserName,
    /// What the person may do.
    pub role: Role,
    /// The password's hash.
    pub password: PasswordHash,
    /// When the account was made.
    pub created_at: Timestamp,
}

impl User {
    /// A new account; the password must satisfy the rule.
    pub fn new(
        id: UserId,
        name: UserName,
        role: Role,
        password: &Secret<String>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, UserError> {
        if matches!(role, Role::Job | Role::Runner) {
            return Err(UserError::Role(role.to_string()));
        }
        Ok(Self { id, name, role, password: PasswordHash::new(password, entropy)?, created_at: now })
    }

    /// Who the person is, once a credential of theirs has been checked.
    pub fn principal(&self) -> Principal {
        Principal::user(&self.name, self.role)
    }
}

impl Document for User {
    const KIND: &'static str = "user";
    fn id(&self) -> String {
        self.name.to_string()
    }
    fn state(&self) -> String {
        self.role.to_string()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Contributor => "contributor",
            Self::Viewer => "viewer",
            Self::Job => "job",
            Self::Runner => "runner",
        })
    }
}

/// Parses the roles that an account may have.
impl FromStr for Role {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        match text {
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            "contributor" => Ok(Self::Contributor),
            "viewer" => Ok(Self::Viewer),
            other => Err(UserError::Role(other.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use windlass_kernel::Ids;
    use windlass_testkit::{TestClock, TestEntropy};

    use super::*;

    #[test]
    fn an_account_needs_a_persons_role_and_a_good_password() {
        let entropy = Arc::new(TestEntropy::default());
        let ids = Ids::new(Arc::new(TestClock::at(1)), entropy.clone());
        let make = |role: Role, password: &str| {
            let name = "ada".parse().unwrap();
            User::new(
                UserId::new(&ids),
                name,
                role,
                &Secret::new(password.into()),
                Timestamp::default(),
                &*entropy,
            )
        };
        let ada = make(Role::Admin, "long enough").unwrap();
        assert_eq!(ada.principal().actor.to_string(), "user:ada");
        assert!(!serde_json::to_string(&ada).unwrap().contains("long enough"));
        assert!(matches!(make(Role::Job, "long enough"), Err(UserError::Role(_))));
        assert!(matches!(make(Role::Viewer, "short"), Err(UserError::Password(_))));
        assert!("job".parse::<Role>().is_err() && "Admin".parse::<Role>().is_err());
    }
}
