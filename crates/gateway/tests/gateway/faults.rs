//! Instances that refuse, vanish, hesitate or talk nonsense.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use windlass_gateway::BackendSpec;

use crate::harness::{Gateway, Heard, Server, ok, route};

fn dead() -> BackendSpec {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    BackendSpec { id: "dead".into(), address: listener.local_addr().unwrap() }
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_tried_elsewhere_with_body_and_all() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.put(vec![route("a.test", "/", vec![dead(), server.spec()])]).await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.text(), "s");
        assert_eq!(gateway.ask(POST).await.text(), "s");
    }
    assert!(server.heard().iter().filter(|h| h.line().starts_with("POST")).all(|h| h.body == b"abc"));
    assert_eq!(gateway.load("dead").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_broke_is_no_reason_to_fail_what_may_be_repeated() {
    // Answers the first request of a connection, and closes at the second without an answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let odd = Arc::new(AtomicUsize::new(0));
    let count = odd.clone();
    let reply = move |_: &Heard| {
        if count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { ok("s") } else { Vec::new() }
    };
    let server = Server::on(listener, "s", Arc::new(reply));
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/").await.text(), "s");
        gateway.until_load("s", 0).await;
    }
    let metrics = gateway.admin.metrics().await.unwrap();
    assert!(metrics.contains("upstream_failures_total{project=\"p\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_may_not_be_repeated_is_not() {
    let (one, two) = (Server::start("one", |_| Vec::new()).await, Server::start("two", |_| Vec::new()).await);
    let gateway = Gateway::start().await;
    gateway.route_to(&[&one, &two]).await;
    assert_eq!(gateway.ask(POST).await.status, 502);
    assert_eq!(one.heard().len() + two.heard().len(), 1, "sent once");
    assert_eq!(gateway.get("/").await.status, 502);
    assert_eq!(one.heard().len() + two.heard().len(), 4, "a GET is tried three times");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_repeated_goes_over_no_connection_that_was_idle_for_long() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    gateway.get("/").await;
    gateway.until_load("s", 0).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(gateway.ask(POST).await.text(), "s");
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_not_passed_on() {
    for nonsense in [
        &b"SSH-2.0-x\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    ] {
        let server = Server::start("s", move |_| nonsense.to_vec()).await;
        let gateway = Gateway::start().await;
        gateway.route_to(&[&server]).await;
        assert_eq!(gateway.ask(POST).await.status, 502, "{:?}", String::from_utf8_lossy(nonsense));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_take_longer_than_the_answer() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    let mut hasty = route("a.test", "/", vec![server.spec()]);
    hasty.timeout_ms = 100;
    gateway.put(vec![hasty]).await;
    let mut client = gateway.client().await;
    client.write(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n").await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.write(b"x").await;
    }
    assert_eq!(client.read_answer(false).await.unwrap().text(), "s");
}
