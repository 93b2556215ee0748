//! SIGKILL of control in the middle of a push and of a collection.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use windlass_kernel::Digest;

use crate::platform::{Platform, kill_hard, program, told, wait_for};

/// Bytes that do not compress, others for each seed.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ (seed + 1).wrapping_mul(0x2545_f491_4f6c_dd1d);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Digest::sha256(bytes).hex().to_owned()
}

/// An image of these layers in a folder, as skopeo's `dir:` keeps it.
pub(super) fn image(folder: &Path, layers: &[Vec<u8>]) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    let keep = |bytes: &[u8]| {
        let name = digest(bytes);
        std::fs::write(folder.join(&name), bytes).unwrap();
        serde_json::json!({"digest": format!("sha256:{name}"), "size": bytes.len()})
    };
    let told: Vec<_> = layers.iter().map(|layer| format!("sha256:{}", digest(layer))).collect();
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": told}});
    let mut config = keep(config.to_string().as_bytes());
    config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    let layers: Vec<_> = layers.iter().map(|layer| keep(layer)).collect();
    let layers: Vec<_> = layers
        .into_iter()
        .map(|mut layer| {
            layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
            layer
        })
        .collect();
    let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers,
        "mediaType": "application/vnd.oci.image.manifest.v1+json"});
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

pub(super) fn skopeo(platform: &Platform, from: &str, to: &str) -> Child {
    let credentials = format!("admin:{}", platform.token);
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "copy", "--preserve-digests"]);
    for (side, place) in [("src", from), ("dest", to)] {
        if place.starts_with("docker:") {
            command.arg(format!("--{side}-tls-verify=false"));
            command.arg(format!("--{side}-creds")).arg(&credentials);
        }
    }
    command.arg(from).arg(to).env("HOME", platform.folder()).env("XDG_RUNTIME_DIR", platform.folder());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
pub(super) fn copied(platform: &Platform, from: &str, to: &str) {
    let output = skopeo(platform, from, to).wait_with_output().unwrap();
    assert!(output.status.success(), "{from} to {to}: {}", told(&output));
}

pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// Each blob that has its name has its bytes.
#[track_caller]
pub(super) fn no_half_blob(platform: &Platform) {
    for path in files(&platform.data.join("blobs/sha256")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(digest(&std::fs::read(&path).unwrap()), name, "{} is not whole", path.display());
    }
}

#[test]
fn a_push_that_is_cut_off_shows_no_half_blob_and_is_repeated() {
    const NAME: &str = "registry: control dies under pushes";
    if program("skopeo").is_none() {
        return windlass_testkit::skip(NAME, "there is no skopeo");
    }
    let Some(mut platform) = Platform::start(NAME) else { return };
    platform.ok(&["project", "create", "cut"]);
    let large = vec![noise(200 << 20, 1)];
    let small = (0..60).map(|n| noise(20_000, 100 + n)).collect::<Vec<_>>();
    for (name, layers) in [("large", large), ("small", small)] {
        let folder = platform.folder().join(name);
        image(&folder, &layers);
        let (from, to) =
            (format!("dir:{}", folder.display()), format!("docker://{}/cut/{name}:v1", platform.address()));
        let before = files(&platform.data.join("blobs")).len();
        let push = skopeo(&platform, &from, &to);
        wait_for("the push to be under way", 30, || {
            let now = files(&platform.data.join("blobs"));
            let size = |path: &PathBuf| path.metadata().map_or(0, |m| m.len());
            let sent = now.iter().map(size).max().unwrap_or(0) > 1 << 20;
            (if name == "large" { sent } else { now.len() > before + 5 }).then_some(())
        });
        kill_hard(platform.pid_of("control"));
        let output = push.wait_with_output().unwrap();
        platform.reconnect();
        no_half_blob(&platform);
        if !output.status.success() {
            let path = format!("/v2/cut/{name}/manifests/v1");
            let reply = crate::platform::page(&platform, &path);
            assert_ne!(reply.status, 200, "a manifest of a push that failed: {}", reply.body);
        }
        copied(&platform, &from, &to);
        no_half_blob(&platform);
        let back = platform.folder().join(format!("{name}-back"));
        copied(&platform, &to, &format!("dir:{}", back.display()));
        let sent = std::fs::read(folder.join("manifest.json")).unwrap();
        assert_eq!(std::fs::read(back.join("manifest.json")).unwrap(), sent);
    }
    platform.assert_ledger_whole();
}

#[test]
fn a_collection_that_is_cut_off_takes_nothing_that_is_named() {
    const NAME: &str = "registry: control dies under a collection";
    if program("skopeo").is_none() {
        return windlass_testkit::skip(NAME, "there is no skopeo");
    }
    let Some(mut platform) = Platform::start(NAME) else { return };
    platform.ok(&["project", "create", "kept"]);
    let shared = (0..20).map(|n| noise(30_000, 5_000 + n)).collect::<Vec<_>>();
    // `v1` is moved: what only its first image had is garbage.
    for (turn, tag) in ["v1", "v2", "v1", "v3"].iter().enumerate() {
        let mut layers = shared.clone();
        layers.extend((0..100).map(|n| noise(5_000, 10_000 * (turn as u64 + 1) + n)));
        let folder = platform.folder().join(format!("turn-{turn}"));
        image(&folder, &layers);
        let to = format!("docker://{}/kept:{tag}", platform.address());
        copied(&platform, &format!("dir:{}", folder.display()), &to);
    }
    platform.ok(&["registry", "rule", "set", "rest", "untagged", "--days", "0"]);
    let count = || files(&platform.data.join("blobs/sha256")).len();
    let before = count();
    for delay in [0, 20, 60, 150] {
        let mut collecting = platform.command(&["registry", "gc", "--grace", "0"]);
        collecting.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut collecting = collecting.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        kill_hard(platform.pid_of("control"));
        collecting.wait().unwrap();
        platform.reconnect();
    }
    platform.ok(&["registry", "gc", "--grace", "0"]);
    let after = files(&platform.data.join("blobs/sha256")).len();
    assert!(after < before, "nothing was collected: {after} of {before}");
    for (turn, tag) in [(1, "v2"), (2, "v1"), (3, "v3")] {
        let back = platform.folder().join(format!("back-{turn}"));
        let from = format!("docker://{}/kept:{tag}", platform.address());
        copied(&platform, &from, &format!("dir:{}", back.display()));
        let sent = std::fs::read(platform.folder().join(format!("turn-{turn}/manifest.json"))).unwrap();
        assert_eq!(std::fs::read(back.join("manifest.json")).unwrap(), sent, "{tag}");
    }
    let scrubbed = platform.ok(&["registry", "scrub"]);
    assert!(!scrubbed.contains("sha256:"), "{scrubbed}");
    platform.assert_ledger_whole();
}
