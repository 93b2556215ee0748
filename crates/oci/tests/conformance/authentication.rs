//! Token authentication, as Docker's clients expect it (distribution project, "Token Authentication Specification").

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::refused;
use crate::bench::Bench;

fn basic(name: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{name}-token")))
}

async fn token(bench: &Bench, name: &str, scope: &str) -> String {
    let path = format!("/v2/token?service=registry.test&scope={scope}");
    let reply = bench.send("GET", &path, &[("authorization", &basic(name))], "").await;
    format!("Bearer {}", reply.is(200).json()["token"].as_str().unwrap())
}

#[tokio::test]
async fn nobody_does_anything_without_a_credential() {
    let bench = Bench::new();
    let digest = bench.tagged("a", "v1", b"layer").await;
    for (method, path) in [
        ("GET", "/v2/".to_owned()),
        ("GET", "/v2/_catalog".into()),
        ("GET", "/v2/a/tags/list".into()),
        ("GET", "/v2/a/manifests/v1".into()),
        ("HEAD", format!("/v2/a/manifests/{digest}")),
        ("PUT", "/v2/a/manifests/v1".into()),
        ("DELETE", "/v2/a/manifests/v1".into()),
        ("GET", format!("/v2/a/blobs/{digest}")),
        ("POST", "/v2/a/blobs/uploads/".into()),
        ("GET", format!("/v2/a/referrers/{digest}")),
        ("GET", "/v2/nobody/knows/tags/list".into()),
    ] {
        let reply = bench.send(method, &path, &[("authorization", "")], "").await;
        assert_eq!(reply.status, 401, "{method} {path}");
        assert!(
            reply
                .header("www-authenticate")
                .starts_with("Bearer realm=\"http://registry.test:5000/v2/token\"")
        );
    }
}

#[tokio::test]
async fn the_challenge_names_the_scope_that_is_wanted() {
    let bench = Bench::new();
    for (method, path, scope) in [
        ("GET", "/v2/a/b/tags/list", "repository:a/b:pull"),
        ("POST", "/v2/a/b/blobs/uploads/", "repository:a/b:pull,push"),
        ("DELETE", "/v2/a/b/manifests/v1", "repository:a/b:delete"),
    ] {
        let reply = bench.send(method, path, &[("authorization", "")], "").await;
        assert!(reply.header("www-authenticate").contains(&format!("scope=\"{scope}\"")), "{method} {path}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_repository_and_its_actions() {
    let bench = Bench::new();
    bench.tagged("a", "v1", b"layer").await;
    let pull = token(&bench, "ada", "repository:a:pull").await;
    let with = [("authorization", pull.as_str())];
    bench.send("GET", "/v2/a/manifests/v1", &with, "").await.is(200);
    for (method, path) in
        [("POST", "/v2/a/blobs/uploads/"), ("DELETE", "/v2/a/manifests/v1"), ("GET", "/v2/b/tags/list")]
    {
        let reply = bench.send(method, path, &with, "").await;
        assert_eq!(reply.told(), refused(401, "UNAUTHORIZED"), "{method} {path}");
        assert!(reply.header("www-authenticate").contains("insufficient_scope"));
    }
}

#[tokio::test]
async fn a_token_gives_no_more_than_its_owner_may() {
    let bench = Bench::new();
    let all = token(&bench, "bob", "repository:a:pull,push,delete").await;
    let with = [("authorization", all.as_str())];
    assert_eq!(bench.send("GET", "/v2/a/tags/list", &with, "").await.told(), refused(404, "NAME_UNKNOWN"));
    assert_eq!(bench.send("POST", "/v2/a/blobs/uploads/", &with, "").await.told(), refused(403, "DENIED"));
}

#[tokio::test]
async fn a_token_ends() {
    let bench = Bench::new();
    let bearer = token(&bench, "ada", "repository:a:pull").await;
    bench.send("GET", "/v2/", &[("authorization", &bearer)], "").await.is(200);
    bench.clock.advance(Duration::from_mins(6));
    let over = bench.send("GET", "/v2/", &[("authorization", &bearer)], "").await;
    assert!(over.is(401).header("www-authenticate").contains("invalid_token"));
}

#[tokio::test]
async fn a_token_of_one_repository_mounts_nothing_of_another() {
    let bench = Bench::new();
    let digest = bench.push_blob("b", b"x").await;
    let bearer = token(&bench, "ada", "repository:a:pull,push").await;
    let path = format!("/v2/a/blobs/uploads/?mount={digest}&from=b");
    bench.send("POST", &path, &[("authorization", &bearer)], "").await.is(202);
    let both = token(&bench, "ada", "repository:a:pull,push&scope=repository:b:pull").await;
    bench.send("POST", &path, &[("authorization", &both)], "").await.is(201);
}
