//! Listening, and stopping without cutting anybody off.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windlass_kernel::Clock;

use crate::access::AccessLog;
use crate::admin;
use crate::proxy::Proxy;
use crate::table::RouteTable;

/// How long a client may take to send a request's head, and how long a connection may stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests in flight may go on after the gateway was told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// What the gateway needs.
#[derive(Debug)]
pub struct GatewayConfig {
    /// The listening socket of the public side.
    pub listener: TcpListener,
    /// Where control reaches it.
    pub admin_socket: PathBuf,
    /// Where the last route table is kept.
    pub table_file: PathBuf,
    /// The access log.
    pub access_log: PathBuf,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Serves until `stop` resolves; then lets what is in flight end, for up to 10 seconds.
pub async fn run(config: GatewayConfig, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let access = AccessLog::open(config.access_log, config.clock.clone())?;
    let prefix = format!("{:x}", config.clock.now().as_millis());
    let proxy = Arc::new(Proxy::new(access, prefix));
    match read_table(&config.table_file) {
        Ok(Some(table)) => proxy.swap(table).map_err(std::io::Error::other)?,
        Ok(None) => {}
        Err(e) => {
            tracing::error!(error = %e, "the kept route table cannot be read; waiting for control to send one")
        }
    }
    let _ = std::fs::remove_file(&config.admin_socket);
    let admin_listener = UnixListener::bind(&config.admin_socket)?;
    std::fs::set_permissions(&config.admin_socket, std::fs::Permissions::from_mode(0o600))?;
    let listener = tokio::net::TcpListener::from_std(config.listener)?;
    let (clients, stopping) = (TaskTracker::new(), CancellationToken::new());
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => serve_client(&proxy, stream, peer, &clients, stopping.clone()),
                Err(e) => {
                    // Out of descriptors: wait for some to close instead of spinning.
                    tracing::warn!(error = %e, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            accepted = admin_listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    serve_admin(proxy.clone(), config.table_file.clone(), stream);
                }
            }
            () = &mut stop => break,
        }
    }
    drop(listener);
    stopping.cancel();
    clients.close();
    if tokio::time::timeout(DRAIN, clients.wait()).await.is_err() {
        tracing::warn!("some requests did not end within {} s", DRAIN.as_secs());
    }
    Ok(())
}

fn serve_client(
    proxy: &Arc<Proxy>,
    stream: tokio::net::TcpStream,
    peer: std::net::SocketAddr,
    clients: &TaskTracker,
    stopping: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let proxy = proxy.clone();
    let service = service_fn(move |request| {
        let proxy = proxy.clone();
        async move { Ok::<_, std::convert::Infallible>(proxy.handle(request, peer.ip()).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(100)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    clients.spawn(async move {
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping.cancelled() => {
                // The request in flight is answered, with `Connection: close`.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(e) = ended {
            tracing::debug!(error = %e, "a client's connection ended badly");
        }
    });
}

fn serve_admin(proxy: Arc<Proxy>, kept: PathBuf, stream: tokio::net::UnixStream) {
    let service = service_fn(move |request| {
        let (proxy, kept) = (proxy.clone(), kept.clone());
        async move { Ok::<_, std::convert::Infallible>(admin::answer(proxy, kept, request).await) }
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
}

fn read_table(path: &Path) -> std::io::Result<Option<RouteTable>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(std::io::Error::other),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Keeps a table so that it is there whole or not at all.
pub(crate) fn keep_table(path: &Path, table: &RouteTable) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(&serde_json::to_vec(table)?)?;
    file.sync_data()?;
    std::fs::rename(fresh, path)
}
