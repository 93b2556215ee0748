//! The registry with its real clients: skopeo and Docker, both ways.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use windlass_api::{Conclusion, RunDetail};

use crate::platform::{Deadline, Platform, Repository, job, program, told, wait_for};

const BUILD: &str = r#"
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    outputs: { digest: "${{ steps.image.outputs.digest }}" }
    steps:
      - uses: actions/checkout@v4
      - id: image
        uses: windlass/build@v1
        with:
          base: scratch
          files: hello.txt:/hello.txt
          entrypoint: /hello
          tags: latest
"#;

/// A platform with an image `crate-box:latest`; gives its digest.
fn with_image(name: &str) -> Option<(Platform, String)> {
    let platform = Platform::start(name)?;
    let repository = Repository::new(&platform, "crate-box");
    repository.write(".github/workflows/build.yml", BUILD).write("hello.txt", "hello\n");
    let sha = repository.ship(&platform, "An image");
    let first = digest(&platform.concludes("crate-box", &sha, Conclusion::Success));
    // The same files give the same image.
    let sha = repository.ship(&platform, "The same once more");
    let second = digest(&platform.concludes("crate-box", &sha, Conclusion::Success));
    assert_eq!(first, second, "the same files gave another image");
    Some((platform, first))
}

fn digest(run: &RunDetail) -> String {
    job(run, "build").outputs["digest"].clone()
}

#[test]
fn skopeo_copies_out_and_in_again() {
    const NAME: &str = "registry: skopeo";
    if program("skopeo").is_none() {
        return windlass_testkit::skip(NAME, "there is no skopeo");
    }
    let Some((platform, digest)) = with_image(NAME) else { return };
    let credentials = format!("admin:{}", platform.token);
    let skopeo = |arguments: &[&str]| -> Output {
        let mut command = Command::new("skopeo");
        command.arg("--insecure-policy").args(arguments).env("HOME", platform.folder());
        command.env("XDG_RUNTIME_DIR", platform.folder()).stdin(Stdio::null()).output().unwrap()
    };
    let ours = |name: &str| format!("docker://{}/{name}", platform.address());
    let folder = format!("dir:{}", platform.folder().join("copied").display());
    let out = ["copy", "--src-tls-verify=false", "--preserve-digests", "--src-creds", &credentials];
    let copied = skopeo(&[&out[..], &[&ours("crate-box:latest"), &folder]].concat());
    assert!(copied.status.success(), "{}", told(&copied));
    let back = ["copy", "--dest-tls-verify=false", "--preserve-digests", "--dest-creds", &credentials];
    let copied = skopeo(&[&back[..], &[&folder, &ours("crate-box/second:v1")]].concat());
    assert!(copied.status.success(), "{}", told(&copied));
    let shown =
        skopeo(&["inspect", "--tls-verify=false", "--creds", &credentials, &ours("crate-box/second:v1")]);
    assert!(told(&shown).contains(&digest), "{digest} is not in {}", told(&shown));
    // Without the token: refused both ways.
    let refused = skopeo(&["inspect", "--tls-verify=false", "--no-creds", &ours("crate-box:latest")]);
    assert!(!refused.status.success(), "anybody can pull");
    let wrong = ["copy", "--dest-tls-verify=false", "--dest-creds", "admin:wrong"];
    let refused = skopeo(&[&wrong[..], &[&folder, &ours("crate-box/third:v1")]].concat());
    assert!(!refused.status.success(), "a wrong token can push");
}

/// A Docker daemon of this test's own.
struct Docker {
    daemon: Child,
    socket: String,
    folder: PathBuf,
}

impl Docker {
    fn start(folder: &Path) -> Result<Self, String> {
        let dockerd = program("dockerd").ok_or("there is no dockerd")?;
        program("docker").ok_or("there is no docker")?;
        if !crate::platform::is_root() {
            return Err("only root can start dockerd".to_owned());
        }
        let at = |name: &str| folder.join(name).display().to_string();
        let socket = format!("unix://{}", at("docker.sock"));
        let log = std::fs::File::create(folder.join("dockerd.log")).unwrap();
        let daemon = Command::new(dockerd)
            .args(["--data-root", &at("docker-data"), "--exec-root", &at("docker-exec")])
            .args(["--pidfile", &at("docker.pid"), "--host", &socket])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("dockerd cannot be started: {e}"))?;
        let mut docker = Self { daemon, socket, folder: folder.to_owned() };
        for _ in 0..150 {
            if docker.run(&["version"]).status.success() {
                return docker.that_unpacks();
            }
            if docker.daemon.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        let log = std::fs::read_to_string(folder.join("dockerd.log")).unwrap_or_default();
        Err(format!("dockerd does not start here: {}", log.lines().last().unwrap_or("it says nothing")))
    }

    /// Itself, if it can unpack layers: in a container without privileges it starts, and can do nothing.
    fn that_unpacks(self) -> Result<Self, String> {
        let empty = self.folder.join("empty.tar");
        std::fs::write(&empty, [0u8; 1024]).unwrap();
        let imported = self.run(&["import", &empty.display().to_string(), "empty:latest"]);
        if imported.status.success() {
            return Ok(self);
        }
        Err(format!("dockerd cannot unpack layers here: {}", told(&imported).trim()))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.args(["--host", &self.socket, "--config"]).arg(self.folder.join("docker-config"));
        command.args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "docker {arguments:?}: {}", told(&output));
        told(&output)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        crate::platform::signal(self.daemon.id() as i32, nix::sys::signal::Signal::SIGTERM);
        let end = Deadline::in_seconds(20);
        while self.daemon.try_wait().is_ok_and(|s| s.is_none()) && !end.passed() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn docker_pulls_and_pushes() {
    const NAME: &str = "registry: docker";
    if !crate::platform::wanted(NAME) {
        return;
    }
    let folder = tempfile::Builder::new().prefix("windlass-e2e-docker-").tempdir().unwrap();
    let docker = match Docker::start(folder.path()) {
        Ok(docker) => docker,
        Err(why) => return windlass_testkit::skip(NAME, &why),
    };
    let Some((platform, digest)) = with_image(NAME) else { return };
    let image = |name: &str| format!("{}/crate-box{name}", platform.address());
    assert!(!docker.run(&["pull", &image(":latest")]).status.success(), "anybody can pull");
    let mut login = Command::new("docker");
    login.args(["--host", &docker.socket, "--config"]).arg(docker.folder.join("docker-config"));
    login.args(["login", "--username", "admin", "--password-stdin", platform.address()]);
    let mut login =
        login.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    {
        use std::io::Write as _;
        login.stdin.take().unwrap().write_all(platform.token.as_bytes()).unwrap();
    }
    let login = login.wait_with_output().unwrap();
    assert!(login.status.success(), "{}", told(&login));
    let pulled = docker.ok(&["pull", &image(":latest")]);
    assert!(pulled.contains(&digest), "{digest} is not in {pulled}");
    docker.ok(&["tag", &image(":latest"), &image("/copy:v1")]);
    let pushed = docker.ok(&["push", &image("/copy:v1")]);
    assert!(pushed.contains("digest: sha256:"), "{pushed}");
    docker.ok(&["rmi", &image("/copy:v1")]);
    wait_for("the pushed image", 10, || {
        docker.run(&["pull", &image("/copy:v1")]).status.success().then_some(())
    });
}
