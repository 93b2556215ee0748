//! One instance as the gateway sees it: its idle connections, what is in flight, and whether it has left the table.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::exchange::RequestBody;

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Idle connections kept to one instance.
const MOST_IDLE: usize = 64;
/// How long an idle connection is kept.
const IDLE_FOR: Duration = Duration::from_secs(20);
/// How long a connection may have been idle for a request that cannot be sent twice. An instance may close an idle
/// connection at the very moment at which a request is written to it; servers do so after a second or more.
const IDLE_FOR_UNREPEATABLE: Duration = Duration::from_millis(500);
/// The most bytes of an answer's head, and of what is read ahead of a slow client.
const BUFFER: usize = 64 << 10;
/// How long an instance that refused a connection is asked last.
const SHUN_FOR: Duration = Duration::from_secs(2);

/// One instance.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    in_flight: AtomicUsize,
    retired: AtomicBool,
    shunned_until: AtomicU64,
    idle: Mutex<Vec<Idle>>,
    born: Instant,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A place in a backend's count of what is in flight; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(std::sync::Arc<Backend>);

/// Why an instance gave no answer.
#[derive(Debug)]
pub(crate) enum SendFailure {
    /// Nothing was sent: the same request may go elsewhere.
    Unsent(Box<Request<RequestBody>>, String),
    /// It was sent, and the connection ended without an answer.
    Broken(String),
}

impl Backend {
    pub(crate) fn new(id: String, address: SocketAddr) -> Self {
        Self {
            id,
            address,
            in_flight: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            shunned_until: AtomicU64::new(0),
            idle: Mutex::new(Vec::new()),
            born: Instant::now(),
        }
    }

    /// Takes a place, unless the instance has left the table.
    ///
    /// The count is raised before the flag is read, and [`Self::retire`] sets the flag before anybody reads the
    /// count (both sequentially consistent): so either this request sees that the instance has left, or whoever
    /// waits for it to drain sees this request. No request can slip in between.
    pub(crate) fn enter(self: &std::sync::Arc<Self>) -> Option<Place> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let place = Place(self.clone());
        if self.retired.load(Ordering::SeqCst) { None } else { Some(place) }
    }

    /// The instance leaves the table: nothing new enters, and idle connections are closed.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        self.idle_list().clear();
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Whether it refused a connection a moment ago.
    pub(crate) fn shunned(&self) -> bool {
        self.age() < self.shunned_until.load(Ordering::Relaxed)
    }

    fn shun(&self) {
        self.shunned_until.store(self.age() + SHUN_FOR.as_millis() as u64, Ordering::Relaxed);
    }

    fn age(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }

    fn idle_list(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take_idle(&self, idle_for: Duration) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle_list();
        idle.retain(Idle::is_alive);
        // The youngest first. One that is not ready is finishing its last exchange, and stays.
        let found = idle.iter().rposition(|i| i.sender.is_ready() && i.since.elapsed() < idle_for)?;
        Some(idle.remove(found).sender)
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.idle_list();
        if !self.retired.load(Ordering::SeqCst) && !sender.is_closed() && idle.len() < MOST_IDLE {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// Closes connections that have been idle for too long: a server with few workers may need them.
    pub(crate) fn sweep(&self) {
        self.idle_list().retain(Idle::is_alive);
    }

    /// Sends a request: over an idle connection if there is one that takes it, else over a new one.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        repeatable: bool,
    ) -> Result<(Response<Incoming>, SendRequest<RequestBody>), SendFailure> {
        let idle_for = if repeatable { IDLE_FOR } else { IDLE_FOR_UNREPEATABLE };
        while let Some(mut sender) = self.take_idle(idle_for) {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut e) => match e.take_message() {
                    Some(message) => request = message,
                    None => {
                        // Its like are suspect too: the next try opens a new one.
                        self.idle_list().clear();
                        return Err(SendFailure::Broken(e.into_error().to_string()));
                    }
                },
            }
        }
        let mut sender = match self.connect().await {
            Ok(sender) => sender,
            Err(why) => {
                self.shun();
                return Err(SendFailure::Unsent(Box::new(request), why));
            }
        };
        match sender.try_send_request(request).await {
            Ok(response) => Ok((response, sender)),
            Err(mut e) => Err(match e.take_message() {
                Some(message) => {
                    SendFailure::Unsent(Box::new(message), "the connection closed at once".into())
                }
                None => SendFailure::Broken(e.into_error().to_string()),
            }),
        }
    }

    async fn connect(&self) -> Result<SendRequest<RequestBody>, String> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address))
            .await
            .map_err(|_| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))?
            .map_err(|e| e.to_string())?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| e.to_string())?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }
}

impl Idle {
    fn is_alive(&self) -> bool {
        !self.sender.is_closed() && self.since.elapsed() < IDLE_FOR
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Place {
    pub(crate) fn backend(&self) -> &std::sync::Arc<Backend> {
        &self.0
    }
}
