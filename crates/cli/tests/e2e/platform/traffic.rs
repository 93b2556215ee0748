//! Requests over plain sockets, one connection each, so that nothing is retried behind the test's back.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Platform;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One request on a connection of its own.
pub(crate) fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Reply> {
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| {
        std::io::Error::other(format!("no whole answer: {:?}", String::from_utf8_lossy(&bytes)))
    })
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let field = |name: &str| {
        head.lines().find_map(|l| {
            let (key, value) = l.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let body = if field("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        dechunk(body)?
    } else {
        if let Some(length) = field("content-length").and_then(|l| l.parse::<usize>().ok())
            && body.len() < length
        {
            return None;
        }
        body.to_owned()
    };
    Some(Reply { status, head: head.to_owned(), body })
}

fn dechunk(mut text: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body += rest.get(..size)?;
        text = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

/// `GET path` through the gateway, for a host.
pub(crate) fn request(platform: &Platform, host: &str, path: &str) -> std::io::Result<Reply> {
    let address = platform.gateway.trim_start_matches("http://");
    send(address, "GET", path, &[("Host", host)], b"")
}

/// `GET path` of control, as the data directory's owner.
pub(crate) fn page(platform: &Platform, path: &str) -> Reply {
    let bearer = format!("Bearer {}", platform.token);
    send(platform.address(), "GET", path, &[("Authorization", &bearer)], b"").unwrap()
}

#[derive(Debug, Default)]
struct Count {
    sent: u64,
    failures: Vec<String>,
    answers: BTreeMap<String, u64>,
}

/// Steady traffic to a host until it is stopped.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    count: Arc<Mutex<Count>>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    pub(crate) fn start(platform: &Platform, host: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(Mutex::new(Count::default()));
        let address = platform.gateway.trim_start_matches("http://").to_owned();
        let host = host.to_owned();
        let thread = std::thread::spawn({
            let (stop, count) = (stop.clone(), count.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let reply = send(&address, "GET", "/", &[("Host", &host)], b"");
                    let mut count = count.lock().unwrap();
                    count.sent += 1;
                    match reply {
                        Ok(reply) if reply.status == 200 => {
                            *count.answers.entry(reply.body.trim().to_owned()).or_default() += 1;
                        }
                        Ok(reply) => count.failures.push(format!("{} {}", reply.status, reply.body)),
                        Err(e) => count.failures.push(e.to_string()),
                    }
                    drop(count);
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        Self { stop, count, thread: Some(thread) }
    }

    /// How many answers said exactly this so far.
    pub(crate) fn answers(&self, text: &str) -> u64 {
        self.count.lock().unwrap().answers.get(text).copied().unwrap_or(0)
    }

    /// Requests sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.count.lock().unwrap().sent
    }

    /// Stops; gives what went wrong.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.end();
        std::mem::take(&mut self.count.lock().unwrap().failures)
    }

    /// Stops; not one request may have failed.
    #[track_caller]
    pub(crate) fn stop_unharmed(self) -> u64 {
        let sent = self.sent();
        let failures = self.stop();
        assert!(failures.is_empty(), "{} of {sent} requests failed: {failures:#?}", failures.len());
        sent
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.end();
    }
}
