//! What manifests may be: images, indexes, and artifacts of any type (image specification, "Artifact Usage").

use serde_json::{Value, json};
use windlass_kernel::Digest;

use super::{INDEX, MANIFEST, refused};
use crate::bench::Bench;

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// An artifact whose configuration and only layer are the empty descriptor.
async fn empty(bench: &Bench, kind: &str) -> Value {
    let digest = bench.push_blob("a", b"{}").await;
    let descriptor = json!({ "mediaType": EMPTY, "digest": digest, "size": 2, "data": "e30=" });
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
        "config": descriptor, "layers": [descriptor] })
}

#[tokio::test]
async fn an_artifact_of_any_type_is_taken() {
    let bench = Bench::new();
    for (n, kind) in ["application/vnd.example+type", "text/x-anything; v=1", "x/y"].iter().enumerate() {
        let artifact = empty(&bench, kind).await;
        bench.put("a", &format!("t{n}"), &artifact).await.is(201);
        let got = bench.get(&format!("/v2/a/manifests/t{n}")).await;
        assert_eq!(got.is(200).json(), artifact);
    }
}

#[tokio::test]
async fn an_index_of_an_index_and_an_empty_index_are_taken() {
    let bench = Bench::new();
    let inner = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
    let digest = Digest::sha256(inner.to_string().as_bytes());
    bench.put("a", &digest.to_string(), &inner).await.is(201);
    let entry = json!({ "mediaType": INDEX, "digest": digest, "size": inner.to_string().len() });
    let outer =
        json!({ "schemaVersion": 2, "mediaType": INDEX, "artifactType": "x/y", "manifests": [entry] });
    bench.put("a", "outer", &outer).await.is(201);
}

#[tokio::test]
async fn dockers_own_kinds_keep_their_names() {
    let bench = Bench::new();
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let mut manifest = bench.image("a", b"layer").await;
    manifest["mediaType"] = json!(kind);
    bench.put("a", "v1", &manifest).await.is(201);
    assert_eq!(bench.get("/v2/a/manifests/v1").await.header("content-type"), kind);
}

#[tokio::test]
async fn what_two_readers_would_read_in_two_ways_is_refused() {
    let bench = Bench::new();
    let mut both = bench.image("a", b"layer").await;
    both["manifests"] = json!([]);
    assert_eq!(bench.put("a", "v1", &both).await.told(), refused(400, "MANIFEST_INVALID"));
    let manifest = bench.image("a", b"layer").await;
    let headers = [("content-type", INDEX)];
    let other = bench.send("PUT", "/v2/a/manifests/v1", &headers, manifest.to_string()).await;
    assert_eq!(other.told(), refused(400, "MANIFEST_INVALID"), "it says that it is something else");
}
