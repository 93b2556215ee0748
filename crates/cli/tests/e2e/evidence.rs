//! Production refuses a digest without evidence and takes it with; what is stated can be checked by others.

use std::process::{Command, Stdio};

use serde_json::Value;
use windlass_api::{Conclusion, ImageEvidence};

use crate::platform::{App, Platform, Repository, job, program, request, told};

const ENVIRONMENTS: &str = "  staging: {}\n  production:\n    after: staging\n    require:\n      - tests\n      - sbom\n      \
    - secrets\n      - provenance: { builder: this, branch: main }\n";
const JUNIT: &str = "<testsuite name='shop'><testcase name='adds'/><testcase name='removes'/></testsuite>";
const UPLOAD: &str =
    "      - uses: actions/upload-artifact@v4\n        with: { name: junit, path: junit.xml }\n";

/// The workflow, with a step that uploads the tests' results before the image is built.
fn with_tests(repository: &Repository) {
    let text = repository.git(&["show", "HEAD:.github/workflows/ship.yml"]);
    let image = "      - id: image\n";
    assert!(text.contains(image), "{text}");
    repository.write(".github/workflows/ship.yml", text.replacen(image, &format!("{UPLOAD}{image}"), 1));
    repository.write("junit.xml", JUNIT);
}

#[test]
fn production_refuses_a_digest_without_evidence_and_takes_it_with() {
    const NAME: &str = "evidence: production requires it";
    let Some(mut app) = App::staging_only(NAME) else { return };
    app.environments = ENVIRONMENTS.to_owned();
    let Some(platform) = Platform::start(NAME) else { return };
    let (repository, sha) = app.ship(&platform, "shop");
    let run = platform.concludes("shop", &sha, Conclusion::Failure);
    let production = job(&run, "production");
    let reason = production.reason.clone().unwrap_or_default();
    assert!(reason.starts_with("production requires evidence that is missing:\n- tests (app): "), "{reason}");
    assert_eq!(reason.lines().count(), 2, "only the tests are missing: {reason}");
    assert!(reason.contains("actions/upload-artifact"), "it does not say what to do: {reason}");
    assert!(platform.deployments("shop", "production").is_empty(), "something was begun");
    let staged = platform.environment("shop", "staging").live.unwrap();

    // By hand it is the same.
    let refused = platform.run(&["deploy", "shop", &staged.number.to_string(), "--to", "production"]);
    assert_eq!(refused.status.code(), Some(4), "{}", told(&refused));
    assert!(told(&refused).contains("- tests (app): "), "{}", told(&refused));

    with_tests(&repository);
    let sha = repository.ship(&platform, "With the tests' results");
    platform.concludes("shop", &sha, Conclusion::Success);
    let live = platform.environment("shop", "production").live.expect("a release is live in production");
    assert_eq!(request(&platform, &App::host("production"), "/").unwrap().status, 200);
    stated(&platform, &format!("shop@{}", live.images["app"]));
    platform.assert_ledger_whole();
}

/// What is stated about the image, as the command line and any client of the registry see it.
fn stated(platform: &Platform, image: &str) {
    let told_of: ImageEvidence =
        serde_json::from_str(&platform.ok(&["image", "inspect", image, "--json"])).unwrap();
    let mut words: Vec<&str> = told_of.statements.iter().map(|s| s.word.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words, ["provenance", "sbom (CycloneDX)", "sbom (SPDX)", "secrets", "signature", "tests"]);
    let sbom: Value = serde_json::from_str(&platform.ok(&["image", "sbom", image])).unwrap();
    assert_eq!(sbom["specVersion"], "1.6");
    let vulns = platform.ok(&["image", "vulns", image]);
    assert!(vulns.contains("not checked"), "without advisories nothing is clean: {vulns}");
    let checked = platform.ok(&["image", "verify", image]);
    assert!(checked.contains("good https://slsa.dev/provenance/v1: built by "), "{checked}");

    // By the key in a file and the statement in a file, nobody is asked.
    let key = platform.folder().join("key.pem");
    std::fs::write(&key, platform.ok(&["image", "key"])).unwrap();
    let provenance = told_of.statements.iter().find(|s| s.word == "provenance").unwrap();
    let bundle = platform.folder().join("provenance.json");
    std::fs::write(&bundle, provenance.bundle.to_string()).unwrap();
    let (key, bundle) = (key.to_str().unwrap(), bundle.to_str().unwrap());
    let alone = ["image", "verify", image, "--key", key, "--bundle", bundle, "--url", "http://127.0.0.1:9"];
    assert!(platform.ok(&alone).contains("1 of 1 statements"));
    let other = image.replace("sha256:", "sha256:0").chars().take(image.len()).collect::<String>();
    let wrong = platform.run(&["image", "verify", &other, "--key", key, "--bundle", bundle]);
    assert_eq!(wrong.status.code(), Some(1), "{}", told(&wrong));

    // What the key before signed stays good.
    platform.ok(&["key", "rotate"]);
    assert!(platform.ok(&["image", "verify", image]).contains("good https://slsa.dev/provenance/v1"));
    referrers(platform, image, told_of.statements.len());
}

/// The registry lists them as the specification says.
fn referrers(platform: &Platform, image: &str, wanted: usize) {
    if program("curl").is_none() {
        return windlass_testkit::skip("evidence: referrers", "there is no curl");
    }
    let (name, digest) = image.split_once('@').unwrap();
    let index: Value =
        serde_json::from_slice(&fetched(platform, &format!("/v2/{name}/referrers/{digest}"))).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    let of = |kind: &str| manifests.iter().filter(|m| m["artifactType"] == kind).count();
    assert_eq!(of("application/vnd.dev.sigstore.bundle.v0.3+json"), wanted);
    assert_eq!(of("application/vnd.dev.cosign.artifact.att.v1+json"), 1);
    assert_eq!(manifests.len(), wanted + 2);
    if program("openssl").is_none() {
        return windlass_testkit::skip("evidence: cosign's signature", "there is no openssl");
    }
    cosigned(platform, name, digest);
}

/// What the registry answers to a client with nothing but HTTP.
fn fetched(platform: &Platform, path: &str) -> Vec<u8> {
    let address = format!("{}{path}", platform.url);
    let credentials = format!("admin:{}", platform.token);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--location", "--user", &credentials, &address]);
    let output = curl.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    output.stdout
}

/// What `cosign verify --key` does: the manifest behind its tag, the payload that it lists, the signature beside it; by
/// the key that was written before another took its place.
fn cosigned(platform: &Platform, name: &str, digest: &str) {
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let manifest: Value =
        serde_json::from_slice(&fetched(platform, &format!("/v2/{name}/manifests/{tag}"))).unwrap();
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
    let payload = fetched(platform, &format!("/v2/{name}/blobs/{}", layer["digest"].as_str().unwrap()));
    let says: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(says["critical"]["image"]["docker-manifest-digest"], digest);
    let file = |name: &str| platform.folder().join(name).display().to_string();
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
    std::fs::write(file("payload"), &payload).unwrap();
    std::fs::write(file("signature.base64"), signature).unwrap();
    let (key, payload, encoded, plain) =
        (file("key.pem"), file("payload"), file("signature.base64"), file("signature"));
    let decode = ["base64", "-d", "-A", "-in", &encoded, "-out", &plain];
    assert!(Command::new("openssl").args(decode).status().unwrap().success());
    let verify = ["dgst", "-sha256", "-verify", &key, "-signature", &plain, &payload];
    let verified = Command::new("openssl").args(verify).output().unwrap();
    assert!(verified.status.success(), "{}", told(&verified));
    let tags: Value = serde_json::from_slice(&fetched(platform, &format!("/v2/{name}/tags/list"))).unwrap();
    assert!(!tags.to_string().contains(".sig"), "{tags}");
}

/// An OCI layout and an archive as `docker save` writes it, of one image: looked into without any server.
#[test]
fn images_in_files_are_looked_into_without_a_server() {
    const NAME: &str = "evidence: images in files";
    if program("skopeo").is_none() {
        return windlass_testkit::skip(NAME, "there is no skopeo");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", told(&output));
    };
    let windlass = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        // Nothing listens there.
        command
            .args(["--url", "http://127.0.0.1:9"])
            .args(arguments)
            .env("WINDLASS_DATA", folder.path().join("data"));
        command.stdin(Stdio::null()).output().unwrap()
    };
    // One layer, of one file that says something.
    let metadata = "Name: flask\nVersion: 1.0\n\n";
    std::fs::create_dir_all(at("root/lib/flask-1.0.dist-info")).unwrap();
    std::fs::write(at("root/lib/flask-1.0.dist-info/METADATA"), metadata).unwrap();
    run("tar", &["-cf", "layer.tar", "-C", "root", "."]);
    let sum = Command::new("sha256sum").arg(at("layer.tar")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let layer = sum.split(' ').next().unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{layer}"]}}}}"#
    );
    std::fs::write(at("config.json"), config).unwrap();
    let manifest = r#"[{"Config":"config.json","RepoTags":["x:1"],"Layers":["layer.tar"]}]"#;
    std::fs::write(at("manifest.json"), manifest).unwrap();
    run("tar", &["-cf", "image.tar", "manifest.json", "config.json", "layer.tar"]);
    run("skopeo", &["copy", "--quiet", "docker-archive:image.tar", "oci:out:v1"]);

    let (saved, layout) = (format!("docker-archive:{}", at("image.tar")), format!("oci:{}:v1", at("out")));
    for image in [&saved, &layout] {
        let sbom = windlass(&["image", "sbom", image]);
        let sbom: Value = serde_json::from_slice(&sbom.stdout).unwrap_or_else(|_| panic!("{}", told(&sbom)));
        assert_eq!(sbom["components"][0]["purl"], "pkg:pypi/flask@1.0", "{image}");
        let vulns = windlass(&["image", "vulns", image, "--fail-on", "low"]);
        assert_eq!(vulns.status.code(), Some(1), "{}", told(&vulns));
        assert!(told(&vulns).contains("not checked"), "{}", told(&vulns));
    }
    let differ = windlass(&["image", "diff", &saved, &layout]);
    assert!(told(&differ).contains("the packages are the same"), "{}", told(&differ));
    let mixed = windlass(&["image", "diff", &saved, "shop:v1"]);
    assert_eq!(mixed.status.code(), Some(2), "{}", told(&mixed));

    // A layer that is not what it is called.
    std::fs::write(at("layer.tar"), "something else").unwrap();
    run("tar", &["-cf", "bad.tar", "manifest.json", "config.json", "layer.tar"]);
    let refused = windlass(&["image", "sbom", &format!("docker-archive:{}", at("bad.tar"))]);
    assert!(!refused.status.success() && told(&refused).contains("damaged"), "{}", told(&refused));
}
