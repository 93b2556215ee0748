//! `windlass build` as a person calls it: with the programs that stand around it.

mod engines;
mod interrupted;
mod logins;
mod sources;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A person's home, with a store and temporary files of its own.
struct Home {
    temp: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        for folder in ["home", "tmp", "programs", "context"] {
            std::fs::create_dir(temp.path().join(folder)).unwrap();
        }
        Self { temp }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A program on the path.
    fn program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.file(&format!("programs/{name}"), text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The command in this home; `before` goes in front of it.
    fn command(&self, before: &[&str], args: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_windlass");
        let words: Vec<&str> =
            before.iter().copied().chain([binary, "build"]).chain(args.iter().copied()).collect();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(words[0]);
        for name in [
            "WINDLASS_URL",
            "WINDLASS_TOKEN",
            "DOCKER_CONFIG",
            "REGISTRY_AUTH_FILE",
            "XDG_RUNTIME_DIR",
            "XDG_CONFIG_HOME",
            "SOURCE_DATE_EPOCH",
            "SSH_AUTH_SOCK",
        ] {
            command.env_remove(name);
        }
        command
            .args(&words[1..])
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("WINDLASS_DATA", self.path("no-data"))
            .env("WINDLASS_BUILD_STORE", self.path("store"))
            .env("PATH", format!("{}:{path}", self.path("programs").display()))
            .current_dir(self.path("context"))
            .stdin(Stdio::null());
        command
    }

    fn build(&self, args: &[&str]) -> Output {
        self.command(&[], args).output().unwrap()
    }

    /// What is left in the folders for what is not to last.
    fn left(&self) -> Vec<PathBuf> {
        let of =
            |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        of(self.path("tmp")).chain(of(self.path("store/work"))).collect()
    }
}

fn succeeded(out: Output) -> String {
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    said
}

/// A port that was free a moment ago.
fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens.
fn listening(port: u16) -> bool {
    (0..150).any(|_| {
        let there = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        if !there {
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
        there
    })
}

/// Ends a program that a test started.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn file_of_tar(tar: &Path, name: &str) -> String {
    let out = Command::new("tar").arg("-xOf").arg(tar).arg(name).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}
