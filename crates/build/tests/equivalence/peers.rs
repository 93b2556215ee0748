//! Others that build images, each with a place of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use windlass_testkit::{DockerEngine, DockerStorage};

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

/// A Docker Engine of this test's own, with its older builder.
pub(crate) struct Docker(DockerEngine);

impl Docker {
    pub(crate) fn start(root: &Path) -> Result<Self, String> {
        DockerEngine::start(root, DockerStorage::Overlay).map(Self)
    }

    fn command(&self) -> Command {
        let mut command = self.0.command();
        command.env("DOCKER_BUILDKIT", "0");
        command
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
