//! Smart HTTP (git's `http-protocol` document): authentication and permissions here, the protocol by `git http-backend`.
//!
//! The older "dumb" protocol is not served. A refusal is a plain text, which git shows behind `remote:`.

mod backend;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::Semaphore;
use windlass_identity::{Denied, Principal};
use windlass_kernel::{Entropy, OsEntropy, ProjectName, Secret};

use crate::{Repositories, Repository, SourceError};

/// Who may do what: the server's answers. A message that is given back is shown to whoever runs git.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Who has this name and password (an API token, or a job's token, is the password; the name may be anything).
    async fn authenticate(&self, user: &str, password: &Secret<String>) -> Option<Principal>;
    /// Whether the project may be cloned and fetched from.
    async fn may_read(&self, principal: &Principal, project: &ProjectName) -> Result<(), Refusal>;
    /// Whether the existing project may be pushed to, and how far that goes.
    async fn may_push(&self, principal: &Principal, project: &ProjectName) -> Result<Reach, Refusal>;
    /// Makes a project that is not there yet, if the principal may; called when somebody pushes to it.
    /// The repository is made after this.
    async fn ensure_project(&self, principal: &Principal, project: &ProjectName) -> Result<(), Refusal>;
    /// A push has ended (well or not): time to look at the spool. The pusher waits for this, for a few seconds at most.
    async fn received(&self, _project: &ProjectName) {}
}

/// What somebody who may push may push to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Branches and tags, and `refs/for/BRANCH`.
    Everything,
    /// `refs/for/BRANCH` only: what is pushed there is a change that others decide on.
    Changes,
}

/// Why not, in words for the person at the terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self(denied.why)
    }
}

/// What one client may take.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// The largest pack of one push, in bytes.
    pub push_bytes: u64,
    /// The same of somebody who may only propose changes.
    pub proposed_bytes: u64,
    /// The largest body of a fetch's negotiation, in bytes.
    pub negotiation_bytes: u64,
    /// How many git processes serve at a time.
    pub concurrent: usize,
    /// After how long without a byte in either direction git is stopped.
    pub idle: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            push_bytes: 2 << 30,
            proposed_bytes: 256 << 20,
            negotiation_bytes: 32 << 20,
            concurrent: 16,
            idle: Duration::from_mins(5),
        }
    }
}

/// The two services of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// Marks a request that came by way of the owner's name.
#[derive(Clone, Copy)]
struct Owned;

/// Serves the repositories.
#[derive(Clone)]
pub struct SmartHttp {
    repositories: Repositories,
    gate: Arc<dyn Gate>,
    limits: HttpLimits,
    permits: Arc<Semaphore>,
    owner: Option<String>,
}

impl SmartHttp {
    /// Serves `repositories` to those whom `gate` lets in.
    pub fn new(repositories: Repositories, gate: Arc<dyn Gate>, limits: HttpLimits) -> Self {
        Self { repositories, gate, limits, permits: Arc::new(Semaphore::new(limits.concurrent)), owner: None }
    }

    /// Serves them under `/OWNER/` too, where the name may lack its `.git`: as scripts put an address together from
    /// `GITHUB_SERVER_URL` and `GITHUB_REPOSITORY`.
    pub fn with_owner(mut self, owner: &str) -> Self {
        self.owner = Some(owner.to_owned());
        self
    }

    /// Routes `/{project}.git/info/refs`, `…/git-upload-pack` and `…/git-receive-pack`.
    pub fn router(self) -> Router {
        let routes = || {
            Router::new()
                .route("/{repository}/info/refs", get(info_refs))
                .route("/{repository}/git-upload-pack", post(upload_pack))
                .route("/{repository}/git-receive-pack", post(receive_pack))
        };
        let below =
            |owner: &String| Router::new().nest(&format!("/{owner}"), routes().layer(Extension(Owned)));
        let owned = self.owner.as_ref().map(below).unwrap_or_default();
        routes().merge(owned).with_state(self)
    }
}

async fn info_refs(
    State(http): State<SmartHttp>,
    Path(repository): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let service = match query.as_deref() {
        Some("service=git-upload-pack") => Service::UploadPack,
        Some("service=git-receive-pack") => Service::ReceivePack,
        _ => {
            return text(
                StatusCode::FORBIDDEN,
                "only git's smart protocol is served: use git 1.6.6 or newer",
            );
        }
    };
    http.serve(&repository, service, "info/refs", request).await.unwrap_or_else(|refused| *refused)
}

async fn upload_pack(
    State(http): State<SmartHttp>,
    Path(repository): Path<String>,
    request: Request,
) -> Response {
    http.call(&repository, Service::UploadPack, request).await
}

async fn receive_pack(
    State(http): State<SmartHttp>,
    Path(repository): Path<String>,
    request: Request,
) -> Response {
    http.call(&repository, Service::ReceivePack, request).await
}

impl SmartHttp {
    async fn call(&self, repository: &str, service: Service, request: Request) -> Response {
        let expected = format!("application/x-{}-request", service.name());
        if request.headers().get(header::CONTENT_TYPE).is_none_or(|t| t.as_bytes() != expected.as_bytes()) {
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("expected a body of type {expected}"));
        }
        self.serve(repository, service, service.name(), request).await.unwrap_or_else(|refused| *refused)
    }

    /// The answer, or the answer that it is refused.
    async fn serve(
        &self,
        repository: &str,
        service: Service,
        path: &str,
        request: Request,
    ) -> Result<Response, Box<Response>> {
        let bare = request.extensions().get::<Owned>().map(|_| repository);
        let Some(name) = repository.strip_suffix(".git").or(bare) else {
            return Err(Box::new(text(StatusCode::NOT_FOUND, "a repository's address ends in .git")));
        };
        let principal = self.principal(request.headers()).await?;
        let project: ProjectName = name
            .parse()
            .map_err(|e: windlass_kernel::NameError| Box::new(text(StatusCode::NOT_FOUND, &e.to_string())))?;
        let (repository, reach) = self.admit(&principal, &project, service).await?;
        let wait = tokio::time::timeout(Duration::from_secs(30), self.permits.clone().acquire_owned());
        let Ok(Ok(permit)) = wait.await else {
            let mut busy =
                text(StatusCode::SERVICE_UNAVAILABLE, "too many git operations at the moment; try again");
            busy.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            return Err(Box::new(busy));
        };
        let call = backend::Call {
            repositories: &self.repositories,
            repository: &repository,
            service,
            path,
            pusher: principal.actor.to_string(),
            reach,
            push: push_id(),
            limits: self.limits,
        };
        let received = (service == Service::ReceivePack && path != "info/refs")
            .then(|| (self.gate.clone(), project.clone()));
        backend::run(&call, request, permit, received).await.map_err(|error| {
            tracing::error!(%project, %error, "git http-backend failed");
            Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, &format!("Windlass could not run git: {error}")))
        })
    }

    async fn principal(&self, headers: &HeaderMap) -> Result<Principal, Box<Response>> {
        let Some((user, password)) = basic(headers) else {
            return Err(Box::new(unauthorized(
                "log in with your user name, and an API token as the password",
            )));
        };
        let found = self.gate.authenticate(&user, &password).await;
        found.ok_or_else(|| {
            Box::new(unauthorized(
                "wrong user name or token: the password is an API token (wl_…), made on the account page",
            ))
        })
    }

    /// The repository, if the principal may use it so; made on a first push.
    async fn admit(
        &self,
        principal: &Principal,
        project: &ProjectName,
        service: Service,
    ) -> Result<(Repository, Reach), Box<Response>> {
        let refused = |r: Refusal| Box::new(text(StatusCode::FORBIDDEN, &r.0));
        let failed = |e: SourceError| {
            tracing::error!(%project, error = %e, "a repository cannot be opened");
            Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()))
        };
        match (service, self.repositories.get(project)) {
            (Service::UploadPack, found) => {
                self.gate.may_read(principal, project).await.map_err(refused)?;
                let found = found.map_err(|e| match e {
                    SourceError::NoRepository(_) => Box::new(text(
                        StatusCode::NOT_FOUND,
                        &format!("there is no project {project}; the first push to it makes it"),
                    )),
                    other => failed(other),
                })?;
                Ok((found, Reach::Changes))
            }
            (Service::ReceivePack, Ok(repository)) => {
                let reach = self.gate.may_push(principal, project).await.map_err(refused)?;
                Ok((repository, reach))
            }
            (Service::ReceivePack, Err(_)) => {
                self.gate.ensure_project(principal, project).await.map_err(refused)?;
                let reach = self.gate.may_push(principal, project).await.map_err(refused)?;
                Ok((self.repositories.get_or_create(project).await.map_err(failed)?, reach))
            }
        }
    }
}

/// Sorts by nothing and means nothing: 128 random bits.
fn push_id() -> String {
    let mut bytes = [0u8; 16];
    OsEntropy.fill(&mut bytes);
    format!("push_{:032x}", u128::from_be_bytes(bytes))
}

/// Name and password of basic authentication (RFC 7617).
fn basic(headers: &HeaderMap) -> Option<(String, Secret<String>)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = Secret::new(String::from_utf8(decoded).ok()?);
    let (user, password) = text.expose().split_once(':')?;
    Some((user.to_owned(), Secret::new(password.to_owned())))
}

fn text(status: StatusCode, message: &str) -> Response {
    let mut response = (status, Body::from(format!("{message}\n"))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unauthorized(message: &str) -> Response {
    let mut response = text(StatusCode::UNAUTHORIZED, message);
    let realm = HeaderValue::from_static("Basic realm=\"Windlass\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    response
}
