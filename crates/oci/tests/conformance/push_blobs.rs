//! "Pushing blobs": endpoints 4a, 4b, 5, 6, 11 and 13.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use windlass_kernel::Digest;

use super::refused;
use crate::bench::{Bench, files_below};

#[tokio::test]
async fn end_4a_begins_an_upload_and_end_6_ends_it_in_one_piece() {
    let bench = Bench::new();
    for path in ["/v2/a/blobs/uploads/", "/v2/a/blobs/uploads"] {
        let begun = bench.send("POST", path, &[], "").await;
        let place = begun.is(202).header("location").to_owned();
        assert_eq!((begun.header("range"), begun.header("docker-upload-uuid").len()), ("0-0", 32));
        let digest = Digest::sha256(path.as_bytes());
        let done = bench.send("PUT", &format!("{place}?digest={digest}"), &[], path).await;
        assert_eq!(done.is(201).header("location"), format!("/v2/a/blobs/{digest}"));
        assert_eq!(done.header("docker-content-digest"), digest.to_string());
    }
}

#[tokio::test]
async fn end_4b_takes_a_blob_with_one_request() {
    let bench = Bench::new();
    let digest = Digest::sha256(b"once");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let done = bench.send("POST", &path, &[], "once").await;
    assert_eq!(done.is(201).header("location"), format!("/v2/a/blobs/{digest}"));
    assert_eq!(&bench.get(done.header("location")).await.body[..], b"once");
}

#[tokio::test]
async fn end_4b_and_end_6_refuse_other_bytes_than_the_digest_says_and_keep_none() {
    let bench = Bench::new();
    let other = Digest::sha256(b"other");
    let path = format!("/v2/a/blobs/uploads/?digest={other}");
    assert_eq!(bench.send("POST", &path, &[], "bytes").await.told(), refused(400, "DIGEST_INVALID"));
    let place = bench.begin("a").await;
    let put = bench.send("PUT", &format!("{place}?digest={other}"), &[], "bytes").await;
    assert_eq!(put.told(), refused(400, "DIGEST_INVALID"));
    assert_eq!(bench.get(&place).await.told(), refused(404, "BLOB_UPLOAD_UNKNOWN"), "the upload is over");
    assert_eq!(files_below(&bench.path("blobs")), 0);
}

#[tokio::test]
async fn end_4b_refuses_a_digest_that_is_none() {
    let bench = Bench::new();
    for bad in ["md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:abc", "x", ""] {
        let reply = bench.send("POST", &format!("/v2/a/blobs/uploads/?digest={bad}"), &[], "").await;
        assert_eq!(reply.told(), refused(400, "DIGEST_INVALID"), "{bad}");
    }
}

#[tokio::test]
async fn end_5_takes_chunks_in_their_order() {
    let bench = Bench::new();
    let place = bench.begin("a").await;
    let chunk = async |range: &str, bytes: &'static str| {
        let length = bytes.len().to_string();
        let headers = [("content-range", range), ("content-length", length.as_str())];
        bench.send("PATCH", &place, &headers, bytes).await
    };
    assert_eq!(chunk("0-4", "hello").await.is(202).header("range"), "0-4");
    let again = chunk("0-4", "hello").await;
    assert_eq!((again.is(416).header("range"), again.code().as_str()), ("0-4", "BLOB_UPLOAD_INVALID"));
    assert_eq!(chunk("7-8", "!!").await.is(416).header("range"), "0-4", "a gap");
    assert_eq!(chunk("5-9", " you!").await.is(202).header("range"), "0-9");
    let digest = Digest::sha256(b"hello you!");
    bench.send("PUT", &format!("{place}?digest={digest}"), &[], "").await.is(201);
    assert_eq!(&bench.get(&format!("/v2/a/blobs/{digest}")).await.body[..], b"hello you!");
}

#[tokio::test]
async fn end_5_takes_a_stream_without_a_range() {
    let bench = Bench::new();
    let place = bench.begin("a").await;
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        (0..40u8).map(|n| Ok(Bytes::from(vec![n; 50_000]))).collect();
    let whole: Vec<u8> = (0..40u8).flat_map(|n| vec![n; 50_000]).collect();
    let body = axum::body::Body::from_stream(stream::iter(pieces));
    assert_eq!(bench.send("PATCH", &place, &[], body).await.is(202).header("range"), "0-1999999");
    let digest = Digest::sha256(&whole);
    bench.send("PUT", &format!("{place}?digest={digest}"), &[], "").await.is(201);
    assert!(bench.get(&format!("/v2/a/blobs/{digest}")).await.body[..] == whole[..]);
}

#[tokio::test]
async fn end_5_refuses_ranges_that_are_none_and_lengths_that_do_not_fit() {
    let bench = Bench::new();
    let place = bench.begin("a").await;
    for bad in ["five", "5", "-", "a-b", "-5", "5-"] {
        let reply = bench.send("PATCH", &place, &[("content-range", bad)], "x").await;
        assert_eq!(reply.told(), refused(400, "BLOB_UPLOAD_INVALID"), "{bad}");
    }
    let headers = [("content-range", "0-9"), ("content-length", "2")];
    assert_eq!(bench.send("PATCH", &place, &headers, "xx").await.told(), refused(400, "SIZE_INVALID"));
    assert_eq!(bench.get(&place).await.is(204).header("range"), "0-0", "nothing was taken");
}

#[tokio::test]
async fn end_6_takes_the_last_chunk_in_its_place_only() {
    let bench = Bench::new();
    let place = bench.begin("a").await;
    bench.send("PATCH", &place, &[("content-range", "0-4")], "hello").await.is(202);
    let digest = Digest::sha256(b"hello!");
    let put = format!("{place}?digest={digest}");
    bench.send("PUT", &put, &[("content-range", "9-9")], "!").await.is(416);
    bench.send("PUT", &put, &[("content-range", "5-5")], "!").await.is(201);
}

#[tokio::test]
async fn end_6_wants_a_digest() {
    let bench = Bench::new();
    let place = bench.begin("a").await;
    assert_eq!(bench.send("PUT", &place, &[], "x").await.told(), refused(400, "DIGEST_INVALID"));
    let odd = format!("{place}?digest=sha256:1");
    assert_eq!(bench.send("PUT", &odd, &[], "x").await.told(), refused(400, "DIGEST_INVALID"));
}

#[tokio::test]
async fn end_13_says_how_far_an_upload_is_and_a_broken_one_goes_on() {
    let bench = Bench::new();
    let place = bench.begin("a").await;
    let broken = stream::iter([Ok(Bytes::from_static(b"hello")), Err(std::io::Error::other("gone"))]);
    let reply = bench.send("PATCH", &place, &[], axum::body::Body::from_stream(broken)).await;
    assert_eq!(reply.code(), "BLOB_UPLOAD_INVALID");
    let status = bench.get(&place).await;
    assert_eq!((status.is(204).header("range"), status.header("location")), ("0-4", place.as_str()));
    bench.send("PATCH", &place, &[("content-range", "5-7")], " on").await.is(202);
    let digest = Digest::sha256(b"hello on");
    bench.send("PUT", &format!("{place}?digest={digest}"), &[], "").await.is(201);
}

#[tokio::test]
async fn cancelling_an_upload_ends_it() {
    let bench = Bench::new();
    let place = bench.begin("a").await;
    bench.send("PATCH", &place, &[], "bytes").await.is(202);
    bench.send("DELETE", &place, &[], "").await.is(204);
    for method in ["GET", "PATCH", "DELETE"] {
        let reply = bench.send(method, &place, &[], "").await;
        assert_eq!(reply.told(), refused(404, "BLOB_UPLOAD_UNKNOWN"), "{method}");
    }
    assert_eq!(files_below(&bench.path("blobs")), 0);
}

#[tokio::test]
async fn end_11_mounts_what_may_be_read_there() {
    let bench = Bench::new();
    let digest = bench.push_blob("secret/a", b"shared").await;
    let bob = ("authorization", "Bearer bob-token");
    let mount = format!("/v2/bob/app/blobs/uploads/?mount={digest}&from=secret/a");
    assert_eq!(bench.send("POST", &mount, &[bob], "").await.status, 202, "bob may not read there");
    let done = bench.send("POST", &mount, &[], "").await;
    assert_eq!(done.is(201).header("location"), format!("/v2/bob/app/blobs/{digest}"));
    assert_eq!(done.header("docker-content-digest"), digest.to_string());
    bench.get(done.header("location")).await.is(200);
    let absent = format!("/v2/bob/app/blobs/uploads/?mount={}&from=secret/a", Digest::sha256(b"no"));
    assert!(!bench.send("POST", &absent, &[], "").await.is(202).header("location").is_empty());
}

#[tokio::test]
async fn end_11_finds_the_repository_itself_where_none_is_named() {
    let bench = Bench::new();
    let hidden = bench.push_blob("secret/a", b"hidden").await;
    let open = bench.push_blob("open/a", b"open").await;
    let bob = ("authorization", "Bearer bob-token");
    let mount = async |digest: &Digest| {
        let path = format!("/v2/bob/app/blobs/uploads/?mount={digest}");
        bench.send("POST", &path, &[bob], "").await.status.as_u16()
    };
    assert_eq!((mount(&open).await, mount(&hidden).await), (201, 202));
}

#[tokio::test]
async fn end_11_refuses_names_that_are_none() {
    let bench = Bench::new();
    let digest = Digest::sha256(b"x");
    let reply = bench.send("POST", "/v2/a/blobs/uploads/?mount=zz&from=b", &[], "").await;
    assert_eq!(reply.told(), refused(400, "DIGEST_INVALID"));
    let path = format!("/v2/a/blobs/uploads/?mount={digest}&from=B");
    assert_eq!(bench.send("POST", &path, &[], "").await.told(), refused(400, "NAME_INVALID"));
}

#[tokio::test]
async fn a_client_that_stalls_is_cut_off_and_may_go_on() {
    let bench = Bench::new().patient(Duration::from_millis(50), 8);
    let place = bench.begin("a").await;
    let stalling =
        stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"hel"))]).chain(stream::pending());
    let reply = bench.send("PATCH", &place, &[], axum::body::Body::from_stream(stalling)).await;
    assert_eq!(reply.told(), refused(408, "BLOB_UPLOAD_INVALID"));
    assert_eq!(bench.get(&place).await.header("range"), "0-2", "what came is kept");
    let body = axum::body::Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let headers = [("content-type", super::MANIFEST)];
    assert_eq!(bench.send("PUT", "/v2/a/manifests/v1", &headers, body).await.status, 408);
}
