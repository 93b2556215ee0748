//! A Docker Engine of a test's own: its own data, socket and `containerd`, no bridge and no rules of a firewall, so that
//! nothing of the machine's is touched; and nothing of it is left.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How often it is asked whether it answers, and whether it has ended.
const BEAT: Duration = Duration::from_millis(100);
/// After so many beats a start has failed, or an end is hurried on.
const PATIENCE: u32 = 300;

/// How an engine keeps images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DockerStorage {
    /// A whole copy per layer: works on any file system.
    Vfs,
    /// Layers over each other, as on most machines.
    Overlay,
}

/// A Docker Engine that ends, with all that it started, when this is dropped.
#[derive(Debug)]
pub struct DockerEngine {
    daemon: Child,
    // Removed after the end of the daemon: fields are dropped after their struct.
    folder: TempDir,
}

impl DockerEngine {
    /// Starts one in a folder of its own below `parent`, or says why this machine cannot. An engine that starts but
    /// cannot unpack layers, as in a container without privileges, is none.
    pub fn start(parent: &Path, storage: DockerStorage) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("only root can start dockerd".to_owned());
        }
        if Command::new("docker").arg("--version").output().is_err() {
            return Err("there is no docker on this machine".to_owned());
        }
        let folder = tempfile::Builder::new().prefix("docker-").tempdir_in(parent);
        let folder = folder.map_err(|e| format!("no folder for dockerd below {}: {e}", parent.display()))?;
        let log = File::create(folder.path().join("log")).map_err(|e| format!("no log of dockerd: {e}"))?;
        let daemon = daemon(folder.path(), storage, log)
            .spawn()
            .map_err(|e| format!("dockerd cannot be started: {e}"))?;
        let mut engine = Self { daemon, folder };
        for _ in 0..PATIENCE {
            if engine.run(&["version"]).status.success() {
                engine.unpacks()?;
                return Ok(engine);
            }
            if engine.ended() {
                break;
            }
            std::thread::sleep(BEAT);
        }
        let log = std::fs::read_to_string(engine.folder.path().join("log")).unwrap_or_default();
        Err(format!("dockerd does not start here: {}", log.lines().last().unwrap_or("it says nothing")))
    }

    /// Whether layers can be unpacked; leaves no image.
    fn unpacks(&self) -> Result<(), String> {
        let empty = self.folder.path().join("empty.tar");
        std::fs::write(&empty, [0u8; 1024]).map_err(|e| e.to_string())?;
        let imported = self.run(&["import", &empty.display().to_string()]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if !imported.status.success() {
            return Err(format!("dockerd cannot unpack layers here: {}", text(&imported.stderr)));
        }
        self.run(&["rmi", &text(&imported.stdout)]);
        Ok(())
    }

    /// Its folder: its data, its log, and what a test wants to lay beside them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its socket, as a path.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Its socket, as `--host` and `DOCKER_HOST` want it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// `docker` at this engine, with a configuration of its own: nobody's logins are used or touched.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.host()).arg("--config").arg(self.folder.path().join("config"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs `docker ARGUMENTS` to its end.
    ///
    /// # Panics
    /// If there is no `docker` any more.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("docker was there when the engine started")
    }

    /// Runs `docker ARGUMENTS`, which must succeed; gives what it wrote, without the last line's end.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "docker {arguments:?}: {}\n{said}\n{complained}", output.status);
        said
    }

    /// Logs in to a registry.
    ///
    /// # Panics
    /// If the registry does not take the login.
    #[track_caller]
    pub fn log_in(&self, registry: &str, user: &str, password: &str) {
        let mut command = self.command();
        command.args(["login", "--username", user, "--password-stdin", registry]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut login = command.spawn().expect("docker was there when the engine started");
        let mut input = login.stdin.take().expect("its input is piped");
        input.write_all(password.as_bytes()).expect("docker login reads the password");
        drop(input);
        let output = login.wait_with_output().expect("docker login ends");
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker login {registry}: {complained}");
    }

    fn ended(&mut self) -> bool {
        !matches!(self.daemon.try_wait(), Ok(None))
    }
}

fn daemon(folder: &Path, storage: DockerStorage, log: File) -> Command {
    let mut command = Command::new("dockerd");
    let places = [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")];
    for (option, name) in places {
        command.arg(option).arg(folder.join(name));
    }
    command.arg("--host").arg(format!("unix://{}", folder.join("socket").display()));
    command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver"]);
    command.arg(match storage {
        DockerStorage::Vfs => "vfs",
        DockerStorage::Overlay => "overlay2",
    });
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        // Asked to end, it takes its containers and its `containerd` along.
        let _ = kill(Pid::from_raw(self.daemon.id().cast_signed()), Signal::SIGTERM);
        for _ in 0..PATIENCE {
            if self.ended() {
                break;
            }
            std::thread::sleep(BEAT);
        }
        if !self.ended() {
            let _ = self.daemon.kill();
        }
        let _ = self.daemon.wait();
        let containerd = self.folder.path().join("exec/containerd/containerd.pid");
        if let Some(pid) = std::fs::read_to_string(containerd).ok().and_then(|p| p.trim().parse().ok())
            && is_below(pid, self.folder.path())
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        for mount in mounts_below(self.folder.path()) {
            let _ = umount2(&mount, MntFlags::MNT_DETACH);
        }
    }
}

/// Whether a process was started for this folder: its number may be another's by now.
fn is_below(pid: i32, folder: &Path) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).contains(&*folder.to_string_lossy())
}

/// What is mounted below a folder, the innermost first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = table.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    let mut below: Vec<PathBuf> = places.filter(|place| place.starts_with(folder)).collect();
    below.reverse();
    below
}
