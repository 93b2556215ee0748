//! `--load`, and what is written for other engines.

use std::process::{Command, Stdio};

use windlass_testkit::{DockerEngine, DockerStorage};

use crate::Home;

#[test]
fn an_image_is_handed_to_docker() {
    let home = Home::new();
    let engine = match DockerEngine::start(home.temp.path(), DockerStorage::Vfs) {
        Ok(engine) => engine,
        Err(why) => return windlass_testkit::skip("an_image_is_handed_to_docker", &why),
    };
    home.file("context/Dockerfile", "FROM scratch\nLABEL found=yes\nCOPY Dockerfile /\n");
    for (tag, args) in [("loaded:1", vec!["--load"]), ("loaded:2", vec!["-o", "type=docker"])] {
        let args: Vec<&str> = args.into_iter().chain(["-t", tag, "."]).collect();
        let out = home.command(&[], &args).env("DOCKER_HOST", engine.host()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let label = engine.ok(&["image", "inspect", "-f", "{{.Config.Labels.found}}", tag]);
        assert_eq!(label.trim(), "yes");
    }
    drop(engine);
    let gone = home
        .command(&[], &["--load", "-t", "x", "."])
        .env("DOCKER_HOST", "unix:///nowhere")
        .output()
        .unwrap();
    assert!(!gone.status.success() && String::from_utf8_lossy(&gone.stderr).contains("docker load"));
}

#[test]
fn podman_reads_what_is_written_for_docker() {
    let home = Home::new();
    if Command::new("podman").arg("--version").output().is_err() {
        return windlass_testkit::skip("podman_reads", "there is no podman");
    }
    home.file("context/Dockerfile", "FROM scratch\nLABEL found=yes\nCOPY Dockerfile /\n");
    let mut written = home
        .command(&[], &["-t", "localhost/read:1", "-o", "type=docker,dest=-", "."])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let podman = |args: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(home.path("podman")).arg("--runroot").arg(home.path("run"));
        command.args(["--storage-driver", "vfs"]).args(args);
        command
    };
    let loaded = podman(&["load"]).stdin(written.stdout.take().unwrap()).output().unwrap();
    assert!(written.wait().unwrap().success());
    let said = String::from_utf8_lossy(&loaded.stderr).into_owned();
    assert!(loaded.status.success(), "{said}");
    let label =
        podman(&["image", "inspect", "-f", "{{.Labels.found}}", "localhost/read:1"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&label.stdout).trim(), "yes", "{said}");
}
