//! The registry with its real clients, both ways: skopeo, Docker, podman, buildah; and what they see when it is killed.

mod building;
mod clients;
mod containers;
mod full;
mod hostile;
mod killed;
mod rotten;
mod wire;

use std::process::{Command, Output, Stdio};

use windlass_api::{Conclusion, RunDetail};
use windlass_testkit::{DockerEngine, DockerStorage};

use crate::platform::{Platform, Repository, job, program, told};

const BUILD: &str = r#"
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    outputs: { digest: "${{ steps.image.outputs.digest }}" }
    steps:
      - uses: actions/checkout@v4
      - run: cp "$(command -v busybox)" busybox
      - id: image
        uses: windlass/build@v1
        with:
          base: scratch
          files: |
            hello.txt:/hello.txt
            busybox:/busybox
          entrypoint: /busybox
          tags: latest
"#;

/// A platform with an image `crate-box:latest` of busybox, which can be run; gives its digest.
fn with_image(name: &str) -> Option<(Platform, String)> {
    if program("busybox").is_none() {
        windlass_testkit::skip(name, "there is no busybox to make an image of");
        return None;
    }
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
    let listed =
        skopeo(&["list-tags", "--tls-verify=false", "--creds", &credentials, &ours("crate-box/second")]);
    assert!(listed.status.success() && told(&listed).contains("\"v1\""), "{}", told(&listed));
    // Without the token: refused both ways.
    let refused = skopeo(&["inspect", "--tls-verify=false", "--no-creds", &ours("crate-box:latest")]);
    assert!(!refused.status.success(), "anybody can pull");
    let wrong = ["copy", "--dest-tls-verify=false", "--dest-creds", "admin:wrong"];
    let refused = skopeo(&[&wrong[..], &[&folder, &ours("crate-box/third:v1")]].concat());
    assert!(!refused.status.success(), "a wrong token can push");
    let gone =
        skopeo(&["delete", "--tls-verify=false", "--creds", &credentials, &ours("crate-box/second:v1")]);
    assert!(gone.status.success(), "{}", told(&gone));
    let shown =
        skopeo(&["inspect", "--tls-verify=false", "--creds", &credentials, &ours("crate-box/second:v1")]);
    assert!(!shown.status.success(), "what was deleted is shown: {}", told(&shown));
}

#[test]
fn docker_pulls_runs_and_pushes() {
    const NAME: &str = "registry: docker";
    if !crate::platform::wanted(NAME) {
        return;
    }
    let docker = match DockerEngine::start(&std::env::temp_dir(), DockerStorage::Vfs) {
        Ok(docker) => docker,
        Err(why) => return windlass_testkit::skip(NAME, &why),
    };
    let Some((platform, digest)) = with_image(NAME) else { return };
    let image = |name: &str| format!("{}/crate-box{name}", platform.address());
    assert!(!docker.run(&["pull", &image(":latest")]).status.success(), "anybody can pull");
    docker.log_in(platform.address(), "admin", &platform.token);
    let pulled = docker.ok(&["pull", &image(":latest")]);
    assert!(pulled.contains(&digest), "{digest} is not in {pulled}");
    // The engine was started without a bridge, so that it leaves the machine's network alone.
    let said = docker.ok(&["run", "--rm", "--network=none", &image(":latest"), "echo", "here it runs"]);
    assert_eq!(said, "here it runs");
    docker.ok(&["tag", &image(":latest"), &image("/copy:v1")]);
    let pushed = docker.ok(&["push", &image("/copy:v1")]);
    assert!(pushed.contains("digest: sha256:"), "{pushed}");
    docker.ok(&["rmi", &image("/copy:v1"), &image(":latest")]);
    // What nobody here has any more is fetched by running it.
    let said = docker.run(&["run", "--rm", "--network=none", &image("/copy:v1"), "echo", "and again"]);
    assert!(said.status.success() && told(&said).contains("and again"), "{}", told(&said));
}
