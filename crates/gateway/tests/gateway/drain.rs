//! Tables change under load, and nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use windlass_gateway::Limits;

use crate::harness::{Answer, Client, Gateway, Heard, Server, ok};

const SWAPS: usize = 200;

async fn fresh(id: &str) -> Server {
    // A few answers take a moment, so that there is something to wait for.
    Server::start(id, |heard: &Heard| {
        if heard.line().contains("/slow") {
            std::thread::sleep(Duration::from_millis(3));
        }
        ok("served")
    })
    .await
}

/// Asks until told to stop; anything but a whole 200 is a failure, and so is a connection that breaks.
async fn hammer(
    address: std::net::SocketAddr,
    n: usize,
    ended: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut client = Client::connect(address).await;
    let requests = [
        "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc",
        "GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST /slow HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ];
    for turn in n.. {
        if ended.load(Ordering::SeqCst) {
            break;
        }
        client.write(requests[turn % requests.len()].as_bytes()).await;
        sent.fetch_add(1, Ordering::SeqCst);
        let good = |a: &Answer| a.status == 200 && a.whole && a.text() == "served";
        match client.read_answer(false).await {
            Some(answer) if good(&answer) => {}
            other => {
                failures.push(format!("{}: {other:?}", requests[turn % requests.len()]));
                client = Client::connect(address).await;
            }
        }
        // Some clients connect anew each time.
        if n.is_multiple_of(4) {
            client = Client::connect(address).await;
        }
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_instances_come_and_go() {
    let gateway = Gateway::start().await;
    let mut current = fresh("blue").await;
    gateway.route_to(&[&current]).await;
    let (ended, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let clients: Vec<_> =
        (0..24).map(|n| tokio::spawn(hammer(gateway.address, n, ended.clone(), sent.clone()))).collect();
    for swap in 0..SWAPS {
        let next = fresh(if swap % 2 == 0 { "green" } else { "blue" }).await;
        gateway.route_to(&[&next]).await;
        gateway.until_load(&current.id, 0).await;
        std::mem::replace(&mut current, next).kill();
    }
    ended.store(true, Ordering::SeqCst);
    let mut failures = Vec::new();
    for client in clients {
        failures.extend(client.await.unwrap());
    }
    let sent = sent.load(Ordering::SeqCst);
    assert!(failures.is_empty(), "{} of {sent} failed, such as {}", failures.len(), failures[0]);
    assert!(sent > SWAPS as u64, "only {sent} requests were sent");
    // Nor was any saved by being tried again elsewhere.
    let metrics = gateway.admin.metrics().await.unwrap();
    let failed = metrics.lines().find(|l| l.starts_with("windlass_gateway_upstream_failures_total{"));
    assert!(failed.is_some_and(|l| l.ends_with("} 0")), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_comes_back_warm_is_counted_whole() {
    let gateway = Gateway::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let reply = move |_: &Heard| {
        tokio::task::block_in_place(|| {
            // Not for ever: a test that has failed must end.
            for _ in 0..10_000 {
                if gate.load(Ordering::SeqCst) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        ok("held")
    };
    let held = Server::on(listener, "held", Arc::new(reply));
    let other = Server::named("other").await;
    gateway.route_to(&[&held]).await;
    let mut first = gateway.client().await;
    first.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    gateway.until_load("held", 1).await;
    // It leaves, comes back while the request is still held, and leaves again: the request must still be seen.
    gateway.route_to(&[&other]).await;
    assert_eq!(gateway.load("held").await, 1);
    gateway.route_to(&[&held]).await;
    gateway.route_to(&[&other]).await;
    assert_eq!(gateway.load("held").await, 1);
    open.store(true, Ordering::SeqCst);
    assert_eq!(first.read_answer(false).await.unwrap().text(), "held");
    gateway.until_load("held", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_to_an_instance_that_left_are_closed() {
    let gateway = Gateway::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let spec = windlass_gateway::BackendSpec { id: "x".into(), address: listener.local_addr().unwrap() };
    gateway.put(vec![crate::harness::route("a.test", "/", vec![spec])]).await;
    let mut client = gateway.client().await;
    client.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = tokio::io::BufReader::new(stream);
    crate::harness::hear(&mut stream).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &ok("x")).await.unwrap();
    assert_eq!(client.read_answer(false).await.unwrap().text(), "x");
    gateway.until_load("x", 0).await;
    gateway.put(vec![]).await;
    assert!(Client(stream).is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_all_that_has_connected() {
    let server = fresh("s").await;
    let mut gateway = Gateway::limited(Limits { drain: Duration::from_secs(5), ..Limits::default() }).await;
    gateway.route_to(&[&server]).await;
    // Requests are on their way over old connections, over new ones, and over some that nobody has accepted yet.
    let mut waiting = Vec::new();
    for path in ["/", "/slow", "/slow", "/"].iter().cycle().take(40) {
        let mut client = gateway.client().await;
        client.write(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes()).await;
        waiting.push(client);
    }
    let mut idle = gateway.client().await;
    let gone = gateway.begin_stop();
    for mut client in waiting {
        let answer = client.read_answer(false).await.expect("an answer although the gateway stops");
        assert_eq!((answer.status, answer.text().as_str()), (200, "served"));
    }
    // A connection without a request yet has a moment to send one.
    idle.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let answer = idle.read_answer(false).await.expect("an answer although the gateway stops");
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
    assert!(idle.is_closed().await);
    tokio::time::timeout(crate::harness::LONG, gone).await.unwrap().unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(gateway.address).await.is_err(), "nobody listens any more");
    let log = std::fs::read_to_string(gateway.access_log()).unwrap();
    assert_eq!(log.lines().count(), 41, "every request is in the log");
}
