//! The access log: a JSON line per request, written by one thread, never in a request's way. The query string is
//! left out: it may hold what is secret.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use http::Method;
use serde::Serialize;
use windlass_kernel::{Clock, Timestamp};

/// A file larger than this is moved aside; one old file is kept.
const LARGE: u64 = 64 << 20;
/// How long the last lines may take to reach the disk when the gateway stops.
const FLUSH: Duration = Duration::from_secs(2);

/// One request.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) id: String,
    pub(crate) client: IpAddr,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    /// Whether the answer ended before it was whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) broken: bool,
    pub(crate) duration_ms: f64,
}

/// Where entries go.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    lines: SyncSender<Line>,
    clock: Arc<dyn Clock>,
}

enum Line {
    Entry(Vec<u8>),
    /// All lines before it are to be written, then this is told.
    Flush(SyncSender<()>),
}

impl Entry {
    pub(crate) fn new(id: String, method: &Method, path: &str, client: IpAddr) -> Self {
        Self {
            at: Timestamp::default(),
            id,
            client,
            method: method.to_string(),
            host: String::new(),
            path: path.chars().take(1024).collect(),
            service: String::new(),
            instance: String::new(),
            // What a client that went away before the answer is logged as.
            status: 499,
            bytes: 0,
            broken: false,
            duration_ms: 0.0,
        }
    }
}

impl AccessLog {
    /// A log in `path`. Entries beyond what the disk takes are dropped, not waited for.
    pub(crate) fn open(path: PathBuf, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let file = append(&path)?;
        let (lines, incoming) = sync_channel(4096);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(file, &path, &incoming))?;
        Ok(Self { lines, clock })
    }

    /// Stamps and writes an entry.
    pub(crate) fn write(&self, entry: &mut Entry) {
        entry.at = self.clock.now();
        if let Ok(mut line) = serde_json::to_vec(entry) {
            line.push(b'\n');
            let _ = self.lines.try_send(Line::Entry(line));
        }
    }

    /// Waits until what was written so far is in the file. Blocks.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.lines.send(Line::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn write_all(mut file: File, path: &Path, incoming: &Receiver<Line>) {
    let mut size = file.metadata().map_or(0, |m| m.len());
    let mut torn = false;
    while let Ok(first) = incoming.recv() {
        // What has piled up goes in one write.
        let (mut lines, mut told) = (Vec::new(), Vec::new());
        if torn {
            lines.push(b'\n');
        }
        for line in std::iter::once(first).chain(incoming.try_iter().take(255)) {
            match line {
                Line::Entry(line) => lines.extend_from_slice(&line),
                Line::Flush(done) => told.push(done),
            }
        }
        // Failing to log must not stop traffic; the next line tries again, on a line of its own.
        torn = !lines.is_empty() && file.write_all(&lines).is_err();
        size += lines.len() as u64;
        for done in told {
            let _ = done.send(());
        }
        if size > LARGE && std::fs::rename(path, path.with_extension("log.1")).is_ok() {
            if let Ok(fresh) = append(path) {
                file = fresh;
            }
            size = 0;
        }
    }
}
