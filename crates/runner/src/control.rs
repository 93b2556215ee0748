//! The port between a job unit and whoever it works for: updates, log, artifacts, caches, images, deployments.
//! Over HTTP it is control; in memory it is a test or a local run.

mod http;
mod memory;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use windlass_api::runner::{BuildImage, BuiltImage, JobUpdate, UpdateReply};
use windlass_api::{ArtifactView, DeploymentView, ErrorCode};

pub use http::HttpControl;
pub(crate) use http::encode;
pub use memory::MemoryControl;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody answers, or the answer is "not now": the same call may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The answer is no, and will stay no.
    #[error("{detail}")]
    Refused {
        /// The kind of refusal.
        code: ErrorCode,
        /// In words.
        detail: String,
    },
    /// A file of ours could not be read or written.
    #[error("{0}")]
    Local(#[from] std::io::Error),
}

/// What became of a cache entry that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStored {
    /// It is there now.
    Stored,
    /// It was there before: entries never change.
    Exists,
}

/// An artifact to be stored.
#[derive(Clone, Debug)]
pub struct NewArtifact<'a> {
    /// Its name, unique within the run.
    pub name: &'a str,
    /// Its zip archive.
    pub archive: &'a Path,
    /// How long to keep it; none: as long as the server keeps them.
    pub retention_days: Option<u32>,
    /// Whether one of the same name gives way.
    pub overwrite: bool,
}

/// What a job unit asks of whoever it works for.
#[async_trait]
pub trait Control: Send + Sync {
    /// Reports what happened; no updates at all is a heartbeat.
    async fn updates(&self, updates: &[JobUpdate]) -> Result<UpdateReply, ControlError>;
    /// Hands over a part of the log, from byte `offset`; gives how much is kept.
    async fn append_log(&self, offset: u64, bytes: Bytes) -> Result<u64, ControlError>;
    /// Stores an artifact.
    async fn store_artifact(&self, artifact: NewArtifact<'_>) -> Result<ArtifactView, ControlError>;
    /// The run's artifacts.
    async fn artifacts(&self) -> Result<Vec<ArtifactView>, ControlError>;
    /// Writes an artifact's archive into a file.
    async fn fetch_artifact(&self, name: &str, into: &Path) -> Result<(), ControlError>;
    /// Writes the first cache entry that fits into a file and gives its key; none for a miss.
    async fn fetch_cache(
        &self,
        version: &str,
        keys: &[String],
        into: &Path,
    ) -> Result<Option<String>, ControlError>;
    /// Stores a cache entry.
    async fn store_cache(
        &self,
        version: &str,
        key: &str,
        archive: &Path,
    ) -> Result<CacheStored, ControlError>;
    /// Assembles an image from a tar of files.
    async fn build_image(&self, build: &BuildImage, tar: &Path) -> Result<BuiltImage, ControlError>;
    /// Starts a deployment to the job's environment.
    async fn start_deployment(
        &self,
        images: BTreeMap<String, String>,
    ) -> Result<DeploymentView, ControlError>;
    /// How a deployment stands.
    async fn deployment(&self, id: &str) -> Result<DeploymentView, ControlError>;
}
