//! "Pushing manifests": endpoint 7, and "Pushing manifests with subject".

use serde_json::json;
use windlass_kernel::Digest;
use windlass_oci::LARGEST_MANIFEST;

use super::{INDEX, MANIFEST, refused};
use crate::bench::Bench;

#[tokio::test]
async fn end_7_takes_a_manifest_by_tag_and_by_digest() {
    let bench = Bench::new();
    let manifest = bench.image("a", b"layer").await;
    let digest = Digest::sha256(manifest.to_string().as_bytes()).to_string();
    for reference in ["v1", &digest] {
        let put = bench.put("a", reference, &manifest).await;
        assert_eq!(put.is(201).header("location"), format!("/v2/a/manifests/{digest}"));
        assert_eq!(put.header("docker-content-digest"), digest);
        assert_eq!(put.header("oci-subject"), "");
    }
}

#[tokio::test]
async fn end_7_moves_a_tag_and_keeps_what_it_pointed_to() {
    let bench = Bench::new();
    let first = bench.tagged("a", "v1", b"one").await;
    let second = bench.tagged("a", "v1", b"two").await;
    assert_eq!(bench.get("/v2/a/manifests/v1").await.header("docker-content-digest"), second.to_string());
    bench.get(&format!("/v2/a/manifests/{first}")).await.is(200);
}

#[tokio::test]
async fn end_7_refuses_a_manifest_whose_content_is_not_there() {
    let bench = Bench::new();
    let manifest = bench.image("a", b"layer").await;
    assert_eq!(bench.put("b", "v1", &manifest).await.told(), refused(400, "MANIFEST_BLOB_UNKNOWN"));
    let child = json!({ "mediaType": MANIFEST, "digest": Digest::sha256(b"x"), "size": 1 });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child] });
    assert_eq!(bench.put("a", "v1", &index).await.told(), refused(400, "MANIFEST_BLOB_UNKNOWN"));
}

#[tokio::test]
async fn end_7_takes_a_manifest_of_four_megabytes_and_none_larger() {
    let bench = Bench::new();
    let text = bench.image("a", b"layer").await.to_string();
    let padded = |size: usize| format!("{text}{}", " ".repeat(size - text.len()));
    let put = async |body: String| {
        bench.send("PUT", "/v2/a/manifests/v1", &[("content-type", MANIFEST)], body).await
    };
    put(padded(LARGEST_MANIFEST as usize)).await.is(201);
    assert_eq!(put(padded(LARGEST_MANIFEST as usize + 1)).await.told(), refused(413, "MANIFEST_INVALID"));
    // One that says that it is huge is refused before it is read.
    let headers = [("content-type", MANIFEST), ("content-length", "104857600")];
    let huge = bench.send("PUT", "/v2/a/manifests/v1", &headers, "").await;
    assert_eq!(huge.told(), refused(413, "MANIFEST_INVALID"));
    assert!(huge.json()["errors"][0]["message"].as_str().unwrap().contains("104857600"));
}

#[tokio::test]
async fn a_subject_is_answered_and_need_not_be_there_yet() {
    let bench = Bench::new();
    let subject = Digest::sha256(b"not pushed yet");
    let mut manifest = bench.image("a", b"layer").await;
    manifest["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 14 });
    let put = bench.put("a", "evidence", &manifest).await;
    assert_eq!(put.is(201).header("oci-subject"), subject.to_string());
    let list = bench.get(&format!("/v2/a/referrers/{subject}")).await;
    assert_eq!(list.json()["manifests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_immutable_tag_neither_moves_nor_goes() {
    let bench = Bench::new();
    bench.rule("releases", "team/*", "v*", windlass_oci::RuleKind::Immutable).await;
    let first = bench.tagged("team/a", "v1", b"one").await;
    let other = bench.image("team/a", b"two").await;
    let refusal = bench.put("team/a", "v1", &other).await;
    assert_eq!(refusal.told(), refused(403, "DENIED"));
    let message = refusal.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("immutable") && message.contains("releases") && message.contains("v1"),
        "{message}"
    );
    bench.tagged("team/a", "v1", b"one").await;
    for path in ["/v2/team/a/manifests/v1".to_owned(), format!("/v2/team/a/manifests/{first}")] {
        assert_eq!(bench.send("DELETE", &path, &[], "").await.told(), refused(403, "DENIED"), "{path}");
    }
    bench.put("team/a", "latest", &other).await.is(201);
    bench.tagged("team/a", "latest", b"three").await;
    bench.put("elsewhere", "v1", &bench.image("elsewhere", b"two").await).await.is(201);
    bench.tagged("elsewhere", "v1", b"three").await;
}
