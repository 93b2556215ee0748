//! A project in a folder of its own, what is built of it, and an engine that is not ours to run it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

/// A project in a folder of its own, with a build store of its own.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
}

/// What was built.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) id: String,
    /// The configuration's `config`.
    pub(crate) config: Value,
    pub(crate) layers: Vec<String>,
}

impl Fixture {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let fixture = Self { folder: tempfile::tempdir().expect("a folder") };
        for (path, text) in files {
            fixture.write(path, text);
        }
        fixture
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub(crate) fn windlass(&self, arguments: &[&str]) -> Output {
        self.windlass_in(&self.project(), arguments)
    }

    pub(crate) fn windlass_in(&self, project: &Path, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_windlass"))
            .args(arguments)
            .arg(project)
            .env("WINDLASS_BUILD_STORE", self.folder.path().join("store"))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .output()
            .expect("windlass")
    }

    /// Builds twice: the ids have to be the same. Gives the image's files.
    pub(crate) fn build(&self) -> PathBuf {
        let files = self.folder.path().join("files");
        let output = format!("type=local,dest={}", files.display());
        let once = || {
            let output = self.windlass(&["build", "--auto", "--quiet", "--no-cache", "-o", &output]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let id = once();
        assert!(id.starts_with("sha256:"), "{id}");
        assert_eq!(once(), id, "the same files give the same image");
        files
    }

    /// Builds the image of a folder, and looks at it.
    pub(crate) fn image(&self, project: &Path, arguments: &[&str]) -> Image {
        let layout = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        let to = format!("type=oci,tar=false,dest={}", layout.path().display());
        let archive = format!("type=docker,dest={}", self.archive().display());
        let mut all = vec!["build", "--quiet", "--no-cache", "-t", "app/tested", "-o", &to, "-o", &archive];
        all.extend(arguments);
        let output = self.windlass_in(project, &all);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |path: PathBuf| -> Value {
            serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON")
        };
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().expect("a digest");
            read(layout.path().join("blobs").join(digest.replace(':', "/")))
        };
        let manifest = blob(&read(layout.path().join("index.json"))["manifests"][0]);
        let config = blob(&manifest["config"]);
        let layers = config["rootfs"]["diff_ids"].as_array().expect("layers");
        Image {
            id: manifest["config"]["digest"].as_str().expect("a digest").to_owned(),
            layers: layers.iter().map(|layer| layer.as_str().unwrap_or_default().to_owned()).collect(),
            config: config["config"].clone(),
        }
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("image.tar")
    }

    /// Builds it here, and from another folder whose files nobody else may read: the images are the same. Then one file
    /// of the code is another: nothing but the last layer is. The image of before is what is left to be run.
    pub(crate) fn build_and_change(&self, path: &str, from: &str, to: &str) -> Image {
        let other = self.folder.path().join("elsewhere");
        copy_closed(&self.project(), &other);
        let one = self.image(&other, &["--auto"]);
        let text = fs::read_to_string(other.join(path)).expect("code");
        assert!(text.contains(from), "{path} has no '{from}'");
        fs::write(other.join(path), text.replace(from, to)).expect("written");
        let changed = self.image(&other, &["--auto"]);
        let image = self.image(&self.project(), &["--auto"]);
        assert_eq!(image.id, one.id, "the same files give the same image, wherever they are");
        let (last, below) = changed.layers.split_last().expect("layers");
        assert_ne!(Some(last), image.layers.last(), "the code is another");
        assert_eq!(below, &image.layers[..below.len()], "only the code is another");
        assert_eq!(image.config["User"], "65532:65532");
        image
    }

    pub(crate) fn told(&self) -> Value {
        let output = self.windlass(&["--json", "build", "--auto", "--dry-run"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Runs the image of the last build with Podman, as it says itself it wants to be run, with a root that cannot be
    /// written; gives what it answers at `/`. None where the machine cannot run it.
    pub(crate) fn served(&self, name: &str, machine: bool) -> Option<String> {
        if !has(name, "podman") {
            return None;
        }
        if !nix::unistd::geteuid().is_root() {
            windlass_testkit::skip(name, "Podman is run as root");
            return None;
        }
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let archive = self.archive();
        self.podman(&["load", "-q", "-i", archive.to_str().expect("a path")]);
        let variable = format!("PORT={port}");
        let mut all =
            vec!["run", "-d", "--name", "tested", "--network=host", "--cap-drop=all", "--read-only"];
        all.extend(["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", "-e", &variable]);
        let mounts = if machine { machines_root() } else { Vec::new() };
        all.extend(mounts.iter().map(String::as_str));
        all.push("localhost/app/tested");
        self.podman(&all);
        let answer = ask(port);
        let said = self.podman(&["logs", "tested"]);
        self.podman(&["rm", "-f", "-t", "0", "tested"]);
        self.podman(&["rmi", "-f", "localhost/app/tested"]);
        Some(answer.unwrap_or_else(|| panic!("nothing answers at port {port}: {said}")))
    }

    fn podman(&self, arguments: &[&str]) -> String {
        let root = self.folder.path().join("podman");
        let output = Command::new("podman")
            .arg("--root")
            .arg(root.join("root"))
            .arg("--runroot")
            .arg(root.join("run"))
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
            .args(arguments)
            .output()
            .expect("podman");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "podman {}: {said}", arguments.join(" "));
        format!("{}{said}", String::from_utf8_lossy(&output.stdout))
    }
}

/// The folders of this machine's own root that an image on it lies over.
fn machines_root() -> Vec<String> {
    let mut all = vec!["/usr", "/bin", "/lib", "/lib64", "/etc/alternatives"];
    all.extend(["/etc/java-17-openjdk", "/etc/java-21-openjdk"]);
    let there = all.into_iter().filter(|path| Path::new(path).is_dir());
    there
        .map(|path| format!("--volume={path}:{path}:ro"))
        .chain(["--tmpfs=/tmp:mode=1777".to_owned()])
        .collect()
}

/// The body of what is answered, as soon as something answers.
fn ask(port: u16) -> Option<String> {
    for _ in 0..600 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let mut answer = String::new();
            let asked = stream.write_all(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
            if asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && !answer.is_empty() {
                return answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// A copy in which only the owner may read anything.
fn copy_closed(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_closed(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).expect("closed");
        }
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).expect("closed");
}

/// Whether the machine has a program; says so if it has not.
pub(crate) fn has(name: &str, program: &str) -> bool {
    let flag = if program == "go" { "version" } else { "--version" };
    let there = Command::new(program).arg(flag).output().is_ok_and(|output| output.status.success());
    if !there {
        windlass_testkit::skip(name, &format!("there is no {program}"));
    }
    there
}

/// Whether pip can fetch a package; says so if it cannot.
pub(crate) fn pip_reaches(name: &str, package: &str) -> bool {
    let probe = tempfile::tempdir().expect("a folder");
    let asked = Command::new("/usr/bin/python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(probe.path())
        .arg(package)
        .output();
    let reaches = asked.is_ok_and(|output| output.status.success());
    if !reaches {
        windlass_testkit::skip(name, "pip cannot fetch a package");
    }
    reaches
}
