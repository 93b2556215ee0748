//! "Content Management": endpoints 9 and 10.

use serde_json::json;
use windlass_kernel::{Actor, Digest};
use windlass_oci::{MediaType, Reference};

use super::{MANIFEST, refused};
use crate::bench::Bench;

#[tokio::test]
async fn end_9_removes_a_tag_and_leaves_the_manifest() {
    let bench = Bench::new();
    let digest = bench.tagged("a", "v1", b"layer").await;
    bench.tagged("a", "v2", b"layer").await;
    bench.send("DELETE", "/v2/a/manifests/v1", &[], "").await.is(202);
    assert_eq!(bench.get("/v2/a/manifests/v1").await.told(), refused(404, "MANIFEST_UNKNOWN"));
    bench.get("/v2/a/manifests/v2").await.is(200);
    bench.get(&format!("/v2/a/manifests/{digest}")).await.is(200);
}

#[tokio::test]
async fn end_9_removes_a_manifest_with_its_tags() {
    let bench = Bench::new();
    let digest = bench.tagged("a", "v1", b"layer").await;
    let by_digest = format!("/v2/a/manifests/{digest}");
    bench.send("DELETE", &by_digest, &[], "").await.is(202);
    for gone in [by_digest.as_str(), "/v2/a/manifests/v1"] {
        assert_eq!(bench.get(gone).await.told(), refused(404, "MANIFEST_UNKNOWN"));
        assert_eq!(bench.send("DELETE", gone, &[], "").await.told(), refused(404, "MANIFEST_UNKNOWN"));
    }
    bench.put("a", "v1", &bench.image("a", b"layer").await).await.is(201);
}

#[tokio::test]
async fn end_9_takes_what_is_removed_from_the_referrers() {
    let bench = Bench::new();
    let subject = bench.tagged("a", "v1", b"layer").await;
    let mut artifact = bench.image("a", b"sig").await;
    artifact["subject"] = serde_json::json!({ "mediaType": super::MANIFEST, "digest": subject, "size": 1 });
    bench.put("a", "sig", &artifact).await.is(201);
    let digest = Digest::sha256(artifact.to_string().as_bytes());
    bench.send("DELETE", &format!("/v2/a/manifests/{digest}"), &[], "").await.is(202);
    let list = bench.get(&format!("/v2/a/referrers/{subject}")).await;
    assert_eq!(list.json()["manifests"], serde_json::json!([]));
}

#[tokio::test]
async fn end_10_removes_a_blob_of_this_repository_only() {
    let bench = Bench::new();
    let digest = bench.push_blob("a", b"x").await;
    bench.push_blob("b", b"x").await;
    let path = format!("/v2/a/blobs/{digest}");
    bench.send("DELETE", &path, &[], "").await.is(202);
    assert_eq!(bench.get(&path).await.told(), refused(404, "BLOB_UNKNOWN"));
    assert_eq!(bench.send("DELETE", &path, &[], "").await.told(), refused(404, "BLOB_UNKNOWN"));
    bench.get(&format!("/v2/b/blobs/{digest}")).await.is(200);
}

#[tokio::test]
async fn ends_9_and_10_need_the_right_to_remove() {
    let bench = Bench::new();
    let digest = bench.tagged("a", "v1", b"layer").await;
    let bob = ("authorization", "Bearer bob-token");
    for path in ["/v2/a/manifests/v1".to_owned(), format!("/v2/a/manifests/{digest}")] {
        assert_eq!(bench.send("DELETE", &path, &[bob], "").await.told(), refused(403, "DENIED"));
    }
}

#[tokio::test]
async fn a_tag_that_nobody_set_is_not_deleted() {
    let bench = Bench::new();
    let about = bench.tagged("a", "v1", b"layer").await;
    let mut beside = bench.image("a", b"signature").await;
    beside["artifactType"] = json!("application/vnd.dev.cosign.artifact.sig.v1+json");
    beside["subject"] = json!({ "mediaType": MANIFEST, "digest": about, "size": 2 });
    let bytes = bytes::Bytes::from(beside.to_string());
    let signature = Digest::sha256(&bytes);
    let reference = Reference::Digest(signature.clone());
    let (name, kind) = ("a".parse().unwrap(), MediaType::OciManifest);
    bench.registry.push(&name, &reference, kind, bytes, &Actor::System).await.unwrap();
    let tag = |end: &str| format!("/v2/a/manifests/{}.{end}", about.to_string().replace(':', "-"));
    bench.get(&tag("sig")).await.is(200);
    let reply = bench.send("DELETE", &tag("sig"), &[], "").await;
    assert_eq!(reply.told(), refused(405, "UNSUPPORTED"));
    let words = reply.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(words.contains("nobody set the tag") && words.contains(&format!("a@{signature}")), "{words}");
    bench.get(&tag("sig")).await.is(200);
    // One that stands for nothing.
    let reply = bench.send("DELETE", &tag("att"), &[], "").await;
    assert_eq!(reply.told(), refused(404, "MANIFEST_UNKNOWN"));
    // One of that name that somebody did push.
    bench.put("a", tag("sig").rsplit('/').next().unwrap(), &beside).await.is(201);
    bench.send("DELETE", &tag("sig"), &[], "").await.is(202);
    // And what it stands for can be deleted.
    bench.send("DELETE", &format!("/v2/a/manifests/{signature}"), &[], "").await.is(202);
    bench.get(&tag("sig")).await.is(404);
}
