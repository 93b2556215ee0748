//! What a mirror fetches is sent on while it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use futures_util::stream;
use http::Method;
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tower::ServiceExt as _;
use windlass_kernel::Digest;
use windlass_oci::{BlobStore as _, Mirror};

use crate::bench::Bench;

/// A registry that has one blob, and sends its second half when it is told to.
struct Slow {
    host: String,
    asked: Arc<AtomicUsize>,
    go: watch::Sender<bool>,
}

/// Serves `halves`; whole, if it is told its length beforehand.
async fn slow(halves: [Vec<u8>; 2], told: bool) -> Slow {
    let (go, wait) = watch::channel(false);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = move |request: Request| {
        let (halves, wait, count) = (halves.clone(), wait.clone(), count.clone());
        async move {
            if request.method() != Method::GET {
                return Response::builder().status(200).body(Body::empty()).unwrap();
            }
            count.fetch_add(1, Ordering::SeqCst);
            let length = halves.iter().map(Vec::len).sum::<usize>();
            let [first, second] = halves.map(Bytes::from);
            let body = stream::unfold(0, move |at| {
                let (first, second, mut wait) = (first.clone(), second.clone(), wait.clone());
                async move {
                    match at {
                        0 => Some((Ok::<_, std::io::Error>(first), 1)),
                        1 => {
                            let _ = wait.wait_for(|go| *go).await;
                            Some((Ok(second), 2))
                        }
                        _ => None,
                    }
                }
            });
            let response = Response::builder();
            let response = if told { response.header("content-length", length) } else { response };
            response.body(Body::from_stream(body)).unwrap()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    Slow { host, asked, go }
}

fn mirroring(host: &str) -> Bench {
    let bench = Bench::new();
    let fresh = Duration::from_mins(10);
    let mirror = Mirror { name: "up".into(), host: host.to_owned(), login: None, fresh };
    bench.registry.set_mirrors(vec![mirror]);
    bench
}

/// Begins to get a blob; the answer's head has come.
async fn begin(bench: &Bench, digest: &Digest) -> Body {
    let request = http::Request::get(format!("/v2/mirror/up/app/blobs/{digest}"));
    let request = request.header("host", "registry.test:5000").header("authorization", "Bearer ada-token");
    let response = bench.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["docker-content-digest"], digest.to_string());
    response.into_body()
}

async fn read(body: &mut Body, length: usize) -> usize {
    let mut came = 0;
    while came < length {
        came += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    came
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_the_first_bytes_before_the_other_registry_sent_the_last() {
    for told in [true, false] {
        let halves = [vec![1; 700_000], vec![2; 700_000]];
        let digest = Digest::sha256(&halves.concat());
        let there = slow(halves.clone(), told).await;
        let here = mirroring(&there.host);
        let mut one = begin(&here, &digest).await;
        let mut two = begin(&here, &digest).await;
        // Without the second half, which nobody sends yet. The last byte that is here waits for what follows.
        let had = [read(&mut one, 699_999).await, read(&mut two, 699_999).await];
        assert_eq!(here.blobs.stat(&digest).await.unwrap(), None, "it is no blob yet");
        // One who asked first goes away: the others get it all the same.
        drop(one);
        there.go.send(true).unwrap();
        assert_eq!(had[1] + two.collect().await.unwrap().to_bytes().len(), 1_400_000);
        assert_eq!(there.asked.load(Ordering::SeqCst), 1, "it was fetched once");
        assert_eq!(
            here.get(&format!("/v2/mirror/up/app/blobs/{digest}")).await.is(200).body,
            halves.concat()
        );
        assert_eq!(there.asked.load(Ordering::SeqCst), 1, "it is here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_cut_off_and_not_kept() {
    for told in [true, false] {
        let halves = [vec![1; 300_000], vec![2; 300_000]];
        let digest = Digest::sha256(b"something else");
        let there = slow(halves, told).await;
        let here = mirroring(&there.host);
        let mut body = begin(&here, &digest).await;
        let had = read(&mut body, 299_999).await;
        there.go.send(true).unwrap();
        let mut came = had;
        let ended = loop {
            match body.frame().await {
                Some(Ok(frame)) => came += frame.into_data().unwrap().len(),
                other => break other,
            }
        };
        assert!(matches!(ended, Some(Err(_))), "the connection is cut");
        assert!(came < 600_000, "the last byte never comes");
        assert_eq!(here.blobs.stat(&digest).await.unwrap(), None);
        let left: usize = ["uploads", "fresh", "corrupt"]
            .iter()
            .map(|name| std::fs::read_dir(here.path("blobs").join(name)).unwrap().count())
            .sum();
        assert_eq!(left, 0, "nothing is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_asks_whether_it_is_there_waits_for_the_fetch_that_goes_on() {
    let halves = [vec![1; 300_000], vec![2; 300_000]];
    let digest = Digest::sha256(&halves.concat());
    let there = slow(halves, true).await;
    let here = mirroring(&there.host);
    let body = begin(&here, &digest).await;
    let path = format!("/v2/mirror/up/app/blobs/{digest}");
    let head = here.send("HEAD", &path, &[], "");
    let part = here.send("GET", &path, &[("range", "bytes=0-9")], "");
    let release = async {
        tokio::task::yield_now().await;
        there.go.send(true).unwrap();
    };
    let (head, part, ()) = tokio::join!(head, part, release);
    assert_eq!(head.is(200).header("content-length"), "600000");
    assert_eq!(&part.is(206).body[..], &[1; 10]);
    assert_eq!(body.collect().await.unwrap().to_bytes().len(), 600_000);
    assert_eq!(there.asked.load(Ordering::SeqCst), 1);
}
