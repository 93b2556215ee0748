//! podman and buildah, each with a storage of its own: pull, run, push, and run what came back.

use std::process::{Command, Output, Stdio};

use super::with_image;
use crate::platform::{Platform, is_root, program, told};

/// A program of containers' family, with images of this test's own.
struct Tool<'a> {
    program: &'static str,
    platform: &'a Platform,
}

impl Tool<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.program);
        for (option, folder) in [("--root", "containers"), ("--runroot", "containers-run")] {
            command.arg(option).arg(self.platform.folder().join(folder));
        }
        command.args(["--storage-driver", "vfs"]).args(arguments).env("NO_PROXY", "*");
        command.stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{} {arguments:?}: {}", self.program, told(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Logs in once; all that follows finds the login where the program keeps it.
    fn log_in(&self) -> String {
        let file = self.platform.folder().join("auth.json").display().to_string();
        let (token, address) = (self.platform.token.as_str(), self.platform.address());
        let words = ["login", "--tls-verify=false", "--authfile", &file, "-u", "admin", "-p", token, address];
        self.ok(&words);
        file
    }
}

fn tool(name: &'static str, test: &str) -> bool {
    let why = match program(name) {
        None => "it is not installed",
        Some(_) if !is_root() => "only root keeps images without a range of users",
        Some(_) => return true,
    };
    windlass_testkit::skip(test, why);
    false
}

#[test]
fn podman_pulls_runs_and_pushes() {
    const NAME: &str = "registry: podman";
    if !tool("podman", NAME) {
        return;
    }
    let Some((platform, digest)) = with_image(NAME) else { return };
    let podman = Tool { program: "podman", platform: &platform };
    let image = |name: &str| format!("{}/crate-box{name}", platform.address());
    let anybody = podman.run(&["pull", "--tls-verify=false", &image(":latest")]);
    assert!(!anybody.status.success(), "anybody can pull");
    let login = podman.log_in();
    let plain = ["--tls-verify=false", "--authfile", &login];
    podman.ok(&[&["pull"], &plain[..], &[&image(":latest")]].concat());
    let known = podman.ok(&["image", "inspect", "--format", "{{.Digest}}", &image(":latest")]);
    assert_eq!(known, digest);
    // No network, and limits that every machine can give: podman's own are above what some containers allow.
    let run = ["run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
    let echo =
        |name: &str, text: &str| podman.ok(&[&run[..], &plain[..], &[&image(name), "echo", text]].concat());
    assert_eq!(echo(":latest", "here it runs"), "here it runs");
    podman.ok(&["tag", &image(":latest"), &image("/copy:v1")]);
    podman.ok(&[&["push"], &plain[..], &[&image("/copy:v1")]].concat());
    podman.ok(&["rmi", &image("/copy:v1"), &image(":latest")]);
    assert_eq!(echo("/copy:v1", "and again"), "and again");
}

#[test]
fn buildah_builds_on_what_it_pulled_and_pushes() {
    const NAME: &str = "registry: buildah";
    if !tool("buildah", NAME) {
        return;
    }
    let Some((platform, _)) = with_image(NAME) else { return };
    let buildah = Tool { program: "buildah", platform: &platform };
    let image = |name: &str| format!("{}/crate-box{name}", platform.address());
    let login = buildah.log_in();
    let plain = ["--tls-verify=false", "--authfile", &login];
    let container = buildah.ok(&[&["from"], &plain[..], &[&image(":latest")]].concat());
    let file = platform.folder().join("more.txt");
    std::fs::write(&file, "more\n").unwrap();
    buildah.ok(&["copy", &container, &file.display().to_string(), "/more.txt"]);
    buildah.ok(&["commit", &container, &image("/more:v1")]);
    buildah.ok(&[&["push"], &plain[..], &[&image("/more:v1")]].concat());
    let told = platform.ok(&["registry", "list", "crate-box/more", "--repository"]);
    assert!(told.contains("v1"), "{told}");
    let container = buildah.ok(&[&["from", "--pull=always"], &plain[..], &[&image("/more:v1")]].concat());
    let mounted = buildah.ok(&["mount", &container]);
    let text = std::fs::read_to_string(format!("{mounted}/more.txt"));
    buildah.ok(&["umount", &container]);
    assert_eq!(text.unwrap(), "more\n");
}
