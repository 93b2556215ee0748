//! Who may call what: every call of the API by everybody, and Git and the registry beside it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use tower::ServiceExt as _;
use windlass_identity::{Role, RunnerToken, Token, User};
use windlass_kernel::{Batch, Clock as _, Secret, TokenId, UserId};

use super::runs::CI;
use super::world::World;

const NOBODY: u8 = 0;
const VIEWER: u8 = 1;
const MEMBER: u8 = 2;
const ADMIN: u8 = 4;
const JOB: u8 = 8;
const RUNNER: u8 = 16;
const PEOPLE: u8 = VIEWER | MEMBER | ADMIN;
const WRITERS: u8 = MEMBER | ADMIN;

/// Method, path and body of each call, and who is let in (what comes then is another matter). `RUN` and `JOB` stand for
/// a run and its job, whose token the job shows.
const CALLS: &[(&str, &str, &str, u8)] = &[
    ("GET", "/api/v1/status", "", PEOPLE),
    ("GET", "/api/v1/events", "", ADMIN),
    ("GET", "/api/v1/events?project=shop", "", PEOPLE | JOB),
    ("GET", "/api/v1/audit/verify", "", ADMIN),
    ("GET", "/api/v1/users", "", ADMIN),
    ("POST", "/api/v1/users", r#"{"name":"x","role":"nothing","password":"a long password"}"#, ADMIN),
    ("GET", "/api/v1/tokens", "", PEOPLE),
    ("POST", "/api/v1/tokens", r#"{"label":"x"}"#, PEOPLE),
    ("DELETE", "/api/v1/tokens/none", "", PEOPLE),
    ("GET", "/api/v1/projects", "", PEOPLE),
    ("POST", "/api/v1/projects", r#"{"name":"shop"}"#, WRITERS),
    ("GET", "/api/v1/projects/shop", "", PEOPLE | JOB),
    ("GET", "/api/v1/projects/shop/refs", "", PEOPLE | JOB),
    ("GET", "/api/v1/projects/shop/files?ref=main&path=", "", PEOPLE | JOB),
    ("GET", "/api/v1/projects/shop/workflows", "", PEOPLE | JOB),
    ("GET", "/api/v1/projects/other", "", PEOPLE),
    ("GET", "/api/v1/projects/other/refs", "", PEOPLE),
    ("GET", "/api/v1/projects/shop/environments", "", PEOPLE | JOB),
    ("GET", "/api/v1/projects/shop/releases", "", PEOPLE | JOB),
    ("GET", "/api/v1/projects/shop/deployments", "", PEOPLE | JOB),
    ("POST", "/api/v1/projects/shop/deployments", r#"{"environment":"production","release":"1"}"#, WRITERS),
    ("POST", "/api/v1/projects/shop/environments/production/rollback", "{}", WRITERS),
    ("GET", "/api/v1/runs", "", PEOPLE),
    ("GET", "/api/v1/projects/shop/runs", "", PEOPLE),
    ("GET", "/api/v1/runs/RUN", "", PEOPLE | JOB),
    ("GET", "/api/v1/runs/OTHER", "", PEOPLE),
    ("GET", "/api/v1/runs/RUN/jobs/JOB/log", "", PEOPLE | JOB),
    ("GET", "/api/v1/runs/OTHER/jobs/JOB/log", "", PEOPLE),
    ("POST", "/api/v1/runs/RUN/rerun", r#"{"failed_only":false}"#, WRITERS),
    ("POST", "/api/v1/projects/shop/workflows/dispatch?file=ci.yml", r#"{"git_ref":"main"}"#, WRITERS),
    ("GET", "/api/v1/runs/RUN/attempts", "", PEOPLE | JOB),
    ("GET", "/api/v1/runs/RUN/attempts/1", "", PEOPLE | JOB),
    ("GET", "/api/v1/runs/OTHER/attempts", "", PEOPLE),
    ("POST", "/api/v1/projects/shop/dispatches", r#"{"event_type":"x"}"#, WRITERS),
    ("POST", "/api/v3/repos/windlass/shop/dispatches", r#"{"event_type":"x"}"#, WRITERS),
    ("POST", "/api/v3/repos/windlass/shop/actions/workflows/ci.yml/dispatches", r#"{"ref":"main"}"#, WRITERS),
    ("POST", "/api/v3/repos/windlass/shop/actions/runs/RUN/rerun-failed-jobs", "", WRITERS),
    ("GET", "/api/v1/projects/shop/secrets", "", WRITERS),
    ("GET", "/api/v1/projects/shop/variables", "", WRITERS),
    ("PUT", "/api/v1/projects/shop/secrets/A", r#"{"value":"v"}"#, WRITERS),
    ("PUT", "/api/v1/projects/shop/variables/A", r#"{"value":"v"}"#, WRITERS),
    ("DELETE", "/api/v1/projects/shop/secrets/B", "", WRITERS),
    ("POST", "/api/v1/runner/lease", r#"{"runner":"local","labels":[],"wait_seconds":0}"#, RUNNER),
    ("POST", "/api/v1/runner/jobs/NONE/lost", r#"{"reason":"x"}"#, RUNNER),
    ("POST", "/api/v1/runner/jobs/JOB/updates", r#"{"updates":[]}"#, JOB),
    ("POST", "/api/v1/runner/jobs/NONE/updates", r#"{"updates":[]}"#, NOBODY),
    ("POST", "/api/v1/runner/jobs/JOB/log?offset=0", "x", JOB),
    ("POST", "/api/v1/runner/jobs/NONE/log?offset=0", "x", NOBODY),
    ("GET", "/api/v1/runner/jobs/JOB/artifacts", "", JOB),
    ("PUT", "/api/v1/runner/jobs/JOB/artifacts/a", "x", JOB),
    ("GET", "/api/v1/runner/jobs/JOB/cache?version=v&keys=k", "", JOB),
    ("PUT", "/api/v1/runner/jobs/JOB/cache?version=v&key=k", "x", JOB),
    ("POST", "/api/v1/runner/jobs/JOB/deployments", r#"{"images":{}}"#, JOB),
    ("POST", "/api/v1/runner/jobs/NONE/deployments", r#"{"images":{}}"#, NOBODY),
    ("GET", "/shop.git/info/refs?service=git-upload-pack", "", PEOPLE | JOB),
    ("GET", "/other.git/info/refs?service=git-upload-pack", "", PEOPLE),
    ("GET", "/shop.git/info/refs?service=git-receive-pack", "", WRITERS),
    ("GET", "/v2/shop/manifests/none", "", PEOPLE | JOB),
    ("GET", "/v2/other/manifests/none", "", PEOPLE),
    ("POST", "/v2/shop/blobs/uploads/", "", WRITERS | JOB),
    ("POST", "/v2/other/blobs/uploads/", "", WRITERS),
    ("DELETE", "/v2/shop/manifests/none", "", ADMIN),
    ("GET", "/v2/shop/../other/manifests/none", "", NOBODY),
    ("GET", "/v2/shop%2F..%2Fother/manifests/none", "", NOBODY),
    ("GET", "/v2/mirror/none/a/manifests/v1", "", PEOPLE | JOB),
    ("GET", "/v2/shared/base/manifests/v1", "", PEOPLE | JOB),
    ("POST", "/v2/shared/base/blobs/uploads/", "", WRITERS),
    ("POST", "/v2/mirror/none/a/blobs/uploads/", "", NOBODY),
    ("GET", "/api/v1/projects/shop/repositories", "", PEOPLE | JOB),
    ("GET", "/api/v1/registry/repository?name=other", "", PEOPLE),
    ("GET", "/api/v1/registry/image?name=other", "", PEOPLE),
    ("GET", "/api/v1/registry/tags?name=shop", "", PEOPLE | JOB),
    ("GET", "/api/v1/registry/tags?name=other", "", PEOPLE),
    ("GET", "/api/v1/registry/packages?name=other", "", PEOPLE),
    ("GET", "/api/v1/registry/tree?name=other&layer=x", "", PEOPLE),
    ("GET", "/api/v1/registry/files-diff?name=other&to=other", "", PEOPLE),
    ("GET", "/api/v1/registry/deletion?name=other:none", "", ADMIN),
    ("DELETE", "/api/v1/registry/deletion?name=other:none", "", ADMIN),
    ("GET", "/api/v1/registry/repositories", "", PEOPLE),
    ("GET", "/api/v1/registry/state", "", PEOPLE),
    ("GET", "/api/v1/registry/rules", "", PEOPLE),
    ("PUT", "/api/v1/registry/rules/r", r#"{"repositories":"*","tags":"v*","kind":"immutable"}"#, ADMIN),
    ("DELETE", "/api/v1/registry/rules/none", "", ADMIN),
    ("GET", "/api/v1/registry/mirrors", "", PEOPLE),
    ("PUT", "/api/v1/registry/mirrors/m", r#"{"url":"https://registry.example"}"#, ADMIN),
    ("DELETE", "/api/v1/registry/mirrors/none", "", ADMIN),
    ("POST", "/api/v1/registry/gc", r#"{"dry_run":true}"#, ADMIN),
    ("POST", "/api/v1/registry/scrub", "", ADMIN),
    ("POST", "/api/v1/runs/RUN/cancel", "", WRITERS),
];

struct Who {
    name: &'static str,
    bit: u8,
    token: Option<Secret<String>>,
}

async fn everybody(world: &World, job: &windlass_api::runner::Assignment) -> Vec<Who> {
    let ctx = &world.ctx;
    let mut all = vec![Who { name: "nobody", bit: NOBODY, token: None }];
    for (name, role, bit) in
        [("vera", Role::Viewer, VIEWER), ("mia", Role::Member, MEMBER), ("ann", Role::Admin, ADMIN)]
    {
        let password = Secret::new("a long password".to_owned());
        let user = name.parse().unwrap();
        let account =
            User::new(UserId::new(&ctx.ids), user, role, &password, ctx.now(), &*ctx.entropy).unwrap();
        let (token, text) =
            Token::issue(TokenId::new(&ctx.ids), &account.name, "t", world.clock.now(), &*ctx.entropy);
        ctx.commit(Batch::new().create(&account).create(&token)).await.unwrap();
        all.push(Who { name, bit, token: Some(text.secret()) });
    }
    let (token, text) = RunnerToken::issue("local", ctx.now(), &*ctx.entropy);
    ctx.commit(Batch::new().create(&token)).await.unwrap();
    all.push(Who { name: "runner", bit: RUNNER, token: Some(text.secret()) });
    all.push(Who { name: "job", bit: JOB, token: Some(job.token.clone()) });
    all
}

async fn call(app: &Router, who: &Who, method: &str, path: &str, body: &str) -> StatusCode {
    let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:7700");
    if let Some(token) = &who.token {
        // Git and the registry's clients show a token as a password.
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("x:{}", token.expose()));
        request = request.header("authorization", format!("Basic {basic}"));
        if path.starts_with("/api/") {
            request = Request::builder().method(method).uri(path);
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
    }
    if body.starts_with('{') {
        request = request.header("content-type", "application/json");
    } else {
        request = request.header("content-type", "application/octet-stream");
    }
    let request = request.header("content-length", body.len()).body(Body::from(body.to_owned())).unwrap();
    app.clone().oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn every_call_by_everybody() {
    let world = World::new();
    world.pushed("other", "ada", &[CI]).await;
    let other = world.lease().await.unwrap().unwrap();
    world.pushed("shop", "ada", &[CI]).await;
    let job = world.lease().await.unwrap().unwrap();
    let app = crate::control::router(&Arc::clone(&world.ctx));
    let all = everybody(&world, &job).await;
    let mut wrong = Vec::new();
    for (method, path, body, allowed) in CALLS {
        let none = "job_00000000000000000000000000";
        let path = path.replace("RUN", &job.run).replace("OTHER", &other.run);
        let path = path.replace("JOB", &job.job).replace("NONE", none);
        for who in &all {
            let status = call(&app, who, method, &path, body).await;
            let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            let hidden = *allowed == NOBODY && status.is_client_error();
            let right = if who.bit & allowed != 0 { !refused } else { refused || hidden };
            if !right || status.is_server_error() {
                wrong.push(format!("{} {method} {path}: {status}", who.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
