//! A control that answers over HTTP and keeps everything in memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use windlass_api::runner::{Assignment, JobUpdates, LeaseRequest, LogReply};
use windlass_runner::{Control as _, MemoryControl};

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
