//! What could be read in two ways, sent as raw bytes, with a server behind that records every byte it gets.

use std::sync::atomic::Ordering;

use crate::harness::{Client, Gateway, Server};

/// Sent after every bad request: must never be taken for one.
const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let with =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n{body}");
    let many = "X: 1\r\n".repeat(120);
    for (request, status) in [
        (with("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nX"), 400),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 6", "0\r\n\r\nX"), 400),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"), 400),
        (with("Transfer-Encoding: identity, chunked", "0\r\n\r\n"), 400),
        (with("Transfer-Encoding: xchunked", "0\r\n\r\n"), 400),
        (with("Transfer-Encoding : chunked", "0\r\n\r\n"), 400),
        (with("Transfer-Encoding:\x0bchunked", "0\r\n\r\n"), 400),
        (with("X: y\r\n Transfer-Encoding: chunked", "0\r\n\r\n"), 400),
        (with("X: y\nTransfer-Encoding: chunked", "0\r\n\r\n"), 400),
        (with("X: y\rTransfer-Encoding: chunked", "0\r\n\r\n"), 400),
        (with("Content-Length: 3\r\nContent-Length: 3", "abc"), 400),
        (with("Content-Length: 3\r\nContent-Length: 0", "abc"), 400),
        (with("Content-Length: +3", "abc"), 400),
        (with("Content-Length: 3 ,3", "abc"), 400),
        (with("Content-Length: 3 0", "abc"), 400),
        (with("Content-Length: 99999999999999999999999", "abc"), 400),
        (with("X: a\0b", ""), 400),
        (with("Host: b.test", ""), 400),
        (with("no colon", ""), 400),
        (with(&format!("X: {}", "x".repeat(100_000)), ""), 431),
        (with(&many, ""), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(20_000)), 414),
        ("GET / HTTP/1.1\nHost: a.test\n\n".into(), 400),
        ("GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), 405),
        ("REFUSED / HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), 400),
        ("\x16\x03\x01\x02\0\x01\0".into(), 400),
        (with("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3", "abc"), 400),
    ] {
        let mut client = gateway.client().await;
        // The gateway may close before all is written; what counts is what it says.
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut client.0, format!("{request}{NEXT}").as_bytes()).await;
        let shown = &request[..request.len().min(200)];
        let answer = client.read_answer(false).await.unwrap_or_else(|| panic!("no answer to {shown:?}"));
        assert_eq!(answer.status, status, "{shown:?}: {}", answer.text());
        assert_eq!(answer.field("connection").as_deref(), Some("close"), "{shown:?}");
        assert!(client.is_closed().await, "{shown:?} leaves the connection open");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0, "{:?}", server.heard());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_chunk_ends_the_request_on_both_sides() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nabc",
        "-1\r\nabc",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nContent-Length: 1\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: 1\n\r\n",
    ] {
        let mut client = gateway.client().await;
        let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.write(format!("{head}{body}{NEXT}").as_bytes()).await;
        if let Some(answer) = client.read_answer(false).await {
            assert_eq!(answer.status, 400, "{body:?}");
        }
        assert!(client.is_closed().await, "{body:?} leaves the connection open");
    }
    assert!(server.heard().is_empty(), "no request came whole: {:?}", server.heard());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_through_reaches_the_server_as_exactly_one_request() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let with =
        |fields: &str, body: &str| format!("POST /one HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n{body}");
    for (request, body) in [
        (with("Content-Length: 3", "abc"), "abc"),
        (with("Content-Length:\t3 ", "abc"), "abc"),
        (with("Content-Length: 0003", "abc"), "abc"),
        (with("Transfer-Encoding: CHUNKED", "3;x=\"y\"\r\nabc\r\n00\r\n\r\n"), "3\r\nabc\r\n0\r\n\r\n"),
        (with("Connection: close, X, Content-Length\r\nX: 1\r\nContent-Length: 3", "abc"), "abc"),
        (
            with("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
            "3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            with(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: 3",
                "abc",
            ),
            "abc",
        ),
        (with("Content_Length: 1\r\nTransfer_Encoding: chunked\r\nContent-Length: 3", "abc"), "abc"),
        (format!("\r\n{}", with("Content-Length: 3", "abc")), "abc"),
    ] {
        server.heard.lock().unwrap().clear();
        let mut client = Client::connect(gateway.address).await;
        client.write(request.as_bytes()).await;
        assert_eq!(client.read_answer(false).await.unwrap().status, 200, "{request:?}");
        let heard = server.heard();
        assert_eq!(heard.len(), 1, "{request:?}: {heard:?}");
        assert_eq!(heard[0].line(), "POST /one HTTP/1.1");
        assert_eq!(String::from_utf8_lossy(&heard[0].body), body, "{request:?}");
        let framing = [heard[0].fields("content-length"), heard[0].fields("transfer-encoding")].concat();
        assert_eq!(framing.len(), 1, "{}", heard[0].head);
        for name in ["upgrade", "http2-settings", "x", "content_length", "transfer_encoding"] {
            assert!(heard[0].fields(name).is_empty(), "{name} came through: {}", heard[0].head);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_before_a_bad_one_are_answered_and_none_after_it() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let mut client = gateway.client().await;
    let good = "POST /good HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
    let bad = "GET /bad HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write(format!("{good}{good}{bad}{NEXT}").as_bytes()).await;
    let statuses = [
        client.read_answer(false).await.unwrap().status,
        client.read_answer(false).await.unwrap().status,
        client.read_answer(false).await.unwrap().status,
    ];
    assert_eq!(statuses, [200, 200, 400]);
    assert!(client.is_closed().await);
    assert_eq!(server.heard().len(), 2);
    let metrics = gateway.admin.metrics().await.unwrap();
    assert!(metrics.contains("windlass_gateway_refused_requests_total 1\n"), "{metrics}");
}
