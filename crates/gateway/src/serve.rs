//! Listening, and stopping without cutting anybody off.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{self, setsockopt, sockopt};
use nix::sys::stat::{Mode, fchmod};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windlass_kernel::Clock;

use crate::access::AccessLog;
use crate::admin::{self, Admin};
use crate::admission::{Admission, Limits};
use crate::framing::{MOST_FIELDS, MOST_HEAD};
use crate::gate::{Gate, Wire};
use crate::proxy::Proxy;
use crate::table::RouteTable;

/// How long a busy client has, once the gateway stops, to hear from an answer that it must connect anew. Idle
/// connections are closed only then: a request may be on its way over them.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often idle connections to instances are looked through.
const SWEEP: Duration = Duration::from_secs(5);
/// How long to wait when no connection can be accepted, for want of descriptors mostly.
const BREATH: Duration = Duration::from_millis(50);
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 60\r\nretry-after: 5\r\nconnection: close\r\n\r\n\
    503 Service Unavailable: there are too many connections now\n";

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

/// All that serves clients.
struct Front {
    proxy: Arc<Proxy>,
    limits: Arc<Limits>,
    admission: Arc<Admission>,
    clients: TaskTracker,
    stopping: CancellationToken,
}

/// Serves until `stop` resolves; then lets what is in flight end, for up to 10 seconds.
pub async fn run(config: GatewayConfig, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    run_limited(config, Limits::default(), stop).await
}

/// As [`run`], with other limits.
pub async fn run_limited(
    config: GatewayConfig,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let access = AccessLog::open(config.access_log, config.clock.clone())?;
    let prefix = format!("{:x}", config.clock.now().as_millis());
    let proxy = Arc::new(Proxy::new(access, prefix));
    load_table(&proxy, &config.table_file);
    config.listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(config.listener)?;
    let background = TaskTracker::new();
    let ended = CancellationToken::new();
    let admin_socket = listen_admin(&config.admin_socket)?;
    let admission = Arc::new(Admission::new(&limits, raise_file_limit()));
    let kept = Arc::new(config.table_file.into());
    let admin = Admin { proxy: proxy.clone(), admission: admission.clone(), kept };
    background.spawn(ended.clone().run_until_cancelled_owned(serve_admin(Arc::new(admin), admin_socket)));
    background.spawn(ended.clone().run_until_cancelled_owned(tend(proxy.clone())));
    let front = Front {
        admission,
        limits: Arc::new(limits),
        proxy,
        clients: TaskTracker::new(),
        stopping: CancellationToken::new(),
    };
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => front.serve(stream, peer),
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                }
            },
            () = &mut stop => break,
        }
    }
    // Whoever has connected by now is served; whoever connects later finds the next gateway's listener.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        front.serve(stream, peer);
    }
    drop(listener);
    front.finish().await;
    ended.cancel();
    background.close();
    background.wait().await;
    Ok(())
}

impl Front {
    fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let client: IpAddr = peer.ip();
        let Some(permit) = self.admission.admit(client) else {
            self.proxy.metrics.turned_away();
            // Said if it can be said at once; nothing is kept for a connection that is not served.
            let _ = stream.into_std().and_then(|mut s| s.write(TURNED_AWAY));
            return;
        };
        let _ = stream.set_nodelay(true);
        keep_alive(&stream);
        let wire = Arc::new(Wire::default());
        let gate = Gate::new(stream, wire.clone(), self.limits.clone(), permit);
        let proxy = self.proxy.clone();
        let service = service_fn(move |request| {
            let (proxy, wire) = (proxy.clone(), wire.clone());
            async move { Ok::<_, std::convert::Infallible>(proxy.handle(request, client, &wire).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_headers(MOST_FIELDS + 1)
            .max_buf_size(2 * MOST_HEAD)
            .serve_connection(TokioIo::new(gate), service)
            .with_upgrades();
        let stopping = self.stopping.clone();
        self.clients.spawn(async move {
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

    /// Lets clients go: the busy ones with their next answer, the idle ones after it, all within the time there is.
    async fn finish(&self) {
        self.proxy.close();
        self.clients.close();
        if tokio::time::timeout(FAREWELL.min(self.limits.drain), self.clients.wait()).await.is_err() {
            self.stopping.cancel();
            if tokio::time::timeout(self.limits.drain, self.clients.wait()).await.is_err() {
                tracing::warn!("some requests did not end within {} s", self.limits.drain.as_secs());
            }
        }
        let proxy = self.proxy.clone();
        let _ = tokio::task::spawn_blocking(move || proxy.access.flush()).await;
    }
}

/// Notices clients that vanished without a word, on connections that may be silent for long (WebSockets).
fn keep_alive(stream: &TcpStream) {
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &60);
    let _ = setsockopt(stream, sockopt::TcpKeepInterval, &15);
    let _ = setsockopt(stream, sockopt::TcpKeepCount, &4);
}

/// Every connection needs a descriptor or two: takes as many as the process may have, and says how many.
fn raise_file_limit() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let wanted = hard.min(65_536).max(soft);
    let got = if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    usize::try_from(got).unwrap_or(usize::MAX)
}

/// What is to be done from time to time.
async fn tend(proxy: Arc<Proxy>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        proxy.switchboard.sweep();
    }
}

async fn serve_admin(admin: Arc<Admin>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => serve_control(admin.clone(), stream),
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept control's connection");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn serve_control(admin: Arc<Admin>, stream: UnixStream) {
    let service = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, std::convert::Infallible>(admin::answer(admin, request).await) }
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
}

/// Binds control's socket so that at no moment anybody but the owner may connect.
fn listen_admin(path: &Path) -> std::io::Result<UnixListener> {
    let _ = std::fs::remove_file(path);
    let flags = socket::SockFlag::SOCK_CLOEXEC | socket::SockFlag::SOCK_NONBLOCK;
    let fd = socket::socket(socket::AddressFamily::Unix, socket::SockType::Stream, flags, None)?;
    // The file that `bind` makes takes its mode from the socket.
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket::bind(fd.as_raw_fd(), &socket::UnixAddr::new(path)?)?;
    socket::listen(&fd, socket::Backlog::new(128)?)?;
    UnixListener::from_std(fd.into())
}

/// Starts from the table kept. Whatever is wrong with it must not keep the gateway from starting: control will send
/// another.
fn load_table(proxy: &Proxy, path: &Path) {
    let loaded = read_table(path).and_then(|table| match table {
        Some(table) => proxy.switchboard.swap(table, &proxy.metrics).map_err(std::io::Error::other),
        None => Ok(()),
    });
    if let Err(e) = loaded {
        tracing::error!(error = %e, path = %path.display(), "the kept route table cannot be used; waiting for control to send one");
    }
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
    let mut file: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec(table)?)?;
    file.sync_data()?;
    std::fs::rename(fresh, path)
}
