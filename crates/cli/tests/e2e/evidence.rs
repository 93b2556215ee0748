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
    assert_eq!(words, ["provenance", "sbom (CycloneDX)", "sbom (SPDX)", "secrets", "tests"]);
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
    let address = format!("{}/v2/{name}/referrers/{digest}", platform.url);
    let credentials = format!("admin:{}", platform.token);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--user", &credentials, &address]).stdin(Stdio::null());
    let output = curl.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let index: Value = serde_json::from_slice(&output.stdout).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), wanted);
    assert!(manifests.iter().all(|m| m["artifactType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"));
}
