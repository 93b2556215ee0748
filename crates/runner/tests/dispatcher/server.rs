//! A control that answers over HTTP and keeps everything in memory.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use windlass_api::runner::{Assignment, BUILD_HEADER, CACHE_KEY_HEADER, JobUpdates, LeaseRequest, LogReply};
use windlass_api::{ErrorCode, Problem};
use windlass_runner::{CacheStored, Control as _, ControlError, MemoryControl, NewArtifact};

/// The state behind the server.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) jobs: Mutex<VecDeque<Assignment>>,
    pub(crate) control: MemoryControl,
    pub(crate) leases: Mutex<Vec<LeaseRequest>>,
    pub(crate) lost: Mutex<Vec<(String, String)>>,
    pub(crate) away: AtomicBool,
    pub(crate) refused: AtomicU32,
}

impl Server {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self { url, ..Self::default() });
        let state = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let state = state.clone();
                        async move { Ok::<_, Infallible>(state.answer(request).await) }
                    });
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        server
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if self.away.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let token =
            parts.headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let runner = token == "Bearer runner-token";
        if token == "Bearer job-token"
            && let Some(answer) = self.archives(&parts, &path, &query, &body).await
        {
            return answer;
        }
        match path.rsplit('/').next().unwrap_or_default() {
            "lease" if runner => self.lease(&body).await,
            "lost" if runner => {
                let job = path.rsplit('/').nth(1).unwrap_or_default().to_owned();
                let reason =
                    serde_json::from_slice::<serde_json::Value>(&body).unwrap()["reason"].to_string();
                self.lost.lock().unwrap().push((job, reason));
                status(StatusCode::NO_CONTENT)
            }
            "updates" if token == "Bearer job-token" => {
                let updates: JobUpdates = serde_json::from_slice(&body).unwrap();
                json(&self.control.updates(&updates.updates).await.unwrap())
            }
            "log" if token == "Bearer job-token" => {
                let offset = query.strip_prefix("offset=").unwrap().parse().unwrap();
                json(&LogReply { next_offset: self.control.append_log(offset, body).await.unwrap() })
            }
            _ => status(StatusCode::UNAUTHORIZED),
        }
    }

    /// Artifacts, caches and images.
    async fn archives(
        &self,
        parts: &Parts,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Option<Response<Full<Bytes>>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), body).unwrap();
        let asked: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let get = |name: &str| decode(asked.get(name).copied().unwrap_or_default());
        let (_, rest) = path.strip_prefix("/api/v1/runner/jobs/")?.split_once('/')?;
        let answer = match (parts.method.as_str(), rest) {
            ("GET", "artifacts") => json(&self.control.artifacts().await.unwrap()),
            ("PUT", rest) if rest.starts_with("artifacts/") => {
                let name = decode(&rest["artifacts/".len()..]);
                let overwrite = get("overwrite") == "true";
                let artifact =
                    NewArtifact { name: &name, archive: file.path(), retention_days: None, overwrite };
                self.control.store_artifact(artifact).await.map_or_else(|e| problem(&e), |view| json(&view))
            }
            ("GET", rest) if rest.starts_with("artifacts/") => {
                let found =
                    self.control.fetch_artifact(&decode(&rest["artifacts/".len()..]), file.path()).await;
                found.map_or_else(|e| problem(&e), |()| bytes(file.path(), ""))
            }
            ("GET", "cache") => {
                let keys: Vec<_> = get("keys").split(',').map(str::to_owned).collect();
                match self.control.fetch_cache(&get("version"), &keys, file.path()).await.unwrap() {
                    Some(key) => bytes(file.path(), &key),
                    None => status(StatusCode::NO_CONTENT),
                }
            }
            ("PUT", "cache") => {
                match self.control.store_cache(&get("version"), &get("key"), file.path()).await.unwrap() {
                    CacheStored::Stored => status(StatusCode::NO_CONTENT),
                    CacheStored::Exists => {
                        let detail = "the entry is there".to_owned();
                        problem(&ControlError::Refused { code: ErrorCode::Conflict, detail })
                    }
                }
            }
            ("POST", "images") => {
                let build = parts.headers.get(BUILD_HEADER).unwrap().to_str().unwrap();
                let build = serde_json::from_str(build).unwrap();
                json(&self.control.build_image(&build, file.path()).await.unwrap())
            }
            _ => return None,
        };
        Some(answer)
    }

    async fn lease(&self, body: &[u8]) -> Response<Full<Bytes>> {
        self.leases.lock().unwrap().push(serde_json::from_slice(body).unwrap());
        let job = self.jobs.lock().unwrap().pop_front();
        match job {
            Some(job) => json(&job),
            None => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                status(StatusCode::NO_CONTENT)
            }
        }
    }
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::default()).unwrap()
}

fn json(value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    Response::new(Full::from(serde_json::to_vec(value).unwrap()))
}

fn bytes(file: &std::path::Path, key: &str) -> Response<Full<Bytes>> {
    let body = Full::from(std::fs::read(file).unwrap());
    Response::builder().header(CACHE_KEY_HEADER, key).body(body).unwrap()
}

fn problem(error: &ControlError) -> Response<Full<Bytes>> {
    let ControlError::Refused { code, detail } = error else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let body = serde_json::to_vec(&Problem::new(*code, detail.clone())).unwrap();
    let code: ErrorCode = *code;
    Response::builder().status(code.status()).body(Full::from(body)).unwrap()
}

fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).unwrap()
}
