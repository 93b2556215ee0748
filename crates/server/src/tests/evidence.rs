//! Evidence: what is stated about an image, by whom, and that an environment that asks for it gets it or nothing.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use serde_json::json;
use windlass_api as api;
use windlass_api::ErrorCode;
use windlass_api::runner as wire;
use windlass_evidence::{BUNDLE, Claim, SigningKey, Statement};
use windlass_identity::Role;
use windlass_kernel::{Actor, Digest};
use windlass_oci::{MediaType, Reference, RepositoryName};
use windlass_web::RunnerPlatform as _;

use super::world::{World, bearer, finished, person, started};
use crate::platform::Runners;
use crate::runs::look;

const CI: &str = "on: push\njobs:\n  ship:\n    runs-on: ubuntu-latest\n    environment: production\n    steps:\n      - run: 'true'\n";

fn manifest(require: &str) -> String {
    format!(
        "services: {{ web: {{ port: 80, route: {{ host: web.test }} }} }}\nenvironments: {{ production: {{ require: {require} }} }}\n"
    )
}

/// A push of this manifest, and its job, on the runner.
async fn job(world: &World, require: &str) -> wire::Assignment {
    let text = manifest(require);
    world.pushed("shop", "ada", &[(".github/workflows/ci.yml", CI), ("windlass.yml", &text)]).await;
    look(&world.ctx, true).await;
    let job = world.lease().await.unwrap().unwrap();
    world.tell(&job, 1, &[started()]).await.unwrap();
    job
}

/// An image that the job has control build, with these files.
async fn built(world: &World, job: &wire::Assignment, files: &[(&str, &str)]) -> String {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let spec: wire::BuildImage = serde_json::from_value(json!({
        "base": "scratch", "tags": ["v1"], "entrypoint": ["/app"], "cmd": [], "env": [], "expose": [], "labels": {},
    }))
    .unwrap();
    let body = Body::from(tar.into_inner().unwrap());
    let made = Runners(world.ctx.clone()).build_image(&bearer(job), &job.job, spec, body).await.unwrap();
    made.digest
}

async fn upload_tests(world: &World, job: &wire::Assignment, fails: bool) {
    let inside = if fails { "<failure message='no'/>" } else { "" };
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("junit.xml", zip::write::SimpleFileOptions::default()).unwrap();
    write!(zip, "<testsuite name='s'><testcase name='a'/><testcase name='b'>{inside}</testcase></testsuite>")
        .unwrap();
    let body = Body::from(zip.finish().unwrap().into_inner());
    let name = if fails { "junit-failing" } else { "junit" };
    world.ctx.put_artifact(&bearer(job), &job.job, name, None, false, body).await.unwrap();
    crate::reports::take_in(&world.ctx, &mut None).await.unwrap();
}

async fn deploy(
    world: &World,
    job: &wire::Assignment,
    digest: &str,
) -> Result<api::DeploymentView, api::Problem> {
    let images = BTreeMap::from([("web".to_owned(), digest.to_owned())]);
    world.ctx.start_deployment(&bearer(job), &job.job, wire::StartDeployment { images }).await
}

async fn known(world: &World, image: &str) -> api::ImageEvidence {
    world.ctx.image_evidence(&person("ada", Role::Viewer), image).await.unwrap()
}

fn words(evidence: &api::ImageEvidence) -> Vec<&str> {
    let mut words: Vec<&str> =
        evidence.statements.iter().filter(|s| s.problem.is_none()).map(|s| s.word.as_str()).collect();
    words.sort_unstable();
    words
}

#[tokio::test]
async fn production_refuses_a_digest_without_evidence_and_takes_it_with() {
    let world = World::new();
    let job = job(&world, "[tests, sbom, secrets, provenance: { builder: this, branch: main }]").await;
    // Pushed by a person: no run made it, and no tests belong to it.
    let foreign = world.image("shop", "foreign").await;
    let refused = deploy(&world, &job, &foreign).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    let lines: Vec<&str> = refused.detail.lines().collect();
    assert_eq!(lines.len(), 3, "{refused}");
    assert!(lines[1].starts_with("- tests (web): no test results are known"), "{refused}");
    assert!(lines[2].starts_with("- provenance (web): no run of this platform made it"), "{refused}");
    assert_eq!(world.told("deployment.created").await, 0, "nothing was begun");

    let digest = built(&world, &job, &[("app", "good")]).await;
    let refused = deploy(&world, &job, &digest).await.unwrap_err();
    assert_eq!(refused.detail.lines().count(), 2, "{refused}");
    upload_tests(&world, &job, true).await;
    let refused = deploy(&world, &job, &digest).await.unwrap_err();
    assert!(refused.detail.contains("1 test failed"), "{refused}");
    upload_tests(&world, &job, false).await;
    // Both uploads count: what failed did fail.
    assert!(deploy(&world, &job, &digest).await.is_err());
    world.tell(&job, 2, &[finished()]).await.unwrap();
}

#[tokio::test]
async fn what_a_run_built_and_tested_passes_and_every_statement_says_what_control_knows() {
    let world = World::new();
    let job = job(&world, "[tests, sbom, secrets, provenance: { branch: main }]").await;
    upload_tests(&world, &job, false).await;
    let metadata = "Name: flask\nVersion: 1.0\n\n";
    let files = [("app", "good"), ("lib/flask-1.0.dist-info/METADATA", metadata)];
    let digest = built(&world, &job, &files).await;
    let deployment = deploy(&world, &job, &digest).await.unwrap();
    assert_eq!(deployment.environment, "production");
    let evidence = known(&world, &format!("shop@{digest}")).await;
    assert_eq!(
        words(&evidence),
        ["provenance", "sbom (CycloneDX)", "sbom (SPDX)", "secrets", "signature", "tests"]
    );
    assert_eq!((evidence.packages, evidence.leaks.len()), (1, 0));
    assert!(!evidence.vulnerabilities.complete, "there are no advisories: nothing is clean");
    let provenance = &evidence.statements.iter().find(|s| s.word == "provenance").unwrap().says;
    assert!(
        provenance.starts_with("built by .github/workflows/ci.yml of refs/heads/main at "),
        "{provenance}"
    );
    // Asked again, nothing is stated twice; the same by tag.
    assert_eq!(known(&world, "shop:v1").await.statements.len(), evidence.statements.len());
    assert_eq!(world.told("image.stated").await, 1);
    let sbom = world.ctx.image_sbom(&person("ada", Role::Viewer), "shop:v1", "cyclonedx").await.unwrap();
    assert_eq!(sbom["components"][0]["purl"], "pkg:pypi/flask@1.0");
}

/// Puts a statement of one's own beside an image.
async fn push_statement(
    world: &World,
    digest: &str,
    key: &SigningKey,
    claim: Claim,
    says: serde_json::Value,
) {
    let about: Digest = digest.parse().unwrap();
    let bundle = Statement::new("shop", &about, claim, says).sign(key).unwrap();
    put_beside(world, digest, Bytes::from(serde_json::to_vec(&bundle).unwrap())).await;
}

/// Puts a bundle beside an image, as anybody may who may push.
async fn put_beside(world: &World, digest: &str, bundle: Bytes) {
    let registry = &world.ctx.images.registry;
    let repository: RepositoryName = "shop".parse().unwrap();
    let digest: Digest = digest.parse().unwrap();
    let size = bundle.len();
    let layer = registry.blobs().put(bundle).await.unwrap();
    let config = registry.blobs().put(Bytes::from_static(b"{}")).await.unwrap();
    registry.index().link_blobs(&repository, &[layer.clone(), config.clone()]).await.unwrap();
    let image = registry.record(&repository, &Reference::Digest(digest)).await.unwrap();
    let manifest = json!({
        "schemaVersion": 2, "artifactType": BUNDLE,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": BUNDLE, "digest": layer, "size": size }],
        "subject": { "mediaType": image.media_type, "digest": image.digest, "size": image.size },
    });
    let bytes = Bytes::from(manifest.to_string());
    let reference = Reference::Digest(Digest::sha256(&bytes));
    registry.push(&repository, &reference, MediaType::OciManifest, bytes, &Actor::System).await.unwrap();
}

#[tokio::test]
async fn what_others_signed_does_not_count() {
    let world = World::new();
    let job = job(&world, "[tests]").await;
    let digest = world.image("shop", "foreign").await;
    let says = json!({ "counts": { "passed": 5, "failed": 0 } });
    push_statement(&world, &digest, &SigningKey::generate().unwrap(), Claim::Tests, says).await;
    assert!(deploy(&world, &job, &digest).await.unwrap_err().detail.contains("no test results are known"));
    let evidence = known(&world, &format!("shop@{digest}")).await;
    let problems: Vec<&str> = evidence.statements.iter().filter_map(|s| s.problem.as_deref()).collect();
    assert_eq!(problems, ["its signature is by none of the known keys"]);
}

#[tokio::test]
async fn a_genuine_statement_that_was_put_there_once_more_is_not_news() {
    let world = World::new();
    let job = job(&world, "[tests]").await;
    upload_tests(&world, &job, false).await;
    let digest = built(&world, &job, &[("app", "good")]).await;
    let passed = known(&world, &format!("shop@{digest}")).await;
    let passed = passed.statements.into_iter().find(|s| s.word == "tests").unwrap();
    world.clock.advance(Duration::from_secs(5));
    upload_tests(&world, &job, true).await;
    assert!(deploy(&world, &job, &digest).await.unwrap_err().detail.contains("1 test failed"));
    world.clock.advance(Duration::from_secs(5));
    put_beside(&world, &digest, Bytes::from(passed.bundle.to_string())).await;
    assert!(deploy(&world, &job, &digest).await.unwrap_err().detail.contains("1 test failed"));
}

#[tokio::test]
async fn statements_hold_when_the_key_is_replaced() {
    let world = World::new();
    let job = job(&world, "[sbom]").await;
    let digest = built(&world, &job, &[("app", "good")]).await;
    let before = known(&world, &format!("shop@{digest}")).await;
    let refused = world.ctx.rotate_statement_key(&person("ada", Role::Member)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    world.clock.advance(Duration::from_hours(1));
    let keys = world.ctx.rotate_statement_key(&person("root", Role::Admin)).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys[0].replaced_at.is_none() && keys[1].replaced_at.is_some());
    assert_eq!(words(&known(&world, &format!("shop@{digest}")).await), words(&before));
    world.clock.advance(Duration::from_hours(1));
    let next = built(&world, &job, &[("app", "next")]).await;
    let next = known(&world, &format!("shop@{next}")).await;
    assert!(next.statements.iter().all(|s| s.key.as_deref() == Some(keys[0].id.as_str())));
    assert!(before.statements.iter().all(|s| s.key.as_deref() == Some(keys[1].id.as_str())));
    deploy(&world, &job, &digest).await.unwrap();
}

/// The manifest that the registry answers with to a tag of cosign's.
async fn beside(world: &World, digest: &str, what: &str) -> Option<serde_json::Value> {
    let tag = format!("{}.{what}", digest.replace(':', "-"));
    let repository: RepositoryName = "shop".parse().unwrap();
    let reference = Reference::Tag(tag.parse().unwrap());
    let found = world.ctx.images.registry.manifest(&repository, &reference).await.ok()?;
    Some(serde_json::from_slice(&found.bytes).unwrap())
}

async fn blob(world: &World, layer: &serde_json::Value) -> Vec<u8> {
    let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
    let repository: RepositoryName = "shop".parse().unwrap();
    let registry = &world.ctx.images.registry;
    assert!(registry.blob_size(&repository, &digest).await.unwrap().is_some(), "it may be pulled from here");
    registry.blobs().read(&digest, 1 << 20).await.unwrap().to_vec()
}

#[tokio::test]
async fn cosign_finds_signature_and_statements_under_its_own_tags() {
    let world = World::new();
    let job = job(&world, "[sbom]").await;
    let digest = built(&world, &job, &[("app", "good")]).await;
    assert_eq!(beside(&world, &digest, "att").await, None, "nothing was stated yet");
    let stated = known(&world, &format!("shop@{digest}")).await.statements.len();
    let first = beside(&world, &digest, "att").await.unwrap();
    assert_eq!(first["layers"].as_array().unwrap().len(), stated);
    assert_eq!(first["layers"][0]["mediaType"], "application/vnd.dsse.envelope.v1+json");
    let signature = beside(&world, &digest, "sig").await.unwrap();
    let says: serde_json::Value =
        serde_json::from_slice(&blob(&world, &signature["layers"][0]).await).unwrap();
    assert_eq!(says["critical"]["image"]["docker-manifest-digest"], digest.as_str());
    for manifest in [&first, &signature] {
        assert_eq!(manifest["subject"]["digest"], digest.as_str(), "it goes with the image");
        blob(&world, &manifest["config"]).await;
    }
    // What is stated later is there as well, and what lay there before is gone; the signature stays.
    upload_tests(&world, &job, false).await;
    assert_eq!(known(&world, &format!("shop@{digest}")).await.statements.len(), stated + 1);
    let second = beside(&world, &digest, "att").await.unwrap();
    let layers = second["layers"].as_array().unwrap();
    assert_eq!(layers.len(), stated + 1);
    let tests = layers.iter().find(|l| l["annotations"]["predicateType"] == Claim::Tests.uri()).unwrap();
    let envelope: serde_json::Value = serde_json::from_slice(&blob(&world, tests).await).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    let repository: RepositoryName = "shop".parse().unwrap();
    let index = world.ctx.images.registry.index();
    let about: Digest = digest.parse().unwrap();
    let kept = index.referrers(&repository, &about).await.unwrap();
    assert_eq!(kept.len(), stated + 1 + 2, "one for cosign of each kind");
    assert_eq!(beside(&world, &digest, "sig").await.unwrap(), signature);
    // No list has such tags.
    assert_eq!(index.tags(&repository, None, 10).await.unwrap().len(), 1);
    // Nobody set them, so nobody deletes them: it is said before and when it is tried.
    let owner = person("ada", Role::Admin);
    let tag = format!("shop:{}.sig", digest.replace(':', "-"));
    let asked = world.ctx.image_deletion(&owner, &tag).await.unwrap();
    assert!(asked.refused.as_ref().is_some_and(|why| why.contains("nobody set the tag")), "{asked:?}");
    let refused = world.ctx.delete_image(&owner, &tag).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(refused.detail.contains("nobody set the tag"), "{}", refused.detail);
    assert_eq!(beside(&world, &digest, "sig").await.unwrap(), signature);
    // What a person pushed is described, not vouched for. Whoever pushes such a thing beside an image is not heard.
    let foreign = world.image("shop", "foreign").await;
    known(&world, &format!("shop@{foreign}")).await;
    assert!(beside(&world, &foreign, "att").await.is_some());
    assert_eq!(beside(&world, &foreign, "sig").await, None);
}

#[tokio::test]
async fn a_statement_about_another_image_does_not_count_for_this_one() {
    let world = World::new();
    let job = job(&world, "[tests]").await;
    upload_tests(&world, &job, false).await;
    let digest = built(&world, &job, &[("app", "good")]).await;
    let passed = known(&world, &format!("shop@{digest}")).await;
    let passed = passed.statements.into_iter().find(|s| s.word == "tests").unwrap();
    let foreign = world.image("shop", "foreign").await;
    put_beside(&world, &foreign, Bytes::from(passed.bundle.to_string())).await;
    assert!(deploy(&world, &job, &foreign).await.unwrap_err().detail.contains("no test results are known"));
    let shown = known(&world, &format!("shop@{foreign}")).await;
    let problems: Vec<&str> = shown.statements.iter().filter_map(|s| s.problem.as_deref()).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("not about this image"), "{problems:?}");
}

async fn upload_load(world: &World, job: &wire::Assignment, name: &str, p95: u32) {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("summary.json", zip::write::SimpleFileOptions::default()).unwrap();
    let summary = json!({ "metrics": {
        "http_reqs": { "count": 1000, "rate": 100.0 },
        "http_req_failed": { "passes": 5, "fails": 995, "value": 0.005 },
        "http_req_duration": { "med": 3.5, "p(95)": p95 },
    }});
    write!(zip, "{summary}").unwrap();
    let body = Body::from(zip.finish().unwrap().into_inner());
    world.ctx.put_artifact(&bearer(job), &job.job, name, None, false, body).await.unwrap();
    crate::reports::take_in(&world.ctx, &mut None).await.unwrap();
}

#[tokio::test]
async fn a_load_test_is_stated_and_may_be_asked_for_with_bounds() {
    let world = World::new();
    let job = job(&world, "[load: { errors: 1, p95: 300ms }]").await;
    let digest = built(&world, &job, &[("app", "good")]).await;
    let refused = deploy(&world, &job, &digest).await.unwrap_err();
    assert!(refused.detail.contains("- load (web): no load test is known"), "{refused}");
    upload_load(&world, &job, "load-test", 450).await;
    let refused = deploy(&world, &job, &digest).await.unwrap_err();
    assert!(refused.detail.contains("up to 450 ms, more than 300 ms"), "{refused}");
    let shown = known(&world, &format!("shop@{digest}")).await;
    let load = shown.statements.iter().find(|s| s.word == "load").unwrap();
    assert_eq!(load.says, "WARNED: 1000 requests, 5 failed");
    assert_eq!(load.predicate_type, Claim::Load.uri());
    let run = job.run.clone();
    let reports = world.ctx.run_reports(&person("ada", Role::Viewer), &run).await.unwrap();
    assert_eq!((reports.load.len(), reports.load[0].tool.as_str()), (1, "k6"));

    let world = World::new();
    let job = self::job(&world, "[load: { errors: 1, p95: 300ms }]").await;
    let digest = built(&world, &job, &[("app", "good")]).await;
    upload_load(&world, &job, "load-test", 120).await;
    deploy(&world, &job, &digest).await.unwrap();
}

fn advisories(world: &World, severity: &str) {
    let text = format!(
        r#"{{"id":"GHSA-1","aliases":["CVE-2026-1"],"database_specific":{{"severity":"{severity}"}},"affected":[{{"package":
        {{"ecosystem":"PyPI","name":"flask"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"2.0"}}]}}]}}]}}"#
    );
    let file = world.dir.path().join("osv.json");
    std::fs::write(&file, text).unwrap();
    // As new as the world's clock says.
    let at = std::time::UNIX_EPOCH + Duration::from_millis(super::world::NOW as u64);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(at).unwrap();
    let folder = world.dir.path().join("data/vulndb");
    windlass_evidence::import(&folder, &file, None, world.ctx.now()).unwrap();
}

#[tokio::test]
async fn vulnerabilities_are_refused_until_they_are_checked_harmless_or_excepted() {
    let world = World::new();
    let job = job(&world, "[vulns: { max: medium }]").await;
    let files = [("app", "good"), ("lib/flask-1.0.dist-info/METADATA", "Name: flask\nVersion: 1.0\n\n")];
    let digest = built(&world, &job, &files).await;
    let refused = deploy(&world, &job, &digest).await.unwrap_err();
    assert!(refused.detail.contains("not checked") && refused.detail.contains("vulndb"), "{refused}");
    advisories(&world, "HIGH");
    let refused = deploy(&world, &job, &digest).await.unwrap_err();
    assert!(refused.detail.contains("CVE-2026-1 in flask 1.0 is high, fixed in 2.0"), "{refused}");

    let ada = person("ada", Role::Member);
    let grant =
        |id: &str, reason: &str, days| api::GrantException { id: id.into(), reason: reason.into(), days };
    for bad in [grant("CVE 1", "x", None), grant("CVE-1", " ", None), grant("CVE-1", "x", Some(0))] {
        assert_eq!(
            world.ctx.except(&ada, "shop", "production", bad).await.unwrap_err().code,
            ErrorCode::Invalid
        );
    }
    let eve = person("eve", Role::Viewer);
    let refused = world.ctx.except(&eve, "shop", "production", grant("CVE-1", "x", None)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    let granted = grant("cve-2026-1", "the debugger is not reachable", Some(2));
    world.ctx.except(&ada, "shop", "production", granted).await.unwrap();
    assert_eq!(world.told("approval.given").await, 1);
    deploy(&world, &job, &digest).await.unwrap();
    world.clock.advance(Duration::from_hours(49));
    let refused = deploy(&world, &job, &digest).await.unwrap_err();
    assert!(refused.detail.contains("its exception ended"), "{refused}");
    let shown = world.ctx.exceptions(&ada, "shop", "production").await.unwrap();
    assert_eq!((shown[0].id.as_str(), shown[0].by.as_str()), ("CVE-2026-1", "ada"));

    advisories(&world, "LOW");
    deploy(&world, &job, &digest).await.unwrap();
    world.clock.advance(Duration::from_hours(24 * 9));
    let old = deploy(&world, &job, &digest).await.unwrap_err();
    assert!(old.detail.contains("days old"), "{old}");
}

#[tokio::test]
async fn images_are_compared() {
    let world = World::new();
    let job = job(&world, "[sbom]").await;
    let flask = |version: &str| format!("Name: flask\nVersion: {version}\n\n");
    let path = "lib/flask.dist-info/METADATA";
    let one = built(&world, &job, &[("app", "1"), (path, &flask("1.0"))]).await;
    let two = built(&world, &job, &[("app", "2"), (path, &flask("2.0"))]).await;
    advisories(&world, "HIGH");
    let ada = person("ada", Role::Viewer);
    let (from, to) = (format!("shop@{one}"), format!("shop@{two}"));
    let diff = world.ctx.image_diff(&ada, &from, &to).await.unwrap();
    assert_eq!(diff.packages.len(), 1);
    assert_eq!(
        (diff.packages[0].from.as_deref(), diff.packages[0].to.as_deref()),
        (Some("1.0"), Some("2.0"))
    );
    assert_eq!(diff.vulnerabilities_gone, ["CVE-2026-1 in flask"]);
    assert!(diff.vulnerabilities_new.is_empty());
    let missing = world.ctx.image_sbom(&ada, "shop:nothing", "spdx").await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::NotFound);
    let odd = world.ctx.image_sbom(&ada, &from, "xml").await.unwrap_err();
    assert_eq!(odd.code, ErrorCode::Invalid);
}
