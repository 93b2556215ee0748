//! A pull-through mirror of other registries: `mirror/NAME/REPOSITORY` is what the registry that was named `NAME` has as
//! `REPOSITORY`. It is fetched when it is asked for, and kept; a tag is looked up anew after a while, by its digest; and
//! what is here can be had when the other registry cannot.
//!
//! An ordinary repository's name rather than a setting of each client: any client pulls it, with nothing to configure.

mod fetching;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use windlass_kernel::{Actor, Digest, Secret, Timestamp};

use crate::registry::StoredManifest;
use crate::remote::Session;
use crate::{
    ImageName, Login, Manifest, ManifestRecord, MediaType, PullError, Puller, Reference, Registry,
    RegistryError, RepositoryName, Tag, one_chunk,
};

pub(crate) use fetching::Fetch;
use fetching::Fetches;

/// The first component of mirrored repositories' names.
pub const MIRROR: &str = "mirror";
/// The largest blob that is fetched, in bytes.
const LARGEST_BLOB: u64 = 256 << 30;
/// How long an authorization is used again: tokens hold for a minute at least (token specification).
const AUTHORIZED: Duration = Duration::from_secs(50);

/// A registry that is mirrored.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Its name here.
    pub name: String,
    /// Its host, and port if it is not the usual one. Plain HTTP is spoken only with this machine.
    pub host: String,
    /// Who pulls there; nobody in particular if none.
    pub login: Option<(String, Secret<String>)>,
    /// How long a tag is taken for what it was.
    pub fresh: Duration,
}

/// The other registry did not give it.
#[derive(Debug, thiserror::Error)]
#[error("the registry {host}, which `mirror/{mirror}` mirrors, did not give it: {error}")]
pub struct UpstreamError {
    /// The mirror.
    pub mirror: String,
    /// The registry's host.
    pub host: String,
    /// What went wrong.
    pub error: Box<PullError>,
}

/// Whether a repository's name is one of a mirror, whether or not there is such a mirror now.
pub(crate) fn is_mirrored(repository: &RepositoryName) -> bool {
    repository.as_str().split('/').next() == Some(MIRROR)
}

/// The mirrors in force.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    all: RwLock<BTreeMap<String, Arc<Upstream>>>,
    /// What is being fetched: others who want it wait, and find it here.
    fetching: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Blobs that are on their way.
    fetches: Fetches,
}

#[derive(Debug)]
struct Upstream {
    mirror: Mirror,
    puller: Puller,
    authorized: Mutex<HashMap<RepositoryName, (Secret<String>, Timestamp)>>,
}

/// A mirrored repository: whose it is, and what it is called there.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    upstream: Arc<Upstream>,
    image: ImageName,
}

impl UpstreamError {
    /// The status that the other registry answered with, if it answered.
    pub fn status(&self) -> Option<u16> {
        match &*self.error {
            PullError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl Mirrors {
    /// The mirror that a repository belongs to.
    pub(crate) fn find(&self, repository: &RepositoryName) -> Option<Found> {
        let (name, path) = repository.as_str().strip_prefix("mirror/")?.split_once('/')?;
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let upstream = all.get(name)?.clone();
        let host = Some(upstream.mirror.host.clone());
        let image = ImageName { host, repository: path.parse().ok()?, tag: None, digest: None };
        Some(Found { upstream, image })
    }

    /// The one place at which something is fetched. The entry goes when nobody waits for it any more.
    fn place(&self, what: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.retain(|_, place| Arc::strong_count(place) > 1);
        fetching.entry(what.to_owned()).or_default().clone()
    }
}

impl Found {
    fn failed(&self, error: PullError) -> UpstreamError {
        let Mirror { name, host, .. } = &self.upstream.mirror;
        UpstreamError { mirror: name.clone(), host: host.clone(), error: Box::new(error) }
    }

    /// Does something with the other registry; an authorization that it gave lately is shown again.
    async fn ask<T>(
        &self,
        now: Timestamp,
        work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, PullError>,
    ) -> Result<T, UpstreamError> {
        let Self { upstream, image } = self;
        let failed = |error| self.failed(error);
        let mut session = Session::new(&upstream.puller, image).map_err(failed)?;
        let authorized = || upstream.authorized.lock().unwrap_or_else(PoisonError::into_inner);
        let known = authorized().get(&image.repository).cloned();
        let fresh = known.filter(|(_, at)| now.since(*at) < AUTHORIZED);
        let had = fresh.is_some();
        session.authorization = fresh.map(|(authorization, _)| authorization);
        let outcome = work(&mut session).await.map_err(failed);
        if !had && let Some(authorization) = session.authorization.take() {
            let mut authorized = authorized();
            authorized.retain(|_, (_, at)| now.since(*at) < AUTHORIZED);
            authorized.insert(image.repository.clone(), (authorization, now));
        }
        outcome
    }
}

impl Registry {
    /// Puts these mirrors in force, in place of those that were.
    pub fn set_mirrors(&self, mirrors: Vec<Mirror>) {
        let mut all = BTreeMap::new();
        for mirror in mirrors {
            let login = mirror.login.clone().map(|(user, password)| Login {
                host: mirror.host.clone(),
                user,
                password,
            });
            let puller = Puller::new(login.into_iter().collect());
            let upstream = Upstream { mirror, puller, authorized: Mutex::default() };
            all.insert(upstream.mirror.name.clone(), Arc::new(upstream));
        }
        *self.mirrors.all.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// A manifest as [`manifest`](Self::manifest) gives it; of a mirrored repository, as the other registry has it now.
    pub async fn pull_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, RegistryError> {
        if let Some(found) = self.mirrors.find(repository) {
            match reference {
                Reference::Tag(tag) => self.refresh_tag(&found, repository, tag).await?,
                Reference::Digest(digest) => {
                    if self.index().manifest(repository, digest).await?.is_none() {
                        let place = self.mirrors.place(&format!("{repository}@{digest}"));
                        let _place = place.lock().await;
                        if self.index().manifest(repository, digest).await?.is_none() {
                            self.fetch_manifest(&found, repository, None, Some(digest)).await?;
                        }
                    }
                }
            }
        }
        let manifest = self.manifest(repository, reference).await?;
        // Whoever pulls it comes for what it names next: it stays for as long as a push's blobs do.
        self.keeping.want(&manifest.digest, self.now());
        Ok(manifest)
    }

    /// Makes sure that a mirrored repository's blob is here. Nothing to do for any other repository.
    pub async fn pull_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), RegistryError> {
        let Some(found) = self.mirrors.find(repository) else { return Ok(()) };
        match self.fetch_blob(repository, digest).await? {
            Some(fetch) => fetch.wait(&found).await,
            None => Ok(()),
        }
    }

    /// Fetches a mirrored manifest's bytes once more.
    pub(crate) async fn heal(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        match self.mirrors.find(repository) {
            Some(found) => self.fetch_manifest(&found, repository, None, Some(digest)).await,
            None => Ok(()),
        }
    }

    /// Fetches a mirrored repository's blob once more, because what is here has rotted.
    pub(crate) async fn heal_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let Some(found) = self.mirrors.find(repository) else { return Ok(false) };
        if self.index().manifest(repository, digest).await?.is_some() {
            self.fetch_manifest(&found, repository, None, Some(digest)).await?;
            return Ok(true);
        }
        let blobs = self.blobs();
        found.ask(self.now(), async |session| session.fetch(blobs, digest, LARGEST_BLOB).await).await?;
        Ok(true)
    }

    async fn holds(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, RegistryError> {
        Ok(self.index().has_blob(repository, digest).await? && self.blobs().stat(digest).await?.is_some())
    }

    async fn refresh_tag(
        &self,
        found: &Found,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<(), RegistryError> {
        let fresh = found.upstream.mirror.fresh;
        let known = async || self.index().tag(repository, tag).await;
        let current = |at: Timestamp| self.now().since(at) < fresh;
        if known().await?.is_some_and(|t| current(t.updated_at)) {
            return Ok(());
        }
        let place = self.mirrors.place(&format!("{repository}:{tag}"));
        let _place = place.lock().await;
        let standing = known().await?;
        if standing.as_ref().is_some_and(|t| current(t.updated_at)) {
            return Ok(());
        }
        match self.look_up(found, repository, tag).await {
            Err(RegistryError::Upstream(error)) if standing.is_some() && error.status() != Some(404) => {
                tracing::warn!(%repository, %tag, %error, "a mirrored tag is given as it was seen last");
                Ok(())
            }
            other => other,
        }
    }

    async fn look_up(
        &self,
        found: &Found,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<(), RegistryError> {
        let now = found.ask(self.now(), async |session| session.head_manifest(tag.as_str()).await).await?;
        if let Some(digest) = now
            && let Some(mut record) = self.index().manifest(repository, &digest).await?
            && self.blobs().stat(&digest).await?.is_some()
        {
            record.pushed_at = self.now();
            return Ok(self.index().mirror(record, Some(tag)).await?);
        }
        self.fetch_manifest(found, repository, Some(tag), None).await
    }

    async fn fetch_manifest(
        &self,
        found: &Found,
        repository: &RepositoryName,
        tag: Option<&Tag>,
        digest: Option<&Digest>,
    ) -> Result<(), RegistryError> {
        let wanted = tag.map_or_else(|| digest.map(ToString::to_string).unwrap_or_default(), Tag::to_string);
        let got = found.ask(self.now(), async |session| session.raw_manifest(&wanted, digest).await).await?;
        let (digest, media_type, bytes) = got;
        let manifest = Manifest::parse(media_type, &bytes)?;
        let size = bytes.len() as u64;
        let _held = self.keeping.hold().await;
        let upload = self.blobs().begin().await?;
        self.blobs().append(&upload, Some(0), one_chunk(bytes)).await?;
        self.blobs().finish(&upload, &digest).await?;
        let record = self.describe(repository, &digest, media_type, &manifest, size, &Actor::System);
        Ok(self.index().mirror(record, tag).await?)
    }

    /// What is kept of a manifest.
    pub(crate) fn describe(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        media_type: MediaType,
        manifest: &Manifest,
        size: u64,
        by: &Actor,
    ) -> ManifestRecord {
        ManifestRecord {
            repository: repository.clone(),
            digest: digest.clone(),
            media_type: media_type.as_str().to_owned(),
            size,
            content_size: manifest.content_size(),
            artifact_type: manifest.artifact_type().map(str::to_owned),
            subject: manifest.subject().map(|d| d.digest.clone()),
            annotations: manifest.annotations().clone(),
            pushed_at: self.now(),
            pushed_by: by.clone(),
        }
    }
}
