//! The access log: a JSON line per request, written by one thread, never in a request's way. The query string is
//! left out: it may hold what is secret.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use http::Method;
use serde::Serialize;
use windlass_kernel::{Clock, Timestamp};

/// A file larger than this is moved aside; one old file is kept.
const LARGE: u64 = 64 << 20;

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
    pub(crate) duration_ms: f64,
}

/// Where entries go.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    lines: SyncSender<Vec<u8>>,
    clock: Arc<dyn Clock>,
}

impl Entry {
    pub(crate) fn new(id: &str, method: &Method, path: &str, client: IpAddr) -> Self {
        Self {
            at: Timestamp::default(),
            id: id.to_owned(),
            client,
            method: method.to_string(),
            host: String::new(),
            path: path.chars().take(1024).collect(),
            service: String::new(),
            instance: String::new(),
            // What a client that went away before the answer is logged as.
            status: 499,
            bytes: 0,
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
            let _ = self.lines.try_send(line);
        }
    }
}

fn append(path: &PathBuf) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn write_all(mut file: File, path: &PathBuf, incoming: &Receiver<Vec<u8>>) {
    let mut size = file.metadata().map_or(0, |m| m.len());
    while let Ok(line) = incoming.recv() {
        // Failing to log must not stop traffic; the next line tries again.
        if file.write_all(&line).is_ok() {
            size += line.len() as u64;
        }
        if size > LARGE && std::fs::rename(path, path.with_extension("log.1")).is_ok() {
            match append(path) {
                Ok(fresh) => (file, size) = (fresh, 0),
                Err(_) => size = 0,
            }
        }
    }
}
