//! Others that build images, each with a place of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Somebody else who builds.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;
    /// Takes the base image.
    fn load(&self, archive: &Path);
    /// Builds, and saves the image as an archive.
    fn build(&self, name: &str, dockerfile: &Path, context: &Path, to: &Path) -> Result<(), String>;
}

fn run(command: &mut Command) -> Result<String, String> {
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    let (said, also) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if out.status.success() {
        return Ok(said.into_owned());
    }
    let last: Vec<&str> = also.lines().chain(said.lines()).collect();
    Err(last[last.len().saturating_sub(4)..].join(" "))
}

/// A Docker daemon of this test's own.
pub(crate) struct Docker {
    daemon: Child,
    socket: PathBuf,
}

impl Docker {
    pub(crate) fn start(root: &Path) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("dockerd needs root".into());
        }
        let place = root.join("docker");
        std::fs::create_dir_all(&place).map_err(|e| e.to_string())?;
        let socket = place.join("s");
        let log = std::fs::File::create(place.join("log")).map_err(|e| e.to_string())?;
        let mut command = Command::new("dockerd");
        command
            .args(["--bridge=none", "--iptables=false", "--storage-driver=overlay2"])
            .arg("--data-root")
            .arg(place.join("data"))
            .arg("--exec-root")
            .arg(place.join("exec"))
            .arg("--pidfile")
            .arg(place.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .stdout(log.try_clone().map_err(|e| e.to_string())?)
            .stderr(log);
        let daemon = command.spawn().map_err(|e| format!("dockerd could not be started: {e}"))?;
        let mut docker = Self { daemon, socket };
        for _ in 0..200 {
            if run(docker.command().arg("version")).is_ok() {
                return Ok(docker);
            }
            if docker.daemon.try_wait().map_err(|e| e.to_string())?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let said = std::fs::read_to_string(place.join("log")).unwrap_or_default();
        Err(format!("dockerd does not answer: {}", said.lines().last().unwrap_or_default()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket.display())).env("DOCKER_BUILDKIT", "0");
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.daemon.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.daemon.wait();
    }
}

impl Peer for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn load(&self, archive: &Path) {
        run(self.command().arg("load").arg("--input").arg(archive)).unwrap();
    }

    fn build(&self, name: &str, dockerfile: &Path, context: &Path, to: &Path) -> Result<(), String> {
        let tag = format!("built-{}", name.replace('_', "-"));
        let mut command = self.command();
        command.args(["build", "--network", "none", "--tag", &tag, "--file"]).arg(dockerfile).arg(context);
        run(&mut command)?;
        run(self.command().args(["save", "--output"]).arg(to).arg(&tag)).map(drop)
    }
}

/// Buildah, with a store of this test's own.
pub(crate) struct Buildah {
    root: PathBuf,
}

impl Buildah {
    pub(crate) fn start(root: &Path) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("buildah is compared as root only".into());
        }
        run(Command::new("buildah").arg("--version"))?;
        Ok(Self { root: root.join("buildah") })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("buildah");
        command
            .arg("--root")
            .arg(self.root.join("root"))
            .arg("--runroot")
            .arg(self.root.join("run"))
            .args(["--storage-driver", "overlay"]);
        command
    }
}

impl Peer for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    fn load(&self, archive: &Path) {
        run(self.command().arg("pull").arg(format!("docker-archive:{}", archive.display()))).unwrap();
    }

    fn build(&self, name: &str, dockerfile: &Path, context: &Path, to: &Path) -> Result<(), String> {
        let tag = format!("built-{}", name.replace('_', "-"));
        let mut command = self.command();
        command.args([
            "bud",
            "--layers",
            "--format",
            "docker",
            "--isolation",
            "chroot",
            "--pull-never",
            "--tag",
            &tag,
        ]);
        command.arg("--file").arg(dockerfile).arg(context);
        run(&mut command)?;
        run(self.command().arg("push").arg(&tag).arg(format!("docker-archive:{}:{tag}", to.display())))
            .map(drop)
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        let _ = run(self.command().args(["rmi", "--all", "--force"]));
    }
}
