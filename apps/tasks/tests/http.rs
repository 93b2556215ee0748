//! The API as a client sees it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tasks::{LARGEST_BODY, ROUTES, Store};
use tempfile::TempDir;
use tower::ServiceExt as _;

struct Client {
    router: Router,
    folder: TempDir,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("tasks.db")).unwrap();
        Self { router: tasks::router(Arc::new(store)), folder }
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            Reply { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }

    fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.send(method, path, &[("content-type", "application/json")], body.to_string())
    }

    /// Makes a task; gives its id.
    fn create(&self, body: &Value) -> i64 {
        let reply = self.json("POST", "/tasks", body);
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.value()["id"].as_i64().unwrap()
    }
}

impl Reply {
    fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The message of an answer that says what was wrong.
    fn error(&self) -> String {
        assert_eq!(self.header("content-type"), "application/json");
        self.value()["error"].as_str().unwrap_or_else(|| panic!("{}", self.text())).to_owned()
    }
}

#[test]
fn a_task_lives_from_its_making_to_its_removal() {
    let client = Client::new();
    let made =
        client.json("POST", "/tasks", &json!({ "title": "Schleuse öffnen 🚤", "description": "日本語" }));
    assert_eq!((made.status, made.value()["message"].as_str()), (201, Some("task created")));
    let path = format!("/tasks/{}", made.value()["id"]);
    assert_eq!(made.header("location"), path);

    let task = client.get(&path).value();
    assert_eq!(
        (task["title"].as_str(), task["description"].as_str()),
        (Some("Schleuse öffnen 🚤"), Some("日本語"))
    );
    assert_eq!((task["status"].as_str(), &task["created_at"]), (Some("pending"), &task["updated_at"]));

    let changed = client.json("PUT", &path, &json!({ "status": "in_progress" }));
    assert_eq!(changed.status, 200);
    assert_eq!(changed.value()["task"]["title"], "Schleuse öffnen 🚤", "what is not given stays");
    assert_eq!(client.get(&path).value()["status"], "in_progress");
    let cleared = client.json("PUT", &path, &json!({ "title": "neu", "description": null }));
    assert_eq!(
        (&cleared.value()["task"]["title"], &cleared.value()["task"]["description"]),
        (&json!("neu"), &json!(""))
    );

    assert_eq!(client.send("DELETE", &path, &[], "").status, 200);
    for reply in [
        client.get(&path),
        client.json("PUT", &path, &json!({ "title": "x" })),
        client.send("DELETE", &path, &[], ""),
    ] {
        assert_eq!((reply.status, reply.error().as_str()), (404, "there is no task with this id"));
    }
}

#[test]
fn lists_are_filtered_and_paged() {
    let client = Client::new();
    assert_eq!(client.get("/tasks").value(), json!([]));
    for n in 0..7 {
        client.create(
            &json!({ "title": format!("{n}"), "status": if n % 2 == 0 { "completed" } else { "pending" } }),
        );
    }
    let titles = |path: &str| -> Vec<String> {
        let list = client.get(path).value();
        list.as_array().unwrap().iter().map(|t| t["title"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(titles("/tasks").len(), 7);
    assert_eq!(titles("/tasks?status=pending"), ["1", "3", "5"]);
    assert_eq!(titles("/tasks?status=completed&limit=2&offset=1"), ["2", "4"]);
    assert_eq!(titles("/tasks?status=in_progress&unknown=1"), Vec::<String>::new());
    assert_eq!(titles("/tasks?offset=100"), Vec::<String>::new());
    assert_eq!(client.get("/tasks?status=completed&limit=1").header("x-total-count"), "4");
    for query in
        ["status=done", "status=", "limit=0", "limit=1001", "limit=x", "offset=-1", "offset=9999999999"]
    {
        let reply = client.get(&format!("/tasks?{query}"));
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.error().contains(query.split('=').next().unwrap()), "{query}: {}", reply.error());
    }
}

#[test]
fn mistakes_are_named_and_nothing_is_kept() {
    let client = Client::new();
    let id = client.create(&json!({ "title": "stays" }));
    let path = format!("/tasks/{id}");
    let bodies: [(&[u8], &str); 9] = [
        (b"", "JSON"),
        (b"{\"title\": ", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"\"text\"", "object"),
        (b"{}", "title"),
        (br#"{"title": 5}"#, "string"),
        (br#"{"title": ["a"]}"#, "string"),
        (br#"{"title": "a", "status": "later"}"#, "pending, in_progress, completed"),
        (br#"{"title": "a", "description": 1}"#, "description"),
    ];
    for (body, what) in bodies {
        for (method, path) in [("POST", "/tasks"), ("PUT", path.as_str())] {
            let reply = client.send(method, path, &[], body.to_vec());
            assert_eq!(reply.status, 400, "{method} {body:?}");
            assert!(reply.error().contains(what), "{method} {body:?}: {}", reply.error());
        }
    }
    assert_eq!(client.get("/tasks").header("x-total-count"), "1");
    assert_eq!(client.get(&path).value()["title"], "stays");
}

#[test]
fn bodies_up_to_the_limit_are_read_and_larger_ones_refused() {
    let client = Client::new();
    let fits = format!("{{\"title\":\"a\"}}{}", " ".repeat(LARGEST_BODY - 13));
    assert_eq!(client.send("POST", "/tasks", &[], fits.clone()).status, 201);
    for size in [1, 10 << 20] {
        let reply = client.send("POST", "/tasks", &[], format!("{fits}{}", " ".repeat(size)));
        assert_eq!(reply.status, 413, "{size}");
        assert!(reply.error().contains("65536"));
    }
}

#[test]
fn ids_that_are_none_are_not_found() {
    let client = Client::new();
    for id in ["0", "-1", "abc", "1.5", "99999999999999999999", "%F0%9F", "1;drop", "1%20OR%201=1", "%00"] {
        let reply = client.get(&format!("/tasks/{id}"));
        assert_eq!(reply.status, 404, "{id}");
        assert_eq!(reply.error(), "there is no task with this id", "{id}");
    }
}

#[test]
fn other_methods_and_places_are_refused_in_json() {
    let client = Client::new();
    for (method, path, allowed) in [
        ("DELETE", "/tasks", "GET,HEAD,POST"),
        ("PATCH", "/tasks/1", "PUT,GET,HEAD,DELETE"),
        ("POST", "/health", "GET,HEAD"),
        ("TRACE", "/tasks", "GET,HEAD,POST"),
        ("BREW", "/metrics", "GET,HEAD"),
    ] {
        let reply = client.send(method, path, &[], "");
        assert_eq!(
            (reply.status, reply.error().as_str()),
            (405, "this method is not possible here"),
            "{method} {path}"
        );
        assert_eq!(reply.header("allow"), allowed, "{method} {path}");
    }
    for path in ["/nothing", "/tasks/", "/tasks/1/2", "/../etc/passwd", "/.git/config"] {
        let reply = client.get(path);
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.error().contains("/openapi.yaml"), "{path}");
    }
}

#[test]
fn every_answer_has_an_id_and_the_security_headers() {
    let client = Client::new();
    for path in
        ["/", "/health", "/metrics", "/openapi.yaml", "/tasks", "/tasks/1", "/nothing", "/tasks?limit=x"]
    {
        let reply = client.get(path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(reply.header(name), value, "{path}");
        }
        assert!(reply.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(reply.header("server").is_empty());
        assert_eq!(reply.header("x-request-id").len(), 32, "{path}");
        assert_ne!(reply.header("x-request-id"), client.get(path).header("x-request-id"));
    }
    let given = client.send("GET", "/health", &[("x-request-id", "abc-1.2:3_4")], "");
    assert_eq!(given.header("x-request-id"), "abc-1.2:3_4");
    for bad in ["", "a b", "a\"b", &"x".repeat(129)] {
        let reply = client.send("GET", "/health", &[("x-request-id", bad)], "");
        assert_eq!(reply.header("x-request-id").len(), 32, "{bad}");
    }
}

#[test]
fn health_says_so_when_the_database_is_gone() {
    let client = Client::new();
    let good = client.get("/health");
    assert_eq!((good.status, good.value()["status"].as_str()), (200, Some("healthy")));
    assert!(good.value()["timestamp"].as_str().unwrap().ends_with('Z'));
    let client = Client::new();
    std::fs::remove_dir_all(client.folder.path()).unwrap();
    let bad = client.get("/health");
    assert_eq!((bad.status, bad.value()["status"].as_str()), (503, Some("unhealthy")));
    let reply = client.get("/tasks");
    assert_eq!(reply.status, 500);
    let text = reply.error().to_lowercase();
    for inside in [
        "sqlite",
        "tasks.db",
        "rusqlite",
        "panick",
        "src/",
        "unable to open",
        client.folder.path().to_str().unwrap(),
    ] {
        assert!(!text.contains(inside), "{text} tells `{inside}`");
    }
}

#[test]
fn metrics_count_by_template() {
    let client = Client::new();
    let id = client.create(&json!({ "title": "a" }));
    client.get(&format!("/tasks/{id}"));
    client.get("/tasks/12345");
    client.get("/tasks/67890");
    client.get("/secret/path?token=x");
    client.send("BREW", "/tasks", &[], "");
    let reply = client.get("/metrics");
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = reply.text();
    for line in [
        r#"api_requests_total{method="POST",endpoint="/tasks",status="201"} 1"#,
        r#"api_requests_total{method="GET",endpoint="/tasks/{id}",status="200"} 1"#,
        r#"api_requests_total{method="GET",endpoint="/tasks/{id}",status="404"} 2"#,
        r#"api_requests_total{method="GET",endpoint="unmatched",status="404"} 1"#,
        r#"api_requests_total{method="other",endpoint="/tasks",status="405"} 1"#,
        r#"api_request_duration_seconds_bucket{method="GET",endpoint="/tasks/{id}",le="10"} 3"#,
        r#"api_request_duration_seconds_count{method="GET",endpoint="/tasks/{id}"} 3"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    for raw in ["12345", "secret", "token", "BREW"] {
        assert!(!text.contains(raw), "{raw}");
    }
}

#[test]
fn the_description_names_every_route() {
    let client = Client::new();
    let reply = client.get("/openapi.yaml");
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/yaml; charset=utf-8"));
    let mut described = Vec::new();
    let mut path = "";
    let text = reply.text();
    let paths = text.split("\npaths:\n").nth(1).unwrap().split("\ncomponents:\n").next().unwrap();
    for line in paths.lines() {
        if let Some(name) = line.strip_prefix("  /").map(|_| line.trim().trim_end_matches(':')) {
            path = name;
        } else if let Some(word) = line.strip_prefix("    ").and_then(|l| l.strip_suffix(':'))
            && ["get", "post", "put", "delete", "patch"].contains(&word)
        {
            described.push((word, path));
        }
    }
    described.sort_unstable();
    let mut routes = ROUTES.to_vec();
    routes.sort_unstable();
    assert_eq!(described, routes);
    for (method, path) in ROUTES {
        let reply = client.send(&method.to_uppercase(), &path.replace("{id}", "1"), &[], "");
        assert_ne!(reply.status, 405, "{method} {path}");
        assert_ne!(reply.header("content-type"), "", "{method} {path}");
    }
    assert_eq!(client.get("/").value()["docs"], "/openapi.yaml");
}
