//! GitHub's own client libraries (`@actions/artifact`, `@actions/cache`, `@actions/core`) against a control that listens.
//! They are fetched with npm, once, and kept below cargo's target folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use axum::body::{Body, to_bytes};
use serde_json::Value;
use windlass_api::runner::{Assignment, Services};
use windlass_kernel::{Clock as _, SystemClock};

use super::world::{World, bearer};

const PACKAGE: &str = include_str!("genuine/package.json");
const SCRIPT: &str = include_str!("genuine/drive.mjs");
const CI: (&str, &str) = (
    ".github/workflows/ci.yml",
    "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    environment: production\n    permissions: { id-token: write }\n    steps:\n      - run: 'true'\n",
);
const OPEN: (&str, &str) =
    ("windlass.yml", "services:\n  web:\n    port: 80\nenvironments:\n  production: {}\n");

/// The folder that has the libraries; none, with a word about it, when they cannot be had.
fn libraries(name: &str) -> Option<PathBuf> {
    let ran = |output: std::io::Result<Output>| output.is_ok_and(|o| o.status.success());
    if !ran(Command::new("node").arg("--version").output())
        || !ran(Command::new("npm").arg("--version").output())
    {
        windlass_testkit::skip(name, "there is no node or no npm on this machine");
        return None;
    }
    let exe = std::env::current_exe().unwrap();
    let target = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).unwrap_or(Path::new("/tmp"));
    let folder = target.join("tmp/genuine-clients");
    std::fs::create_dir_all(&folder).unwrap();
    // One fetches, the others wait.
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    let _held = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let done = folder.join("fetched.json");
    if std::fs::read_to_string(&done).is_ok_and(|kept| kept == PACKAGE) {
        return Some(folder);
    }
    std::fs::write(folder.join("package.json"), PACKAGE).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
    let output = npm.stdin(Stdio::null()).output();
    if !output.as_ref().is_ok_and(|o| o.status.success()) {
        let why = output.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned());
        windlass_testkit::skip(name, &format!("npm cannot fetch the libraries: {}", why.trim()));
        return None;
    }
    std::fs::write(done, PACKAGE).unwrap();
    Some(folder)
}

/// A control that listens, and a job that runs.
struct Scene {
    world: World,
    job: Assignment,
    libraries: PathBuf,
}

impl Scene {
    async fn new(name: &str) -> Option<Self> {
        let libraries = libraries(name)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let world = World::at(&format!("http://{}", listener.local_addr().unwrap()));
        // The libraries look at the machine's clock.
        world.clock.advance(SystemClock.now().since(world.clock.now()));
        let app = crate::control::router(&world.ctx);
        tokio::spawn(async move { axum::serve(listener, app).await });
        world.pushed("shop", "ada", &[CI, OPEN]).await;
        crate::runs::look(&world.ctx, true).await;
        let job = world.lease().await.unwrap().expect("a job");
        Some(Self { world, job, libraries })
    }

    fn services(&self) -> &Services {
        self.job.services.as_ref().unwrap()
    }

    /// Runs a part of the script as an action of the job would run; gives what it tells.
    async fn drive(&self, part: &str, change: &[(&str, &str)]) -> Value {
        let folder = self.world.dir.path().join(format!("drive-{part}"));
        std::fs::create_dir_all(folder.join("temp")).unwrap();
        // Beside the libraries, where the script finds them; of this test's own, as others may run it too.
        let script = self.libraries.join(format!("drive-{}-{part}.mjs", std::process::id()));
        std::fs::write(&script, SCRIPT).unwrap();
        let report = folder.join("report.json");
        let mut node = Command::new("node");
        node.arg(&script).arg(&report).arg(part).current_dir(&folder);
        node.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &folder);
        node.env("GITHUB_WORKSPACE", &folder).env("RUNNER_TEMP", folder.join("temp"));
        node.env("GITHUB_RETENTION_DAYS", "90")
            .env("TEST_NOW", self.world.clock.now().as_millis().to_string());
        node.env("GITHUB_REF", self.job.github["ref"].as_str().unwrap());
        node.envs(self.services().action_env()).envs(change.iter().copied());
        let output = tokio::task::spawn_blocking(move || node.stdin(Stdio::null()).output()).await.unwrap();
        let _ = std::fs::remove_file(&script);
        let output = output.unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{part}: {said}");
        let told = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        eprintln!("{said}");
        told
    }
}

/// An archive as the built-in `upload-artifact` sends it.
const EMPTY_ZIP: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_go_up_in_blocks_and_come_down_the_same_and_each_side_sees_the_others() {
    let Some(scene) = Scene::new("genuine clients: artifacts").await else { return };
    let (ctx, who, id) = (&scene.world.ctx, bearer(&scene.job), scene.job.job.as_str());
    ctx.put_artifact(&who, id, "built-in", None, false, Body::from(one_file_zip())).await.unwrap();
    let told = scene.drive("artifacts", &[]).await;
    assert!(told["big"]["size"].as_u64().unwrap() > 40 << 20, "{told}");
    assert_eq!((&told["same"], &told["mismatch"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!((told["small"].as_str(), told["raw"].as_str()), (Some("small"), Some("as it is")));
    assert_eq!(told["builtIn"], serde_json::json!(["x"]));
    assert!(told["taken"].as_str().unwrap().contains("artifacts are immutable"), "{told}");
    assert!(told["missing"].as_str().unwrap().contains("not found"), "{told}");
    assert_eq!(told["listed"].as_array().unwrap().len(), 4, "{told}");
    assert_eq!(told["left"], serde_json::json!(["big", "built-in", "notes.txt"]));

    let seen = ctx.list_artifacts(&who, id).await.unwrap();
    let big = seen.iter().find(|a| a.name == "big").unwrap();
    assert_eq!(big.digest, format!("sha256:{}", told["big"]["digest"].as_str().unwrap()));
    let raw: Vec<&str> = seen.iter().filter(|a| a.raw).map(|a| a.name.as_str()).collect();
    assert_eq!(raw, ["notes.txt"], "the built-in action must not take it for an archive");
    let days = big.expires_at.since(big.created_at).as_secs() / 86_400;
    assert_eq!(days, 3, "kept as long as the client asked for");
    let found = ctx.get_artifact(&who, id, "big").await.unwrap();
    let bytes = to_bytes(found.body, 64 << 20).await.unwrap();
    assert_eq!(bytes.len() as u64, big.size);
    // Nothing of the blocks is left, and nothing of what was deleted.
    assert_eq!(std::fs::read_dir(scene.world.dir.path().join("data/uploads")).unwrap().count(), 0);
    assert_eq!(scene.world.told("artifact.deleted").await, 1);
}

/// A zip archive with the empty file `x`.
fn one_file_zip() -> Vec<u8> {
    let local = b"PK\x03\x04\x0a\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0x";
    let mut zip = local.to_vec();
    zip.extend(b"PK\x01\x02\x0a\0\x0a\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0x");
    let mut end = EMPTY_ZIP.to_vec();
    (end[8], end[10], end[12], end[16]) = (1, 1, 47, local.len() as u8);
    zip.extend(end);
    zip
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_are_saved_once_and_found_by_prefix_in_both_versions() {
    let Some(scene) = Scene::new("genuine clients: caches").await else { return };
    // The host decides: for what it does not take for GitHub the library speaks the first version.
    let elsewhere = [("GITHUB_SERVER_URL", "https://git.example.test")];
    for (part, prefix, change) in [("caches", "two", &[][..]), ("cachesOne", "one", &elsewhere[..])] {
        let told = scene.drive(part, change).await;
        let of = |what: &str| told[format!("{prefix}{what}")].clone();
        assert_eq!((of("Saved"), of("Same")), (Value::Bool(true), Value::Bool(true)), "{told}");
        assert_eq!((of("Again"), of("Miss")), (serde_json::json!(-1), Value::Null), "{told}");
        assert_eq!(of("Hit"), format!("{prefix}-linux-1"), "{told}");
    }
    let kept = scene.world.ctx.caches_of(&"shop".parse().unwrap()).await.unwrap();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|c| c.scope == "refs/heads/main" && c.size > 30 << 20), "{kept:?}");
    assert_eq!(std::fs::read_dir(scene.world.dir.path().join("data/uploads")).unwrap().count(), 0);
}

/// The version under which the built-in action keeps caches (`windlass_runner`'s `action::cache` has it in full).
fn version(path: &str) -> String {
    let digest = windlass_kernel::Digest::sha256(format!("{path}|zstd-without-long|1.0").as_bytes());
    digest.hex().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_of_the_built_in_action_and_of_the_client_are_the_same() {
    let name = "genuine clients: shared caches";
    let Some(scene) = Scene::new(name).await else { return };
    if !Command::new("zstd").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return windlass_testkit::skip(name, "there is no zstd on this machine: the client keeps gzip then");
    }
    let (ctx, who, id) = (&scene.world.ctx, bearer(&scene.job), scene.job.job.as_str());
    let ours = scene.world.dir.path().join("made/ours");
    std::fs::create_dir_all(&ours).unwrap();
    std::fs::write(ours.join("x"), "of the action").unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "-cf", "-", "ours"]).current_dir(ours.parent().unwrap());
    let archive = tar.output().unwrap().stdout;
    ctx.put_cache(&who, id, &version("ours"), "from-us", Body::from(archive)).await.unwrap();
    let told = scene.drive("shared", &[]).await;
    assert_eq!((told["found"].as_str(), told["text"].as_str()), (Some("from-us"), Some("of the action")));
    assert_eq!(told["saved"], true, "{told}");
    let found = ctx.get_cache(&who, id, &version("theirs"), &["from-them".to_owned()]).await.unwrap();
    let (key, download) = found.expect("what the client saved");
    let bytes = to_bytes(download.body, 1 << 20).await.unwrap();
    assert_eq!((key.as_str(), &bytes[..4]), ("from-them", &[0x28, 0xb5, 0x2f, 0xfd][..]), "a zstd archive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_tokens_verify_with_what_the_discovery_document_names() {
    let Some(scene) = Scene::new("genuine clients: identity tokens").await else { return };
    let told = scene.drive("identity", &[]).await;
    let claims = &told["claims"];
    assert_eq!(told["alg"], "RS256");
    let expected = [
        ("sub", "repo:windlass/shop:environment:production"),
        ("aud", "urn:the-cloud"),
        ("repository", "windlass/shop"),
        ("ref", "refs/heads/main"),
        ("event_name", "push"),
        ("environment", "production"),
        ("run_id", scene.job.run.as_str()),
        ("run_attempt", "1"),
        ("job_workflow_ref", "windlass/shop/.github/workflows/ci.yml@refs/heads/main"),
        ("runner_environment", "self-hosted"),
    ];
    for (claim, value) in expected {
        assert_eq!(claims[claim], value, "{claim} in {claims}");
    }
    assert_eq!(claims["sha"], scene.job.github["sha"]);
    assert!(told["wrongAudience"].as_str().unwrap().contains("JWTClaimValidationFailed"), "{told}");
    assert!(told["forged"].as_str().unwrap().contains("JWSSignatureVerificationFailed"), "{told}");
    let owner = format!("{}windlass", scene.services().url);
    assert_eq!(told["byDefault"], owner);
    assert_eq!(scene.world.told("identity_token.issued").await, 2);
}
