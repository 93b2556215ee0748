//! "Error Codes": each code of the table, with its status and in its form.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use windlass_kernel::Digest;

use super::{MANIFEST, refused};
use crate::bench::{Bench, Reply};

fn check(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.told(), refused(status, code), "{reply:?}");
    assert_eq!(reply.header("content-type"), "application/json");
    let errors = reply.json()["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(1));
    assert!(!errors[0]["message"].as_str().unwrap_or_default().is_empty(), "it says what was wrong");
    assert!(errors[0].as_object().unwrap().contains_key("detail"));
}

#[tokio::test]
async fn code_1_blob_unknown() {
    let path = format!("/v2/a/blobs/{}", Digest::sha256(b"x"));
    check(&Bench::new().get(&path).await, 404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn code_2_blob_upload_invalid() {
    let bench = Bench::new();
    let place = bench.begin("a").await;
    let reply = bench.send("PATCH", &place, &[("content-range", "3-3")], "x").await;
    check(&reply, 416, "BLOB_UPLOAD_INVALID");
}

#[tokio::test]
async fn code_3_blob_upload_unknown() {
    let bench = Bench::new();
    for id in ["0123456789abcdef0123456789abcdef", "zz"] {
        check(&bench.get(&format!("/v2/a/blobs/uploads/{id}")).await, 404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[tokio::test]
async fn code_4_digest_invalid() {
    check(&Bench::new().get("/v2/a/blobs/sha256:zz").await, 400, "DIGEST_INVALID");
}

#[tokio::test]
async fn code_5_manifest_blob_unknown() {
    let bench = Bench::new();
    let manifest = bench.image("a", b"layer").await;
    check(&bench.put("b", "v1", &manifest).await, 400, "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn code_6_manifest_invalid() {
    let bench = Bench::new();
    let put = async |kind: &str, text: &str| {
        bench.send("PUT", "/v2/a/manifests/v1", &[("content-type", kind)], text.to_owned()).await
    };
    for text in ["", "{", "[]", "null", "{}", "{\"schemaVersion\":1}"] {
        check(&put(MANIFEST, text).await, 400, "MANIFEST_INVALID");
    }
    check(&put("application/json", "{}").await, 415, "MANIFEST_INVALID");
    check(&put("application/vnd.docker.distribution.manifest.v1+json", "{}").await, 415, "MANIFEST_INVALID");
}

#[tokio::test]
async fn code_7_manifest_unknown() {
    check(&Bench::new().get("/v2/a/manifests/v1").await, 404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn code_8_name_invalid() {
    let bench = Bench::new();
    for name in ["A", "-a", "a..b", "a//b", "é", &"a".repeat(256)] {
        let path = format!("/v2/{}/tags/list", name.replace('é', "%C3%A9"));
        check(&bench.get(&path).await, 400, "NAME_INVALID");
    }
}

#[tokio::test]
async fn code_9_name_unknown() {
    check(&Bench::new().get("/v2/a/tags/list").await, 404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn code_10_size_invalid() {
    let bench = Bench::new();
    let place = bench.begin("a").await;
    let headers = [("content-range", "0-9"), ("content-length", "2")];
    check(&bench.send("PATCH", &place, &headers, "xx").await, 400, "SIZE_INVALID");
}

#[tokio::test]
async fn code_12_unauthorized() {
    let reply = Bench::new().send("GET", "/v2/", &[("authorization", "")], "").await;
    check(&reply, 401, "UNAUTHORIZED");
    assert!(reply.header("www-authenticate").starts_with("Bearer realm="));
}

#[tokio::test]
async fn code_13_denied() {
    let bob = ("authorization", "Bearer bob-token");
    let reply = Bench::new().send("POST", "/v2/a/blobs/uploads/", &[bob], "").await;
    check(&reply, 403, "DENIED");
}

#[tokio::test]
async fn code_14_unsupported() {
    let bench = Bench::new();
    for (method, path, status) in [
        ("POST", "/v2/a/tags/list", 405),
        ("PATCH", "/v2/a/manifests/v1", 405),
        ("GET", "/v2/a/blobs/uploads/", 405),
        ("GET", "/v2/a/nothing", 404),
    ] {
        check(&bench.send(method, path, &[], "").await, status, "UNSUPPORTED");
    }
}

#[tokio::test]
async fn code_11_toomanyrequests() {
    let bench = std::sync::Arc::new(Bench::new().patient(Duration::from_secs(20), 1));
    let (first, second) = (bench.begin("a").await, bench.begin("a").await);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = stream::unfold(receiver, async |mut r| r.recv().await.map(|chunk| (chunk, r)));
    let (router, place) = (bench.clone(), first.clone());
    let slow = tokio::spawn(async move {
        router.send("PATCH", &place, &[], axum::body::Body::from_stream(body)).await.status.as_u16()
    });
    // The first upload has its place once its first bytes were taken.
    sender.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
    sender.send(Ok(Bytes::from_static(b"b"))).await.unwrap();
    sender.send(Ok(Bytes::from_static(b"c"))).await.unwrap();
    let busy = bench.send("PATCH", &second, &[], "x").await;
    check(&busy, 429, "TOOMANYREQUESTS");
    assert_eq!(busy.header("retry-after"), "2");
    drop(sender);
    assert_eq!(slow.await.unwrap(), 202);
    bench.send("PATCH", &second, &[], "x").await.is(202);
}
