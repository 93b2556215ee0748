//! Requests to a service through the gateway, over connections that are kept: steady traffic whose every answer is
//! counted, and as much as goes for a measurement. Always bounded: in rate, in connections, or in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How long an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many failures are kept in words.
const KEPT: usize = 20;

/// Where requests go: an address on this machine, and the host that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
}

impl Target {
    /// The target behind a service's URL, such as `http://tasks.production.localhost:7780`: the gateway on this machine.
    pub(crate) fn of(url: &str, gateway: &str) -> Result<Self> {
        let host = url.strip_prefix("http://").unwrap_or(url).split('/').next().unwrap_or_default();
        let address = gateway.strip_prefix("http://").unwrap_or(gateway).trim_end_matches('/');
        let address =
            address.parse().with_context(|| format!("the gateway's address {gateway} cannot be read"))?;
        Ok(Self { address, host: host.to_owned() })
    }
}

/// What became of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Requests sent.
    pub(crate) sent: u64,
    /// Those that were not answered with a 2xx.
    pub(crate) failed: u64,
    /// The first failures, in words.
    pub(crate) failures: Vec<String>,
    /// How long each answer took, in microseconds.
    pub(crate) micros: Vec<u32>,
}

impl Tally {
    fn add(&mut self, outcome: Result<StatusCode, String>, what: &str, took: Duration) {
        self.sent += 1;
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        let why = match outcome {
            Ok(status) if status.is_success() => return,
            Ok(status) => format!("{what}: {status}"),
            Err(why) => format!("{what}: {why}"),
        };
        self.failed += 1;
        if self.failures.len() < KEPT {
            self.failures.push(why);
        }
    }

    fn join(&mut self, other: Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(KEPT);
        self.micros.extend(other.micros);
    }

    /// The latency below which `percent` of the answers lie.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let at = ((sorted.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        Duration::from_micros(u64::from(sorted.get(at).copied().unwrap_or(0)))
    }
}

/// One connection that is kept as long as the other side keeps it.
#[derive(Debug)]
pub(crate) struct Lane {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Lane {
    /// A lane to this target; it connects when it is first used.
    pub(crate) fn new(target: &Target) -> Self {
        Self { target: target.clone(), sender: None }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: &str,
    ) -> Result<(StatusCode, Bytes), String> {
        match timeout(PATIENCE, self.exchange(method, path, body)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => {
                self.sender = None;
                Err(why)
            }
            Err(_) => {
                self.sender = None;
                Err(format!("no answer within {} s", PATIENCE.as_secs()))
            }
        }
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: &str,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.target.host);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).map_err(|e| e.to_string())?;
        let sender = self.ready().await?;
        let answer = sender.send_request(request).await.map_err(|e| format!("the connection broke: {e}"))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|e| format!("the answer broke off: {e}"))?;
        Ok((status, body.to_bytes()))
    }

    /// A connection that takes a request now: one that the other side closed in between is opened anew.
    async fn ready(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, String> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream =
                TcpStream::connect(self.target.address).await.map_err(|e| format!("cannot connect: {e}"))?;
            let _ = stream.set_nodelay(true);
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender.as_mut().ok_or_else(|| "no connection".to_owned())
    }
}

/// Steady traffic under way.
#[derive(Debug)]
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    workers: Vec<JoinHandle<Tally>>,
}

impl Traffic {
    /// Sends `rate` requests per second over `lanes` connections, until it is stopped.
    pub(crate) fn start(target: &Target, rate: u32, lanes: u32) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let pause = Duration::from_secs(1) * lanes / rate.max(1);
        let worker = |number| {
            let (target, stop, sent) = (target.clone(), stop.clone(), sent.clone());
            tokio::spawn(async move { steady(&target, pause, number, &stop, &sent).await })
        };
        let workers = (0..lanes).map(worker).collect();
        Self { stop, sent, workers }
    }

    /// Requests sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it; requests under way are waited for.
    pub(crate) async fn stop(self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for worker in self.workers {
            sum.join(worker.await.context("a worker of the traffic broke off")?);
        }
        Ok(sum)
    }
}

async fn steady(target: &Target, pause: Duration, number: u32, stop: &AtomicBool, sent: &AtomicU64) -> Tally {
    let (mut lane, mut tally) = (Lane::new(target), Tally::default());
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut turn = u64::from(number);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let (method, path, body) = mixed(turn);
        turn += 1;
        let begin = Instant::now();
        let outcome = lane.send(method.clone(), path, body).await.map(|(status, _)| status);
        tally.add(outcome, &format!("{method} {path}"), begin.elapsed());
        sent.fetch_add(1, Ordering::Relaxed);
    }
    tally
}

/// What a task manager is asked: mostly lists, some writing.
fn mixed(turn: u64) -> (Method, &'static str, &'static str) {
    match turn % 10 {
        0 => (Method::POST, "/tasks", r#"{"title":"traffic"}"#),
        5 => (Method::GET, "/health", ""),
        _ => (Method::GET, "/tasks?limit=20", ""),
    }
}

/// Sends as much as goes over `lanes` connections for this long.
pub(crate) async fn flat_out(
    target: &Target,
    lanes: u32,
    time: Duration,
    method: Method,
    path: &str,
    body: &str,
) -> Result<Tally> {
    let end = Instant::now() + time;
    let mut workers = Vec::new();
    for _ in 0..lanes {
        let (mut lane, method, path, body) =
            (Lane::new(target), method.clone(), path.to_owned(), body.to_owned());
        workers.push(tokio::spawn(async move {
            let mut tally = Tally::default();
            while Instant::now() < end {
                let begin = Instant::now();
                let outcome = lane.send(method.clone(), &path, &body).await.map(|(status, _)| status);
                tally.add(outcome, &path, begin.elapsed());
            }
            tally
        }));
    }
    let mut sum = Tally::default();
    for worker in workers {
        sum.join(worker.await.context("a worker of the load broke off")?);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_target_is_the_gateway_with_the_services_host() {
        let target =
            Target::of("http://tasks.production.localhost:7780/x", "http://127.0.0.1:7780/").unwrap();
        assert_eq!(
            (target.address.to_string().as_str(), target.host.as_str()),
            ("127.0.0.1:7780", "tasks.production.localhost:7780")
        );
        assert!(Target::of("http://x", "http://nowhere").is_err());
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let tally = Tally { micros: (1..=100).rev().collect(), ..Tally::default() };
        assert_eq!(tally.percentile(50.0), Duration::from_micros(50));
        assert_eq!(tally.percentile(99.0), Duration::from_micros(99));
        assert_eq!(Tally::default().percentile(50.0), Duration::ZERO);
    }

    /// Answers each connection's requests with these answers in turn, then closes it.
    async fn server(answers: &'static [&'static str]) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0u8; 4096];
                    for answer in answers {
                        if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                            return;
                        }
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        Target { address, host: "x".into() }
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const GOOD_LAST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    const BAD: &str = "HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno";
    const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok";

    #[tokio::test]
    async fn a_connection_that_was_closed_properly_loses_nothing() {
        let mut lane = Lane::new(&server(&[GOOD, GOOD_LAST]).await);
        for _ in 0..5 {
            let (status, body) = lane.send(Method::GET, "/", "").await.unwrap();
            assert_eq!((status, body.as_ref()), (StatusCode::OK, b"ok".as_ref()));
        }
    }

    #[tokio::test]
    async fn refusals_and_broken_answers_are_counted() {
        let tally = flat_out(&server(&[BAD, CUT]).await, 1, Duration::from_millis(50), Method::GET, "/", "")
            .await
            .unwrap();
        assert!(tally.sent > 0);
        assert_eq!(tally.failed, tally.sent, "{:?}", tally.failures);
        assert!(tally.failures.len() <= KEPT);
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target { address: listener.local_addr().unwrap(), host: "x".into() };
        drop(listener);
        let error = Lane::new(&target).send(Method::GET, "/", "").await.unwrap_err();
        assert!(error.contains("cannot connect"), "{error}");
    }
}
