//! Who gets a request, what is in it, and what the gateway answers itself.

use crate::harness::{Gateway, Server, ok, route};

#[tokio::test(flavor = "multi_thread")]
async fn host_and_path_lead_to_a_service() {
    let (web, api) = (Server::named("web").await, Server::named("api").await);
    let gateway = Gateway::start().await;
    let routes = vec![
        route("a.test", "/", vec![web.spec()]),
        route("a.test", "/api", vec![api.spec()]),
        route("empty.test", "/", vec![]),
    ];
    gateway.put(routes).await;
    for (line, host, status, body) in [
        ("GET / HTTP/1.1", "a.test", 200, "web"),
        ("GET /api/x?y=1 HTTP/1.1", "A.Test:8080", 200, "api"),
        ("GET /apiary HTTP/1.1", "a.test", 200, "web"),
        ("GET http://a.test/api HTTP/1.1", "other.test", 200, "api"),
        ("GET /?x HTTP/1.0", "a.test", 200, "web"),
        ("GET / HTTP/1.1", "b.test", 404, "404 Not Found"),
        ("GET / HTTP/1.1", "empty.test", 503, "503 Service Unavailable"),
        ("GET / HTTP/1.1", "a/b", 400, "400 Bad Request"),
    ] {
        let answer = gateway.ask(&format!("{line}\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{line} at {host}: {}", answer.head);
        assert!(answer.text().starts_with(body), "{line} at {host}: {}", answer.text());
    }
    let absolute = api.heard().into_iter().find(|h| h.line() == "GET /api HTTP/1.1").unwrap();
    assert_eq!(absolute.fields("host"), ["a.test"], "the address's host stands, not the field's");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_take_turns() {
    let (one, two) = (Server::named("one").await, Server::named("two").await);
    let gateway = Gateway::start().await;
    gateway.route_to(&[&one, &two]).await;
    for _ in 0..20 {
        gateway.get("/").await;
    }
    assert_eq!((one.heard().len(), two.heard().len()), (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_connection_go_and_who_asked_is_written_in() {
    let server = Server::start("s", |_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
          Proxy-Authenticate: x\r\nUpgrade: h2c\r\nX-End: 1\r\n\r\nok"
            .to_vec()
    })
    .await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let answer = gateway
        .ask(
            "GET /p?q=1 HTTP/1.1\r\nHost: a.test:99\r\nConnection: X-Mine, Content-Length, Transfer-Encoding\r\nX-Mine: 1\r\n\
             Transfer-Encoding: chunked\r\nKeep-Alive: 1\r\nTE: gzip\r\nProxy-Authorization: x\r\nProxy-Connection: x\r\n\
             X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Request-Id: mine-1\r\n\
             Upgrade: h2c\r\nCookie: kept\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        )
        .await;
    let heard = server.heard().remove(0);
    assert_eq!(heard.line(), "GET /p?q=1 HTTP/1.1");
    assert_eq!(heard.body, b"3\r\nabc\r\n0\r\n\r\n");
    for (name, expected) in [
        ("x-mine", &[][..]),
        ("keep-alive", &[]),
        ("te", &[]),
        ("upgrade", &[]),
        ("connection", &[]),
        ("proxy-authorization", &[]),
        ("proxy-connection", &[]),
        ("forwarded", &[]),
        ("x_forwarded_for", &[]),
        ("content-length", &[]),
        ("transfer-encoding", &["chunked"]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("x-real-ip", &["127.0.0.1"]),
        ("x-forwarded-host", &["a.test:99"]),
        ("x-forwarded-proto", &["http"]),
        ("x-request-id", &["mine-1"]),
        ("host", &["a.test:99"]),
        ("cookie", &["kept"]),
    ] {
        assert_eq!(heard.fields(name), expected, "{name}");
    }
    for (name, expected) in [
        ("x-hop", None),
        ("keep-alive", None),
        ("proxy-authenticate", None),
        ("upgrade", None),
        ("connection", None),
        ("x-end", Some("1")),
        ("x-request-id", Some("mine-1")),
    ] {
        assert_eq!(answer.field(name).as_deref(), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_an_id_of_its_own_unless_it_brings_a_sane_one() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    for (given, kept) in [("abc-1.2_3", true), ("a b", false), ("<x>", false), (&"x".repeat(200), false)] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: {given}\r\n\r\n");
        let answered = gateway.ask(&request).await.field("x-request-id").unwrap();
        assert_eq!(answered == given, kept, "{given} became {answered}");
        assert_eq!(server.heard().last().unwrap().fields("x-request-id"), [answered]);
    }
    let ids = [gateway.get("/").await, gateway.get("/").await].map(|a| a.field("x-request-id").unwrap());
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_in_the_reader_s_form_and_say_nothing_of_what_is_inside() {
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = refusing.local_addr().unwrap();
    drop(refusing);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::start().await;
    let spec = |address| windlass_gateway::BackendSpec { id: "inst-secret".into(), address };
    let mut slow = route("slow.test", "/", vec![spec(silent.local_addr().unwrap())]);
    slow.timeout_ms = 50;
    let gone = route("gone.test", "/", vec![spec(address)]);
    gateway.put(vec![gone, slow, route("none.test", "/", vec![])]).await;
    for (host, status) in [("x.test", 404), ("gone.test", 502), ("none.test", 503), ("slow.test", 504)] {
        for (accept, kind) in [("text/html,*/*", "text/html"), ("*/*", "text/plain")] {
            let request = format!("GET /secret?token=1 HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n");
            let answer = gateway.ask(&request).await;
            assert_eq!(answer.status, status);
            assert!(answer.field("content-type").unwrap().starts_with(kind), "{}", answer.head);
            assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
            assert_eq!(answer.field("retry-after").is_some(), status == 503);
            let id = answer.field("x-request-id").unwrap();
            assert!(answer.text().contains(&id));
            for inside in ["127.0.0.1", &address.port().to_string(), "inst-secret", "secret", "os error"] {
                assert!(!answer.text().contains(inside), "{inside} leaks: {}", answer.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_on_both_sides() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let mut client = gateway.client().await;
    for _ in 0..5 {
        client.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_eq!(client.read_answer(false).await.unwrap().text(), "s");
        gateway.until_load("s", 0).await;
    }
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    // Several at once on one connection are answered in their order.
    client.write(&b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"[..]).await;
    assert!(client.read_answer(false).await.unwrap().whole);
    assert_eq!(client.read_answer(false).await.unwrap().field("connection").as_deref(), Some("close"));
    assert!(client.is_closed().await);
    let lines: Vec<_> = server.heard().iter().skip(5).map(|h| h.line().to_owned()).collect();
    assert_eq!(lines, ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_and_heads_only_are_served() {
    let server = Server::start("s", |heard| match heard.line() {
        "GET /chunked HTTP/1.1" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()
        }
        "GET /until-close HTTP/1.1" => b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nabc".to_vec(),
        "GET /both HTTP/1.1" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                .to_vec()
        }
        "GET /304 HTTP/1.1" => {
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"x\"\r\n\r\n".to_vec()
        }
        "HEAD /h HTTP/1.1" => b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".to_vec(),
        _ => ok("s"),
    })
    .await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let old = gateway.ask("GET /chunked HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    assert!(old.head.starts_with("HTTP/1.0 200") && old.field("transfer-encoding").is_none(), "{}", old.head);
    assert_eq!(old.text(), "abc");
    let mut kept = gateway.client().await;
    for _ in 0..2 {
        kept.write(b"GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n").await;
        let answer = kept.read_answer(false).await.unwrap();
        assert_eq!(
            (answer.text().as_str(), answer.field("connection").as_deref()),
            ("s", Some("keep-alive"))
        );
    }
    let mut client = gateway.client().await;
    client.write(b"HEAD /h HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(client.read_answer(true).await.unwrap().field("content-length").as_deref(), Some("1234"));
    client.write(b"GET /304 HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(client.read_answer(false).await.unwrap().field("etag").as_deref(), Some("\"x\""));
    client.write(b"HEAD / HTTP/1.1\r\nHost: unknown.test\r\n\r\n").await;
    assert_eq!(client.read_answer(true).await.unwrap().status, 404);
    for path in ["/until-close", "/both"] {
        client.write(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes()).await;
        let answer = client.read_answer(false).await.unwrap();
        assert!(answer.head.starts_with("HTTP/1.1 200") && answer.whole, "{}", answer.head);
        assert_eq!(answer.field("content-length"), None, "{path}");
        assert!(answer.text().contains("abc"));
    }
}
