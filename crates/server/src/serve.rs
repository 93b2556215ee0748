//! Connections to control. A client that stalls, before its request is said or while an answer is sent, is let go.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a request's head may take to come, and what was sent may wait to be taken. Longer than clients keep a connection
/// that they do not use, so that none is ended just when it is wanted.
const PATIENCE: Duration = Duration::from_mins(2);

/// Before the next try, when no connection could be accepted.
const BREATH: Duration = Duration::from_millis(100);

/// Serves `app` until `stop`, then ends when every request that had begun is answered.
pub(crate) async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) {
    serve_with(listener, app, stop, PATIENCE).await;
}

async fn serve_with(listener: TcpListener, app: Router, stop: CancellationToken, patience: Duration) {
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    mind(&stream, patience);
                    connections.spawn(connection(stream, app.clone(), stop.clone(), patience));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                }
            },
            () = stop.cancelled() => break,
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, app: Router, stop: CancellationToken, patience: Duration) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Sends at once what there is to send, and has the kernel end a connection whose client takes nothing: whoever pulls an image
/// and stalls must not hold what serves it (tcp(7), `TCP_USER_TIMEOUT`: a window that stays shut counts).
fn mind(stream: &TcpStream, patience: Duration) {
    let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection waits for more to send");
    }
    if let Err(error) = setsockopt(stream, sockopt::TcpUserTimeout, &millis) {
        tracing::debug!(%error, "a connection has no bound on how long its client may stall");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Far longer than the patience that is tested: only a connection that is never ended takes it.
    const NEVER: Duration = Duration::from_mins(2);

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        mind(&stream, Duration::from_millis(500));
        let chunk = vec![0u8; 1 << 20];
        // Without the bound this would never end.
        let sending = async { while stream.write_all(&chunk).await.is_ok() {} };
        assert!(tokio::time::timeout(NEVER, sending).await.is_ok(), "the connection was never ended");
        drop(client);
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_head_is_cut_off_and_others_are_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let app = Router::new().route("/", get(|| async { "well" }));
        let served = tokio::spawn(serve_with(listener, app, stop.clone(), Duration::from_secs(2)));
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.unwrap();
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("well"), "{answer}");
        for stalled in [&mut slow, &mut silent] {
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(NEVER, stalled.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "the connection was never ended");
            assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
        }
        stop.cancel();
        served.await.unwrap();
    }
}
