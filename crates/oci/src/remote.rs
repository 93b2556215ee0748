//! Pulling an image from another registry into our own blobs: over HTTPS (plain HTTP only to this machine), with a
//! token where the registry asks for one. Nothing is trusted but what hashes to its digest.

mod push;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use reqwest::{Client, Method, Response, StatusCode, Url, header};
use serde::Deserialize;
use windlass_kernel::{Digest, Secret, StoreError};

use crate::registry::machine_architecture;
use crate::{
    BlobError, BlobStore, ByteStream, Descriptor, ImageConfig, ImageManifest, ImageName, LARGEST_MANIFEST,
    Manifest, ManifestError, MediaType, Platform, Registry, RepositoryName,
};

/// A name and password for another registry.
#[derive(Clone, Debug)]
pub struct Login {
    /// The registry's host, as image names write it.
    pub host: String,
    /// The name.
    pub user: String,
    /// The password or token.
    pub password: Secret<String>,
}

/// Knows logins when they are asked for: keeping them may be another program's business, which is not to be bothered for
/// registries that want none.
#[async_trait::async_trait]
pub trait Keyring: fmt::Debug + Send + Sync {
    /// The login to a registry, as image names write its host, for one of its repositories. An error is for a person.
    async fn login(&self, host: &str, repository: &str) -> Result<Option<Login>, String>;
}

pub use push::PushedBlob;

/// Pulls from other registries, and pushes to them.
#[derive(Clone, Debug)]
pub struct Puller {
    /// Made when it is first needed: it reads the machine's certificates.
    http: Arc<OnceLock<Client>>,
    logins: Vec<Login>,
    keyring: Option<Arc<dyn Keyring>>,
}

/// Why a pull did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
    /// Nothing answers there, or the connection broke.
    #[error("{host} cannot be reached for {image}: {why}")]
    Unreachable {
        /// The registry.
        host: String,
        /// The image.
        image: String,
        /// What the network said.
        why: String,
    },
    /// It answered with an error.
    #[error("{host} answered {status} for {what} of {image}: {hint}")]
    Refused {
        /// The registry.
        host: String,
        /// The image.
        image: String,
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
        /// What to look at.
        hint: &'static str,
    },
    /// It answered something that cannot be used.
    #[error("{image} cannot be used: {why}")]
    Unusable {
        /// The image.
        image: String,
        /// Why.
        why: String,
    },
    /// A manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Our blobs failed, or what came is not what its digest says.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One pull: where, and what opens the door.
pub(crate) struct Session<'a> {
    puller: &'a Puller,
    image: &'a ImageName,
    host: String,
    path: String,
    loopback: bool,
    pub(crate) authorization: Option<Secret<String>>,
}

/// The answer of a token server.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret<String>>,
    access_token: Option<Secret<String>>,
}

impl Puller {
    /// A puller with these logins.
    pub fn new(logins: Vec<Login>) -> Self {
        Self { http: Arc::default(), logins, keyring: None }
    }

    /// Where none of its logins is for a registry, a keyring is asked.
    #[must_use]
    pub fn with_keyring(mut self, keyring: Arc<dyn Keyring>) -> Self {
        self.keyring = Some(keyring);
        self
    }

    fn http(&self) -> Result<&Client, PullError> {
        if let Some(made) = self.http.get() {
            return Ok(made);
        }
        let made = Client::builder()
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_mins(1))
            .build()
            .map_err(|e| PullError::Client(innermost(&e)))?;
        Ok(self.http.get_or_init(|| made))
    }

    /// Pulls the image for this machine: its layers and configuration become blobs that `into` holds.
    /// Blobs that are here already are not fetched again.
    pub async fn pull(
        &self,
        registry: &Registry,
        into: &RepositoryName,
        image: &ImageName,
    ) -> Result<(Digest, ImageManifest, ImageConfig), PullError> {
        let mut pull = self.begin(image).await?;
        let config = pull.config(registry.blobs()).await?;
        let manifest = pull.manifest.clone();
        for layer in &manifest.layers {
            pull.blob(registry.blobs(), layer).await?;
        }
        let blobs: Vec<Digest> =
            manifest.layers.iter().chain([&manifest.config]).map(|d| d.digest.clone()).collect();
        registry.index().link_blobs(into, &blobs).await?;
        Ok((pull.digest, manifest, config))
    }

    /// What the image's name stands for now.
    pub async fn resolve(&self, image: &ImageName) -> Result<Resolved, PullError> {
        let Pull { digest, manifest, .. } = self.begin(image).await?;
        Ok(Resolved { digest, manifest })
    }

    /// Begins to pull the image for this machine: asks for its manifest, and nothing else so far.
    pub async fn begin<'a>(&'a self, image: &'a ImageName) -> Result<Pull<'a>, PullError> {
        let here =
            Platform { os: "linux".into(), architecture: machine_architecture().into(), variant: None };
        self.begin_for(image, &here).await
    }

    /// Begins to pull the image for a platform: of an index it takes that one's manifest.
    pub async fn begin_for<'a>(
        &'a self,
        image: &'a ImageName,
        platform: &Platform,
    ) -> Result<Pull<'a>, PullError> {
        let mut session = Session::new(self, image)?;
        let unusable = |why: String| PullError::Unusable { image: image.to_string(), why };
        let (mut digest, mut manifest) =
            session.manifest(&image.reference().to_string(), image.digest.as_ref()).await?;
        if let Manifest::Index(index) = &manifest {
            let chosen = index.select_variant(platform).map(|d| d.digest.clone());
            let none = || format!("it has no variant for {}/{}", platform.os, platform.architecture);
            let chosen = chosen.ok_or_else(|| unusable(none()))?;
            (digest, manifest) = session.manifest(&chosen.to_string(), Some(&chosen)).await?;
        }
        match manifest {
            Manifest::Image(manifest) => Ok(Pull { session, digest, manifest: *manifest }),
            Manifest::Index(_) => Err(unusable("it is an index within an index".into())),
        }
    }
}

/// What an image's name stands for now, for this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The manifest.
    pub manifest: ImageManifest,
}

/// An image that is being pulled, blob by blob.
#[derive(Debug)]
pub struct Pull<'a> {
    session: Session<'a>,
    /// The digest of the manifest for this machine.
    pub digest: Digest,
    /// That manifest.
    pub manifest: ImageManifest,
}

impl Pull<'_> {
    /// Fetches the configuration, and checks that it fits the manifest.
    pub async fn config(&mut self, blobs: &dyn BlobStore) -> Result<ImageConfig, PullError> {
        self.session.blob(blobs, &self.manifest.config).await?;
        let config = ImageConfig::parse(&blobs.read(&self.manifest.config.digest, LARGEST_MANIFEST).await?)?;
        if config.rootfs.diff_ids.len() != self.manifest.layers.len() {
            let why = "its configuration and its manifest name different numbers of layers".to_owned();
            return Err(PullError::Unusable { image: self.session.image.to_string(), why });
        }
        Ok(config)
    }

    /// Fetches one of the image's blobs, unless it is there.
    pub async fn blob(&mut self, blobs: &dyn BlobStore, wanted: &Descriptor) -> Result<(), PullError> {
        self.session.blob(blobs, wanted).await
    }
}

impl<'a> Session<'a> {
    pub(crate) fn new(puller: &'a Puller, image: &'a ImageName) -> Result<Self, PullError> {
        let named = image.host.clone().ok_or_else(|| PullError::Unusable {
            image: image.to_string(),
            why: format!("no registry is named: write its host too, such as `docker.io/library/{image}`"),
        })?;
        let path = image.repository.to_string();
        // Docker Hub is served under another name, and its official images have a folder of their own.
        let (host, path) = match named.as_str() {
            "docker.io" | "index.docker.io" if !path.contains('/') => {
                ("registry-1.docker.io".to_owned(), format!("library/{path}"))
            }
            "docker.io" | "index.docker.io" => ("registry-1.docker.io".to_owned(), path),
            _ => (named, path),
        };
        let loopback = is_loopback(&host);
        Ok(Self { puller, image, host, path, loopback, authorization: None })
    }

    async fn manifest(
        &mut self,
        reference: &str,
        expected: Option<&Digest>,
    ) -> Result<(Digest, Manifest), PullError> {
        let (digest, media_type, bytes) = self.raw_manifest(reference, expected).await?;
        Ok((digest, Manifest::parse(media_type, &bytes)?))
    }

    /// A manifest's exact bytes, under the digest that was expected, if one was.
    pub(crate) async fn raw_manifest(
        &mut self,
        reference: &str,
        expected: Option<&Digest>,
    ) -> Result<(Digest, MediaType, Bytes), PullError> {
        let accept = MediaType::ALL.map(MediaType::as_str).join(", ");
        let response = self.get(&format!("manifests/{reference}"), Some(&accept)).await?;
        let media_type =
            response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media_type = MediaType::parse(media_type)?;
        let bytes = self.small(response).await?;
        let found = Digest::sha256(&bytes);
        if let Some(expected) = expected {
            let found = Digest::of(expected.algorithm(), &bytes);
            if found != *expected {
                return Err(BlobError::WrongDigest { expected: expected.clone(), found }.into());
            }
        }
        Ok((expected.cloned().unwrap_or(found), media_type, bytes))
    }

    /// The digest of the manifest that a tag points to now, if the registry says it without sending the manifest.
    pub(crate) async fn head_manifest(&mut self, reference: &str) -> Result<Option<Digest>, PullError> {
        let accept = MediaType::ALL.map(MediaType::as_str).join(", ");
        let response = self.request(Method::HEAD, &format!("manifests/{reference}"), Some(&accept)).await?;
        let digest = response.headers().get("docker-content-digest").and_then(|v| v.to_str().ok());
        Ok(digest.and_then(|text| text.parse().ok()))
    }

    /// Whether the registry has a blob.
    pub(crate) async fn has_blob(&mut self, digest: &Digest) -> Result<(), PullError> {
        self.request(Method::HEAD, &format!("blobs/{digest}"), None).await.map(|_| ())
    }

    async fn small(&self, response: Response) -> Result<Bytes, PullError> {
        let mut bytes = BytesMut::new();
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(|e| self.unreachable(&e))?);
            if bytes.len() as u64 > LARGEST_MANIFEST {
                return Err(ManifestError::TooLarge { size: bytes.len() as u64 }.into());
            }
        }
        Ok(bytes.freeze())
    }

    /// Fetches a blob into our own store; the store verifies its digest before it exists.
    async fn blob(&mut self, blobs: &dyn BlobStore, wanted: &Descriptor) -> Result<(), PullError> {
        if blobs.stat(&wanted.digest).await? == Some(wanted.size) {
            return Ok(());
        }
        self.fetch(blobs, &wanted.digest, wanted.size).await
    }

    /// Fetches a blob of at most `limit` bytes.
    pub(crate) async fn fetch(
        &mut self,
        blobs: &dyn BlobStore,
        digest: &Digest,
        limit: u64,
    ) -> Result<(), PullError> {
        let (_, body) = self.blob_stream(digest).await?;
        let mut passed = 0u64;
        let body = body.map(move |chunk| {
            let chunk = chunk?;
            passed += chunk.len() as u64;
            if passed > limit { Err(BlobError::TooLarge { limit }) } else { Ok(chunk) }
        });
        let upload = blobs.begin().await?;
        if let Err(error) = blobs.append(&upload, Some(0), body.boxed()).await {
            // What failed counts; an upload that cannot be removed now is swept later.
            let _ = blobs.cancel(&upload).await;
            return Err(error.into());
        }
        blobs.finish(&upload, digest).await?;
        Ok(())
    }

    /// A blob's bytes as they come, not looked at so far, and how many there should be, if the registry says so.
    pub(crate) async fn blob_stream(
        &mut self,
        digest: &Digest,
    ) -> Result<(Option<u64>, ByteStream), PullError> {
        let response = self.get(&format!("blobs/{digest}"), None).await?;
        let size = response.content_length();
        let body = response.bytes_stream();
        Ok((size, body.map(|chunk| chunk.map_err(|e| BlobError::Interrupted(innermost(&e)))).boxed()))
    }

    /// `GET /v2/NAME/rest`; fetches a token when asked to.
    async fn get(&mut self, rest: &str, accept: Option<&str>) -> Result<Response, PullError> {
        self.request(Method::GET, rest, accept).await
    }

    async fn request(
        &mut self,
        method: Method,
        rest: &str,
        accept: Option<&str>,
    ) -> Result<Response, PullError> {
        let scheme = if self.loopback { "http" } else { "https" };
        let url = format!("{scheme}://{}/v2/{}/{rest}", self.host, self.path);
        for attempt in 0..2 {
            let mut request = self.puller.http()?.request(method.clone(), &url);
            if let Some(accept) = accept {
                request = request.header(header::ACCEPT, accept);
            }
            if let Some(authorization) = &self.authorization {
                request = request.header(header::AUTHORIZATION, authorization.expose());
            }
            let response = request.send().await.map_err(|e| self.unreachable(&e))?;
            match response.status() {
                StatusCode::UNAUTHORIZED if attempt == 0 => self.authorise(&response).await?,
                status if status.is_success() => return Ok(response),
                status => return Err(self.refused(rest, status)),
            }
        }
        Err(self.refused(rest, StatusCode::UNAUTHORIZED))
    }

    /// Follows a 401's challenge.
    async fn authorise(&mut self, refusal: &Response) -> Result<(), PullError> {
        let challenge = refusal.headers().get(header::WWW_AUTHENTICATE).and_then(|v| v.to_str().ok());
        let named = |login: &&Login| login.host == self.host || Some(&login.host) == self.image.host.as_ref();
        let mut login = self.puller.logins.iter().find(named).cloned();
        if let (None, Some(keyring)) = (&login, &self.puller.keyring) {
            let host = self.image.host.as_deref().unwrap_or(&self.host);
            login = keyring.login(host, &self.path).await.map_err(|why| {
                let why = format!("the login to {host} cannot be had: {why}");
                PullError::Unusable { image: self.image.to_string(), why }
            })?;
        }
        let basic = login.map(|login| {
            let pair = format!("{}:{}", login.user, login.password.expose());
            Secret::new(format!("Basic {}", STANDARD.encode(pair)))
        });
        let Some((scheme, parameters)) = challenge.and_then(|c| c.split_once(' ')) else {
            return Err(self.refused("the challenge", StatusCode::UNAUTHORIZED));
        };
        if scheme.eq_ignore_ascii_case("basic") {
            self.authorization =
                Some(basic.ok_or_else(|| self.refused("anything", StatusCode::UNAUTHORIZED))?);
            return Ok(());
        }
        let parameters = challenge_parameters(parameters);
        let realm = parameters.get("realm").and_then(|r| Url::parse(r).ok());
        let Some(mut realm) = realm.filter(|r| r.scheme() == "https" || self.loopback) else {
            let why = "its registry asks for a token but names no https address to get one from".to_owned();
            return Err(PullError::Unusable { image: self.image.to_string(), why });
        };
        for name in ["service", "scope"] {
            if let Some(value) = parameters.get(name) {
                realm.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut request = self.puller.http()?.get(realm);
        if let Some(basic) = &basic {
            request = request.header(header::AUTHORIZATION, basic.expose());
        }
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refused("a token", response.status()));
        }
        let answer: TokenAnswer = serde_json::from_slice(&self.small(response).await?).map_err(|e| {
            PullError::Unusable { image: self.image.to_string(), why: format!("no token came: {e}") }
        })?;
        let token = answer
            .token
            .or(answer.access_token)
            .ok_or_else(|| self.refused("a token", StatusCode::UNAUTHORIZED))?;
        self.authorization = Some(Secret::new(format!("Bearer {}", token.expose())));
        Ok(())
    }

    fn unreachable(&self, error: &reqwest::Error) -> PullError {
        PullError::Unreachable {
            host: self.host.clone(),
            image: self.image.to_string(),
            why: innermost(error),
        }
    }

    fn refused(&self, what: &str, status: StatusCode) -> PullError {
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "it wants a login, or this one may not pull",
            StatusCode::NOT_FOUND => "check the name and the tag",
            StatusCode::TOO_MANY_REQUESTS => "its rate limit is used up; wait, or log in",
            _ => "the registry is in trouble; try again later",
        };
        let (host, image, what) = (self.host.clone(), self.image.to_string(), what.to_owned());
        PullError::Refused { host, image, what, status: status.as_u16(), hint }
    }
}

/// Whether a host is this machine, where plain HTTP is safe.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `name="value",…` (RFC 9110, 11.2), with commas inside of quotes.
fn challenge_parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name.trim().trim_start_matches(',').trim().to_ascii_lowercase(), value.to_owned());
        rest = next;
    }
    found
}

/// The last cause in the chain: what the operating system or the TLS library said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("image", self.image).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_split_into_their_parameters() {
        let found =
            challenge_parameters(r#"realm="https://auth.example/token",service="reg, a",scope=x, error="e""#);
        assert_eq!(found["realm"], "https://auth.example/token");
        assert_eq!(found["service"], "reg, a");
        assert_eq!(found["scope"], "x");
        assert_eq!(found["error"], "e");
        assert!(challenge_parameters("").is_empty());
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:7700", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["docker.io", "10.0.0.1:5000", "localhost.example:80", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn hub_images_are_found_where_they_are_served() {
        let puller = Puller::new(Vec::new());
        let image: ImageName = "docker.io/alpine:3".parse().unwrap();
        let session = Session::new(&puller, &image).unwrap();
        assert_eq!(
            (session.host.as_str(), session.path.as_str()),
            ("registry-1.docker.io", "library/alpine")
        );
        let plain: ImageName = "alpine".parse().unwrap();
        let error = Session::new(&puller, &plain).unwrap_err().to_string();
        assert!(error.contains("docker.io/library/alpine"), "{error}");
    }
}
