//! The port through which the registry asks who somebody is and what they may do. The server implements it
//! over `identity`; what a principal is stays the implementer's business.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use windlass_kernel::{Actor, Secret};

use crate::RepositoryName;

/// What somebody wants to do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read manifests, tags and blobs.
    Pull,
    /// Upload blobs, put manifests, move tags.
    Push,
    /// Remove tags, manifests and blobs.
    Delete,
}

/// What a client shows to be let in.
#[derive(Clone, Debug)]
pub enum Credential {
    /// `Authorization: Basic`: a name, and an API token as the password.
    Basic {
        /// The name.
        user: String,
        /// The password: an API token.
        password: Secret<String>,
    },
    /// `Authorization: Bearer` with an API token or a job's token.
    Bearer(Secret<String>),
}

/// What a registry token lets its bearer do with one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The repository.
    pub repository: RepositoryName,
    /// The actions.
    pub actions: Vec<Action>,
}

/// A short-lived token for the registry alone.
#[derive(Clone, Debug)]
pub struct RegistryToken {
    /// The token.
    pub token: Secret<String>,
    /// How long it holds.
    pub lifetime: Duration,
}

/// Who is who, and who may do what.
#[async_trait]
pub trait Access: Send + Sync + 'static {
    /// Somebody who was recognised.
    type Principal: Clone + Send + Sync + 'static;

    /// Recognises a credential. `None` when it is wrong, expired or revoked.
    async fn authenticate(&self, credential: &Credential) -> Option<Self::Principal>;

    /// Whether `principal` may do `action` with `repository`. Asked at each request, also with a registry token.
    async fn may(&self, principal: &Self::Principal, action: Action, repository: &RepositoryName) -> bool;

    /// Who it is, for the ledger.
    fn actor(&self, principal: &Self::Principal) -> Actor;

    /// Makes a registry token for `principal`, limited to `grants` ([`crate::TokenSealer`] does the sealing).
    async fn issue(&self, principal: &Self::Principal, grants: &[Grant]) -> RegistryToken;

    /// Recognises a registry token; `None` if it is none, or is over.
    async fn verify(&self, token: &str) -> Option<(Self::Principal, Vec<Grant>)>;
}

impl Action {
    /// As it stands in a token's scope.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}
