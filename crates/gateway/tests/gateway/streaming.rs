//! Bodies pass as they come, whole or visibly broken, and connections that change their protocol pass both ways.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use windlass_gateway::BackendSpec;

use crate::harness::{Client, Gateway, LONG, Server, hear, ok, route};

/// A server whose side of one connection the test plays itself.
async fn played(gateway: &Gateway) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let spec = BackendSpec { id: "played".into(), address: listener.local_addr().unwrap() };
    gateway.put(vec![route("a.test", "/", vec![spec])]).await;
    listener
}

async fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    BufReader::new(tokio::time::timeout(LONG, listener.accept()).await.unwrap().unwrap().0)
}

async fn read_until(stream: &mut BufReader<TcpStream>, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let byte = tokio::time::timeout(LONG, stream.read_u8()).await.expect("bytes in time");
        seen.push(byte.unwrap_or_else(|e| panic!("{e} after {:?}", String::from_utf8_lossy(&seen))));
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_arrive_before_the_end_both_ways() {
    let gateway = Gateway::start().await;
    let listener = played(&gateway).await;
    let mut client = gateway.client().await;
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write(format!("{head}5\r\nfirst\r\n").as_bytes()).await;
    let mut server = accept(&listener).await;
    read_until(&mut server, "5\r\nfirst\r\n").await;
    // The answer may begin before the request ends.
    server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await.unwrap();
    read_until(&mut client.0, "3\r\none\r\n").await;
    client.write(b"6\r\nsecond\r\n0\r\n\r\n").await;
    read_until(&mut server, "6\r\nsecond\r\n0\r\n\r\n").await;
    assert_eq!(gateway.load("played").await, 1);
    server.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut client.0, "3\r\ntwo\r\n0\r\n\r\n").await;
    gateway.until_load("played", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_larger_than_any_buffer_passes_both_ways() {
    const SIZE: usize = 48 << 20;
    let gateway = Gateway::start().await;
    let listener = played(&gateway).await;
    let server = tokio::spawn(async move {
        let mut server = accept(&listener).await;
        read_until(&mut server, "\r\n\r\n").await;
        server
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let (mut from, mut to) = tokio::io::split(server);
        tokio::io::copy(&mut (&mut from).take(SIZE as u64), &mut to).await.unwrap();
    });
    let mut client = gateway.client().await;
    client
        .write(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
        .await;
    let (from, mut to) = tokio::io::split(client.0);
    let piece: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let sent = piece.clone();
    let writer = tokio::spawn(async move {
        for _ in 0..SIZE / sent.len() {
            to.write_all(&sent).await.unwrap();
        }
        to
    });
    let mut from = BufReader::new(from);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.unwrap());
    }
    let mut read = vec![0; piece.len()];
    for _ in 0..SIZE / piece.len() {
        tokio::time::timeout(LONG, from.read_exact(&mut read)).await.unwrap().unwrap();
        assert!(read == piece, "bytes came through changed");
    }
    drop(writer.await.unwrap());
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_stops_the_server_from_sending() {
    let gateway = Gateway::start().await;
    let listener = played(&gateway).await;
    let mut client = gateway.client().await;
    client.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let mut server = accept(&listener).await;
    read_until(&mut server, "\r\n\r\n").await;
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await.unwrap();
    let (piece, mut taken) = (vec![0; 64 << 10], 0usize);
    // The kernels' buffers take some megabytes; the gateway must not take the gigabyte.
    while let Ok(wrote) = tokio::time::timeout(Duration::from_millis(500), server.write(&piece)).await {
        taken += wrote.unwrap();
        assert!(taken < 200 << 20, "the gateway reads ahead without end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_only_when_it_is_wanted() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let mut client = gateway.client().await;
    let head = |host: &str| {
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    };
    client.write(head("a.test").as_bytes()).await;
    assert_eq!(client.read_answer(false).await.unwrap().status, 100);
    client.write(b"abc").await;
    assert_eq!(client.read_answer(false).await.unwrap().text(), "s");
    assert_eq!(server.heard()[0].body, b"abc");
    assert!(server.heard()[0].fields("expect").is_empty());
    client.write(head("unknown.test").as_bytes()).await;
    assert_eq!(client.read_answer(false).await.unwrap().status, 404, "no 100 before it");
    assert!(client.is_closed().await, "whether the body comes is not known");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_to_those_who_ask_for_them() {
    let server = Server::start("s", |_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n".to_vec()
    })
    .await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let body = "3\r\nabc\r\n0\r\nX-Mine: 1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    let fields = "Trailer: X-Mine, X-Forwarded-For\r\nTransfer-Encoding: chunked";
    let answer = |te: &str| format!("POST / HTTP/1.1\r\nHost: a.test\r\n{te}{fields}\r\n\r\n{body}");
    let with = gateway.ask(&answer("TE: trailers\r\nConnection: TE\r\n")).await;
    assert!(with.text().to_ascii_lowercase().contains("x-sum: 7"), "{with:?}");
    let heard = String::from_utf8(server.heard()[0].body.clone()).unwrap().to_ascii_lowercase();
    assert!(heard.contains("x-mine: 1") && !heard.contains("6.6.6.6"), "{heard}");
    let without = gateway.ask(&answer("")).await;
    assert!(!without.text().to_ascii_lowercase().contains("x-sum: 7"), "{without:?}");
    assert!(without.whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    for reply in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n",
    ] {
        let server = Server::start("s", move |_| reply.to_vec()).await;
        let gateway = Gateway::start().await;
        gateway.route_to(&[&server]).await;
        let answer = gateway.get("/").await;
        assert!(!answer.whole, "a truncated answer looks whole: {answer:?}");
        gateway.until_load("s", 0).await;
        let dir = gateway.stop().await;
        let log = std::fs::read_to_string(dir.path().join("access.log")).unwrap();
        assert!(log.contains("\"broken\":true"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_request() {
    let gateway = Gateway::start().await;
    let listener = played(&gateway).await;
    // Before the answer, in the middle of the answer, and in the middle of the request.
    for (request, answer) in [
        ("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nabc", ""),
    ] {
        let mut client = gateway.client().await;
        client.write(request.as_bytes()).await;
        let mut server = accept(&listener).await;
        read_until(&mut server, if request.starts_with("POST") { "\r\n\r\nabc" } else { "\r\n\r\n" }).await;
        server.write_all(answer.as_bytes()).await.unwrap();
        if !answer.is_empty() {
            read_until(&mut client.0, "abc").await;
        }
        drop(client);
        assert!(Client(server).is_closed().await, "{request:?} goes on without its client");
        gateway.until_load("played", 0).await;
    }
}

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_both_ways_and_is_in_flight_until_it_ends() {
    let gateway = Gateway::start().await;
    let listener = played(&gateway).await;
    let mut client = gateway.client().await;
    // Bytes that look like a request must not be taken for one; some are sent before the answer is there.
    client.write(format!("{HANDSHAKE}early\0\n").as_bytes()).await;
    let mut server = accept(&listener).await;
    let heard = hear(&mut server).await.unwrap();
    assert_eq!(heard.fields("upgrade"), ["websocket"]);
    assert_eq!(heard.fields("connection"), ["upgrade"]);
    assert_eq!(heard.fields("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello";
    server.write_all(answer.as_bytes()).await.unwrap();
    let switched = client.read_answer(true).await.unwrap();
    assert_eq!(switched.status, 101);
    assert_eq!(switched.field("sec-websocket-accept").as_deref(), Some("x"));
    assert_eq!(switched.field("upgrade").as_deref(), Some("websocket"));
    read_until(&mut client.0, "hello").await;
    read_until(&mut server, "early\0\n").await;
    client.write(b"GET / HTTP/1.1\nContent-Length: x\n\n\0\xff").await;
    read_until(&mut server, "Content-Length: x\n\n\0").await;
    server.write_all(b"\0\x01bye").await.unwrap();
    read_until(&mut client.0, "bye").await;
    // In flight, also once the instance has left the table.
    assert_eq!(gateway.load("played").await, 1);
    gateway.put(vec![]).await;
    assert_eq!(gateway.load("played").await, 1);
    drop(client);
    server.read_u8().await.unwrap();
    assert!(Client(server).is_closed().await);
    gateway.until_load("played", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_declined_leaves_an_ordinary_connection() {
    let server = Server::start("s", |heard| {
        if heard.line().contains("/chat") {
            b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n".to_vec()
        } else {
            ok("s")
        }
    })
    .await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let mut client = gateway.client().await;
    client.write(format!("{HANDSHAKE}GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes()).await;
    assert_eq!(client.read_answer(false).await.unwrap().status, 426);
    assert_eq!(client.read_answer(false).await.unwrap().text(), "s");
    let bad = "GET / HTTP/1.1\nHost: a.test\r\n\r\n";
    client.write(bad.as_bytes()).await;
    assert_eq!(client.read_answer(false).await.unwrap().status, 400, "framing is checked as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_that_was_not_asked_for_is_no_answer() {
    let server = Server::start("s", |_| {
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n".to_vec()
    })
    .await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    for request in
        [HANDSHAKE, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"]
    {
        assert_eq!(gateway.ask(request).await.status, 502, "{request}");
    }
}
