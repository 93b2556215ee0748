//! "Content Discovery": endpoints 8a, 8b, 12a and 12b, and Docker's catalogue.

use serde_json::{Value, json};
use windlass_kernel::Digest;

use super::{INDEX, MANIFEST, refused};
use crate::bench::Bench;

#[tokio::test]
async fn end_8a_lists_tags_in_order() {
    let bench = Bench::new();
    for tag in ["v2", "latest", "v10", "v1"] {
        bench.tagged("a", tag, b"layer").await;
    }
    bench.tagged("a-b", "zz", b"layer").await;
    let list = bench.get("/v2/a/tags/list").await;
    assert_eq!(list.is(200).json(), json!({ "name": "a", "tags": ["latest", "v1", "v10", "v2"] }));
}

#[tokio::test]
async fn end_8a_knows_no_repository_that_was_never_pushed_to() {
    assert_eq!(Bench::new().get("/v2/a/tags/list").await.told(), refused(404, "NAME_UNKNOWN"));
}

#[tokio::test]
async fn end_8a_lists_nothing_where_only_digests_are() {
    let bench = Bench::new();
    let manifest = bench.image("a", b"layer").await;
    let digest = Digest::sha256(manifest.to_string().as_bytes()).to_string();
    bench.put("a", &digest, &manifest).await.is(201);
    assert_eq!(bench.get("/v2/a/tags/list").await.is(200).json()["tags"], json!([]));
}

#[tokio::test]
async fn end_8b_gives_pages() {
    let bench = Bench::new();
    for n in 0..7 {
        bench.tagged("a", &format!("v{n}"), b"layer").await;
    }
    let (mut path, mut seen) = ("/v2/a/tags/list?n=3".to_owned(), Vec::<Value>::new());
    let mut pages = 0;
    loop {
        let page = bench.get(&path).await;
        pages += 1;
        seen.extend(page.is(200).json()["tags"].as_array().unwrap().clone());
        let Some((next, rel)) = page.header("link").split_once('>') else { break };
        assert_eq!(rel, "; rel=\"next\"");
        path = next.trim_start_matches('<').to_owned();
    }
    assert_eq!((pages, json!(seen)), (3, json!(["v0", "v1", "v2", "v3", "v4", "v5", "v6"])));
    let after = bench.get("/v2/a/tags/list?last=v4").await;
    assert_eq!(after.json()["tags"], json!(["v5", "v6"]));
    assert_eq!(bench.get("/v2/a/tags/list?n=0").await.json()["tags"], json!([]));
    for bad in ["n=x", "n=-1", "last=../x"] {
        bench.get(&format!("/v2/a/tags/list?{bad}")).await.is(400);
    }
}

#[tokio::test]
async fn end_12a_lists_what_is_said_of_a_manifest() {
    let bench = Bench::new();
    let subject = bench.tagged("a", "v1", b"layer").await;
    let mut said = Vec::new();
    for kind in ["application/spdx+json", "application/vnd.in-toto+json"] {
        let mut artifact = bench.image("a", kind.as_bytes()).await;
        artifact["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 1 });
        artifact["artifactType"] = json!(kind);
        artifact["annotations"] = json!({ "kind": kind });
        let digest = Digest::sha256(artifact.to_string().as_bytes()).to_string();
        bench.put("a", &digest, &artifact).await.is(201);
        said.push((digest, kind, artifact.to_string().len()));
    }
    let list = bench.get(&format!("/v2/a/referrers/{subject}")).await;
    assert_eq!(list.is(200).header("content-type"), INDEX);
    assert_eq!((list.json()["schemaVersion"].clone(), list.header("oci-filters-applied")), (json!(2), ""));
    let listed = list.json()["manifests"].as_array().unwrap().clone();
    for (digest, kind, size) in &said {
        let entry = json!({ "mediaType": MANIFEST, "digest": digest, "size": size,
            "artifactType": kind, "annotations": { "kind": kind } });
        assert!(listed.contains(&entry), "{entry} in {listed:?}");
    }
    let path = format!("/v2/a/referrers/{subject}?artifactType=application%2Fspdx%2Bjson");
    let filtered = bench.get(&path).await;
    assert_eq!(filtered.is(200).header("oci-filters-applied"), "artifactType", "end 12b");
    assert_eq!(filtered.json()["manifests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn end_12a_names_the_configurations_type_where_there_is_no_other() {
    let bench = Bench::new();
    let subject = Digest::sha256(b"subject");
    let mut artifact = bench.image("a", b"sig").await;
    artifact["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 7 });
    artifact["config"]["mediaType"] = json!("application/vnd.example.signature");
    bench.put("a", "sig", &artifact).await.is(201);
    let list = bench.get(&format!("/v2/a/referrers/{subject}")).await;
    assert_eq!(list.json()["manifests"][0]["artifactType"], "application/vnd.example.signature");
}

#[tokio::test]
async fn end_12a_gives_an_empty_list_for_what_nothing_is_said_of() {
    let bench = Bench::new();
    let list = bench.get(&format!("/v2/a/referrers/{}", Digest::sha256(b"x"))).await;
    assert_eq!((list.is(200).json()["manifests"].clone(), list.header("content-type")), (json!([]), INDEX));
    assert_eq!(bench.get("/v2/a/referrers/zz").await.told(), refused(400, "DIGEST_INVALID"));
}

#[tokio::test]
async fn the_catalogue_names_what_the_caller_may_pull() {
    let bench = Bench::new();
    for name in ["a", "b/c", "secret/x", "z"] {
        bench.tagged(name, "v1", b"layer").await;
    }
    let all = bench.get("/v2/_catalog").await;
    assert_eq!(all.is(200).json(), json!({ "repositories": ["a", "b/c", "secret/x", "z"] }));
    let bob = ("authorization", "Bearer bob-token");
    let first = bench.send("GET", "/v2/_catalog?n=2", &[bob], "").await;
    assert_eq!(first.json()["repositories"], json!(["a", "b/c"]));
    assert_eq!(first.header("link"), "</v2/_catalog?n=2&last=b/c>; rel=\"next\"");
    let next = bench.send("GET", "/v2/_catalog?n=2&last=b/c", &[bob], "").await;
    assert_eq!((next.json()["repositories"].clone(), next.header("link")), (json!(["z"]), ""));
    bench.send("GET", "/v2/_catalog", &[("authorization", "")], "").await.is(401);
}
