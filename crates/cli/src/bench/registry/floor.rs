//! A registry that answers at once, keeps nothing and knows no blob but those of one layout: what a push or pull takes
//! with it is the client's own time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use windlass_kernel::Digest;

/// The media type of the images that are measured.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// It answers as long as this program runs.
pub(super) struct Floor {
    pub(super) host: String,
    layout: Arc<Mutex<PathBuf>>,
}

impl Floor {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = listener.local_addr()?.to_string();
        let layout: Arc<Mutex<PathBuf>> = Arc::default();
        let shown = layout.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shown.clone()));
            }
        });
        Ok(Self { host, layout })
    }

    /// What is pulled from now on comes from this layout.
    pub(super) fn show(&self, layout: PathBuf) {
        *self.layout.lock().unwrap_or_else(PoisonError::into_inner) = layout;
    }
}

async fn serve(stream: TcpStream, layout: Arc<Mutex<PathBuf>>) {
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| {
        let layout = layout.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move { answer(request, layout).await }
    });
    // A client that goes away ends its connection, not the measurement.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(request: Request<Incoming>, layout: PathBuf) -> Result<Response<Full<Bytes>>> {
    let (parts, mut body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let last = path.rsplit('/').next().unwrap_or_default();
    let manifest = path.contains("/manifests/");
    let mut passed = 0;
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let data = frame.data_ref();
        passed += data.map_or(0, Bytes::len);
        if manifest {
            kept.extend_from_slice(data.map_or(&[], |data| data));
        }
    }
    let response = Response::builder();
    let (response, body) = match parts.method {
        Method::POST => {
            let upload = format!("{path}0123456789abcdef0123456789abcdef");
            (response.status(StatusCode::ACCEPTED).header(header::LOCATION, upload), Bytes::new())
        }
        Method::PATCH => {
            let range = format!("0-{}", passed.saturating_sub(1));
            (
                response.status(StatusCode::ACCEPTED).header(header::LOCATION, path).header("range", range),
                Bytes::new(),
            )
        }
        Method::PUT => {
            let digest = Digest::sha256(&kept).to_string();
            let response = response.status(StatusCode::CREATED).header(header::LOCATION, &path);
            (if manifest { response.header("docker-content-digest", digest) } else { response }, Bytes::new())
        }
        Method::GET if path == "/v2/" => (response, Bytes::from_static(b"{}")),
        Method::GET => match read(&layout, last) {
            Ok((digest, bytes)) => {
                let media_type = if manifest { MANIFEST } else { "application/octet-stream" };
                let response = response.header(header::CONTENT_TYPE, media_type);
                (response.header("docker-content-digest", digest), bytes)
            }
            Err(_) => (response.status(StatusCode::NOT_FOUND), Bytes::new()),
        },
        _ => (response.status(StatusCode::NOT_FOUND), Bytes::new()),
    };
    Ok(response.body(Full::new(body))?)
}

/// A blob of the layout by its digest, or a manifest by its tag.
fn read(layout: &std::path::Path, name: &str) -> Result<(String, Bytes)> {
    let digest = if name.contains(':') { name.to_owned() } else { tagged(layout, name)? };
    let hex = digest.trim_start_matches("sha256:").to_owned();
    Ok((digest, std::fs::read(layout.join("blobs/sha256").join(hex))?.into()))
}

fn tagged(layout: &std::path::Path, tag: &str) -> Result<String> {
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json"))?)?;
    let named = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let found = index["manifests"].as_array().and_then(|all| all.iter().find(named));
    let digest = found.and_then(|entry| entry["digest"].as_str());
    Ok(digest.ok_or_else(|| anyhow::anyhow!("no such tag"))?.to_owned())
}
