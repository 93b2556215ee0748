//! "Pull": endpoints 1, 2 and 3.

use windlass_kernel::Digest;

use super::{INDEX, MANIFEST, refused, sha512};
use crate::bench::Bench;

#[tokio::test]
async fn end_1_says_that_the_api_is_spoken() {
    let bench = Bench::new();
    for path in ["/v2", "/v2/"] {
        let reply = bench.get(path).await;
        assert_eq!(reply.is(200).header("docker-distribution-api-version"), "registry/2.0");
    }
}

#[tokio::test]
async fn end_2_gives_a_blob_with_its_length_and_digest() {
    let bench = Bench::new();
    let digest = bench.push_blob("a/b", b"some bytes").await;
    let path = format!("/v2/a/b/blobs/{digest}");
    let got = bench.get(&path).await;
    assert_eq!(&got.is(200).body[..], b"some bytes");
    assert_eq!(got.header("docker-content-digest"), digest.to_string());
    let head = bench.send("HEAD", &path, &[], "").await;
    assert_eq!((head.is(200).header("content-length"), head.body.len()), ("10", 0));
    assert_eq!(head.header("docker-content-digest"), digest.to_string());
}

#[tokio::test]
async fn end_2_gives_an_empty_blob() {
    let bench = Bench::new();
    let digest = bench.push_blob("a", b"").await;
    let got = bench.get(&format!("/v2/a/blobs/{digest}")).await;
    assert_eq!((got.is(200).header("content-length"), got.body.len()), ("0", 0));
}

#[tokio::test]
async fn end_2_knows_no_blob_of_another_repository_or_none() {
    let bench = Bench::new();
    let digest = bench.push_blob("a", b"x").await;
    for path in [format!("/v2/b/blobs/{digest}"), format!("/v2/a/blobs/{}", Digest::sha256(b"y"))] {
        assert_eq!(bench.get(&path).await.told(), refused(404, "BLOB_UNKNOWN"));
        assert_eq!(bench.send("HEAD", &path, &[], "").await.status, 404);
    }
}

#[tokio::test]
async fn end_2_gives_parts_and_refuses_those_outside() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..700_000u32).map(|n| (n % 251) as u8).collect();
    let digest = bench.push_blob("a", &bytes).await;
    let path = format!("/v2/a/blobs/{digest}");
    let cases = [("bytes=0-0", 0..1), ("bytes=699990-", 699_990..700_000), ("bytes=-5", 699_995..700_000)];
    for (asked, range) in cases {
        let part = bench.send("GET", &path, &[("range", asked)], "").await;
        assert_eq!(part.is(206).body[..], bytes[range.clone()], "{asked}");
        let said = format!("bytes {}-{}/700000", range.start, range.end - 1);
        assert_eq!(part.header("content-range"), said);
    }
    let across = bench.send("GET", &path, &[("range", "bytes=1000-600000")], "").await;
    assert!(across.is(206).body[..] == bytes[1000..=600_000]);
    let outside = bench.send("GET", &path, &[("range", "bytes=700000-")], "").await;
    assert_eq!(outside.is(416).header("content-range"), "bytes */700000");
}

#[tokio::test]
async fn end_2_speaks_sha512() {
    let bench = Bench::new();
    let digest = sha512(b"long digest");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    bench.send("POST", &path, &[], "long digest").await.is(201);
    let got = bench.get(&format!("/v2/a/blobs/{digest}")).await;
    assert_eq!(&got.is(200).body[..], b"long digest");
    assert_eq!(got.header("docker-content-digest"), digest.to_string());
}

#[tokio::test]
async fn end_3_gives_a_manifest_byte_by_byte_by_tag_and_by_digest() {
    let bench = Bench::new();
    let text = bench.image("a", b"layer").await.to_string().replace(',', " ,\n\t");
    let digest = Digest::sha256(text.as_bytes()).to_string();
    let put = bench.send("PUT", "/v2/a/manifests/v1", &[("content-type", MANIFEST)], text.clone()).await;
    assert_eq!(put.is(201).header("docker-content-digest"), digest);
    for reference in ["v1", &digest] {
        let path = format!("/v2/a/manifests/{reference}");
        let got = bench.get(&path).await;
        assert_eq!((&got.is(200).body[..], got.header("content-type")), (text.as_bytes(), MANIFEST));
        assert_eq!(got.header("docker-content-digest"), digest);
        let head = bench.send("HEAD", &path, &[], "").await;
        assert_eq!(head.is(200).header("content-length"), text.len().to_string());
        assert_eq!((head.header("docker-content-digest"), head.body.len()), (digest.as_str(), 0));
    }
}

#[tokio::test]
async fn end_3_gives_a_manifest_under_sha512() {
    let bench = Bench::new();
    let manifest = bench.image("a", b"layer").await;
    let digest = sha512(manifest.to_string().as_bytes()).to_string();
    let put = bench.put("a", &digest, &manifest).await;
    assert_eq!(put.is(201).header("docker-content-digest"), digest);
    let got = bench.get(&format!("/v2/a/manifests/{digest}")).await;
    assert_eq!(got.is(200).body, manifest.to_string());
    // And a tag that points to it: the client names the digest beside the tag.
    let path = format!("/v2/a/manifests/v1?digest={digest}");
    let tagged = bench.send("PUT", &path, &[("content-type", MANIFEST)], manifest.to_string()).await;
    assert_eq!(tagged.is(201).header("docker-content-digest"), digest);
    assert_eq!(bench.get("/v2/a/manifests/v1").await.header("docker-content-digest"), digest);
    let wrong = format!("/v2/a/manifests/v1?digest={}", sha512(b"other"));
    let wrong = bench.send("PUT", &wrong, &[("content-type", MANIFEST)], manifest.to_string()).await;
    assert_eq!(wrong.told(), refused(400, "DIGEST_INVALID"));
}

#[tokio::test]
async fn end_3_knows_no_manifest_that_was_not_pushed() {
    let bench = Bench::new();
    let digest = bench.tagged("a", "v1", b"layer").await;
    for path in [
        "/v2/a/manifests/v2".to_owned(),
        format!("/v2/a/manifests/{}", Digest::sha256(b"x")),
        format!("/v2/b/manifests/{digest}"),
        // A blob is no manifest, even if its bytes could be one.
        format!("/v2/a/manifests/{}", Digest::sha256(b"{}")),
    ] {
        assert_eq!(bench.get(&path).await.told(), refused(404, "MANIFEST_UNKNOWN"), "{path}");
        assert_eq!(bench.send("HEAD", &path, &[], "").await.status, 404);
    }
}

#[tokio::test]
async fn end_3_gives_an_index_and_each_of_its_platforms() {
    let bench = Bench::new();
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let manifest = bench.image("a", architecture.as_bytes()).await;
        let digest = Digest::sha256(manifest.to_string().as_bytes()).to_string();
        bench.put("a", &digest, &manifest).await.is(201);
        manifests.push(serde_json::json!({
            "mediaType": MANIFEST, "digest": digest, "size": manifest.to_string().len(),
            "platform": { "os": "linux", "architecture": architecture },
        }));
    }
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    bench.put("a", "multi", &index).await.is(201);
    let got = bench.get("/v2/a/manifests/multi").await;
    assert_eq!(got.is(200).header("content-type"), INDEX);
    for child in got.json()["manifests"].as_array().unwrap() {
        bench.get(&format!("/v2/a/manifests/{}", child["digest"].as_str().unwrap())).await.is(200);
    }
}
