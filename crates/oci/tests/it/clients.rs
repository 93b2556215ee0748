//! Real clients over a real socket.

use std::path::Path;
use std::process::{Command, Output};

use bytes::Bytes;
use serde_json::Value;
use windlass_kernel::{Actor, Digest};
use windlass_oci::{AssembleSpec, Base, Login, Puller, Reference, UnpackLimits, WhiteoutStyle, one_chunk};
use windlass_testkit::{DockerEngine, DockerStorage};

use crate::assembling::{Piece, file, tar_of};
use crate::bench::Bench;

/// Serves the bench's registry; gives host and port.
async fn serve(bench: &Bench) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = bench.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn skopeo(arguments: Vec<String>) -> Output {
    let run = move || Command::new("skopeo").args(arguments).env("NO_PROXY", "*").output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn has_skopeo(test: &str) -> bool {
    let there = Command::new("skopeo").arg("--version").output().is_ok_and(|out| out.status.success());
    if !there {
        windlass_testkit::skip(test, "skopeo is not installed");
    }
    there
}

fn good(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The manifest digest of an OCI layout folder.
fn layout_digest(folder: &Path) -> String {
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

async fn assembled(bench: &Bench, repository: &str) -> Digest {
    let mut spec = AssembleSpec::new(Base::Scratch, repository.parse().unwrap());
    spec.tags = vec!["v1".parse().unwrap()];
    spec.entrypoint = vec!["/run".into()];
    let content: String = (0..400_000u32).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let tar = tar_of(&[Piece { mode: 0o755, ..file("run", &content) }, file("etc/config", "x")], 0, 0);
    bench.assembler().assemble(&spec, one_chunk(Bytes::from(tar)), &Actor::System).await.unwrap().digest
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_out_and_in_again_with_the_same_digest() {
    if !has_skopeo("skopeo_copies_out_and_in_again") {
        return;
    }
    let bench = Bench::new();
    let host = serve(&bench).await;
    let digest = assembled(&bench, "tasks").await.to_string();
    let out = bench.path("out");
    let out_text = out.display();
    good(
        &skopeo(words(&format!(
            "copy --src-tls-verify=false --src-creds ada:ada-token docker://{host}/tasks:v1 oci:{out_text}"
        )))
        .await,
    );
    assert_eq!(layout_digest(&out), digest);

    // Another registry takes it, in the other direction.
    let other = Bench::new();
    let other_host = serve(&other).await;
    good(&skopeo(words(&format!(
        "copy --dest-tls-verify=false --dest-creds ada:ada-token oci:{out_text} docker://{other_host}/team/tasks:v1"
    )))
    .await);
    let inspected = skopeo(words(&format!(
        "inspect --tls-verify=false --creds bob:bob-token docker://{other_host}/team/tasks:v1"
    )))
    .await;
    good(&inspected);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["Digest"], Value::String(digest.clone()));
    assert_eq!(inspected["RepoTags"], serde_json::json!(["v1"]));
    let back = other.path("back");
    good(&skopeo(words(&format!(
        "copy --src-tls-verify=false --src-creds bob:bob-token docker://{other_host}/team/tasks@{digest} oci:{}",
        back.display()
    )))
    .await);
    assert_eq!(layout_digest(&back), digest);

    // Docker's own format keeps its media types.
    good(&skopeo(words(&format!(
        "copy --format v2s2 --dest-tls-verify=false --dest-creds ada:ada-token oci:{out_text} docker://{other_host}/tasks:docker"
    )))
    .await);
    let raw = skopeo(words(&format!(
        "inspect --raw --tls-verify=false --creds ada:ada-token docker://{other_host}/tasks:docker"
    )))
    .await;
    good(&raw);
    let raw: Value = serde_json::from_slice(&raw.stdout).unwrap();
    assert_eq!(raw["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    good(
        &skopeo(words(&format!(
            "delete --tls-verify=false --creds ada:ada-token docker://{other_host}/tasks:docker"
        )))
        .await,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_is_refused_where_it_may_not_push() {
    if !has_skopeo("skopeo_is_refused") {
        return;
    }
    let bench = Bench::new();
    let host = serve(&bench).await;
    assembled(&bench, "tasks").await;
    for (creds, why) in [("bob:bob-token", "denied"), ("bob:wrong", "unauthorized")] {
        let copy = format!(
            "copy --src-tls-verify=false --dest-tls-verify=false --src-creds ada:ada-token --dest-creds {creds} \
             docker://{host}/tasks:v1 docker://{host}/other:v1"
        );
        let refused = skopeo(words(&copy)).await;
        let text = String::from_utf8_lossy(&refused.stderr).to_lowercase();
        assert!(!refused.status.success() && text.contains(why), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_is_pulled_from_another_registry() {
    let there = Bench::new();
    let host = serve(&there).await;
    assembled(&there, "base").await;
    let here = Bench::new();
    let login = Login {
        host: host.clone(),
        user: "bob".into(),
        password: windlass_kernel::Secret::new("bob-token".into()),
    };
    let pulling = |logins| {
        windlass_oci::Assembler::new(
            here.registry.clone(),
            Puller::new(logins),
            here.path("spool"),
            std::sync::Arc::new(windlass_kernel::OsEntropy),
            1 << 20,
        )
    };
    let spec = |base: &str| AssembleSpec::new(Base::parse(base, &[]).unwrap(), "tasks".parse().unwrap());
    let tar = || one_chunk(Bytes::from(tar_of(&[file("top", "top")], 0, 0)));
    let base = format!("{host}/base:v1");
    let made = pulling(vec![login.clone()]).assemble(&spec(&base), tar(), &Actor::System).await.unwrap();
    let unpacker = here.unpacker(WhiteoutStyle::None, UnpackLimits::default());
    let unpacked = unpacker.unpack(&"tasks".parse().unwrap(), &Reference::Digest(made.digest)).await.unwrap();
    assert_eq!(unpacked.layers.len(), 2);
    assert!(unpacked.layers[1].join("etc/config").exists());
    assert_eq!(unpacked.config.entrypoint, ["/run"]);

    let refused =
        pulling(Vec::new()).assemble(&spec(&base), tar(), &Actor::System).await.unwrap_err().to_string();
    assert!(refused.contains("401") && refused.contains("login"), "{refused}");
    let missing = format!("{host}/base:v9");
    let refused = pulling(vec![login.clone()]).assemble(&spec(&missing), tar(), &Actor::System).await;
    assert!(refused.unwrap_err().to_string().contains("check the name and the tag"));
    let nobody = pulling(vec![login]).assemble(&spec("127.0.0.1:1/base:v1"), tar(), &Actor::System).await;
    assert!(nobody.unwrap_err().to_string().contains("cannot be reached"));
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_logs_in_pulls_and_pushes() {
    let bench = Bench::new();
    let started = DockerEngine::start(&std::env::temp_dir(), DockerStorage::Vfs);
    let engine = match started {
        Ok(engine) => engine,
        Err(why) => return windlass_testkit::skip("docker_logs_in_pulls_and_pushes", &why),
    };
    let host = serve(&bench).await;
    assembled(&bench, "tasks").await;
    tokio::task::block_in_place(|| {
        let nobody = engine.run(&["pull", &format!("{host}/tasks:v1")]);
        assert!(!nobody.status.success(), "nobody may pull without a login");
        engine.log_in(&host, "ada", "ada-token");
        engine.ok(&["pull", &format!("{host}/tasks:v1")]);
        engine.ok(&["tag", &format!("{host}/tasks:v1"), &format!("{host}/team/copy:v2")]);
        engine.ok(&["push", &format!("{host}/team/copy:v2")]);
    });

    // What came back by way of Docker runs as what went out.
    let image = |name: &str, tag: &str| {
        let (name, reference) = (name.parse().unwrap(), tag.parse().unwrap());
        let registry = bench.registry.clone();
        async move { registry.image(&name, &reference).await.unwrap().2 }
    };
    let (sent, came) = (image("tasks", "v1").await, image("team/copy", "v2").await);
    assert_eq!(came.rootfs, sent.rootfs);
    assert_eq!(came.config.entrypoint, sent.config.entrypoint);
}

/// A program with containers' storage of its own, below the bench's folder.
async fn contained(bench: &Bench, program: &str, arguments: &str) -> Output {
    let mut command = Command::new(program);
    for (option, folder) in [("--root", "containers"), ("--runroot", "containers-run")] {
        command.arg(option).arg(bench.path(folder));
    }
    command.args(["--storage-driver", "vfs"]).args(words(arguments)).env("NO_PROXY", "*");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Pulls, names anew, pushes and compares: what podman and buildah have in common.
async fn round_trip(program: &str) {
    let there = Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success());
    if !there {
        return windlass_testkit::skip(&format!("{program}_pulls_and_pushes"), "it is not installed");
    }
    let bench = Bench::new();
    let host = serve(&bench).await;
    assembled(&bench, "tasks").await;
    let login = "--tls-verify=false --creds ada:ada-token";
    let pulled = contained(&bench, program, &format!("pull {login} {host}/tasks:v1")).await;
    let told = String::from_utf8_lossy(&pulled.stderr).into_owned();
    if !pulled.status.success()
        && (told.contains("user namespace") || told.contains("operation not permitted"))
    {
        return windlass_testkit::skip(
            &format!("{program}_pulls_and_pushes"),
            "it cannot keep images as this user",
        );
    }
    good(&pulled);
    good(&contained(&bench, program, &format!("tag {host}/tasks:v1 {host}/team/copy:v2")).await);
    good(
        &contained(
            &bench,
            program,
            &format!("push {login} {host}/team/copy:v2 docker://{host}/team/copy:v2"),
        )
        .await,
    );
    let image = async |name: &str, tag: &str| {
        bench.registry.image(&name.parse().unwrap(), &tag.parse().unwrap()).await.unwrap().2
    };
    let (sent, came) = (image("tasks", "v1").await, image("team/copy", "v2").await);
    assert_eq!(came.rootfs, sent.rootfs);
    assert_eq!(came.config.entrypoint, sent.config.entrypoint);
    // What is here already is not asked for again.
    good(&contained(&bench, program, &format!("rmi {host}/tasks:v1 {host}/team/copy:v2")).await);
    let wrong = format!("pull --tls-verify=false --creds bob:no {host}/tasks:v1");
    let refused = contained(&bench, program, &wrong).await;
    let told = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(!refused.status.success() && told.contains("invalid username/password"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pulls_and_pushes() {
    round_trip("podman").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buildah_pulls_and_pushes() {
    round_trip("buildah").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn umoci_unpacks_what_skopeo_fetched() {
    const NAME: &str = "umoci_unpacks_what_skopeo_fetched";
    if !has_skopeo(NAME) {
        return;
    }
    if !Command::new("umoci").arg("--version").output().is_ok_and(|out| out.status.success()) {
        return windlass_testkit::skip(NAME, "umoci is not installed");
    }
    let bench = Bench::new();
    let host = serve(&bench).await;
    assembled(&bench, "tasks").await;
    let (layout, bundle) = (bench.path("layout"), bench.path("bundle"));
    let copy = format!(
        "copy --src-tls-verify=false --src-creds ada:ada-token docker://{host}/tasks:v1 oci:{}:v1",
        layout.display()
    );
    good(&skopeo(words(&copy)).await);
    let image = format!("{}:v1", layout.display());
    let unpacked = Command::new("umoci")
        .args(["unpack", "--rootless", "--image", &image])
        .arg(&bundle)
        .output()
        .unwrap();
    good(&unpacked);
    assert_eq!(std::fs::read(bundle.join("rootfs/etc/config")).unwrap(), b"x");
}

/// What the ORAS client for Python does: an artifact in one piece and in chunks, there and back.
const ORAS: &str = r#"
import os, sys
from oras.client import OrasClient

host, folder = sys.argv[1:]
os.chdir(folder)
content = bytes(n % 251 for n in range(300_000))
with open("report.bin", "wb") as file:
    file.write(content)

def client(backend):
    made = OrasClient(hostname=host, insecure=True, auth_backend=backend)
    made.auth.set_basic_auth("ada", "ada-token")
    return made

# With tokens this client keeps the first that it gets, which is one to pull with: it cannot push to a registry whose
# tokens are for what was asked.
ada, reader = client("basic"), client("token")
for tag, chunked in (("whole", False), ("chunked", True)):
    target = f"{host}/team/report:{tag}"
    sent = ada.push(target, files=["report.bin:application/x-report"], manifest_annotations={"made": tag},
                    do_chunked=chunked, chunk_size=100_000, quiet=True)
    assert sent.status_code == 201, sent.status_code
    manifest = ada.get_manifest(target)
    assert manifest["annotations"]["made"] == tag, manifest
    assert manifest["layers"][0]["mediaType"] == "application/x-report", manifest
    [pulled] = reader.pull(target, outdir=f"back-{tag}")
    with open(pulled, "rb") as file:
        assert file.read() == content, "it came back otherwise"
assert sorted(ada.get_tags(f"{host}/team/report")) == ["chunked", "whole"]
"#;

/// A Python that has the ORAS client, kept below the target folder.
fn python_with_oras() -> Result<std::path::PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oras");
    let python = home.join("bin/python");
    let does = |program: &Path, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|out| out.status.success())
    };
    let made = does(&python, &["-c", "import oras.client"])
        || does(Path::new("python3"), &["-m", "venv", home.to_str().ok_or("no text")?])
            && does(&python, &["-m", "pip", "install", "-q", "oras"]);
    made.then_some(python).ok_or_else(|| "oras cannot be had from PyPI".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn oras_keeps_artifacts() {
    let python = match tokio::task::spawn_blocking(python_with_oras).await.unwrap() {
        Ok(python) => python,
        Err(why) => return windlass_testkit::skip("oras_keeps_artifacts", &why),
    };
    let bench = Bench::new();
    let host = serve(&bench).await;
    let folder = bench.path("oras");
    std::fs::create_dir(&folder).unwrap();
    let mut command = Command::new(python);
    command.args(["-c", ORAS, &host]).arg(&folder).env("HOME", &folder).env("NO_PROXY", "*");
    good(&tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
}
