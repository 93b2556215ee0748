//! A release: what belongs together and never changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_kernel::{
    Actor, Digest, Document, EnvironmentName, ProjectName, ReleaseId, RunId, ServiceName, Timestamp,
};

use crate::{Digests, Manifest};

/// Digests, manifest and configuration versions that belong together. Made once, never altered: the
/// fields are public to be read; the store is only ever asked to create it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Its number within the project, from 1.
    pub number: u64,
    /// The project.
    pub project: ProjectName,
    /// The commit that it was built from, in full.
    pub sha: String,
    /// The commit's subject.
    pub title: String,
    /// The run that made it.
    pub run: Option<RunId>,
    /// `windlass.yml` as it stands at the commit.
    pub manifest_text: String,
    /// The same, read.
    pub manifest: Manifest,
    /// The image of each service.
    pub images: BTreeMap<ServiceName, Image>,
    /// Versions of the secrets and variables, by environment and name.
    pub config: BTreeMap<EnvironmentName, BTreeMap<String, u64>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: Actor,
}

/// An image of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its manifest's digest.
    pub digest: Digest,
    /// Its name by digest, to pull it by.
    pub reference: String,
}

impl Release {
    /// The digests alone.
    pub fn digests(&self) -> Digests {
        self.images.iter().map(|(service, image)| (service.clone(), image.digest.clone())).collect()
    }

    /// The commit's first seven characters, for people.
    pub fn short_sha(&self) -> &str {
        self.sha.get(..7).unwrap_or(&self.sha)
    }
}

impl Document for Release {
    const KIND: &'static str = "release";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn parent(&self) -> String {
        self.project.to_string()
    }
}
