//! The registry beside Debian's `docker-registry`: by turns, in one run, each on a folder of its own on one disk; and
//! beside a registry that does nothing, which shows how much of it is the client's own time.

mod client;
mod floor;
mod image;
mod pulls;
mod pushes;
mod skopeo;

use std::path::{Path, PathBuf};
use std::process::{Child, Command as StdCommand, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;
use windlass_kernel::Secret;

use self::floor::Floor;
use self::skopeo::{Skopeo, Way};
use super::processes::{most, naming};
use super::report::{Samples, Section};
use crate::demo::{Place, Stage};

/// The large layer, in bytes.
const LARGE: u64 = 1 << 30;
/// The small ones: so many images, of so many layers, of so many bytes.
const IMAGES: usize = 10;
const LAYERS: usize = 100;
const SMALL: u64 = 100_000;
/// How often each is measured: a row without a spread says little.
const FEWEST: usize = 3;
const MOST: usize = 9;

/// A registry that is measured.
pub(super) struct Peer {
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
    what: &'static str,
    took: Vec<(&'static str, Vec<Duration>)>,
}

/// All that is measured.
struct Works(Vec<Work>);

const OURS: &str = "windlass";
const THEIRS: &str = "docker-registry";
const NOBODY: &str = "nothing (the client's own time)";

const LARGE_PUSH: &str = "push of 1 × 1 GB by skopeo";
const LARGE_PULL: &str = "pull of 1 × 1 GB by skopeo";
const SMALL_PUSH: &str = "push of 1,000 × 100 kB, ten images, by skopeo";
const SMALL_PULL: &str = "pull of 1,000 × 100 kB, ten images, by skopeo";
const OWN_PUSH: &str = "push of 1,000 × 100 kB, ten images, by 8 connections of this program";
const OWN_PULL: &str = "pull of 1,000 × 100 kB, ten images, by one connection of this program";
const MANY: &str = "200 pulls of one image at a time (100 layers of 100 kB)";

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let stage = Stage::start(Place::new(None)?, crate::up::default_slots()).await?;
    let measured = beside(&stage, count.clamp(FEWEST, MOST)).await;
    stage.stop().await?;
    measured
}

async fn beside(stage: &Stage, count: usize) -> Result<Section> {
    let folder = stage.place().folder("registry")?;
    let (other, floor) = (Other::start(&folder).await?, Floor::start().await?);
    let token = Some(Secret::new(stage.data().local_token()?));
    let host = stage.page("").trim_start_matches("http://").to_owned();
    let mut peers = vec![
        Peer { name: OURS, host, token },
        Peer { name: THEIRS, host: other.host.clone(), token: None },
        Peer { name: NOBODY, host: floor.host.clone(), token: None },
    ];
    let skopeo = Skopeo::new(&folder, &peers)?;
    let mut works = Works(Vec::new());
    for round in 0..count {
        // Fresh bytes each time: what was pushed before is not sent again.
        large(&skopeo, &peers, &folder, round, &mut works).await?;
        small(&skopeo, &peers, &floor, &folder, round, &mut works).await?;
        // Nobody is the first each time.
        peers.rotate_left(1);
    }
    let memory = [control_memory(stage), most(other.child.id())];
    Ok(section(&works, memory, skopeo.remembers_in_memory()))
}

/// One large layer.
async fn large(
    skopeo: &Skopeo,
    peers: &[Peer],
    folder: &Path,
    round: usize,
    works: &mut Works,
) -> Result<()> {
    let layout = folder.join("large");
    image::make(&layout, &[("v1".to_owned(), 1)], LARGE)?;
    let repository = format!("bench/large{round}");
    let tags = ["v1".to_owned()];
    let real = || peers.iter().filter(|peer| peer.name != NOBODY);
    for peer in real() {
        works.add(LARGE_PUSH, peer, skopeo.copy(peer, &repository, &tags, Way::Push(&layout)).await?);
    }
    std::fs::remove_dir_all(&layout)?;
    for peer in real() {
        works.add(LARGE_PULL, peer, skopeo.copy(peer, &repository, &tags, Way::PullToDisk).await?);
    }
    Ok(())
}

/// Many small layers.
async fn small(
    skopeo: &Skopeo,
    peers: &[Peer],
    floor: &Floor,
    folder: &Path,
    round: usize,
    works: &mut Works,
) -> Result<()> {
    let tags: Vec<String> = (0..IMAGES).map(|n| format!("v{n}")).collect();
    let images: Vec<(String, usize)> = tags.iter().map(|tag| (tag.clone(), LAYERS)).collect();
    let [layout, second] = ["small", "second"].map(|name| folder.join(name));
    image::make(&layout, &images, SMALL)?;
    image::make(&second, &images, SMALL)?;
    floor.show(layout.clone());
    let repository = format!("bench/small{round}");
    for peer in peers {
        works.add(SMALL_PUSH, peer, skopeo.copy(peer, &repository, &tags, Way::Push(&layout)).await?);
    }
    for peer in peers {
        works.add(SMALL_PULL, peer, skopeo.copy(peer, &repository, &tags, Way::Pull).await?);
    }
    for peer in peers {
        let began = Instant::now();
        pushes::images(&peer.host, peer.token.as_ref(), &second, &format!("bench/own{round}")).await?;
        works.add(OWN_PUSH, peer, began.elapsed());
    }
    for peer in peers {
        let began = Instant::now();
        for tag in &tags {
            pulls::pull(&peer.host, peer.token.as_ref(), &repository, tag).await?;
        }
        works.add(OWN_PULL, peer, began.elapsed());
    }
    for peer in peers.iter().filter(|peer| peer.name != NOBODY) {
        let began = Instant::now();
        pulls::together(&peer.host, peer.token.as_ref(), &repository, "v0").await?;
        works.add(MANY, peer, began.elapsed());
    }
    for layout in [layout, second] {
        std::fs::remove_dir_all(layout)?;
    }
    Ok(())
}

impl Works {
    fn add(&mut self, what: &'static str, peer: &Peer, took: Duration) {
        let at = self.0.iter().position(|work| work.what == what).unwrap_or_else(|| {
            self.0.push(Work { what, took: Vec::new() });
            self.0.len() - 1
        });
        let work = &mut self.0[at];
        match work.took.iter_mut().find(|(name, _)| *name == peer.name) {
            Some((_, all)) => all.push(took),
            None => work.took.push((peer.name, vec![took])),
        }
    }
}

fn section(works: &Works, memory: [Option<u64>; 2], in_memory: bool) -> Section {
    let how = "`windlass up` and `docker-registry serve` (Debian's, with a file system and no authentication) on one disk, by turns, \
               and a registry of this program that answers at once and keeps nothing; Windlass with its tokens. Each round pushes \
               bytes that nobody has, by `skopeo` from an OCI layout, one image after the other, and pulls them again; 200 pulls \
               at a time by a client of this program that reads every blob of the image over a connection of its own each. \
               A ratio below 1 is faster than docker-registry.";
    let mut section = Section::new("registry", "Registry", how, &["work", "who", "time", "spread", "ratio"]);
    for work in &works.0 {
        let of =
            |name: &str| work.took.iter().find(|(n, _)| *n == name).map(|(_, all)| Samples::new(all.clone()));
        let Some(theirs) = of(THEIRS) else { continue };
        for who in [OURS, THEIRS, NOBODY] {
            let Some(samples) = of(who) else { continue };
            let ratio = samples.median().as_secs_f64() / theirs.median().as_secs_f64().max(f64::MIN_POSITIVE);
            section.row([
                work.what.to_owned(),
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
    let place = if in_memory { "in memory" } else { "on the same disk" };
    section.note(format!(
        "What skopeo remembers of blobs begins empty for each row and lies {place}, as do the small images that it pulls. It \
         opens a connection for each request, and pushes the blobs of a layout one after the other: no registry is faster \
         with it than the one that does nothing."
    ));
    section
}

/// The most memory that control of this data directory had.
fn control_memory(stage: &Stage) -> Option<u64> {
    let pids = naming(&stage.data().root().display().to_string());
    pids.into_iter().find(|pid| super::processes::name(*pid) == "control").and_then(most)
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
