//! `git http-backend` as a CGI program (RFC 3875): the request streams in, the answer streams out, nothing is kept whole.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use windlass_kernel::ProjectName;

use super::{Gate, HttpLimits, Reach, Service};
use crate::hook::{EVERYTHING, variable};
use crate::{Repositories, Repository, SourceError, git};

const CHUNK: usize = 64 * 1024;
const HEAD_LIMIT: usize = 16 * 1024;
/// How long the one who pushed waits for control to take note.
const NOTE_WAIT: Duration = Duration::from_secs(5);

/// One call of the backend.
pub(super) struct Call<'a> {
    pub(super) repositories: &'a Repositories,
    pub(super) repository: &'a Repository,
    pub(super) service: Service,
    pub(super) path: &'a str,
    pub(super) pusher: String,
    pub(super) reach: Reach,
    pub(super) push: String,
    pub(super) limits: HttpLimits,
}

impl Call<'_> {
    /// The largest pack that this pusher may send.
    fn push_bytes(&self) -> u64 {
        match self.reach {
            Reach::Everything => self.limits.push_bytes,
            Reach::Changes => self.limits.proposed_bytes,
        }
    }

    fn command(&self, request: &Request) -> Command {
        let project = self.repository.project();
        let config = [
            ("core.hooksPath", self.repositories.hooks().to_string_lossy().into_owned()),
            ("receive.maxInputSize", self.push_bytes().to_string()),
            ("receive.procReceiveRefs", "refs/for".to_owned()),
            // Ours alone: nobody pushes to them, and a push of everything does not try to delete them.
            ("receive.hideRefs", "refs/changes".to_owned()),
            ("receive.hideRefs", "refs/pull".to_owned()),
        ];
        let settings = self.repositories.config();
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env_clear()
            .envs(git::environment(self.repository.path(), &config))
            .env("GIT_PROJECT_ROOT", self.repositories.root())
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", format!("/{project}.git/{}", self.path))
            .env("REQUEST_METHOD", request.method().as_str())
            .env("REMOTE_USER", &self.pusher)
            .env("REMOTE_ADDR", "127.0.0.1")
            .env("GIT_COMMITTER_NAME", &self.pusher)
            .env("GIT_COMMITTER_EMAIL", "push@windlass.invalid")
            .env(variable::BIN, &settings.program)
            .env(variable::DATA, &settings.data)
            .env(variable::PROJECT, project.as_str())
            .env(variable::PUSHER, &self.pusher)
            .env(variable::PUSH, &self.push)
            .env(variable::PAGES, &settings.pages)
            .env(variable::REACH, if self.reach == Reach::Everything { EVERYTHING } else { "changes" })
            .current_dir(self.repositories.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.path == "info/refs" {
            command.env("QUERY_STRING", format!("service={}", self.service.name()));
        }
        let header = |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok());
        let passed = [
            ("CONTENT_TYPE", header(header::CONTENT_TYPE)),
            (
                "CONTENT_LENGTH",
                header(header::CONTENT_LENGTH).filter(|v| v.bytes().all(|b| b.is_ascii_digit())),
            ),
            ("HTTP_CONTENT_ENCODING", header(header::CONTENT_ENCODING)),
            ("GIT_PROTOCOL", header(HeaderName::from_static("git-protocol")).filter(|v| protocol_ok(v))),
        ];
        for (name, value) in passed {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
    }
}

/// `version=2`, and whatever else comes by that pattern.
fn protocol_ok(text: &str) -> bool {
    text.len() <= 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"=:.-_".contains(&b))
}

/// Runs the call. Returns once the head of the answer is there; the rest streams. When a push has ended,
/// whoever is `received` is told before the client is.
pub(super) async fn run(
    call: &Call<'_>,
    request: Request,
    permit: OwnedSemaphorePermit,
    received: Option<(Arc<dyn Gate>, ProjectName)>,
) -> Result<Response, SourceError> {
    let mut command = call.command(&request);
    let mut child = git::spawn(&mut command)?;
    let (Some(stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(SourceError::Answer { command: "http-backend".into(), what: "no pipes".into() });
    };
    let stderr = tokio::spawn(git::read_stderr(child.stderr.take()));
    let moved = Arc::new(AtomicU64::new(0));
    let limit = match call.service {
        // Git itself refuses a pack that is too large, with a better message; this is the fence behind it.
        Service::ReceivePack => call.push_bytes().saturating_add(64 << 20),
        Service::UploadPack => call.limits.negotiation_bytes,
    };
    tokio::spawn(feed(request.into_body().into_data_stream(), stdin, limit, call.limits.idle, moved.clone()));

    let pump = Pump { idle: call.limits.idle, moved, pushing: received.is_some() };
    let mut buffer = BytesMut::with_capacity(CHUNK);
    let Some(end) = pump.read_head(&mut stdout, &mut buffer).await? else {
        let _ = child.start_kill();
        let why = stderr.await.unwrap_or_default();
        return Err(SourceError::Git { command: "http-backend".into(), why });
    };
    let head = buffer.split_to(end);
    let response = parse_head(&head)?;

    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    tokio::spawn(async move {
        let whole = pump.run(&mut child, stdout, buffer, &sender).await;
        let status = child.wait().await;
        let said = stderr.await.unwrap_or_default();
        if !said.trim().is_empty() || !status.as_ref().is_ok_and(|s| s.success()) {
            tracing::warn!(?status, stderr = %said.trim(), "git http-backend complained");
        }
        if let Some((gate, project)) = received {
            let _ = tokio::time::timeout(NOTE_WAIT, gate.received(&project)).await;
        }
        if let Err(error) = whole {
            let _ = sender.send(Err(error)).await;
        }
        drop(permit);
    });
    let body = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    response
        .body(Body::from_stream(body))
        .map_err(|e| SourceError::Answer { command: "http-backend".into(), what: e.to_string() })
}

/// Moves the request's body into git. When it ends, breaks off, stands still or grows too large, git sees the end of its
/// input. When git has heard enough, the rest is read and thrown away: a client hears why only once it has sent its all.
async fn feed(
    mut body: BodyDataStream,
    mut stdin: ChildStdin,
    limit: u64,
    idle: Duration,
    moved: Arc<AtomicU64>,
) {
    let (mut total, mut listens) = (0u64, true);
    while let Ok(Some(Ok(chunk))) = tokio::time::timeout(idle, body.next()).await {
        total += chunk.len() as u64;
        if total > limit {
            return;
        }
        listens = listens && stdin.write_all(&chunk).await.is_ok();
        moved.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
    let _ = stdin.shutdown().await;
}

struct Pump {
    idle: Duration,
    /// Bytes that went in: an upload that takes long is not idle.
    moved: Arc<AtomicU64>,
    /// A push is never killed because its client went away: the refs may have moved already.
    pushing: bool,
}

impl Pump {
    /// Reads some more; 0 at the end. An error if nothing moved in either direction for too long.
    async fn read(&self, stdout: &mut ChildStdout, buffer: &mut BytesMut) -> std::io::Result<usize> {
        let mut before = self.moved.load(Ordering::Relaxed);
        loop {
            buffer.reserve(CHUNK);
            if let Ok(read) = tokio::time::timeout(self.idle, stdout.read_buf(buffer)).await {
                return read;
            }
            let now = self.moved.load(Ordering::Relaxed);
            if now == before {
                return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "git was idle for too long"));
            }
            before = now;
        }
    }

    /// Reads until the empty line; gives the length of the head with it. `None` if there is no head.
    async fn read_head(
        &self,
        stdout: &mut ChildStdout,
        buffer: &mut BytesMut,
    ) -> Result<Option<usize>, SourceError> {
        loop {
            let crlf = buffer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
            let end = crlf.or_else(|| buffer.windows(2).position(|w| w == b"\n\n").map(|at| at + 2));
            if end.is_some() {
                return Ok(end);
            }
            if buffer.len() > HEAD_LIMIT || self.read(stdout, buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn run(
        &self,
        child: &mut Child,
        mut stdout: ChildStdout,
        mut buffer: BytesMut,
        sender: &mpsc::Sender<Result<Bytes, std::io::Error>>,
    ) -> std::io::Result<()> {
        let mut gone = false;
        loop {
            if !buffer.is_empty() {
                let chunk = buffer.split().freeze();
                gone = gone || sender.send(Ok(chunk)).await.is_err();
                if gone && !self.pushing {
                    child.start_kill()?;
                    return Ok(());
                }
            }
            match self.read(&mut stdout, &mut buffer).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) => {
                    child.start_kill()?;
                    return Err(e);
                }
            }
        }
    }
}

/// The head of a CGI answer: `Status`, and the headers that git sets.
fn parse_head(head: &[u8]) -> Result<http::response::Builder, SourceError> {
    let bad = |what: &str| SourceError::Answer { command: "http-backend".into(), what: what.into() };
    let text = std::str::from_utf8(head).map_err(|_| bad("a head that is not text"))?;
    let mut response = Response::builder().status(StatusCode::OK);
    for line in text.lines().filter(|l| !l.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a head line without a colon"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|c| c.parse::<u16>().ok());
            let status =
                code.and_then(|c| StatusCode::from_u16(c).ok()).ok_or_else(|| bad("a strange status"))?;
            response = response.status(status);
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("a strange header"))?;
        let value = HeaderValue::from_str(value).map_err(|_| bad("a strange header's value"))?;
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            response = response.header(name, value);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let response =
            parse_head(b"Status: 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n");
        let response = response.unwrap().body(()).unwrap();
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers().len(), 1);
        assert_eq!(parse_head(b"Expires: x\r\n\r\n").unwrap().body(()).unwrap().status(), 200);
        for bad in [&b"nonsense\r\n\r\n"[..], b"Status: ok\r\n\r\n", b"a b: c\r\n\r\n", b"\xff: c\r\n\r\n"] {
            assert!(parse_head(bad).is_err());
        }
    }

    #[test]
    fn only_plain_protocol_versions_pass() {
        assert!(protocol_ok("version=2"));
        assert!(!protocol_ok("version=2\n") && !protocol_ok(&"x".repeat(101)) && !protocol_ok("a b"));
    }
}
