//! Copies by `skopeo`, with a memory of blobs of its own that begins empty: the machine's grows with every copy, and with
//! it the time that each takes.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;

use super::Peer;

/// Linux's folder in memory.
const MEMORY: &str = "/dev/shm";

/// A skopeo, and where it keeps what.
pub(super) struct Skopeo {
    folder: PathBuf,
    /// In memory where that can be had.
    near: TempDir,
    in_memory: bool,
}

/// Which way is copied.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// From this layout.
    Push(&'a Path),
    /// To where skopeo's own memory lies.
    Pull,
    /// To the disk.
    PullToDisk,
}

impl Skopeo {
    pub(super) fn new(folder: &Path, peers: &[Peer]) -> Result<Self> {
        let memory = tempfile::Builder::new().prefix("windlass-bench-").tempdir_in(MEMORY);
        let in_memory = memory.is_ok();
        let near = memory.or_else(|_| TempDir::new_in(folder))?;
        log_in(folder, peers)?;
        Ok(Self { folder: folder.to_owned(), near, in_memory })
    }

    pub(super) fn remembers_in_memory(&self) -> bool {
        self.in_memory
    }

    /// Copies images to or from a registry, one after the other.
    pub(super) async fn copy(
        &self,
        peer: &Peer,
        repository: &str,
        tags: &[String],
        way: Way<'_>,
    ) -> Result<Duration> {
        let memory = self.near.path().join("memory");
        let _ = std::fs::remove_dir_all(&memory);
        std::fs::create_dir(&memory)?;
        let back = if matches!(way, Way::PullToDisk) { &self.folder } else { self.near.path() };
        let back = back.join("back");
        let mut took = Duration::ZERO;
        for tag in tags {
            let _ = std::fs::remove_dir_all(&back);
            let remote = format!("docker://{}/{repository}:{tag}", peer.host);
            let mut command = Command::new("skopeo");
            command.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests"]).env("NO_PROXY", "*");
            // Containers' tools take their user's folder for their memory when they are told that they have no root.
            command.env("_CONTAINERS_ROOTLESS_UID", "1000").env("XDG_DATA_HOME", &memory);
            command.arg("--authfile").arg(self.folder.join("logins.json"));
            if let Way::Push(layout) = way {
                command
                    .arg("--dest-tls-verify=false")
                    .args([format!("oci:{}:{tag}", layout.display()), remote]);
            } else {
                command.arg("--src-tls-verify=false").args([remote, format!("oci:{}:{tag}", back.display())]);
            }
            let began = Instant::now();
            let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
            took += began.elapsed();
            let done = done.context("skopeo does not start: install it")?;
            if !done.status.success() {
                bail!("skopeo with {}: {}", peer.name, String::from_utf8_lossy(&done.stderr).trim());
            }
        }
        let _ = std::fs::remove_dir_all(&back);
        Ok(took)
    }
}

/// Tells skopeo of the logins in a file: arguments can be seen by others.
fn log_in(folder: &Path, peers: &[Peer]) -> Result<()> {
    let mut logins = serde_json::Map::new();
    for peer in peers {
        if let Some(token) = &peer.token {
            let auth = STANDARD.encode(format!("admin:{}", token.expose()));
            logins.insert(peer.host.clone(), serde_json::json!({ "auth": auth }));
        }
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join("logins.json"))?;
    Ok(file.write_all(serde_json::json!({ "auths": logins }).to_string().as_bytes())?)
}
