//! The API over HTTP: credentials, errors, bodies, the event stream, the runners' calls, forms.

#[path = "fake/platform.rs"]
mod fake;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use fake::{Fake, PASSWORD, TOKEN};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use windlass_identity::{TokenText, csrf_token};
use windlass_testkit::TestClock;

const NOW: i64 = 1_795_000_000_000;

struct Site {
    app: Router,
    fake: Arc<Fake>,
}

impl Site {
    fn new() -> Self {
        let fake = Arc::new(Fake::new(NOW, false));
        let app = windlass_web::router(fake.clone(), fake.clone(), Arc::new(TestClock::at(NOW)));
        Self { app, fake }
    }

    async fn raw(
        &self,
        method: &str,
        address: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()
    }

    /// With the token, JSON in and out.
    async fn call(&self, method: &str, address: &str, body: Value) -> (StatusCode, Value) {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        read(self.raw(method, address, &headers, body).await).await
    }

    /// As a browser's form.
    async fn form(&self, address: &str, extra: &[(&str, &str)], body: &str) -> Response<Body> {
        let cookie = format!("windlass_session={}", self.fake.session);
        let mut headers =
            vec![("cookie", cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        headers.extend_from_slice(extra);
        self.raw("POST", address, &headers, body.to_owned()).await
    }

    fn form_token(&self) -> String {
        csrf_token(&TokenText::parse(&self.fake.session).unwrap())
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.fake.calls.lock().unwrap())
    }
}

async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |v| v.to_str().unwrap())
}

#[tokio::test]
async fn errors_are_problems_whatever_went_wrong() {
    let site = Site::new();
    let cases = [
        ("GET", "/api/v1/projects/nope", Value::Null, 404, "not_found"),
        ("GET", "/api/v1/nope", Value::Null, 404, "not_found"),
        ("POST", "/api/v1/projects", json!({ "nam": "x" }), 400, "invalid"),
        ("POST", "/api/v1/projects", json!({ "name": "taken" }), 409, "conflict"),
        ("POST", "/api/v1/projects", json!({ "name": "x".repeat(2 << 20) }), 413, "too_large"),
        ("GET", "/api/v1/runs?limit=many", Value::Null, 400, "invalid"),
        ("GET", "/api/v1/projects/tasks/compare", Value::Null, 400, "invalid"),
    ];
    for (method, address, body, status, code) in cases {
        let (got, problem) = site.call(method, address, body).await;
        assert_eq!(
            (got.as_u16(), problem["code"].as_str()),
            (status, Some(code)),
            "{method} {address}: {problem}"
        );
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    let wrong = site.raw("DELETE", "/api/v1/status", &[], "").await;
    assert_eq!((wrong.status().as_u16(), header(&wrong, "content-type")), (405, "application/problem+json"));
    assert_eq!(header(&wrong, "allow"), "GET,HEAD");
    let bad = site
        .raw(
            "POST",
            "/api/v1/projects",
            &[("authorization", "Bearer good-token"), ("content-type", "application/json")],
            "{",
        )
        .await;
    assert_eq!(header(&bad, "content-type"), "application/problem+json");
    assert_eq!(read(bad).await.0, 400);
}

#[tokio::test]
async fn a_caller_must_be_known() {
    let site = Site::new();
    for (name, value) in [
        ("authorization", "Bearer other"),
        ("cookie", "windlass_session=x"),
        ("authorization", "Basic x"),
        ("accept", "*/*"),
    ] {
        let response = site.raw("GET", "/api/v1/status", &[(name, value)], "").await;
        assert_eq!(response.status(), 401, "{name}: {value}");
        assert!(header(&response, "www-authenticate").starts_with("Bearer"));
    }
    let basic = site.raw("GET", "/api/v1/me", &[("authorization", "Basic YW5hOmdvb2QtdG9rZW4=")], "").await;
    assert_eq!(read(basic).await, (StatusCode::OK, json!({ "actor": "user:ana", "role": "admin" })));
    let page = site.raw("GET", "/runs/x?a=1", &[], "").await;
    assert_eq!(
        (page.status().as_u16(), header(&page, "location")),
        (303, "/sign-in?next=%2Fruns%2Fx%3Fa%3D1")
    );
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing_through_the_api() {
    let site = Site::new();
    let cookie = format!("windlass_session={}", site.fake.session);
    let address = "/api/v1/runs/r/cancel";
    for (extra, expected) in [
        (vec![], 403),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("origin", "http://evil.example"), ("host", "localhost:7700")], 403),
        (vec![("sec-fetch-site", "same-origin")], 204),
    ] {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(extra.clone());
        assert_eq!(site.raw("POST", address, &headers, "").await.status(), expected, "{extra:?}");
    }
    assert_eq!(site.calls(), ["cancel_run r"]);
}

#[tokio::test]
async fn forms_need_their_token_and_their_origin() {
    let site = Site::new();
    let token = site.form_token();
    let good = format!("token={token}&kind=secret&name=KEY&environment=&value=a%0D%0Ab");
    let address = "/projects/tasks/settings/set";
    assert_eq!(site.form(address, &[], "token=&kind=secret&name=KEY&value=x").await.status(), 403);
    assert_eq!(site.form(address, &[], "kind=secret&name=KEY&value=x").await.status(), 403);
    assert_eq!(site.form(address, &[("sec-fetch-site", "cross-site")], &good).await.status(), 403);
    assert_eq!(site.form(address, &[("origin", "null"), ("host", "a")], &good).await.status(), 403);
    assert!(site.calls().is_empty());
    assert_eq!(site.form(address, &[("sec-fetch-site", "same-origin")], &good).await.status(), 303);
    assert_eq!(site.calls(), ["set_setting tasks true KEY None a\nb"]);
}

#[tokio::test]
async fn forms_do_what_their_buttons_say() {
    let site = Site::new();
    let token = site.form_token();
    let cases = [
        ("/projects", "name=new-one", "create_project new-one", "/projects/prompts"),
        ("/runs/r1/cancel", "", "cancel_run r1", "/runs/r1"),
        ("/runs/r1/rerun", "jobs=failed", "rerun r1 true ", "/runs/r1"),
        ("/runs/r1/rerun", "jobs=job_7", "rerun r1 false job_7", "/runs/r1"),
        (
            "/approvals/r1%3Aproduction",
            "decision=approve&comment=ok&back=%2Fruns%2Fr1",
            "decide r1:production true ok",
            "/runs/r1",
        ),
        (
            "/approvals/r1:production",
            "decision=reject&back=https%3A%2F%2Fevil.example",
            "decide r1:production false ",
            "/approvals",
        ),
        (
            "/projects/tasks/environments/production/rollback",
            "",
            "rollback tasks production None",
            "/deployments/dep_01kag0000000000000000000b3",
        ),
        (
            "/projects/tasks/environments/staging/deploy",
            "release=13",
            "deploy tasks staging 13",
            "/deployments/dep_01kag0000000000000000000b3",
        ),
        (
            "/projects/tasks/settings/delete",
            "kind=variable&name=A&environment=staging",
            "delete_setting tasks false Some(\"staging\") A",
            "/projects/tasks/settings",
        ),
        (
            "/projects/tasks/workflows/dispatch",
            "file=ci.yml&ref=main&input.a=1&input.b=x%3Dy&input.none=&input.yes=false&input.yes=true&input.no=false",
            "dispatch tasks ci.yml main {\"a\":\"1\",\"b\":\"x=y\",\"no\":\"false\",\"yes\":\"true\"}",
            "/runs/run_01kag0000000000000000000a1",
        ),
        (
            "/account/users",
            "name=eve&role=viewer&password=0123456789",
            "create_user eve viewer",
            "/account#people",
        ),
        ("/sign-out", "", "sign_out", "/sign-in"),
    ];
    for (address, body, call, location) in cases {
        let response =
            site.form(address, &[("sec-fetch-site", "same-origin")], &format!("token={token}&{body}")).await;
        assert_eq!((response.status().as_u16(), header(&response, "location")), (303, location), "{address}");
        assert_eq!(site.calls(), [call], "{address}");
    }
    let refused = site.form("/approvals/x", &[], &format!("token={token}&decision=maybe")).await;
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn signing_in_sets_a_guarded_cookie_and_goes_only_to_our_pages() {
    let site = Site::new();
    let sign_in = async |next: &str, password: &str, extra: &[(&str, &str)]| {
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend_from_slice(extra);
        let body = format!("name=ana&password={}&next={next}", password.replace(' ', "+"));
        site.raw("POST", "/sign-in", &headers, body).await
    };
    let good = sign_in("/audit", PASSWORD, &[]).await;
    assert_eq!((good.status().as_u16(), header(&good, "location")), (303, "/audit"));
    let cookie = header(&good, "set-cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Secure"),
        "{cookie}"
    );
    assert_eq!(header(&sign_in("//evil.example", PASSWORD, &[]).await, "location"), "/");
    assert_eq!(sign_in("/", "wrong", &[]).await.status(), 401);
    assert_eq!(sign_in("/", PASSWORD, &[("sec-fetch-site", "cross-site")]).await.status(), 403);
    let tls = sign_in("/", PASSWORD, &[("x-forwarded-proto", "https")]).await;
    assert!(header(&tls, "set-cookie").contains("; Secure"));
}

#[tokio::test]
async fn the_setup_link_works_once_and_wants_the_password_twice() {
    let site = Site::new();
    assert_eq!(site.raw("GET", "/setup?link=once", &[], "").await.status(), 200);
    assert_eq!(site.raw("GET", "/setup?link=old", &[], "").await.status(), 403);
    let send = |body: &'static str| {
        site.raw("POST", "/setup", &[("content-type", "application/x-www-form-urlencoded")], body)
    };
    assert_eq!(send("link=once&name=eva&password=0123456789&again=other").await.status(), 400);
    assert_eq!(send("link=old&name=eva&password=0123456789&again=0123456789").await.status(), 403);
    assert!(site.calls().is_empty());
    let good = send("link=once&name=eva&password=0123456789&again=0123456789").await;
    assert_eq!((good.status().as_u16(), site.calls()), (303, vec!["setup eva".to_owned()]));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let site = Site::new();
    for address in ["/", "/sign-in", "/api/v1/status", "/nope", "/assets/windlass.css", "/metrics"] {
        let response = site.raw("GET", address, &[], "").await;
        let policy = header(&response, "content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{address}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{address}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{address}");
        assert_eq!(header(&response, "referrer-policy"), "same-origin", "{address}");
    }
}

#[tokio::test]
async fn machines_get_health_and_metrics_without_a_credential() {
    let site = Site::new();
    assert_eq!(site.raw("GET", "/healthz", &[], "").await.status(), 200);
    let metrics = site.raw("GET", "/metrics", &[], "").await;
    assert_eq!(header(&metrics, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test]
async fn the_event_stream_goes_on_where_it_was() {
    let site = Site::new();
    let headers = [("authorization", "Bearer good-token"), ("last-event-id", "128")];
    let response = site.raw("GET", "/api/v1/events/stream?after=3", &headers, "").await;
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains(": still here") {
        text.push_str(str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    let ids: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["129", "130"], "{text}");
    assert!(text.contains("data: {\"seq\":129,"), "{text}");
}

#[tokio::test]
async fn runners_calls_reach_the_platform() {
    let site = Site::new();
    let lease = json!({ "runner": "r", "labels": [], "wait_seconds": 1 });
    assert_eq!(site.call("POST", "/api/v1/runner/lease", lease).await.0, 204);
    assert_eq!(site.call("POST", "/api/v1/runner/jobs/j/lost", json!({ "reason": "gone" })).await.0, 204);
    let many = json!({ "updates": [{ "seq": 7, "at": 1, "what": { "type": "summary", "markdown": "x".repeat(3 << 20) } }] });
    let (status, reply) = site.call("POST", "/api/v1/runner/jobs/j/updates", many).await;
    assert_eq!((status.as_u16(), reply["acknowledged"].as_u64()), (200, Some(7)));
    let auth = ("authorization", "Bearer good-token");
    let log = site.raw("POST", "/api/v1/runner/jobs/j/log?offset=5", &[auth], "abc").await;
    assert_eq!(read(log).await.1, json!({ "next_offset": 8 }));
    let huge = site
        .raw("POST", "/api/v1/runner/jobs/j/log?offset=5", &[auth, ("content-length", "99999999999")], "abc")
        .await;
    assert_eq!(huge.status(), 413);
    let put =
        site.raw("PUT", "/api/v1/runner/jobs/j/artifacts/a%2Fb%20c?retention_days=3", &[auth], "zip").await;
    assert_eq!(put.status(), 201);
    let again = site.raw("PUT", "/api/v1/runner/jobs/j/artifacts/a?overwrite=true", &[auth], "zip!").await;
    assert_eq!(again.status(), 201);
    let hit = site.raw("GET", "/api/v1/runner/jobs/j/cache?version=v&keys=miss,hit-1", &[auth], "").await;
    assert_eq!((hit.status().as_u16(), header(&hit, "x-windlass-cache-key")), (200, "hit-1"));
    assert_eq!(
        site.raw("GET", "/api/v1/runner/jobs/j/cache?version=v&keys=miss", &[auth], "").await.status(),
        204
    );
    assert_eq!(
        site.raw("PUT", "/api/v1/runner/jobs/j/cache?version=v&key=there", &[auth], "x").await.status(),
        409
    );
    assert_eq!(site.raw("POST", "/api/v1/runner/jobs/j/images", &[auth], "tar").await.status(), 400);
    let spec = json!({ "base": "scratch", "name": null, "tags": [], "entrypoint": [], "cmd": [], "env": [], "workdir": null, "user": null, "expose": [], "labels": {} }).to_string();
    let built =
        site.raw("POST", "/api/v1/runner/jobs/j/images", &[auth, ("x-windlass-build", &spec)], "tar").await;
    assert_eq!(built.status(), 201);
    let expected = [
        "lease r",
        "lost j gone",
        "updates j 1",
        "append_log j 5 3",
        "put_artifact j a/b c Some(3) 3",
        "replace_artifact j a 4",
        "get_cache v [\"miss\", \"hit-1\"]",
        "get_cache v [\"miss\"]",
        "build_image j scratch 3",
    ];
    assert_eq!(site.calls(), expected);
}

#[tokio::test]
async fn downloads_name_their_file_and_logs_are_shown() {
    let site = Site::new();
    let auth = [("authorization", "Bearer good-token")];
    let archive = site.raw("GET", "/api/v1/artifacts/art_1", &auth, "").await;
    assert_eq!(
        (header(&archive, "content-type"), header(&archive, "content-length")),
        ("application/zip", "3")
    );
    assert!(header(&archive, "content-disposition").contains("filename*=UTF-8''r%C3%A9port.zip"));
    let log = site.raw("GET", "/api/v1/runs/r/jobs/j/log?offset=10&limit=4", &auth, "").await;
    assert_eq!(header(&log, "content-type"), "text/plain; charset=utf-8");
    assert_eq!(to_bytes(log.into_body(), 100).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_jobs_log_comes_by_lines() {
    let site = Site::new();
    let job = format!("/runs/{0}/jobs/job_{1}1/log", fake::data::GREEN, &fake::data::GREEN[4..]);
    let (status, shape) = site.call("GET", &format!("{job}/shape"), Value::Null).await;
    assert_eq!((status.as_u16(), shape["ended"].as_bool()), (200, Some(true)));
    let numbers = |key: &str| -> Vec<u64> {
        shape["steps"].as_array().unwrap().iter().map(|s| s[key].as_u64().unwrap()).collect()
    };
    assert_eq!((numbers("number"), numbers("first")[1]), (vec![1, 2, 3, 4, 5], 3));
    assert_eq!(shape["groups"], json!([{ "first": 5, "last": 8, "marked": true }]));
    let (_, window) = site.call("GET", &format!("{job}/lines?from=5&count=2"), Value::Null).await;
    assert_eq!(window["first"], 5);
    let first = json!({ "class": "grp", "time": "11:25:10.123", "html": "Run cargo test --all" });
    assert_eq!((window["lines"].as_array().unwrap().len(), &window["lines"][0]), (2, &first));
    let (_, hits) = site.call("GET", &format!("/api/v1{job}/search?q=panic"), Value::Null).await;
    assert_eq!(
        (hits["hits"][0]["line"].as_u64(), site.calls()),
        (Some(7), vec!["log_search panic 0 100".into()])
    );
}

/// `UPDATE_EXPECT=1 cargo test -p windlass-web` writes the file anew.
#[test]
fn the_committed_description_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let now = windlass_web::openapi();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == now,
        "docs/reference/openapi.json is not what the handlers say: run this test with UPDATE_EXPECT=1 and commit it"
    );
    let value: Value = serde_json::from_str(&now).unwrap();
    let problems = dangling(&value, &value["components"]["schemas"]);
    assert!(problems.is_empty(), "references to schemas that are not there: {problems:?}");
}

fn dangling(value: &Value, schemas: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let own =
                map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/components/schemas/"));
            let own = own.filter(|name| schemas[*name].is_null()).map(str::to_owned);
            own.into_iter().chain(map.values().flat_map(|v| dangling(v, schemas))).collect()
        }
        Value::Array(list) => list.iter().flat_map(|v| dangling(v, schemas)).collect(),
        _ => Vec::new(),
    }
}
