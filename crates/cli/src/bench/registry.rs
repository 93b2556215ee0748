//! The registry beside Debian's `docker-registry`: by turns, in one run, each on a folder of its own on one disk.

mod image;
mod pulls;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as StdCommand, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;
use tokio::time::Instant;
use windlass_kernel::Secret;

use super::processes::{most, naming};
use super::report::{Samples, Section};
use crate::demo::{Place, Stage};

/// The large layer, in bytes.
const LARGE: u64 = 1 << 30;
/// The small ones: so many images, of so many layers, of so many bytes.
const IMAGES: usize = 10;
const LAYERS: usize = 100;
const SMALL: u64 = 100_000;
/// How often each is measured, at most.
const TIMES: usize = 3;

/// A registry that is measured.
struct Peer {
    name: &'static str,
    host: String,
    token: Option<Secret<String>>,
}

/// Debian's registry, ended with the measurement.
struct Other {
    child: Child,
    host: String,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one piece of work took of each.
struct Work {
    what: String,
    ours: Vec<Duration>,
    theirs: Vec<Duration>,
}

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let stage = Stage::start(Place::new(None)?, crate::up::default_slots()).await?;
    let measured = beside(&stage, count.clamp(1, TIMES)).await;
    stage.stop().await?;
    measured
}

async fn beside(stage: &Stage, count: usize) -> Result<Section> {
    let folder = stage.place().folder("registry")?;
    let other = Other::start(&folder).await?;
    let token = Some(Secret::new(stage.data().local_token()?));
    let host = stage.page("").trim_start_matches("http://").to_owned();
    let ours = Peer { name: "windlass", host, token };
    let theirs = Peer { name: "docker-registry", host: other.host.clone(), token: None };
    log_in(&folder, &ours)?;
    let large = folder.join("large");
    image::make(&large, &[("v1".to_owned(), 1)], LARGE)?;
    let small = folder.join("small");
    let names: Vec<(String, usize)> = (0..IMAGES).map(|n| (format!("v{n}"), LAYERS)).collect();
    image::make(&small, &names, SMALL)?;
    let mut works = Vec::new();
    for (what, source, tags) in [
        ("1 × 1 GB", &large, vec!["v1".to_owned()]),
        ("1,000 × 100 kB, ten images", &small, names.iter().map(|n| n.0.clone()).collect()),
    ] {
        let [mut push, mut pull] = [format!("push of {what}"), format!("pull of {what}")].map(Work::new);
        let repository = if tags.len() > 1 { "bench/small" } else { "bench/large" };
        // Once only: bytes that were pushed before are not sent again.
        for peer in [&ours, &theirs] {
            push.add(peer, copied(peer, source, &folder, repository, &tags, true).await?);
        }
        for _ in 0..count {
            for peer in [&ours, &theirs] {
                pull.add(peer, copied(peer, source, &folder, repository, &tags, false).await?);
            }
        }
        works.extend([push, pull]);
    }
    let mut many = Work::new("200 pulls of one image at a time (100 layers of 100 kB)".to_owned());
    for _ in 0..count {
        for peer in [&ours, &theirs] {
            let began = Instant::now();
            pulls::together(&peer.host, peer.token.as_ref(), "bench/small", "v0").await?;
            many.add(peer, began.elapsed());
        }
    }
    works.push(many);
    let memory = [control_memory(stage), most(other.child.id())];
    Ok(section(&works, memory))
}

impl Work {
    fn new(what: String) -> Self {
        Self { what, ours: Vec::new(), theirs: Vec::new() }
    }

    fn add(&mut self, peer: &Peer, took: Duration) {
        if peer.name == "windlass" { self.ours.push(took) } else { self.theirs.push(took) }
    }
}

fn section(works: &[Work], memory: [Option<u64>; 2]) -> Section {
    let how = "`windlass up` and `docker-registry serve` (Debian's, with a file system and no authentication) on one disk, by turns; \
               Windlass with its tokens. Pushes and pulls by `skopeo` from and to an OCI layout, one image after the other; \
               200 pulls at a time by a client of this program that reads every blob of the image over a connection of its own each. \
               A ratio below 1 is Windlass being faster.";
    let mut section = Section::new("registry", "Registry", how, &["work", "who", "time", "spread", "ratio"]);
    for work in works {
        let (ours, theirs) = (Samples::new(work.ours.clone()), Samples::new(work.theirs.clone()));
        for (who, samples) in [("windlass", &ours), ("docker-registry", &theirs)] {
            let ratio = samples.median().as_secs_f64() / theirs.median().as_secs_f64().max(f64::MIN_POSITIVE);
            section.row([
                work.what.clone(),
                who.to_owned(),
                super::report::millis(samples.median()),
                samples.spread(),
                format!("{ratio:.2}"),
            ]);
        }
    }
    let told = |kilobytes: Option<u64>| {
        kilobytes.map_or_else(|| "not known".to_owned(), |kb| format!("{:.0} MB", kb as f64 * 1.024 / 1000.0))
    };
    section.note(format!(
        "Most memory at a time, over all of it: {} (control, with the pages, the API and everything else), {} (docker-registry).",
        told(memory[0]),
        told(memory[1])
    ));
    section.note("skopeo's own time is in every row but the last: it remembers where it saw each blob, which takes it longer the more there are.");
    section
}

/// Tells skopeo of the login in a file: arguments can be seen by others.
fn log_in(folder: &Path, peer: &Peer) -> Result<()> {
    let token = peer.token.as_ref().map(|t| STANDARD.encode(format!("admin:{}", t.expose())));
    let logins = serde_json::json!({ "auths": { &peer.host: { "auth": token } } });
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join("logins.json"))?;
    Ok(file.write_all(logins.to_string().as_bytes())?)
}

/// The most memory that control of this data directory had.
fn control_memory(stage: &Stage) -> Option<u64> {
    let pids = naming(&stage.data().root().display().to_string());
    pids.into_iter().find(|pid| super::processes::name(*pid) == "control").and_then(most)
}

/// Copies images to or from a registry, one after the other.
async fn copied(
    peer: &Peer,
    layout: &Path,
    scratch: &Path,
    repository: &str,
    tags: &[String],
    push: bool,
) -> Result<Duration> {
    let back = scratch.join("back");
    let mut took = Duration::ZERO;
    for tag in tags {
        let _ = std::fs::remove_dir_all(&back);
        let local = if push { layout } else { &back };
        let remote = format!("docker://{}/{repository}:{tag}", peer.host);
        let local = format!("oci:{}:{tag}", local.display());
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests"]).env("NO_PROXY", "*");
        let side = if push { "dest" } else { "src" };
        command.arg(format!("--{side}-tls-verify=false"));
        command.arg("--authfile").arg(scratch.join("logins.json"));
        if push {
            command.args([&local, &remote])
        } else {
            command.args([&remote, &local])
        };
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

impl Other {
    async fn start(folder: &Path) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = format!("127.0.0.1:{port}");
        let root: PathBuf = folder.join("docker-registry");
        let config = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  cache:\n    blobdescriptor: inmemory\n  \
             filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: \"{host}\"\n",
            root.display()
        );
        let file = folder.join("docker-registry.yml");
        std::fs::write(&file, config)?;
        let mut command = StdCommand::new("docker-registry");
        command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("docker-registry does not start: install Debian's package")?;
        let other = Self { child, host };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(&other.host).await.is_ok() {
                return Ok(other);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("docker-registry does not answer")
    }
}
