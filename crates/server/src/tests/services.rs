//! The services of the client libraries, call by call: who may what, what is refused, what is left behind.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use base64::Engine as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use windlass_api::runner::Assignment;
use windlass_kernel::{Digest, Query, StoreExt as _};
use windlass_pipeline::{Run, RunEvent};

use super::world::World;
use crate::runs::ArtifactDoc;

const ARTIFACTS: &str = "github.actions.results.api.v1.ArtifactService";
const CACHES: &str = "github.actions.results.api.v1.CacheService";

/// A workflow for pushes and proposed changes, with these permissions.
fn workflow(permissions: &str) -> (&'static str, String) {
    let text = format!(
        "on: [push, pull_request, workflow_dispatch]\npermissions: {permissions}\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: 'true'\n"
    );
    (".github/workflows/ci.yml", text)
}

/// A control, and a job of `shop` that runs.
struct Scene {
    world: World,
    app: Router,
    job: Assignment,
}

impl Scene {
    async fn new(permissions: &str) -> Self {
        let world = World::new();
        let (path, text) = workflow(permissions);
        world.pushed("shop", "ada", &[(path, text.as_str())]).await;
        let job = world.lease().await.unwrap().expect("a job");
        let app = crate::control::router(&Arc::clone(&world.ctx));
        Self { world, app, job }
    }

    fn runtime(&self) -> &str {
        self.job.services.as_ref().unwrap().runtime_token.expose()
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
    }

    async fn twirp(&self, token: &str, service: &str, method: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::post(format!("/twirp/{service}/{method}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()));
        self.send(request.unwrap()).await
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> StatusCode {
        self.tell(method, path, token, body).await.0
    }

    async fn tell(&self, method: &str, path: &str, token: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()));
        self.send(request.unwrap()).await
    }

    /// Sends bytes to a signed address.
    async fn put(&self, url: &str, more: &str, body: &str) -> StatusCode {
        let path = url.strip_prefix("http://127.0.0.1:7700").unwrap();
        let request = Request::put(format!("{path}{more}")).body(Body::from(body.to_owned()));
        self.send(request.unwrap()).await.0
    }

    async fn create(&self, name: &str) -> String {
        let asked = json!({"workflow_run_backend_id": self.job.run, "name": name, "version": 7});
        let (status, told) = self.twirp(self.runtime(), ARTIFACTS, "CreateArtifact", asked).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        told["signed_upload_url"].as_str().unwrap().to_owned()
    }

    async fn finalize(&self, name: &str, size: usize, digest: &str) -> (StatusCode, Value) {
        let asked = json!({"name": name, "size": size.to_string(), "hash": digest});
        self.twirp(self.runtime(), ARTIFACTS, "FinalizeArtifact", asked).await
    }

    /// How many archives are kept.
    async fn archives(&self) -> usize {
        self.world.ctx.sweep_archives().await.unwrap();
        let shelves = std::fs::read_dir(self.world.dir.path().join("data/archives/sha256")).unwrap();
        shelves.map(|shelf| std::fs::read_dir(shelf.unwrap().path()).unwrap().count()).sum()
    }

    /// Saves a cache as this job; gives what the end of it was answered.
    async fn save(&self, job: &Assignment, key: &str) -> (StatusCode, Value) {
        let token = job.services.as_ref().unwrap().runtime_token.expose();
        let entry = json!({"key": key, "version": "v"});
        let (status, told) = self.twirp(token, CACHES, "CreateCacheEntry", entry).await;
        let Some(url) = told["signed_upload_url"].as_str() else { return (status, told) };
        assert_eq!(self.put(url, "", "bytes").await, StatusCode::CREATED);
        let entry = json!({"key": key, "version": "v", "size_bytes": "5"});
        self.twirp(token, CACHES, "FinalizeCacheEntryUpload", entry).await
    }

    /// The key that a look-up by this job finds.
    async fn find(&self, job: &Assignment, key: &str) -> Option<String> {
        let token = job.services.as_ref().unwrap().runtime_token.expose();
        let asked = json!({"key": key, "version": "v"});
        let (status, told) = self.twirp(token, CACHES, "GetCacheEntryDownloadURL", asked).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        told["matched_key"].as_str().map(str::to_owned)
    }
}

fn sha(text: &str) -> String {
    Digest::sha256(text.as_bytes()).to_string()
}

#[tokio::test]
async fn an_artifact_comes_in_blocks_of_any_order() {
    let scene = Scene::new("{}").await;
    let url = scene.create("a").await;
    for (id, text) in [("Mg==", "world"), ("MQ==", "hello ")] {
        assert_eq!(scene.put(&url, &format!("&comp=block&blockid={id}"), text).await, StatusCode::CREATED);
    }
    let list = |ids: &[&str]| {
        let entries: Vec<String> = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        let entries = entries.concat();
        format!("<?xml version=\"1.0\"?><BlockList>{entries}</BlockList>")
    };
    let missing = scene.put(&url, "&comp=blocklist", &list(&["MQ==", "Mw=="])).await;
    assert_eq!(missing, StatusCode::BAD_REQUEST);
    for _ in 0..2 {
        // Also when the first answer got lost.
        let whole = scene.put(&url, "&comp=blocklist", &list(&["MQ==", "Mg=="])).await;
        assert_eq!(whole, StatusCode::CREATED);
    }
    let digest = sha("hello world");
    let (_, first) = scene.finalize("a", 11, &digest).await;
    let (status, again) = scene.finalize("a", 11, &digest).await;
    assert_eq!((status, &first), (StatusCode::OK, &again), "a repeated end gives the same artifact");
    let (status, taken) =
        scene.twirp(scene.runtime(), ARTIFACTS, "CreateArtifact", json!({"name": "a", "version": 7})).await;
    assert_eq!((status, taken["code"].as_str()), (StatusCode::CONFLICT, Some("already_exists")));

    let asked = json!({"name": "a"});
    let (_, told) = scene.twirp(scene.runtime(), ARTIFACTS, "GetSignedArtifactURL", asked).await;
    let path = told["signed_url"].as_str().unwrap().strip_prefix("http://127.0.0.1:7700").unwrap();
    let get = |path: String| Request::get(path).body(Body::empty()).unwrap();
    let (status, body) = scene.send(get(path.to_owned())).await;
    assert_eq!((status, body), (StatusCode::OK, json!("hello world")));
    let (status, _) = scene.send(get(path.replace("/artifact/", "/cache/"))).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "the signature is for one thing");
    scene.world.clock.advance(Duration::from_mins(16));
    assert_eq!(scene.send(get(path.to_owned())).await.0, StatusCode::FORBIDDEN, "its time is over");
}

#[tokio::test]
async fn what_did_not_arrive_whole_is_refused_and_leaves_nothing() {
    let scene = Scene::new("{}").await;
    for (size, digest, why) in
        [(5, sha("other"), "its digest is"), (6, sha("bytes"), "it has 5 bytes, the client says 6")]
    {
        let url = scene.create("a").await;
        assert_eq!(scene.put(&url, "", "bytes").await, StatusCode::CREATED);
        let (status, told) = scene.finalize("a", size, &digest).await;
        assert_eq!((status, told["code"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_argument")));
        assert!(told["msg"].as_str().unwrap().contains(why), "{told}");
        assert_eq!(scene.archives().await, 0);
    }
    let (status, told) = scene.finalize("a", 5, &sha("bytes")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{told}");
    assert!(scene.world.store.list::<ArtifactDoc>(&Query::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_address_for_uploads_holds_for_one_upload_and_ends() {
    let scene = Scene::new("{}").await;
    let (url, other) = (scene.create("a").await, scene.create("b").await);
    let number = |url: &str| url.split(['/', '?']).nth(5).unwrap().to_owned();
    let bent = url.replace(&format!("uploads/{}", number(&url)), &format!("uploads/{}", number(&other)));
    assert_eq!(scene.put(&bent, "", "x").await, StatusCode::FORBIDDEN);
    let (path, _) = url.split_once('?').unwrap();
    assert_eq!(scene.put(&format!("{path}?"), "", "x").await, StatusCode::FORBIDDEN);
    assert_eq!(scene.put(&url, "&comp=block&blockid=MQ==", "x").await, StatusCode::CREATED);
    scene.world.clock.advance(Duration::from_hours(3));
    assert_eq!(scene.put(&url, "&comp=block&blockid=MQ==", "x").await, StatusCode::FORBIDDEN);
    scene.world.ctx.tidy_results().await.unwrap();
    let left = std::fs::read_dir(scene.world.dir.path().join("data/uploads")).unwrap().count();
    assert_eq!(left, 0, "what nobody finished goes");
}

#[tokio::test]
async fn each_of_a_jobs_tokens_opens_its_own_doors() {
    let scene = Scene::new("{ id-token: write }").await;
    let services = scene.job.services.as_ref().unwrap();
    let request = services.id_token.as_ref().unwrap();
    let asked = request.url.strip_prefix("http://127.0.0.1:7700").unwrap();
    let (steps, identity) = (services.github_token.expose(), request.token.expose());
    let list = |token| scene.twirp(token, ARTIFACTS, "ListArtifacts", json!({}));
    assert_eq!(list(scene.runtime()).await.0, StatusCode::OK);
    assert_eq!(list(steps).await.0, StatusCode::FORBIDDEN);
    assert_eq!(list(identity).await.0, StatusCode::FORBIDDEN);
    assert_eq!(list("wlj_none").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.ask("GET", asked, identity, "").await, StatusCode::OK);
    for token in [steps, scene.runtime(), scene.job.token.expose()] {
        assert_eq!(scene.ask("GET", asked, token, "").await, StatusCode::FORBIDDEN);
    }
    let updates = format!("/api/v1/runner/jobs/{}/updates", scene.job.job);
    let quiet = r#"{"updates":[]}"#;
    assert_eq!(scene.ask("POST", &updates, scene.job.token.expose(), quiet).await, StatusCode::OK);
    for token in [steps, scene.runtime(), identity] {
        assert_eq!(scene.ask("POST", &updates, token, quiet).await, StatusCode::FORBIDDEN);
    }
    // All of them end with the job.
    scene.world.finish(&scene.job).await.unwrap();
    assert_eq!(scene.ask("GET", asked, identity, "").await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.ask("GET", "/api/v1/projects/shop", steps, "").await, StatusCode::UNAUTHORIZED);
    assert!(!list(scene.runtime()).await.0.is_success());
}

#[tokio::test]
async fn a_job_speaks_for_its_own_run_only() {
    let scene = Scene::new("{}").await;
    let (path, text) = workflow("{}");
    scene.world.pushed("other", "ada", &[(path, text.as_str())]).await;
    let other = scene.world.lease().await.unwrap().unwrap();
    let foreign = other.services.as_ref().unwrap().runtime_token.expose();
    let asked = json!({"workflow_run_backend_id": scene.job.run, "name": "a", "version": 7});
    let (status, told) = scene.twirp(foreign, ARTIFACTS, "CreateArtifact", asked).await;
    assert_eq!((status, told["code"].as_str()), (StatusCode::FORBIDDEN, Some("permission_denied")));

    let reserve = r#"{"key":"k","version":"v","cacheSize":5}"#;
    let caches = "/_apis/artifactcache/caches";
    let (status, told) = scene.tell("POST", caches, scene.runtime(), reserve).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    let piece = |token: &str, start: u64, text: &str| {
        let range = format!("bytes {start}-{}/*", start + text.len() as u64 - 1);
        Request::patch(format!("{caches}/{}", told["cacheId"]))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_RANGE, range)
            .body(Body::from(text.to_owned()))
            .unwrap()
    };
    assert_eq!(scene.send(piece(foreign, 0, "x")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(scene.send(piece(scene.runtime(), 2, "llo")).await.0, StatusCode::NO_CONTENT);
    let commit = format!("{caches}/{}", told["cacheId"]);
    let gap = scene.ask("POST", &commit, scene.runtime(), r#"{"size":5}"#).await;
    assert_eq!(gap, StatusCode::BAD_REQUEST, "bytes 0 and 1 are missing");
    assert_eq!(scene.send(piece(scene.runtime(), 0, "he")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(scene.ask("POST", &commit, foreign, r#"{"size":5}"#).await, StatusCode::FORBIDDEN);
    assert_eq!(scene.ask("POST", &commit, scene.runtime(), r#"{"size":5}"#).await, StatusCode::NO_CONTENT);
    assert_eq!(scene.find(&scene.job, "k").await.as_deref(), Some("k"));
    assert_eq!(scene.find(&other, "k").await, None, "another project's");
}

#[tokio::test]
async fn what_a_proposed_change_saves_its_branch_and_main_never_read() {
    let scene = Scene::new("{}").await;
    let (world, main) = (&scene.world, &scene.job);
    assert_eq!(scene.save(main, "from-main").await.1["ok"], true);
    let (path, text) = workflow("{}");
    world.push("shop", "change", "eve", &[(path, text.as_str()), ("x", "1")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    let mut jobs = Vec::new();
    while let Some(job) = world.lease().await.unwrap() {
        jobs.push(job);
    }
    let of = |event: &str| jobs.iter().find(|j| j.github["event_name"] == event).unwrap();
    let (change, branch) = (of("pull_request"), of("push"));
    assert_eq!(scene.find(change, "from-main").await.as_deref(), Some("from-main"));
    assert_eq!(scene.save(change, "poison").await.1["ok"], true);
    assert_eq!(scene.find(change, "pois").await.as_deref(), Some("poison"));
    assert_eq!(scene.find(branch, "poison").await, None);
    assert_eq!(scene.find(main, "poison").await, None);
    // Nor does it overwrite: the same key in another scope is another cache.
    assert_eq!(scene.save(change, "from-main").await.1["ok"], true);
    let (status, told) = scene.save(main, "from-main").await;
    assert_eq!((status, told["code"].as_str()), (StatusCode::CONFLICT, Some("already_exists")));
}

#[tokio::test]
async fn a_run_with_the_branchs_trust_for_what_others_wrote_only_reads() {
    let scene = Scene::new("{}").await;
    let id: windlass_kernel::RunId = scene.job.run.parse().unwrap();
    let found = scene.world.store.get::<Run>(&id.to_string()).await.unwrap().unwrap();
    let run = Run { event: "issue_comment".into(), ..found.value };
    scene.world.ctx.commit(windlass_kernel::Batch::new().update(&run, found.version)).await.unwrap();
    let (status, told) = scene.save(&scene.job, "k").await;
    assert_eq!((status, &told["ok"]), (StatusCode::OK, &json!(false)));
    assert!(told["message"].as_str().unwrap().starts_with("cache write denied:"), "{told}");
    assert_eq!(scene.find(&scene.job, "k").await, None);
}

#[tokio::test]
async fn what_a_cache_mode_forbids_is_not_done() {
    let scene = Scene::new("{}").await;
    scene.save(&scene.job, "k").await;
    assert!(scene.find(&scene.job, "k").await.is_some());
    let id = scene.world.run().await.id.to_string();
    for (mode, reads, writes) in [("read", true, false), ("write-only", false, true), ("none", false, false)]
    {
        let found = scene.world.store.get::<Run>(&id).await.unwrap().unwrap();
        let mut run = found.value;
        run.workflow.text =
            run.workflow.text.replace("    steps:", &format!("    cache-mode: {mode}\n    steps:"));
        scene.world.ctx.commit(windlass_kernel::Batch::new().update(&run, found.version)).await.unwrap();
        assert_eq!(scene.find(&scene.job, "k").await.is_some(), reads, "{mode}");
        let (status, told) = scene.save(&scene.job, &format!("k-{mode}")).await;
        assert_eq!((status, &told["ok"]), (StatusCode::OK, &json!(writes)), "{mode}: {told}");
        run.workflow.text = run.workflow.text.replace(&format!("    cache-mode: {mode}\n"), "");
        let now = scene.world.store.get::<Run>(&id).await.unwrap().unwrap();
        scene.world.ctx.commit(windlass_kernel::Batch::new().update(&run, now.version)).await.unwrap();
    }
}

#[tokio::test]
async fn caches_that_nobody_uses_go_with_their_bytes() {
    let scene = Scene::new("{}").await;
    scene.save(&scene.job, "used").await;
    scene.save(&scene.job, "idle").await;
    assert_eq!(scene.archives().await, 1, "the same bytes are kept once");
    let day = Duration::from_hours(24);
    let ctx = &scene.world.ctx;
    let job: windlass_kernel::JobId = scene.job.job.parse().unwrap();
    for _ in 0..8 {
        scene.world.clock.advance(day);
        // The token holds for a day; whoever reads is beside the point here.
        let run = scene.world.run().await;
        let found = ctx.find_caches(&run, job, "v", &["used".to_owned()]).await.unwrap();
        ctx.note_use(&found[0]).await;
        ctx.end_idle_caches().await.unwrap();
        assert!(run.job(job).is_some());
    }
    let kept = ctx.caches_of(&"shop".parse().unwrap()).await.unwrap();
    assert_eq!(kept.iter().map(|c| c.key.as_str()).collect::<Vec<_>>(), ["used"]);
    assert_eq!(scene.archives().await, 1, "its bytes are still named");
    scene.world.clock.advance(8 * day);
    ctx.end_idle_caches().await.unwrap();
    assert_eq!(scene.archives().await, 0);
}

#[tokio::test]
async fn an_identity_key_is_replaced_in_time_and_shown_for_a_while() {
    let scene = Scene::new("{ id-token: write }").await;
    let keys = || async {
        let path = "/_services/token/.well-known/jwks";
        let (_, told) = scene.send(Request::get(path).body(Body::empty()).unwrap()).await;
        let of = |key: &Value| key["kid"].as_str().unwrap().to_owned();
        told["keys"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let first = keys().await;
    assert_eq!((first.len(), keys().await), (1, first.clone()));
    scene.world.clock.advance(windlass_identity::SIGNING_KEY_LIFE);
    let second = keys().await;
    assert_eq!(second.len(), 2);
    assert!(second[0] != first[0] && second[1] == first[0], "{first:?} {second:?}");
    scene.world.clock.advance(windlass_identity::SIGNING_KEY_LIFE);
    let third = keys().await;
    assert!(third.len() == 2 && !third.contains(&first[0]), "{third:?}");
    assert_eq!(scene.world.told("identity_key.created").await, 3);
    // What is kept tells nobody the key.
    let kept = scene.world.ctx.store.list_raw("service_keys", &Query::default()).await.unwrap();
    assert!(kept[0].body.contains("ciphertext") && !kept[0].body.contains("PRIVATE"), "{}", kept[0].body);
}

/// What steps may do with their token, by the workflow's permissions: read code, push, pull, push images, start a run,
/// see another run.
const GRANTED: [(&str, [bool; 6]); 7] = [
    ("{}", [false, false, false, false, false, false]),
    ("{ contents: read }", [true, false, false, false, false, false]),
    ("{ contents: write }", [true, true, false, false, false, false]),
    ("{ packages: write }", [false, false, true, true, false, false]),
    ("{ actions: write }", [false, false, false, false, true, true]),
    ("read-all", [true, false, true, false, false, true]),
    ("write-all", [true, true, true, true, true, true]),
];

#[tokio::test]
async fn steps_do_what_permissions_say_and_nothing_else() {
    for (permissions, allowed) in GRANTED {
        let scene = Scene::new(permissions).await;
        let token = scene.job.services.as_ref().unwrap().github_token.expose().clone();
        let (path, text) = workflow(permissions);
        scene.world.push("shop", "main", "ada", &[(path, text.as_str()), ("y", "1")]);
        crate::source::take_in(&scene.world.ctx, &"shop".parse().unwrap()).await.unwrap();
        let sibling = scene.world.run().await.id;
        scene.world.pushed("other", "ada", &[(path, text.as_str())]).await;
        let foreign = scene.world.run().await.id;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("x:{token}"));
        let by_basic = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path);
            request.header(header::AUTHORIZATION, format!("Basic {basic}")).body(Body::empty()).unwrap()
        };
        let refused = |status: StatusCode| matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        for (project, own) in [("shop", true), ("other", false)] {
            let dispatch = format!("/api/v1/projects/{project}/workflows/dispatch?file=ci.yml");
            let run = if own { sibling } else { foreign };
            let asked = [
                scene
                    .send(by_basic("GET", &format!("/{project}.git/info/refs?service=git-upload-pack")))
                    .await
                    .0,
                scene
                    .send(by_basic("GET", &format!("/{project}.git/info/refs?service=git-receive-pack")))
                    .await
                    .0,
                scene.send(by_basic("GET", &format!("/v2/{project}/manifests/none"))).await.0,
                scene.send(by_basic("POST", &format!("/v2/{project}/blobs/uploads/"))).await.0,
                scene.ask("POST", &dispatch, &token, r#"{"git_ref":"main"}"#).await,
                scene.ask("GET", &format!("/api/v1/runs/{run}"), &token, "").await,
            ];
            for (at, (status, allowed)) in asked.into_iter().zip(allowed).enumerate() {
                assert_eq!(!refused(status), allowed && own, "{permissions} {project} {at}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_says_which_permission_is_missing_and_a_job_may_stop_its_run_with_it() {
    let scene = Scene::new("{ actions: read }").await;
    let token = scene.job.services.as_ref().unwrap().github_token.expose();
    let cancel = format!("/api/v1/runs/{}/cancel", scene.job.run);
    let (status, told) = scene.tell("POST", &cancel, token, "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(told["detail"].as_str().unwrap().contains("`permissions: actions: write`"), "{told}");
    let scene = Scene::new("{ actions: write }").await;
    let token = scene.job.services.as_ref().unwrap().github_token.expose();
    let cancel = format!("/api/v1/runs/{}/cancel", scene.job.run);
    assert!(scene.ask("POST", &cancel, token, "").await.is_success());
    assert!(scene.world.run().await.cancellation.is_some());
}

#[tokio::test]
async fn a_new_hand_out_has_new_tokens() {
    let scene = Scene::new("{ id-token: write }").await;
    let id: windlass_kernel::JobId = scene.job.job.parse().unwrap();
    let run: windlass_kernel::RunId = scene.job.run.parse().unwrap();
    let event = RunEvent::LeaseLost { job: id, hand_out: 1, reason: "gone".into() };
    scene.world.ctx.apply(run, event).await.unwrap();
    let again = scene.world.lease().await.unwrap().expect("the job, once more");
    let old = scene.job.services.as_ref().unwrap();
    let list = |token| scene.twirp(token, ARTIFACTS, "ListArtifacts", json!({}));
    assert_eq!(list(old.runtime_token.expose()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(list(again.services.as_ref().unwrap().runtime_token.expose()).await.0, StatusCode::OK);
    let path = "/api/v1/projects/shop";
    assert_eq!(scene.ask("GET", path, old.github_token.expose(), "").await, StatusCode::UNAUTHORIZED);
}
