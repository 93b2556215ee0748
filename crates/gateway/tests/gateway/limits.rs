//! What one client may take of the gateway.

use std::time::Duration;

use windlass_gateway::Limits;

use crate::harness::{Gateway, Server};

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_told_so() {
    let server = Server::named("s").await;
    let gateway = Gateway::limited(Limits { per_client: 3, ..Limits::default() }).await;
    gateway.route_to(&[&server]).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = gateway.client().await;
        client.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_eq!(client.read_answer(false).await.unwrap().status, 200);
        held.push(client);
    }
    let mut refused = gateway.client().await;
    let answer = refused.read_answer(false).await.unwrap();
    assert_eq!((answer.status, answer.whole), (503, true));
    assert!(refused.is_closed().await);
    let metrics = gateway.admin.metrics().await.unwrap();
    assert!(metrics.contains("windlass_gateway_refused_connections_total 1\n"), "{metrics}");
    assert!(metrics.contains("windlass_gateway_connections 3\n"), "{metrics}");
    held.pop();
    // The place is given back as soon as the gateway has seen the end.
    loop {
        let mut client = gateway.client().await;
        let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.0, request).await;
        if client.read_answer(false).await.is_some_and(|a| a.status == 200) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_silent_clients_are_let_go() {
    let server = Server::named("s").await;
    let short = Duration::from_millis(200);
    let gateway =
        Gateway::limited(Limits { head: short, idle: 2 * short, stall: short, ..Limits::default() }).await;
    gateway.route_to(&[&server]).await;
    let mut silent = gateway.client().await;
    let mut drip = gateway.client().await;
    drip.write(b"GET / HTTP/1.1\r\nHost: a.t").await;
    assert_eq!(drip.read_answer(false).await.unwrap().status, 408);
    assert!(drip.is_closed().await);
    assert!(silent.is_closed().await);
    let mut kept = gateway.client().await;
    kept.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(kept.read_answer(false).await.unwrap().status, 200);
    assert!(kept.is_closed().await);
    // One that stops in the middle of its body: the instance is free again.
    let mut stalled = gateway.client().await;
    stalled.write(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nabc").await;
    if let Some(answer) = stalled.read_answer(false).await {
        assert_eq!(answer.status, 400);
    }
    assert!(stalled.is_closed().await);
    gateway.until_load("s", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_let_go() {
    let large = vec![b'x'; 64 << 20];
    let server = Server::start("s", move |_| {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len()).into_bytes();
        answer.extend_from_slice(&large);
        answer
    })
    .await;
    let stall = Duration::from_millis(300);
    let gateway = Gateway::limited(Limits { stall, ..Limits::default() }).await;
    gateway.route_to(&[&server]).await;
    let mut client = gateway.client().await;
    client.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    gateway.until_load("s", 1).await;
    gateway.until_load("s", 0).await;
    assert!(!client.read_answer(false).await.unwrap().whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    let gateway = Gateway::start().await;
    gateway.put(vec![]).await;
    let mut client = gateway.client().await;
    let size = 2 << 20;
    client
        .write(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n").as_bytes())
        .await;
    client.write(&vec![0; size]).await;
    assert_eq!(client.read_answer(false).await.unwrap().status, 404);
}
