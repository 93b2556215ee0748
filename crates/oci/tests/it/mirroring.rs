//! A pull-through mirror: beside a second registry of our own, and beside Debian's `docker-registry`.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use windlass_kernel::{Digest, Secret};
use windlass_oci::Mirror;

use crate::bench::Bench;

/// What a served registry was asked for.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<String>>>, Arc<AtomicUsize>);

impl Asked {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// From now on it answers nothing but 503.
    pub(crate) fn go_away(&self) {
        self.1.store(1, Ordering::SeqCst);
    }
}

/// Serves the bench's registry; gives host and port, and what it is asked for.
pub(crate) async fn serve(bench: &Bench) -> (String, Asked) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Asked::default();
    let noted = asked.clone();
    let note = move |request: Request, next: Next| {
        let noted = noted.clone();
        async move {
            let line = format!("{} {}", request.method(), request.uri().path());
            noted.0.lock().unwrap().push(line);
            if noted.1.load(Ordering::SeqCst) == 1 {
                let away = axum::http::StatusCode::SERVICE_UNAVAILABLE;
                return axum::response::IntoResponse::into_response(away);
            }
            next.run(request).await
        }
    };
    let router = bench.router().layer(from_fn(note));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (host, asked)
}

fn mirror(host: &str, login: bool) -> Mirror {
    let login = login.then(|| ("ada".to_owned(), Secret::new("ada-token".to_owned())));
    Mirror { name: "up".into(), host: host.to_owned(), login, fresh: Duration::from_mins(10) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_fetched_once_and_kept() {
    let there = Bench::new();
    let digest = there.tagged("team/app", "v1", b"layer").await;
    let (host, asked) = serve(&there).await;
    let here = Bench::new();
    here.registry.set_mirrors(vec![mirror(&host, true)]);
    let layer = Digest::sha256(b"layer");
    let (tag, blob) =
        ("/v2/mirror/up/team/app/manifests/v1", format!("/v2/mirror/up/team/app/blobs/{layer}"));
    assert_eq!(here.get(tag).await.is(200).header("docker-content-digest"), digest.to_string());
    assert_eq!(&here.get(&blob).await.is(200).body[..], b"layer");
    assert!(asked.take().contains(&format!("GET /v2/team/app/blobs/{layer}")));
    assert_eq!(here.send("HEAD", tag, &[], "").await.status, 200);
    here.get(&format!("/v2/mirror/up/team/app/manifests/{digest}")).await.is(200);
    here.get(&blob).await.is(200);
    assert!(asked.take().is_empty(), "it is here");
    assert_eq!(here.get("/v2/mirror/up/team/app/tags/list").await.json()["tags"], serde_json::json!(["v1"]));
    let kinds: Vec<String> = here.store.happened().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["image.mirrored"]);

    // After a while the tag is looked up, by its digest alone as long as that is the same.
    here.clock.advance(Duration::from_mins(11));
    there.clock.advance(Duration::from_mins(11));
    here.get(tag).await.is(200);
    let looked = asked.take();
    assert!(looked.contains(&"HEAD /v2/team/app/manifests/v1".to_owned()), "{looked:?}");
    assert!(!looked.iter().any(|line| line.starts_with("GET /v2/team/app/manifests")), "{looked:?}");
    here.get(tag).await.is(200);
    assert!(asked.take().is_empty(), "it is fresh again");
    let moved = there.tagged("team/app", "v1", b"another layer").await;
    here.clock.advance(Duration::from_mins(11));
    there.clock.advance(Duration::from_mins(11));
    assert_eq!(here.get(tag).await.header("docker-content-digest"), moved.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_can_be_had_while_the_other_is_away() {
    let there = Bench::new();
    let digest = there.tagged("app", "v1", b"layer").await;
    let (host, asked) = serve(&there).await;
    let here = Bench::new();
    here.registry.set_mirrors(vec![mirror(&host, true)]);
    here.get("/v2/mirror/up/app/manifests/v1").await.is(200);
    asked.go_away();
    here.clock.advance(Duration::from_hours(48));
    let got = here.get("/v2/mirror/up/app/manifests/v1").await;
    assert_eq!(got.is(200).header("docker-content-digest"), digest.to_string());
    let layer = Digest::sha256(b"layer");
    let missing = here.get(&format!("/v2/mirror/up/app/blobs/{layer}")).await;
    let message = missing.is(502).json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("mirror/up") && message.contains("503"), "{message}");
    here.get("/v2/mirror/up/app/manifests/v2").await.is(502);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_want_the_same_wait_for_one_fetch() {
    let there = Bench::new();
    let bytes = vec![3; 3_000_000];
    there.tagged("app", "v1", &bytes).await;
    let (host, asked) = serve(&there).await;
    let here = Bench::new();
    here.registry.set_mirrors(vec![mirror(&host, true)]);
    let blob = format!("/v2/mirror/up/app/blobs/{}", Digest::sha256(&bytes));
    let pulls = (0..20).map(|_| async {
        here.get("/v2/mirror/up/app/manifests/v1").await.is(200);
        here.get(&blob).await.is(200).body.len()
    });
    assert!(futures_util::future::join_all(pulls).await.iter().all(|n| *n == bytes.len()));
    let asked = asked.take();
    let count = |start: &str| asked.iter().filter(|line| line.starts_with(start)).count();
    // Once without a token, and once with one.
    assert!(count("GET /v2/app/blobs/") <= 2, "{asked:?}");
    assert!(count("GET /v2/app/manifests/") <= 2, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_does_not_have_or_give_is_said() {
    let there = Bench::new();
    there.tagged("secret/app", "v1", b"layer").await;
    let (host, _) = serve(&there).await;
    let here = Bench::new();
    here.registry.set_mirrors(vec![mirror(&host, false)]);
    let refused = here.get("/v2/mirror/up/secret/app/manifests/v1").await;
    let message = refused.is(502).json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("login"), "{message}");
    here.registry.set_mirrors(vec![mirror(&host, true)]);
    assert_eq!(here.get("/v2/mirror/up/app/manifests/v9").await.is(404).code(), "MANIFEST_UNKNOWN");
    let blob = format!("/v2/mirror/up/app/blobs/{}", Digest::sha256(b"x"));
    assert_eq!(here.get(&blob).await.is(404).code(), "BLOB_UNKNOWN");
    assert_eq!(here.get("/v2/mirror/none/app/manifests/v1").await.is(404).code(), "MANIFEST_UNKNOWN");
    let post = here.send("POST", "/v2/mirror/up/app/blobs/uploads/", &[], "").await;
    assert_eq!(post.is(403).code(), "DENIED");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_others_have_here_are_not_given_away_by_their_digest() {
    let there = Bench::new();
    there.tagged("app", "v1", b"layer").await;
    let (host, _) = serve(&there).await;
    let here = Bench::new();
    here.registry.set_mirrors(vec![mirror(&host, true)]);
    let hidden = here.push_blob("secret/mine", b"hidden").await;
    let bob = ("authorization", "Bearer bob-token");
    let path = format!("/v2/mirror/up/app/blobs/{hidden}");
    assert_eq!(here.send("GET", &path, &[bob], "").await.status, 404);
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn debians_registry_is_mirrored() {
    const NAME: &str = "debians_registry_is_mirrored";
    let temp = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let host = format!("127.0.0.1:{port}");
    let root = temp.path().join("registry");
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{host}\"}}\n",
        root.display()
    );
    let file = temp.path().join("config.yml");
    std::fs::write(&file, config).unwrap();
    let mut program = Command::new("docker-registry");
    program.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(child) = program.spawn() else {
        return windlass_testkit::skip(NAME, "docker-registry is not installed");
    };
    let mut server = Server(child);
    let there = Bench::new();
    let digest = there.tagged("app", "v1", &vec![5; 2_000_000]).await;
    let (ours, _) = serve(&there).await;
    let copy = format!(
        "copy --preserve-digests --src-tls-verify=false --dest-tls-verify=false --src-creds ada:ada-token docker://{ours}/app:v1 docker://{host}/team/app:v1"
    );
    let mut done = false;
    for _ in 0..50 {
        let arguments: Vec<String> = copy.split(' ').map(str::to_owned).collect();
        let run = move || Command::new("skopeo").args(arguments).env("NO_PROXY", "*").output();
        match tokio::task::spawn_blocking(run).await.unwrap() {
            Err(_) => return windlass_testkit::skip(NAME, "skopeo is not installed"),
            Ok(out) if out.status.success() => {
                done = true;
                break;
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    assert!(done, "skopeo could not copy");
    let here = Bench::new();
    here.registry.set_mirrors(vec![mirror(&host, false)]);
    let got = here.get("/v2/mirror/up/team/app/manifests/v1").await;
    assert_eq!(got.is(200).header("docker-content-digest"), digest.to_string());
    let layer = format!("/v2/mirror/up/team/app/blobs/{}", Digest::sha256(&vec![5; 2_000_000]));
    assert_eq!(here.get(&layer).await.is(200).body.len(), 2_000_000);
    server.0.kill().unwrap();
    here.clock.advance(Duration::from_hours(2));
    here.get("/v2/mirror/up/team/app/manifests/v1").await.is(200);
    here.get(&layer).await.is(200);
}
