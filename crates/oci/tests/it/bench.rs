//! The bench that the tests work on: a registry over a temporary folder, and people who may do different things.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tower::ServiceExt as _;
use windlass_kernel::{Actor, Clock as _, Digest, OsEntropy};
use windlass_oci::{
    Access, Action, Assembler, Credential, FileBlobs, Grant, Puller, Registry, RegistryRule, RegistryToken,
    RepositoryName, RouteLimits, RuleKind, StoreIndex, TokenSealer, UnpackLimits, Unpacker, WhiteoutStyle,
};
use windlass_testkit::TestClock;

use crate::store::MemoryStore;

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) blobs: Arc<FileBlobs>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) registry: Registry,
    pub(crate) access: Arc<People>,
    limits: RouteLimits,
    router: OnceLock<Router>,
}

/// `ada` may do all; `bob` may pull, and everything with `bob/…`; passwords are `NAME-token`.
#[derive(Debug)]
pub(crate) struct People {
    sealer: TokenSealer,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(TestClock::at(1_800_000_000_000));
        let blobs = Arc::new(
            FileBlobs::open(&folder.path().join("blobs"), clock.clone(), Arc::new(OsEntropy)).unwrap(),
        );
        let index = Arc::new(StoreIndex::new(store.clone(), clock.clone()));
        let registry = Registry::new(blobs.clone(), index, clock.clone());
        let sealer = TokenSealer::new(&OsEntropy, clock.clone(), Duration::from_mins(5));
        let access = Arc::new(People { sealer });
        Self {
            folder,
            store,
            blobs,
            clock,
            registry,
            access,
            limits: RouteLimits::default(),
            router: OnceLock::new(),
        }
    }

    /// With other limits for clients.
    pub(crate) fn patient(self, patience: Duration, uploads: usize) -> Self {
        Self { limits: RouteLimits { patience, uploads }, ..self }
    }

    /// Sets a rule.
    pub(crate) async fn rule(&self, name: &str, repositories: &str, tags: &str, kind: RuleKind) {
        let (repositories, tags) = (repositories.parse().unwrap(), tags.parse().unwrap());
        let (set_at, set_by) = (self.clock.now(), Actor::System);
        let rule = RegistryRule { name: name.to_owned(), repositories, tags, kind, set_at, set_by };
        self.registry.index().set_rule(&rule).await.unwrap();
    }

    pub(crate) fn router(&self) -> Router {
        let make = || windlass_oci::router_with(self.registry.clone(), self.access.clone(), self.limits);
        self.router.get_or_init(make).clone()
    }

    pub(crate) fn assembler(&self) -> Assembler {
        let puller = Puller::new(Vec::new());
        Assembler::new(self.registry.clone(), puller, self.path("spool"), Arc::new(OsEntropy), 64 << 20)
    }

    pub(crate) fn unpacker(&self, style: WhiteoutStyle, limits: UnpackLimits) -> Unpacker {
        Unpacker::open(self.registry.clone(), &self.path("layers"), style, limits, Arc::new(OsEntropy))
            .unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Sends a request as `ada`, unless it says otherwise.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("host", "registry.test:5000");
        let anonymous = headers.iter().any(|(name, _)| *name == "authorization");
        if !anonymous {
            request = request.header("authorization", "Bearer ada-token");
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let response = self.router().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        Reply::read(response).await
    }

    /// Pushes a blob in one piece.
    pub(crate) async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let reply = self.send("POST", &path, &[], bytes.to_vec()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        digest
    }

    /// Damages a blob on disk without changing its length.
    pub(crate) fn damage(&self, digest: &Digest) {
        let fresh = std::fs::read_dir(self.path("blobs/fresh")).unwrap().map(|entry| entry.unwrap().path());
        let named = |path: &std::path::PathBuf| path.to_str().unwrap().contains(digest.hex());
        let path = fresh.into_iter().find(named).unwrap_or_else(|| self.blobs.path(digest));
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        std::fs::write(path, bytes).unwrap();
    }
}

impl Reply {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The specification's error code.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The number of files below a folder.
pub(crate) fn files_below(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| if entry.file_type().unwrap().is_dir() { files_below(&entry.path()) } else { 1 })
        .sum()
}

#[async_trait]
impl Access for People {
    type Principal = String;

    async fn authenticate(&self, credential: &Credential) -> Option<String> {
        let (name, token) = match credential {
            Credential::Basic { user, password } => (Some(user), password.expose()),
            Credential::Bearer(token) => (None, token.expose()),
        };
        let owner = ["ada", "bob"].into_iter().find(|person| *token == format!("{person}-token"))?;
        name.is_none_or(|name| name == owner).then(|| owner.to_owned())
    }

    async fn may(&self, who: &String, action: Action, repository: &RepositoryName) -> bool {
        who == "ada"
            || repository.as_str().starts_with("bob/")
            || (action == Action::Pull && !repository.as_str().starts_with("secret"))
    }

    fn actor(&self, who: &String) -> Actor {
        Actor::User(who.parse().unwrap())
    }

    async fn issue(&self, who: &String, grants: &[Grant]) -> RegistryToken {
        self.sealer.issue(who, grants)
    }

    async fn verify(&self, token: &str) -> Option<(String, Vec<Grant>)> {
        self.sealer.open(token).map(|claims| (claims.subject, claims.grants))
    }
}
