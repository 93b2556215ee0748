//! The port in memory: keeps what it is given. For tests, and for runs without a server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use windlass_api::runner::{BuildImage, BuiltImage, JobHappening, JobUpdate, UpdateReply};
use windlass_api::{ArtifactView, DeploymentView, ErrorCode};
use windlass_kernel::{Digest, Timestamp};

use super::{CacheStored, Control, ControlError, NewArtifact};

/// Keeps what a job reports, and answers from what it keeps.
#[derive(Debug, Default)]
pub struct MemoryControl {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    updates: Vec<JobUpdate>,
    log: Vec<u8>,
    log_length: u64,
    discard_log: bool,
    artifacts: BTreeMap<String, Vec<u8>>,
    caches: BTreeMap<(String, String), Vec<u8>>,
    images: Vec<(BuildImage, Vec<u8>)>,
    deployments: Vec<DeploymentView>,
    asked: Vec<BTreeMap<String, String>>,
    cancel: Option<String>,
    lost: bool,
    away: u32,
}

impl MemoryControl {
    /// A control that keeps nothing of the log but its length.
    pub fn discarding_log() -> Self {
        let control = Self::default();
        control.kept().discard_log = true;
        control
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened, in order.
    pub fn happenings(&self) -> Vec<JobHappening> {
        self.kept().updates.iter().map(|update| update.what.clone()).collect()
    }

    /// The log as it was handed over.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.kept().log).into_owned()
    }

    /// How many bytes of log were handed over.
    pub fn log_length(&self) -> u64 {
        self.kept().log_length
    }

    /// Asks for the job's cancellation in the next answer.
    pub fn cancel(&self, reason: &str) {
        self.kept().cancel = Some(reason.to_owned());
    }

    /// Says from now on that the lease is lost.
    pub fn lose(&self) {
        self.kept().lost = true;
    }

    /// Fails the next `calls` calls, as if nobody were there.
    pub fn go_away_for(&self, calls: u32) {
        self.kept().away = calls;
    }

    /// The states that a deployment goes through, one per question; the last one stays.
    pub fn script_deployment(&self, views: Vec<DeploymentView>) {
        self.kept().deployments = views;
    }

    /// The images that deployments were asked for.
    pub fn deployed(&self) -> Vec<BTreeMap<String, String>> {
        self.kept().asked.clone()
    }

    /// The images that were built, with their tars.
    pub fn images(&self) -> Vec<(BuildImage, Vec<u8>)> {
        self.kept().images.clone()
    }

    /// Forgets updates and log, as for another hand-out of a job; artifacts and caches stay.
    pub fn forget_updates(&self) {
        let mut kept = self.kept();
        kept.updates.clear();
        kept.log.clear();
        kept.log_length = 0;
    }

    fn here(&self) -> Result<MutexGuard<'_, Kept>, ControlError> {
        let mut kept = self.kept();
        if kept.away > 0 {
            kept.away -= 1;
            return Err(ControlError::Unavailable("nobody is there".to_owned()));
        }
        Ok(kept)
    }
}

#[async_trait]
impl Control for MemoryControl {
    async fn updates(&self, updates: &[JobUpdate]) -> Result<UpdateReply, ControlError> {
        let mut kept = self.here()?;
        let last = kept.updates.last().map_or(0, |update| update.seq);
        kept.updates.extend(updates.iter().filter(|update| update.seq > last).cloned());
        let acknowledged = kept.updates.last().map_or(0, |update| update.seq);
        Ok(UpdateReply { acknowledged, cancel: kept.cancel.clone(), lost: kept.lost })
    }

    async fn append_log(&self, offset: u64, bytes: Bytes) -> Result<u64, ControlError> {
        let mut kept = self.here()?;
        let known = kept.log_length;
        let fresh = usize::try_from(known.saturating_sub(offset)).unwrap_or(usize::MAX);
        if offset <= known && fresh < bytes.len() {
            kept.log_length += (bytes.len() - fresh) as u64;
            if !kept.discard_log {
                kept.log.extend_from_slice(&bytes[fresh..]);
            }
        }
        Ok(kept.log_length)
    }

    async fn store_artifact(&self, artifact: NewArtifact<'_>) -> Result<ArtifactView, ControlError> {
        let bytes = std::fs::read(artifact.archive)?;
        let mut kept = self.here()?;
        if !artifact.overwrite && kept.artifacts.contains_key(artifact.name) {
            let detail = format!("the run has an artifact named `{}` already", artifact.name);
            return Err(ControlError::Refused { code: ErrorCode::Conflict, detail });
        }
        let view = artifact_view(artifact.name, &bytes);
        kept.artifacts.insert(artifact.name.to_owned(), bytes);
        Ok(view)
    }

    async fn artifacts(&self) -> Result<Vec<ArtifactView>, ControlError> {
        Ok(self.here()?.artifacts.iter().map(|(name, bytes)| artifact_view(name, bytes)).collect())
    }

    async fn fetch_artifact(&self, name: &str, into: &Path) -> Result<(), ControlError> {
        let kept = self.here()?;
        let bytes = kept.artifacts.get(name).ok_or_else(|| ControlError::Refused {
            code: ErrorCode::NotFound,
            detail: format!("the run has no artifact named `{name}`"),
        })?;
        Ok(std::fs::write(into, bytes)?)
    }

    async fn fetch_cache(
        &self,
        version: &str,
        keys: &[String],
        into: &Path,
    ) -> Result<Option<String>, ControlError> {
        let kept = self.here()?;
        for (index, key) in keys.iter().enumerate() {
            let fits = |have: &str| if index == 0 { have == key } else { have.starts_with(key.as_str()) };
            let found = kept.caches.iter().find(|((v, have), _)| v == version && fits(have));
            if let Some(((_, have), bytes)) = found {
                std::fs::write(into, bytes)?;
                return Ok(Some(have.clone()));
            }
        }
        Ok(None)
    }

    async fn store_cache(
        &self,
        version: &str,
        key: &str,
        archive: &Path,
    ) -> Result<CacheStored, ControlError> {
        let bytes = std::fs::read(archive)?;
        let mut kept = self.here()?;
        let place = (version.to_owned(), key.to_owned());
        if kept.caches.contains_key(&place) {
            return Ok(CacheStored::Exists);
        }
        kept.caches.insert(place, bytes);
        Ok(CacheStored::Stored)
    }

    async fn build_image(&self, build: &BuildImage, tar: &Path) -> Result<BuiltImage, ControlError> {
        let bytes = std::fs::read(tar)?;
        let digest = Digest::sha256(&bytes).to_string();
        let name = build.name.as_deref().unwrap_or("image");
        let built =
            BuiltImage { reference: format!("localhost/{name}@{digest}"), digest, size: bytes.len() as u64 };
        self.here()?.images.push((build.clone(), bytes));
        Ok(built)
    }

    async fn start_deployment(
        &self,
        images: BTreeMap<String, String>,
    ) -> Result<DeploymentView, ControlError> {
        let mut kept = self.here()?;
        kept.asked.push(images);
        kept.next_deployment()
    }

    async fn deployment(&self, _id: &str) -> Result<DeploymentView, ControlError> {
        self.here()?.next_deployment()
    }
}

impl Kept {
    fn next_deployment(&mut self) -> Result<DeploymentView, ControlError> {
        match self.deployments.len() {
            0 => Err(ControlError::Refused {
                code: ErrorCode::Forbidden,
                detail: "a run without a server cannot deploy".to_owned(),
            }),
            1 => Ok(self.deployments[0].clone()),
            _ => Ok(self.deployments.remove(0)),
        }
    }
}

fn artifact_view(name: &str, bytes: &[u8]) -> ArtifactView {
    ArtifactView {
        id: name.to_owned(),
        name: name.to_owned(),
        size: bytes.len() as u64,
        digest: Digest::sha256(bytes).to_string(),
        created_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(0),
        raw: false,
        untrusted: false,
    }
}
