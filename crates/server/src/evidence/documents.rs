//! What is kept of an image's evidence: where it comes from, and which statements were made. The statements themselves
//! lie in the registry.

use serde::{Deserialize, Serialize};
use windlass_kernel::{
    Digest, Document, EnvironmentName, ProjectName, RunId, StoreError, StoreExt as _, Timestamp, UserName,
};
use windlass_oci::RepositoryName;

use crate::context::Context;

/// How many runs that made one image are remembered, and how many statements about it.
const ORIGINS: usize = 50;
const STATEMENTS: usize = 500;

/// The evidence of an image in a repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EvidenceDoc {
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
    /// The runs that made it, oldest first.
    pub(super) origins: Vec<Origin>,
    /// The statements, oldest first.
    pub(super) made: Vec<Made>,
    /// Why it could not be looked into.
    pub(super) problem: Option<String>,
    /// The manifests in which cosign finds the statements, and the signature.
    #[serde(default)]
    pub(super) for_cosign: Option<Digest>,
    #[serde(default)]
    pub(super) signature: Option<Digest>,
}

/// A run that made an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) run: RunId,
    pub(super) attempt: u32,
    pub(super) how: How,
    /// The job, where it is known.
    pub(super) job: Option<String>,
    pub(super) at: Timestamp,
    /// What it was built on, where control knows it.
    #[serde(default)]
    pub(super) base: Option<BaseImage>,
}

/// An image that another was built on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BaseImage {
    /// With its registry's host, but for images of this platform's own.
    pub(super) name: String,
    pub(super) digest: Digest,
}

/// How a run made an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// Control put it together from the job's files.
    Built,
    /// The job pushed it.
    Pushed,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    /// What tells it from others: made twice, it says the same.
    pub(super) key: String,
    /// The manifest that carries it.
    pub(super) referrer: Digest,
    pub(super) at: Timestamp,
}

impl Document for EvidenceDoc {
    const KIND: &'static str = "evidence";

    fn id(&self) -> String {
        self.key()
    }

    fn parent(&self) -> String {
        self.repository.as_str().split('/').next().unwrap_or_default().to_owned()
    }

    /// Listed by the image.
    fn state(&self) -> String {
        self.digest.to_string()
    }
}

impl EvidenceDoc {
    /// What is known, and its version; 0 if nothing is.
    pub(super) async fn load(
        ctx: &Context,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(Self, u64), StoreError> {
        let fresh = Self {
            repository: repository.clone(),
            digest: digest.clone(),
            origins: Vec::new(),
            made: Vec::new(),
            problem: None,
            for_cosign: None,
            signature: None,
        };
        let found = ctx.store.get::<Self>(&fresh.key()).await?;
        Ok(found.map_or((fresh, 0), |found| (found.value, found.version)))
    }

    /// Its key.
    pub(super) fn key(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    /// Notes a run that made it; false if that is known. What control built itself says more than a push does.
    pub(super) fn note(&mut self, origin: Option<Origin>) -> bool {
        let Some(origin) = origin else { return false };
        let same = |o: &Origin| o.run == origin.run && o.attempt == origin.attempt;
        match self.origins.iter().position(same) {
            Some(at) if self.origins[at].how == How::Pushed && origin.how == How::Built => {
                self.origins[at] = origin;
            }
            None if self.origins.len() < ORIGINS => self.origins.push(origin),
            _ => return false,
        }
        true
    }

    /// Whether a statement was made.
    pub(super) fn has(&self, key: &str) -> bool {
        self.made.iter().any(|made| made.key == key)
    }

    /// Whether another statement may be made.
    pub(super) fn has_room(&self) -> bool {
        self.made.len() < STATEMENTS
    }
}

/// A vulnerability that somebody let through for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExceptionDoc {
    pub(super) project: ProjectName,
    pub(super) environment: EnvironmentName,
    pub(super) id: String,
    pub(super) reason: String,
    pub(super) by: UserName,
    pub(super) at: Timestamp,
    pub(super) expires: Timestamp,
}

impl Document for ExceptionDoc {
    const KIND: &'static str = "vulnerability_exception";

    fn id(&self) -> String {
        format!("{}/{}:{}", self.project, self.environment, self.id)
    }

    fn parent(&self) -> String {
        format!("{}/{}", self.project, self.environment)
    }
}
