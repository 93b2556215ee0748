//! Images built from Dockerfiles: ours, Docker's own builder, Buildah; by turns, each with a store of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;
use tokio::time::Instant;

use super::report::{Samples, Section};

/// How many steps the Dockerfile has.
const STEPS: usize = 20;
/// The files that are copied: so many, of so many bytes.
const FILES: usize = 1000;
const BYTES: usize = 100 * 1000;

/// Somebody who builds.
enum Peer {
    Windlass,
    Docker(Daemon),
    Buildah,
}

/// A Docker daemon of this measurement's own.
struct Daemon {
    child: Child,
    socket: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// One piece of work for all of them.
struct Work {
    what: &'static str,
    folder: PathBuf,
    cached: bool,
}

/// How long each build took, or why there is no more to be measured.
type Taken = Result<Vec<Duration>, String>;

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let count = count.min(7);
    let temp = tempfile::Builder::new().prefix("windlass-bench-").tempdir()?;
    let root = temp.path();
    let base = base(root)?;
    let works = works(root)?;
    let mut peers = vec![Peer::Windlass];
    let mut left_out = Vec::new();
    match docker(root).await {
        Ok(daemon) => peers.push(Peer::Docker(daemon)),
        Err(why) => left_out.push(format!("`docker build`: not measured: {why:#}.")),
    }
    match Command::new("buildah").arg("--version").output().await {
        Ok(_) => peers.push(Peer::Buildah),
        Err(why) => left_out.push(format!("`buildah`: not measured: {why}.")),
    }
    let mut ready = Vec::new();
    for peer in peers {
        match peer.load(root, &base).await {
            Ok(()) => ready.push(peer),
            Err(why) if matches!(peer, Peer::Windlass) => return Err(why.context("taking the base in")),
            Err(why) => {
                left_out.push(format!("{}: not measured: it does not take the base: {why:#}.", peer.name()));
            }
        }
    }
    let peers = ready;
    let how = format!(
        "A Dockerfile of {STEPS} steps (`RUN` and `COPY` by turns) and one that copies {FILES} files of {BYTES} bytes, over a base of busybox; from the call until the image has its name; {count} times each, by turns. Cold: no step is known, the base is laid out."
    );
    let mut section = Section::new("build", "Building images", how, &["what", "median", "spread", "÷ ours"]);
    for work in &works {
        let mut all: Vec<Taken> = peers.iter().map(|_| Ok(Vec::new())).collect();
        for turn in 0..=count {
            for (peer, taken) in peers.iter().zip(&mut all) {
                let Ok(samples) = taken else { continue };
                match peer.build_or_again(root, work).await {
                    // The first turn warms caches and is not counted.
                    Ok(took) if turn > 0 => samples.push(took),
                    Ok(_) => {}
                    Err(why) if matches!(peer, Peer::Windlass) => return Err(why.context(work.what)),
                    Err(why) => *taken = Err(format!("{why:#}")),
                }
            }
        }
        let mut rows = peers.iter().zip(all);
        let Some((_, Ok(ours))) = rows.next() else { continue };
        let ours = Samples::new(ours);
        section.compared(&format!("Windlass, {}", work.what), &ours, &ours);
        for (peer, taken) in rows {
            let row = format!("{}, {}", peer.name(), work.what);
            match taken {
                Ok(samples) => section.compared(&row, &Samples::new(samples), &ours),
                // What a peer cannot do today is no reason to measure nothing.
                Err(why) => left_out.push(format!("{row}: left out, it failed twice: {why}.")),
            }
        }
    }
    for why in left_out {
        section.note(why);
    }
    section
        .note("Docker is Debian's, with its own builder: BuildKit needs a plugin that Debian does not have.");
    section.note("Buildah runs with `--layers --isolation chroot` and overlay.");
    Ok(section)
}

/// A tar of busybox with its names.
fn base(root: &Path) -> Result<PathBuf> {
    let tree = root.join("base");
    std::fs::create_dir_all(tree.join("bin"))?;
    std::fs::create_dir_all(tree.join("etc"))?;
    std::fs::copy("/bin/busybox", tree.join("bin/busybox")).context("a base needs /bin/busybox")?;
    for name in ["sh", "true", "echo", "cat", "mkdir", "touch"] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(name))?;
    }
    std::fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    let tar = root.join("base.tar");
    let made =
        std::process::Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&tree).arg(".").status()?;
    if made.success() { Ok(tar) } else { bail!("tar could not pack the base") }
}

fn works(root: &Path) -> Result<Vec<Work>> {
    let steps = root.join("steps");
    std::fs::create_dir_all(&steps)?;
    let mut text = String::from("FROM base:1\n");
    for step in 0..STEPS / 2 {
        std::fs::write(steps.join(format!("f{step}")), format!("{step}"))?;
        text += &format!("COPY f{step} /f{step}\nRUN cat /f{step} > /r{step}\n");
    }
    std::fs::write(steps.join("Dockerfile"), text)?;
    let copies = root.join("copies");
    let mut noise = 1_u64;
    for number in 0..FILES {
        let folder = copies.join(format!("data/{}", number % 20));
        std::fs::create_dir_all(&folder)?;
        let mut bytes = Vec::with_capacity(BYTES);
        while bytes.len() < BYTES {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend(noise.to_le_bytes());
        }
        std::fs::write(folder.join(format!("{number}")), &bytes[..BYTES])?;
    }
    std::fs::write(copies.join("Dockerfile"), "FROM base:1\nCOPY data /data\n")?;
    Ok(vec![
        Work { what: "20 steps, cold", folder: steps.clone(), cached: false },
        Work { what: "20 steps, all known", folder: steps, cached: true },
        Work { what: "copy 100 MB, cold", folder: copies, cached: false },
    ])
}

async fn docker(root: &Path) -> Result<Daemon> {
    if !nix::unistd::geteuid().is_root() {
        bail!("dockerd needs root");
    }
    let place = root.join("docker");
    std::fs::create_dir_all(&place)?;
    let socket = place.join("s");
    let mut command = std::process::Command::new("dockerd");
    command.args(["--bridge=none", "--iptables=false", "--storage-driver=overlay2"]);
    for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
        command.arg(option).arg(place.join(name));
    }
    command.arg("--host").arg(format!("unix://{}", socket.display()));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("dockerd")?;
    let daemon = Daemon { child, socket };
    for _ in 0..200 {
        let asked = daemon.command().arg("version").output().await?;
        if asked.status.success() {
            return Ok(daemon);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("dockerd does not answer")
}

impl Daemon {
    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket.display())).env("DOCKER_BUILDKIT", "0");
        command
    }
}

fn windlass(root: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env("WINDLASS_BUILD_STORE", root.join("store"));
    Ok(command)
}

fn buildah(root: &Path) -> Command {
    let mut command = Command::new("buildah");
    command.arg("--root").arg(root.join("buildah/root")).arg("--runroot").arg(root.join("buildah/run"));
    command.args(["--storage-driver", "overlay"]);
    command
}

impl Peer {
    fn name(&self) -> &'static str {
        match self {
            Self::Windlass => "Windlass",
            Self::Docker(_) => "`docker build`",
            Self::Buildah => "`buildah bud`",
        }
    }

    async fn load(&self, root: &Path, tar: &Path) -> Result<()> {
        match self {
            Self::Windlass => run(windlass(root)?.args(["image", "import"]).arg(tar).arg("base:1")).await,
            Self::Docker(daemon) => run(daemon.command().arg("import").arg(tar).arg("base:1")).await,
            Self::Buildah => {
                let file = root.join("Base");
                std::fs::write(&file, "FROM scratch\nADD base.tar /\n")?;
                let only = root.join("only");
                std::fs::create_dir_all(&only)?;
                std::fs::copy(tar, only.join("base.tar"))?;
                run(buildah(root).args(["bud", "--tag", "base:1", "--file"]).arg(&file).arg(only)).await
            }
        }
    }

    /// How long one build took; whoever else fails gets another try.
    async fn build_or_again(&self, root: &Path, work: &Work) -> Result<Duration> {
        match self.build(root, work).await {
            Err(_) if !matches!(self, Self::Windlass) => self.build(root, work).await,
            done => done,
        }
    }

    /// How long one build took.
    async fn build(&self, root: &Path, work: &Work) -> Result<Duration> {
        let mut command = match self {
            Self::Windlass => {
                let mut command = windlass(root)?;
                command.args(["build", "--progress", "plain"]);
                command
            }
            Self::Docker(daemon) => {
                let mut command = daemon.command();
                command.args(["build", "--network", "none"]);
                command
            }
            Self::Buildah => {
                let mut command = buildah(root);
                command.args(["bud", "--layers", "--isolation", "chroot", "--pull-never"]);
                command
            }
        };
        if !work.cached {
            command.arg("--no-cache");
        }
        command.args(["--tag", "measured:1"]).arg(&work.folder);
        let begin = Instant::now();
        run(&mut command).await?;
        Ok(begin.elapsed())
    }
}

async fn run(command: &mut Command) -> Result<()> {
    let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    bail!("{}", said.lines().last().unwrap_or_default())
}
