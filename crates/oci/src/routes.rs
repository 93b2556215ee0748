//! The HTTP routes of the OCI distribution specification 1.1, under `/v2/`: what docker, podman, skopeo, oras and
//! crane speak. Streams both ways; nothing but manifests is held in memory.

mod blobs;
mod failure;
mod guard;
mod listing;
mod manifests;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::sync::Semaphore;
use windlass_kernel::{Actor, Digest};

use crate::{Access, Action, Reference, Registry, RepositoryName, UploadId};
use failure::Failure;

const DIGEST_HEADER: &str = "docker-content-digest";
const UPLOAD_HEADER: &str = "docker-upload-uuid";
const VERSION_HEADER: &str = "docker-distribution-api-version";

/// What clients are held to.
#[derive(Clone, Copy, Debug)]
pub struct RouteLimits {
    /// How long is waited for the next bytes of an upload.
    pub patience: Duration,
    /// How many uploads may send at a time.
    pub uploads: usize,
}

/// What the handlers need.
struct Desk<A> {
    registry: Registry,
    access: Arc<A>,
    limits: RouteLimits,
    uploading: Arc<Semaphore>,
}

impl Default for RouteLimits {
    /// A minute, and 512 uploads.
    fn default() -> Self {
        Self { patience: Duration::from_mins(1), uploads: 512 }
    }
}

impl<A> Clone for Desk<A> {
    fn clone(&self) -> Self {
        let (registry, access) = (self.registry.clone(), self.access.clone());
        Self { registry, access, limits: self.limits, uploading: self.uploading.clone() }
    }
}

/// What an address below `/v2/NAME/` means.
#[derive(Debug, PartialEq)]
enum Target {
    Blob(Digest),
    Uploads,
    Upload(UploadId),
    Manifest(Reference),
    Tags,
    Referrers(Digest),
}

/// One authorised request on a repository.
struct Call<'a, A: Access> {
    desk: &'a Desk<A>,
    repository: RepositoryName,
    principal: A::Principal,
    parts: &'a Parts,
}

type Answer = Result<Response, Failure>;

/// The registry's routes. They bring their own authentication and error format: mount them beside the API's.
pub fn router<A: Access>(registry: Registry, access: Arc<A>) -> Router {
    router_with(registry, access, RouteLimits::default())
}

/// As [`router`], with other limits.
pub fn router_with<A: Access>(registry: Registry, access: Arc<A>, limits: RouteLimits) -> Router {
    let uploading = Arc::new(Semaphore::new(limits.uploads));
    Router::new()
        .route("/v2", get(base::<A>))
        .route("/v2/", get(base::<A>))
        .route("/v2/token", get(guard::token::<A>))
        .route("/v2/_catalog", get(listing::catalog::<A>))
        .route("/v2/{*rest}", any(repository::<A>))
        .layer(axum::middleware::map_response(version))
        .with_state(Desk { registry, access, limits, uploading })
}

async fn version(mut response: Response) -> Response {
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static("registry/2.0"));
    response
}

/// `GET /v2/`: whether the caller is known; where to get a token if not.
async fn base<A: Access>(State(desk): State<Desk<A>>, request: Request) -> Answer {
    guard::require_anyone(&desk, request.headers()).await?;
    Ok(json(StatusCode::OK, &serde_json::json!({})))
}

async fn repository<A: Access>(
    State(desk): State<Desk<A>>,
    Path(rest): Path<String>,
    request: Request,
) -> Answer {
    let (repository, target) = parse(&rest)?;
    let (parts, body) = request.into_parts();
    let action = match (&parts.method, &target) {
        (&Method::GET | &Method::HEAD, Target::Upload(_)) => Action::Push,
        (&Method::GET | &Method::HEAD, _) => Action::Pull,
        (&Method::DELETE, Target::Upload(_)) => Action::Push,
        (&Method::DELETE, _) => Action::Delete,
        _ => Action::Push,
    };
    let principal = guard::require(&desk, &parts.headers, action, &repository).await?;
    let call = Call { desk: &desk, repository, principal, parts: &parts };
    match (&parts.method, target) {
        (&Method::GET | &Method::HEAD, Target::Blob(digest)) => call.get_blob(digest).await,
        (&Method::DELETE, Target::Blob(digest)) => call.delete_blob(digest).await,
        (&Method::POST, Target::Uploads) => call.begin_upload(body).await,
        (&Method::GET | &Method::HEAD, Target::Upload(id)) => call.upload_status(id).await,
        (&Method::PATCH, Target::Upload(id)) => call.append_upload(id, body).await,
        (&Method::PUT, Target::Upload(id)) => call.finish_upload(id, body).await,
        (&Method::DELETE, Target::Upload(id)) => call.cancel_upload(id).await,
        (&Method::GET | &Method::HEAD, Target::Manifest(reference)) => call.get_manifest(reference).await,
        (&Method::PUT, Target::Manifest(reference)) => call.put_manifest(reference, body).await,
        (&Method::DELETE, Target::Manifest(reference)) => call.delete_manifest(reference).await,
        (&Method::GET | &Method::HEAD, Target::Tags) => call.list_tags().await,
        (&Method::GET | &Method::HEAD, Target::Referrers(digest)) => call.list_referrers(digest).await,
        (method, _) => Err(Failure::method(method)),
    }
}

/// Splits `NAME/blobs/DIGEST` and its like. Names may hold any component, so the last fitting word counts.
fn parse(rest: &str) -> Result<(RepositoryName, Target), Failure> {
    let name = |text: &str| text.parse::<RepositoryName>().map_err(Failure::name);
    let digest = |text: &str| text.parse::<Digest>().map_err(Failure::digest);
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return Ok((name(repository)?, Target::Tags));
    }
    if let Some(repository) =
        rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
    {
        return Ok((name(repository)?, Target::Uploads));
    }
    let (front, last) = rest.rsplit_once('/').ok_or_else(Failure::no_route)?;
    if let Some(repository) = front.strip_suffix("/blobs/uploads") {
        let id = last.parse().map_err(|()| Failure::unknown_upload(last))?;
        return Ok((name(repository)?, Target::Upload(id)));
    }
    if let Some(repository) = front.strip_suffix("/blobs") {
        return Ok((name(repository)?, Target::Blob(digest(last)?)));
    }
    if let Some(repository) = front.strip_suffix("/manifests") {
        let reference = last.parse().map_err(Failure::reference)?;
        return Ok((name(repository)?, Target::Manifest(reference)));
    }
    if let Some(repository) = front.strip_suffix("/referrers") {
        return Ok((name(repository)?, Target::Referrers(digest(last)?)));
    }
    Err(Failure::no_route())
}

impl<A: Access> Call<'_, A> {
    fn actor(&self) -> Actor {
        self.desk.access.actor(&self.principal)
    }

    /// The first query parameter of that name, decoded.
    fn query(&self, name: &str) -> Option<String> {
        query(self.parts).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// All query parameters, decoded; repeated ones stay.
fn query(parts: &Parts) -> Vec<(String, String)> {
    axum::extract::Query::try_from_uri(&parts.uri).map(|q| q.0).unwrap_or_default()
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    reply(status, &[("content-type", "application/json")], Body::from(value.to_string()))
}

/// An answer with headers whose values were made from parsed parts.
fn reply(status: StatusCode, headers: &[(&'static str, &str)], body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(response.headers_mut(), headers);
    response
}

fn set(map: &mut HeaderMap, headers: &[(&'static str, &str)]) {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            map.insert(*name, value);
        }
    }
}

fn text_header(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_split_at_the_last_fitting_word() {
        let digest = Digest::sha256(b"x");
        let id = "0123456789abcdef0123456789abcdef";
        let cases = [
            (format!("a/b/blobs/{digest}"), "a/b", Target::Blob(digest.clone())),
            ("a/blobs/uploads/".into(), "a", Target::Uploads),
            ("a/blobs/uploads".into(), "a", Target::Uploads),
            (format!("a/blobs/uploads/{id}"), "a", Target::Upload(id.parse().unwrap())),
            ("blobs/manifests/v1".into(), "blobs", Target::Manifest("v1".parse().unwrap())),
            ("a/manifests/manifests/v1".into(), "a/manifests", Target::Manifest("v1".parse().unwrap())),
            ("tags/tags/list".into(), "tags", Target::Tags),
            (format!("a/referrers/{digest}"), "a", Target::Referrers(digest.clone())),
        ];
        for (text, name, target) in cases {
            let (repository, found) = parse(&text).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!((repository.as_str(), found), (name, target), "{text}");
        }
        let bad = [
            "",
            "a",
            "a/b",
            "a/blobs/md5:0",
            "/tags/list",
            "A/tags/list",
            "../blobs/uploads/",
            "a/blobs/uploads/../x",
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
