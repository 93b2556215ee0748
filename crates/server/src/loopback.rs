//! Asking programs of this machine over HTTP: health checks and metrics of instances.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Its body; none when it was not whole, or longer than what was asked for.
    pub(crate) body: Option<Bytes>,
}

/// Asks a port for a path, with a header of that name and value, for at most so many bytes. The caller bounds the time.
///
/// # Errors
///
/// A sentence that says why there is no answer.
pub(crate) async fn get(
    port: u16,
    path: &str,
    (name, value): (&str, &str),
    most: usize,
) -> Result<Answer, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    let stream = stream.map_err(|e| format!("nothing listens on its port: {e}"))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").header(name, value);
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    let response = sender.send_request(request).await.map_err(|e| format!("GET {path}: {e}"))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), most).collect().await.ok().map(|body| body.to_bytes());
    Ok(Answer { status, body })
}
