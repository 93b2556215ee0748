//! Control's side: the socket, the table, the figures and the log.

use std::os::unix::fs::PermissionsExt as _;

use windlass_gateway::{AdminError, Limits, RouteTable};

use crate::harness::{Gateway, Server, route};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_speak_to_it() {
    let gateway = Gateway::start().await;
    let mode = |name: &str| {
        std::fs::metadata(gateway.dir.path().join(name)).map(|m| m.permissions().mode() & 0o777).unwrap()
    };
    gateway.put(vec![]).await;
    assert_eq!(mode("gateway.sock"), 0o600);
    assert_eq!(mode("access.log"), 0o600);
    assert_eq!(mode("routes.json"), 0o600);
    assert_eq!(gateway.admin.pid().await.unwrap(), std::process::id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_refused_leaves_the_one_in_force() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    let good = RouteTable { version: 7, routes: vec![route("a.test", "/", vec![server.spec()])] };
    gateway.admin.put_table(&good).await.unwrap();
    let old = RouteTable { version: 6, routes: vec![] };
    let twice =
        RouteTable { version: 8, routes: vec![route("a.test", "/", vec![]), route("a.test", "/", vec![])] };
    let shape = RouteTable { version: 8, routes: vec![route("A", "x", vec![])] };
    for (bad, said) in [(old, "older"), (twice, "claimed by both"), (shape, "lower-case host")] {
        match gateway.admin.put_table(&bad).await {
            Err(AdminError::Refused(why)) => assert!(why.contains(said), "{why}"),
            other => panic!("{other:?} for {bad:?}"),
        }
        assert_eq!(gateway.admin.table().await.unwrap(), good);
        assert_eq!(gateway.get("/").await.text(), "s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_from_the_table_kept() {
    let server = Server::named("s").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let table = gateway.admin.table().await.unwrap();
    let again = Gateway::in_dir(gateway.stop().await, Limits::default()).await;
    assert_eq!(again.admin.table().await.unwrap(), table);
    assert_eq!(again.get("/").await.text(), "s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_table_that_cannot_be_used_does_not_keep_it_from_starting() {
    let twice = RouteTable { version: 9, routes: vec![route("a", "/", vec![]), route("a", "/", vec![])] };
    for kept in [b"{\"version\": 3, \"rou".to_vec(), b"\0\0\0".to_vec(), serde_json::to_vec(&twice).unwrap()]
    {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("routes.json"), kept).unwrap();
        let gateway = Gateway::in_dir(dir, Limits::default()).await;
        assert_eq!(gateway.get("/").await.status, 404);
        let server = Server::named("s").await;
        gateway.route_to(&[&server]).await;
        assert_eq!(gateway.get("/").await.text(), "s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_put_at_the_same_time_end_with_the_newest_on_disk() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin.clone();
    let puts = (1..=40).map(|version| {
        let admin = admin.clone();
        tokio::spawn(async move {
            let _ = admin.put_table(&RouteTable { version, routes: vec![] }).await;
        })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    let kept: RouteTable =
        serde_json::from_slice(&std::fs::read(gateway.dir.path().join("routes.json")).unwrap()).unwrap();
    assert_eq!(kept.version, 40);
    assert_eq!(admin.table().await.unwrap().version, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_count_what_was_answered() {
    let server = Server::start("s", |heard| {
        let status = if heard.line().contains("/bad") { "500 Oops" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello").into_bytes()
    })
    .await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    for path in ["/", "/", "/bad"] {
        gateway.get(path).await;
    }
    gateway.ask("GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n").await;
    gateway.until_load("s", 0).await;
    let text = gateway.admin.metrics().await.unwrap();
    let service = "project=\"p\",environment=\"e\",service=\"a.test/\"";
    for line in [
        format!("windlass_gateway_requests_total{{{service},code=\"200\"}} 2"),
        format!("windlass_gateway_requests_total{{{service},code=\"500\"}} 1"),
        format!("windlass_gateway_request_duration_seconds_count{{{service}}} 3"),
        "windlass_gateway_unrouted_requests_total 1".into(),
        "windlass_gateway_requests_in_flight 0".into(),
        "windlass_gateway_route_table_version 1".into(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok() && name.starts_with("windlass_gateway_"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_in_the_log_without_its_query() {
    let server = Server::named("served").await;
    let gateway = Gateway::start().await;
    gateway.route_to(&[&server]).await;
    let request = "GET /p\"x?token=secret HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: id-1\r\n\r\n";
    gateway.ask(request).await;
    gateway.ask("GET /\n HTTP/1.1\r\n\r\n").await;
    let dir = gateway.stop().await;
    let log = std::fs::read_to_string(dir.path().join("access.log")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{log}");
    let first = &lines[0];
    for (name, expected) in [
        ("id", "id-1"),
        ("client", "127.0.0.1"),
        ("method", "GET"),
        ("host", "a.test"),
        ("path", "/p\"x"),
        ("service", "p/e/a.test/"),
        ("instance", "served"),
    ] {
        assert_eq!(first[name], expected, "{name}");
    }
    assert_eq!((first["status"].as_u64(), first["bytes"].as_u64()), (Some(200), Some(6)));
    assert_eq!(lines[1]["status"], 400);
    assert!(!log.contains("secret"));
}
