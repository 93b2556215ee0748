//! 200 steps in a container: `windlass run` on its own sandbox beside act on an engine of the measurement's own, by turns, on the
//! same image.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::engine::act;
use super::report::{Samples, Section};
use crate::demo::Repository;

/// The image's name.
const IMAGE: &str = "windlass-bench:steps";
/// How many steps a job has.
const SIZES: [usize; 2] = [1, 200];
/// How often each is measured.
const FEW: usize = 5;
/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine of this measurement's own.
struct Engine {
    daemon: Child,
    folder: tempfile::TempDir,
}

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let how = "A job of 1 step and one of 200, each `run: \"true\"`, in a container of an image of busybox and bash: `windlass run -P \
               ubuntu-latest=docker:docker-archive:FILE` on the sandbox, and act (`-P ubuntu-latest=IMAGE`) on a Docker Engine started for \
               it, which has the image already. Each from the start of the program to its end, by turns.";
    let headers = ["what", "median", "spread", "÷ act", "aim"];
    let mut section = Section::new("contained", "Steps in a container", how, &headers);
    let engine = match Engine::start().await {
        Ok(engine) => engine,
        Err(why) => {
            section.note(format!("Not measured: no Docker Engine can be started here: {why:#}."));
            return Ok(section);
        }
    };
    let measured = rows(&mut section, &engine, count.min(FEW)).await;
    engine.end().await;
    measured.map(|()| section)
}

async fn rows(section: &mut Section, engine: &Engine, count: usize) -> Result<()> {
    let archive = engine.image().await.context("making the image")?;
    let (program, _keep) = act().await?;
    let place = tempfile::Builder::new().prefix("windlass-bench-").tempdir()?;
    let folder = place.path().join("work");
    std::fs::create_dir_all(folder.join(".github/workflows"))?;
    for size in SIZES {
        let steps = "      - run: \"true\"\n".repeat(size);
        let text = format!(
            "name: steps\non: workflow_dispatch\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
        );
        std::fs::write(folder.join(format!(".github/workflows/{size}.yml")), text)?;
    }
    let header = windlass_kernel::Secret::new(String::new());
    let repository = Repository::make(&folder, "http://127.0.0.1:1/none.git", &header).await?;
    repository.commit("bench").await?;
    let own = std::env::current_exe()?;
    let ours = format!("ubuntu-latest=docker:docker-archive:{}", archive.display());
    let theirs = format!("ubuntu-latest={IMAGE}");
    for size in SIZES {
        let file = format!(".github/workflows/{size}.yml");
        let mut taken = [Vec::new(), Vec::new()];
        for turn in 0..=count {
            for (at, taken) in taken.iter_mut().enumerate() {
                let mut command = Command::new(if at == 0 { &own } else { &program });
                command.args((at == 0).then_some("run")).args(["workflow_dispatch", "-W", &file, "-P"]);
                command.arg(if at == 0 { &ours } else { &theirs }).args((at == 1).then_some("--pull=false"));
                let took = once(engine, command, &folder).await?;
                // The first warms caches and is not counted.
                taken.extend((turn > 0).then_some(took));
            }
        }
        let [ours, theirs] = taken.map(Samples::new);
        let steps = if size == 1 { "1 step".to_owned() } else { format!("{size} steps") };
        for (who, samples, aim) in [
            ("windlass run, sandbox", &ours, if size == 1 { "" } else { "≤ 0.05" }),
            ("act, Docker Engine", &theirs, ""),
        ] {
            section.compared(&format!("{steps} in a container: {who}"), samples, &theirs);
            section.end_row(aim.to_owned());
        }
    }
    Ok(())
}

async fn once(engine: &Engine, mut command: Command, folder: &Path) -> Result<Duration> {
    command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
        .env("DOCKER_HOST", engine.host())
        .env("XDG_CACHE_HOME", folder.with_file_name("cache"))
        .env("XDG_CONFIG_HOME", folder.with_file_name("config"))
        .env_remove("WINDLASS_DOCKER")
        .env_remove("WINDLASS_SANDBOX");
    let begin = Instant::now();
    let done = command.output().await?;
    let took = begin.elapsed();
    if !done.status.success() {
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        bail!("{} failed: {} {}", command.as_std().get_program().display(), out.trim(), err.trim());
    }
    Ok(took)
}

impl Engine {
    async fn start() -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("only root can start dockerd");
        }
        let folder = tempfile::Builder::new().prefix("windlass-bench-").tempdir_in("/var/lib")?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let log = std::fs::File::create(folder.path().join("log"))?;
        let daemon = Command::new("dockerd")
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--host", &format!("unix://{}", at("docker.sock"))])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting dockerd")?;
        let engine = Self { daemon, folder };
        let begin = Instant::now();
        while engine.docker(&["version"]).await.is_err() {
            if begin.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(engine.folder.path().join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it says nothing").to_owned();
                engine.end().await;
                bail!("dockerd does not answer: {last}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(engine)
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    async fn docker(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host()]).args(words).stdin(Stdio::null()).kill_on_drop(true);
        let done = command.output().await.context("running docker")?;
        if !done.status.success() {
            bail!("docker {}: {}", words[0], String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }

    /// An image of busybox and bash, known to the engine and saved as a file.
    async fn image(&self) -> Result<PathBuf> {
        let root = self.folder.path().join("root");
        for folder in ["bin", "tmp", "etc"] {
            std::fs::create_dir_all(root.join(folder))?;
        }
        let busybox = found("busybox").context("there is no busybox")?;
        std::fs::copy(&busybox, root.join("bin/busybox"))?;
        let list = Command::new(&busybox).arg("--list").output().await?;
        for name in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
            let _ = std::os::unix::fs::symlink("busybox", root.join("bin").join(name));
        }
        let bash = found("bash").context("there is no bash")?;
        let listed = Command::new("ldd").arg(&bash).output().await?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
        for file in libraries {
            let to = root.join(file.strip_prefix("/")?);
            std::fs::create_dir_all(to.parent().context("a library lies in a folder")?)?;
            std::fs::copy(&file, to)?;
        }
        let _ = std::fs::remove_file(root.join("bin/bash"));
        std::fs::copy(&bash, root.join("bin/bash"))?;
        let (tar, saved) = (self.folder.path().join("root.tar"), self.folder.path().join("image.tar"));
        let path = |path: &Path| path.display().to_string();
        let packed = Command::new("tar").args(["-C", &path(&root), "-cf", &path(&tar), "."]).status().await?;
        if !packed.success() {
            bail!("the image's files cannot be packed");
        }
        self.docker(&["import", "--change", "ENV PATH=/bin", &path(&tar), IMAGE]).await?;
        self.docker(&["save", "-o", &path(&saved), IMAGE]).await?;
        Ok(saved)
    }

    async fn end(mut self) {
        if let Some(pid) = self.daemon.id() {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
        if tokio::time::timeout(PATIENCE, self.daemon.wait()).await.is_err() {
            let _ = self.daemon.kill().await;
        }
        let namespace = self.folder.path().join("exec/netns/default");
        let _ = Command::new("umount").arg(namespace).stderr(Stdio::null()).status().await;
    }
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
}
