//! Each endpoint of the distribution API, and each way that it says no.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use windlass_kernel::Digest;
use windlass_oci::LARGEST_MANIFEST;

use crate::bench::{Bench, Reply};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

async fn manifest(bench: &Bench, repository: &str, layer: &[u8]) -> String {
    let config = bench.push_blob(repository, b"{}").await;
    let digest = bench.push_blob(repository, layer).await;
    json!({
        "schemaVersion": 2,
        "mediaType": OCI,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": layer.len() }],
    })
    .to_string()
}

async fn put_manifest(
    bench: &Bench,
    repository: &str,
    reference: &str,
    media_type: &str,
    text: &str,
) -> Reply {
    let path = format!("/v2/{repository}/manifests/{reference}");
    bench.send("PUT", &path, &[("content-type", media_type)], text.to_owned()).await
}

#[tokio::test]
async fn without_a_credential_a_client_is_told_where_to_get_a_token() {
    let bench = Bench::new();
    let anonymous = [("authorization", "")];
    let reply = bench.send("GET", "/v2/", &anonymous, "").await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (401, "UNAUTHORIZED"));
    let challenge = "Bearer realm=\"http://registry.test:5000/v2/token\",service=\"registry.test:5000\"";
    assert_eq!(reply.header("www-authenticate"), challenge);
    assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");

    let reply = bench.send("PUT", "/v2/tasks/manifests/v1", &anonymous, "").await;
    assert_eq!(reply.header("www-authenticate"), format!("{challenge},scope=\"repository:tasks:pull,push\""));
    for wrong in
        ["Bearer nonsense", "Basic !!!", &basic("ada", "wrong"), &basic("bob", "ada-token"), "Digest x"]
    {
        let reply = bench.send("GET", "/v2/", &[("authorization", wrong)], "").await;
        assert_eq!(reply.status, 401, "{wrong}");
    }
    for right in ["Bearer ada-token", "bearer ada-token", &basic("bob", "bob-token")] {
        assert_eq!(bench.send("GET", "/v2/", &[("authorization", right)], "").await.status, 200, "{right}");
    }
    let tls = bench.send("GET", "/v2/", &[("authorization", ""), ("x-forwarded-proto", "https")], "").await;
    assert!(tls.header("www-authenticate").contains("https://registry.test:5000"));
    let evil = bench.send("GET", "/v2/", &[("authorization", ""), ("host", "a\"b")], "").await;
    assert!(!evil.header("www-authenticate").contains("a\"b"), "{evil:?}");
}

#[tokio::test]
async fn a_registry_token_holds_what_was_asked_for_and_allowed_until_it_is_over() {
    let bench = Bench::new();
    let path = "/v2/token?service=x&scope=repository:tasks:pull,push&scope=repository:bob/app:push%20repository:secret:pull";
    let refused = bench.send("GET", path, &[("authorization", "")], "").await;
    assert_eq!(refused.status, 401);
    let refused = bench.send("GET", path, &[("authorization", &basic("bob", "no"))], "").await;
    assert_eq!(refused.status, 401);
    let given = bench.send("GET", path, &[("authorization", &basic("bob", "bob-token"))], "").await;
    assert_eq!((given.status.as_u16(), given.header("cache-control")), (200, "no-store"));
    assert_eq!(given.json()["expires_in"], 300);
    assert_eq!(given.json()["token"], given.json()["access_token"]);
    let bearer = format!("Bearer {}", given.json()["token"].as_str().unwrap());

    let ask = async |method: &'static str, path: &'static str| {
        bench.send(method, path, &[("authorization", &bearer)], "").await
    };
    assert_eq!(ask("GET", "/v2/").await.status, 200);
    assert_eq!(ask("GET", "/v2/tasks/tags/list").await.code(), "NAME_UNKNOWN", "he may look");
    assert_eq!(ask("POST", "/v2/tasks/blobs/uploads/").await.code(), "DENIED", "he may not push there");
    assert_eq!(ask("POST", "/v2/bob/app/blobs/uploads/").await.status, 202);
    assert_eq!(ask("GET", "/v2/secret/tags/list").await.code(), "DENIED");
    let beyond = ask("GET", "/v2/other/tags/list").await;
    assert_eq!(beyond.status, 401, "allowed to bob, but not asked for");
    assert!(beyond.header("www-authenticate").contains("insufficient_scope"));
    bench.clock.advance(Duration::from_mins(5));
    let over = ask("GET", "/v2/").await;
    assert_eq!(over.status, 401);
    assert!(over.header("www-authenticate").contains("invalid_token"));
}

#[tokio::test]
async fn a_blob_goes_up_in_chunks_and_comes_back_whole_or_in_part() {
    let bench = Bench::new();
    let begun = bench.send("POST", "/v2/tasks/blobs/uploads/", &[], "").await;
    assert_eq!(begun.status, 202);
    let upload = begun.header("location").to_owned();
    assert!(!begun.header("docker-upload-uuid").is_empty());

    let first =
        bench.send("PATCH", &upload, &[("content-range", "0-4"), ("content-length", "5")], "hello").await;
    assert_eq!((first.status.as_u16(), first.header("range")), (202, "0-4"));
    let gap = bench.send("PATCH", &upload, &[("content-range", "9-10")], "!!").await;
    assert_eq!((gap.status.as_u16(), gap.header("range")), (416, "0-4"));
    let short =
        bench.send("PATCH", &upload, &[("content-range", "5-10"), ("content-length", "2")], "!!").await;
    assert_eq!((short.status.as_u16(), short.code().as_str()), (400, "SIZE_INVALID"));
    let odd = bench.send("PATCH", &upload, &[("content-range", "five")], "!!").await;
    assert_eq!((odd.status.as_u16(), odd.code().as_str()), (400, "BLOB_UPLOAD_INVALID"));
    let status = bench.send("GET", &upload, &[], "").await;
    assert_eq!((status.status.as_u16(), status.header("range")), (204, "0-4"));
    let digest = Digest::sha256(b"hello, you");
    let done = bench
        .send("PUT", &format!("{upload}?digest={}", digest.to_string().replace(':', "%3A")), &[], ", you")
        .await;
    assert_eq!(
        (done.status.as_u16(), done.header("docker-content-digest")),
        (201, digest.to_string().as_str())
    );
    assert_eq!(bench.send("GET", &upload, &[], "").await.code(), "BLOB_UPLOAD_UNKNOWN");

    let path = format!("/v2/tasks/blobs/{digest}");
    assert_eq!(done.header("location"), path);
    let head = bench.send("HEAD", &path, &[], "").await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, "10", 0));
    let whole = bench.send("GET", &path, &[], "").await;
    assert_eq!((&whole.body[..], whole.header("accept-ranges")), (&b"hello, you"[..], "bytes"));
    let part = bench.send("GET", &path, &[("range", "bytes=7-")], "").await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"you"[..]));
    assert_eq!((part.header("content-range"), part.header("content-length")), ("bytes 7-9/10", "3"));
    let outside = bench.send("GET", &path, &[("range", "bytes=10-")], "").await;
    assert_eq!((outside.status.as_u16(), outside.header("content-range")), (416, "bytes */10"));

    assert_eq!(bench.send("DELETE", &path, &[], "").await.status, 202);
    assert_eq!(bench.send("GET", &path, &[], "").await.code(), "BLOB_UNKNOWN");
    assert_eq!(bench.send("DELETE", &path, &[], "").await.code(), "BLOB_UNKNOWN");
}

#[tokio::test]
async fn uploads_that_are_not_what_they_say_leave_nothing() {
    let bench = Bench::new();
    let wrong = Digest::sha256(b"other");
    let reply = bench.send("POST", &format!("/v2/tasks/blobs/uploads/?digest={wrong}"), &[], "bytes").await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "DIGEST_INVALID"));
    for bad in ["/v2/tasks/blobs/uploads/?digest=md5:1", "/v2/tasks/blobs/uploads/?mount=x&from=y"] {
        assert_eq!(bench.send("POST", bad, &[], "").await.code(), "DIGEST_INVALID", "{bad}");
    }
    let begun = bench.send("POST", "/v2/tasks/blobs/uploads/", &[], "").await;
    let upload = begun.header("location").to_owned();
    assert_eq!(bench.send("PUT", &upload, &[], "bytes").await.code(), "DIGEST_INVALID", "no digest");
    assert_eq!(bench.send("DELETE", &upload, &[], "").await.status, 204);
    assert_eq!(bench.send("PATCH", &upload, &[], "bytes").await.code(), "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(crate::bench::files_below(&bench.path("blobs")), 0);
}

#[tokio::test]
async fn blobs_are_shared_on_disk_but_not_between_repositories() {
    let bench = Bench::new();
    let digest = bench.push_blob("secret", b"hidden").await;
    let elsewhere = format!("/v2/bob/app/blobs/{digest}");
    let bob = ("authorization", "Bearer bob-token");
    assert_eq!(bench.send("GET", &elsewhere, &[bob], "").await.code(), "BLOB_UNKNOWN");
    let mount = format!("/v2/bob/app/blobs/uploads/?mount={digest}&from=secret");
    assert_eq!(
        bench.send("POST", &mount, &[bob], "").await.status,
        202,
        "what may not be read is not mounted"
    );
    assert_eq!(bench.send("GET", &elsewhere, &[bob], "").await.code(), "BLOB_UNKNOWN");
    let mounted = bench.send("POST", &mount, &[], "").await;
    assert_eq!((mounted.status.as_u16(), mounted.header("location")), (201, elsewhere.as_str()));
    assert_eq!(&bench.send("GET", &elsewhere, &[bob], "").await.body[..], b"hidden");
    bench.send("DELETE", &format!("/v2/secret/blobs/{digest}"), &[], "").await;
    assert_eq!(bench.send("GET", &elsewhere, &[bob], "").await.status, 200, "others keep it");
}

#[tokio::test]
async fn a_manifest_keeps_its_bytes_and_is_found_by_tag_and_digest() {
    let bench = Bench::new();
    let text = manifest(&bench, "team/tasks", b"layer").await.replace(',', " ,\n");
    let digest = Digest::sha256(text.as_bytes()).to_string();
    let put = put_manifest(&bench, "team/tasks", "v1", OCI, &text).await;
    assert_eq!((put.status.as_u16(), put.header("docker-content-digest")), (201, digest.as_str()));
    for reference in ["v1", &digest] {
        let path = format!("/v2/team/tasks/manifests/{reference}");
        let got = bench.send("GET", &path, &[], "").await;
        assert_eq!((got.status.as_u16(), &got.body[..]), (200, text.as_bytes()));
        assert_eq!((got.header("content-type"), got.header("docker-content-digest")), (OCI, digest.as_str()));
        let head = bench.send("HEAD", &path, &[], "").await;
        assert_eq!((head.header("content-length"), head.body.len()), (text.len().to_string().as_str(), 0));
    }
    assert_eq!(bench.store.happened(), [("image.pushed".to_owned(), format!("team/tasks@{digest}"))]);
    put_manifest(&bench, "team/tasks", "v1", OCI, &text).await;
    put_manifest(&bench, "team/tasks", &digest, OCI, &text).await;
    assert_eq!(bench.store.happened().len(), 1, "nothing changed");

    assert_eq!(bench.send("DELETE", "/v2/team/tasks/manifests/v1", &[], "").await.status, 202);
    assert_eq!(bench.send("GET", "/v2/team/tasks/manifests/v1", &[], "").await.code(), "MANIFEST_UNKNOWN");
    put_manifest(&bench, "team/tasks", "v2", OCI, &text).await;
    let by_digest = format!("/v2/team/tasks/manifests/{digest}");
    assert_eq!(bench.send("DELETE", &by_digest, &[], "").await.status, 202);
    for gone in [by_digest.as_str(), "/v2/team/tasks/manifests/v2"] {
        assert_eq!(bench.send("GET", gone, &[], "").await.code(), "MANIFEST_UNKNOWN", "{gone}");
        assert_eq!(bench.send("DELETE", gone, &[], "").await.code(), "MANIFEST_UNKNOWN", "{gone}");
    }
}

#[tokio::test]
async fn manifests_that_cannot_be_taken_say_why() {
    let bench = Bench::new();
    let good = manifest(&bench, "tasks", b"layer").await;
    let other = Digest::sha256(b"other").to_string();
    let absent = good.replace(&Digest::sha256(b"layer").to_string(), &other);
    let resized = good.replace("\"size\":5", "\"size\":6");
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{ "mediaType": OCI, "digest": other, "size": 3 }] })
    .to_string();
    let cases = [
        (OCI, "v1", "{", 400, "MANIFEST_INVALID"),
        (OCI, "v1", &absent, 400, "MANIFEST_BLOB_UNKNOWN"),
        (OCI, "v1", &resized, 400, "MANIFEST_INVALID"),
        (INDEX, "v1", &index, 400, "MANIFEST_BLOB_UNKNOWN"),
        (INDEX, "v1", &good, 400, "MANIFEST_INVALID"),
        (OCI, &other, &good, 400, "DIGEST_INVALID"),
        (OCI, "..", &good, 400, "MANIFEST_INVALID"),
        ("application/json", "v1", &good, 415, "MANIFEST_INVALID"),
        ("", "v1", &good, 415, "MANIFEST_INVALID"),
    ];
    for (media_type, reference, text, status, code) in cases {
        let reply = put_manifest(&bench, "tasks", reference, media_type, text).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str()),
            (status, code),
            "{media_type} {reference} {text}"
        );
        assert!(!reply.json()["errors"][0]["message"].as_str().unwrap_or_default().is_empty());
    }
    let large = " ".repeat(LARGEST_MANIFEST as usize + 1);
    assert_eq!(put_manifest(&bench, "tasks", "v1", OCI, &large).await.status, 413);
    assert!(bench.store.happened().is_empty());
    let elsewhere = put_manifest(&bench, "another", "v1", OCI, &good).await;
    assert_eq!(elsewhere.code(), "MANIFEST_BLOB_UNKNOWN", "another repository's blobs do not count");
}

#[tokio::test]
async fn tags_come_in_order_and_in_pages() {
    let bench = Bench::new();
    assert_eq!(bench.send("GET", "/v2/tasks/tags/list", &[], "").await.code(), "NAME_UNKNOWN");
    let text = manifest(&bench, "tasks", b"layer").await;
    for tag in ["v2", "latest", "v10", "v1"] {
        assert_eq!(put_manifest(&bench, "tasks", tag, OCI, &text).await.status, 201);
    }
    // A neighbour whose name begins alike must not leak in.
    let near = manifest(&bench, "tasks-2", b"layer").await;
    put_manifest(&bench, "tasks-2", "zzz", OCI, &near).await;
    let all = bench.send("GET", "/v2/tasks/tags/list", &[], "").await;
    assert_eq!(all.json(), json!({ "name": "tasks", "tags": ["latest", "v1", "v10", "v2"] }));
    assert_eq!(all.header("link"), "");

    let mut path = "/v2/tasks/tags/list?n=3".to_owned();
    let mut seen: Vec<Value> = Vec::new();
    loop {
        let page = bench.send("GET", &path, &[], "").await;
        seen.extend(page.json()["tags"].as_array().unwrap().iter().cloned());
        let Some((next, _)) = page.header("link").split_once(">; rel=\"next\"") else { break };
        path = next.trim_start_matches('<').to_owned();
    }
    assert_eq!(json!(seen), all.json()["tags"]);
    let none = bench.send("GET", "/v2/tasks/tags/list?n=0", &[], "").await;
    assert_eq!(none.json()["tags"], json!([]));
    assert_eq!(bench.send("GET", "/v2/tasks/tags/list?n=x", &[], "").await.status, 400);
}

#[tokio::test]
async fn what_refers_to_a_manifest_is_listed() {
    let bench = Bench::new();
    let text = manifest(&bench, "tasks", b"layer").await;
    put_manifest(&bench, "tasks", "v1", OCI, &text).await;
    let subject = Digest::sha256(text.as_bytes());
    let mut referrer: Value = serde_json::from_str(&text).unwrap();
    referrer["subject"] = json!({ "mediaType": OCI, "digest": subject, "size": text.len() });
    referrer["artifactType"] = json!("application/spdx+json");
    referrer["annotations"] = json!({ "made.by": "test" });
    let referrer = referrer.to_string();
    let digest = Digest::sha256(referrer.as_bytes());
    let put = put_manifest(&bench, "tasks", &digest.to_string(), OCI, &referrer).await;
    assert_eq!(put.header("oci-subject"), subject.to_string());

    let path = format!("/v2/tasks/referrers/{subject}");
    let list = bench.send("GET", &path, &[], "").await;
    assert_eq!((list.status.as_u16(), list.header("content-type")), (200, INDEX));
    let expected = json!([{ "mediaType": OCI, "digest": digest, "size": referrer.len(),
        "artifactType": "application/spdx+json", "annotations": { "made.by": "test" } }]);
    assert_eq!(list.json()["manifests"], expected);
    let filtered = bench.send("GET", &format!("{path}?artifactType=application/other"), &[], "").await;
    assert_eq!(
        (filtered.json()["manifests"].clone(), filtered.header("oci-filters-applied")),
        (json!([]), "artifactType")
    );
    let nothing = bench.send("GET", &format!("/v2/tasks/referrers/{digest}"), &[], "").await;
    assert_eq!((nothing.status.as_u16(), nothing.json()["manifests"].clone()), (200, json!([])));
}

#[tokio::test]
async fn other_addresses_and_methods_are_answered_in_the_same_form() {
    let bench = Bench::new();
    let cases = [
        ("GET", "/v2/Tasks/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/tasks/blobs/sha256:zz", 400, "DIGEST_INVALID"),
        ("GET", "/v2/tasks/nothing", 404, "UNSUPPORTED"),
        ("POST", "/v2/tasks/tags/list", 405, "UNSUPPORTED"),
        ("PATCH", "/v2/tasks/manifests/v1", 405, "UNSUPPORTED"),
        ("GET", "/v2/tasks/blobs/uploads/zz", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "/v2/tasks/blobs/uploads/", 405, "UNSUPPORTED"),
        ("GET", "/v2/%2e%2e/blobs/uploads/x", 404, "BLOB_UPLOAD_UNKNOWN"),
    ];
    for (method, path, status, code) in cases {
        let reply = bench.send(method, path, &[], "").await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{method} {path}");
        assert_eq!(reply.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_corrupt_manifest_is_an_error_and_a_corrupt_blob_never_whole() {
    let bench = Bench::new();
    let layer = vec![7u8; 600_000];
    let text = manifest(&bench, "tasks", &layer).await;
    put_manifest(&bench, "tasks", "v1", OCI, &text).await;
    bench.damage(&Digest::sha256(text.as_bytes()));
    let reply = bench.send("GET", "/v2/tasks/manifests/v1", &[], "").await;
    assert_eq!(reply.status, 500);
    let message = reply.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("corrupt") && message.contains("push the image again"), "{message}");
    assert!(!message.contains(bench.folder.path().to_str().unwrap()), "no path of the machine: {message}");

    let digest = Digest::sha256(&layer);
    bench.damage(&digest);
    let reply = bench.send("GET", &format!("/v2/tasks/blobs/{digest}"), &[], "").await;
    assert!(reply.body.is_empty(), "the stream broke off");
    assert_eq!(bench.push_blob("tasks", &layer).await, digest);
    let again = bench.send("GET", &format!("/v2/tasks/blobs/{digest}"), &[], "").await;
    assert_eq!(&again.body[..], layer);
}

#[tokio::test]
async fn a_manifest_that_was_accepted_lasts_with_all_that_it_names() {
    let bench = Bench::new();
    let manifest = bench.tagged("app", "v1", b"layer").await;
    // Nothing is left to be settled, in the store or on the disk: what a power cut takes is not among it.
    assert_eq!(std::fs::read_dir(bench.path("blobs/fresh")).unwrap().count(), 0);
    for digest in [manifest, Digest::sha256(b"layer")] {
        assert!(bench.blobs.path(&digest).exists(), "{digest}");
    }
    let index = windlass_oci::StoreIndex::new(bench.store.clone(), bench.clock.clone());
    let (app, layer) = ("app".parse().unwrap(), Digest::sha256(b"layer"));
    assert!(windlass_oci::Index::has_blob(&index, &app, &layer).await.unwrap(), "another process finds it");
}

#[tokio::test]
async fn a_blob_that_was_let_go_is_not_remembered() {
    let bench = Bench::new();
    let digest = bench.push_blob("app", b"layer").await;
    let path = format!("/v2/app/blobs/{digest}");
    bench.get(&path).await.is(200);
    bench.send("DELETE", &path, &[], "").await.is(202);
    assert_eq!(bench.get(&path).await.is(404).code(), "BLOB_UNKNOWN");
    bench.push_blob("app", b"layer").await;
    bench.get(&path).await.is(200);
}
