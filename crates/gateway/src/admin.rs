//! How control speaks to the gateway: JSON over a Unix socket that only the owner of the data directory can open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::admission::Admission;
use crate::proxy::Proxy;
use crate::serve::keep_table;
use crate::table::RouteTable;

/// How long the gateway may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Requests in flight at one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendLoad {
    /// The instance's id.
    pub id: String,
    /// Requests being answered by it, open WebSockets among them.
    pub in_flight: usize,
}

/// Control's end of the socket.
#[derive(Clone, Debug)]
pub struct AdminClient(PathBuf);

/// Why the gateway could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It does not answer (it may be starting again).
    #[error("the gateway does not answer: {0}")]
    Unreachable(String),
    /// It refused.
    #[error("the gateway refused: {0}")]
    Refused(String),
}

impl AdminClient {
    /// A client of the gateway whose socket is at `socket`.
    pub fn new(socket: &Path) -> Self {
        Self(socket.to_owned())
    }

    /// Puts a table in force. Once this returns, no new request reaches an instance that is not in it.
    pub async fn put_table(&self, table: &RouteTable) -> Result<(), AdminError> {
        let body = serde_json::to_vec(table).map_err(|e| AdminError::Refused(e.to_string()))?;
        self.call(Method::PUT, "/routes", body).await.map(|_| ())
    }

    /// The table in force.
    pub async fn table(&self) -> Result<RouteTable, AdminError> {
        let bytes = self.call(Method::GET, "/routes", Vec::new()).await?;
        serde_json::from_slice(&bytes).map_err(|e| AdminError::Refused(e.to_string()))
    }

    /// What is in flight, by instance. An instance that is not named has nothing in flight.
    pub async fn loads(&self) -> Result<Vec<BackendLoad>, AdminError> {
        let bytes = self.call(Method::GET, "/backends", Vec::new()).await?;
        serde_json::from_slice(&bytes).map_err(|e| AdminError::Refused(e.to_string()))
    }

    /// The gateway's metrics, in the Prometheus text format.
    pub async fn metrics(&self) -> Result<String, AdminError> {
        let bytes = self.call(Method::GET, "/metrics", Vec::new()).await?;
        String::from_utf8(bytes.into()).map_err(|e| AdminError::Refused(e.to_string()))
    }

    /// The gateway's process id.
    pub async fn pid(&self) -> Result<u32, AdminError> {
        let bytes = self.call(Method::GET, "/pid", Vec::new()).await?;
        serde_json::from_slice(&bytes).map_err(|e| AdminError::Refused(e.to_string()))
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, AdminError> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.ask(method, path, body));
        let late = |_| AdminError::Unreachable(format!("no answer within {} s", ANSWER_WITHIN.as_secs()));
        answer.await.map_err(late)?
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, AdminError> {
        let unreachable = |e: String| AdminError::Unreachable(e);
        let stream = UnixStream::connect(&self.0).await.map_err(|e| unreachable(e.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| unreachable(e.to_string()))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "gateway")
            .body(Full::new(Bytes::from(body)));
        let request = request.map_err(|e| unreachable(e.to_string()))?;
        let response = sender.send_request(request).await.map_err(|e| unreachable(e.to_string()))?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(|e| unreachable(e.to_string()))?.to_bytes();
        if status.is_success() {
            Ok(bytes)
        } else {
            Err(AdminError::Refused(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}

/// The gateway's end of the socket.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) admission: Arc<Admission>,
    /// Where the table in force is kept. Locked while one is put, so that the last one put is the one kept.
    pub(crate) kept: Arc<Mutex<PathBuf>>,
}

/// Answers control.
pub(crate) async fn answer(admin: Arc<Admin>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let proxy = &admin.proxy;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let json = |value: Result<Vec<u8>, serde_json::Error>| match value {
        Ok(bytes) => reply(StatusCode::OK, bytes),
        Err(e) => reply(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()),
    };
    match (method.as_str(), path.as_str()) {
        ("GET", "/routes") => json(serde_json::to_vec(&proxy.switchboard.table())),
        ("GET", "/backends") => {
            let loads =
                proxy.switchboard.loads().into_iter().map(|(id, in_flight)| BackendLoad { id, in_flight });
            json(serde_json::to_vec(&loads.collect::<Vec<_>>()))
        }
        ("GET", "/metrics") => {
            proxy.metrics.connections(admin.admission.count());
            reply(StatusCode::OK, proxy.metrics.text())
        }
        ("GET", "/pid") => json(serde_json::to_vec(&std::process::id())),
        ("PUT", "/routes") => match admin.put(request).await {
            Ok(()) => reply(StatusCode::OK, "{}"),
            Err(why) => reply(StatusCode::BAD_REQUEST, why),
        },
        _ => reply(StatusCode::NOT_FOUND, "no such call"),
    }
}

impl Admin {
    async fn put(&self, request: Request<Incoming>) -> Result<(), String> {
        let body = Limited::new(request.into_body(), 64 << 20)
            .collect()
            .await
            .map_err(|e| e.to_string())?
            .to_bytes();
        let table: RouteTable = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        let kept = self.kept.clone().lock_owned().await;
        self.proxy.switchboard.swap(table.clone(), &self.proxy.metrics).map_err(|e| e.to_string())?;
        // In force first, kept second: a full disk must not keep traffic on instances that are about to stop.
        let written = tokio::task::spawn_blocking(move || keep_table(&kept, &table)).await;
        if let Err(e) = written.map_err(std::io::Error::other).flatten() {
            tracing::error!(error = %e, "the route table is in force but could not be kept on disk");
        }
        Ok(())
    }
}

fn reply(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
