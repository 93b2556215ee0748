//! Rot is found, said, and put right where the bytes can be had once more.

use windlass_kernel::Digest;
use windlass_oci::{Mirror, Scrubbed};

use crate::bench::Bench;
use crate::mirroring::serve;

#[tokio::test]
async fn a_scrub_finds_what_rotted_and_says_whose_it_was() {
    let bench = Bench::new();
    let (good, bad) = (bench.push_blob("a", b"good").await, bench.push_blob("a", &vec![7; 400_000]).await);
    bench.push_blob("b/c", &vec![7; 400_000]).await;
    bench.damage(&bad);
    let found = bench.registry.scrub().await.unwrap();
    assert_eq!((found.checked, found.rotten.len()), (2, 1));
    let rotten = &found.rotten[0];
    assert_eq!((&rotten.digest, &rotten.healed), (&bad, &None));
    let names: Vec<&str> = rotten.repositories.iter().map(|r| r.as_str()).collect();
    assert_eq!(names, ["a", "b/c"]);
    assert!(std::path::Path::new(&rotten.aside).exists(), "it can be looked at");
    let again = bench.registry.scrub().await.unwrap();
    assert_eq!((again.checked, again.rotten.len()), (1, 0));
    assert_eq!(bench.send("GET", &format!("/v2/a/blobs/{bad}"), &[], "").await.status, 404);
    assert_eq!(bench.push_blob("a", &vec![7; 400_000]).await, bad, "a push puts it right");
    assert_eq!(bench.send("GET", &format!("/v2/a/blobs/{bad}"), &[], "").await.status, 200);
    assert_ne!(good, bad);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_from_a_mirror_is_fetched_anew() {
    let there = Bench::new();
    let digest = there.tagged("app", "v1", &vec![9; 300_000]).await;
    let (host, _) = serve(&there).await;
    let here = Bench::new();
    let login = Some(("ada".to_owned(), windlass_kernel::Secret::new("ada-token".to_owned())));
    let fresh = std::time::Duration::from_hours(1);
    here.registry.set_mirrors(vec![Mirror { name: "up".into(), host, login, fresh }]);
    let layer = Digest::sha256(&vec![9; 300_000]);
    for path in ["manifests/v1".to_owned(), format!("blobs/{layer}")] {
        assert_eq!(here.get(&format!("/v2/mirror/up/app/{path}")).await.status, 200);
    }
    here.damage(&layer);
    here.damage(&digest);
    let found = here.registry.scrub().await.unwrap();
    assert_eq!(found.rotten.len(), 2);
    assert!(found.rotten.iter().all(|r| r.healed.as_ref().is_some_and(|h| h.as_str() == "mirror/up/app")));
    let got = here.get(&format!("/v2/mirror/up/app/blobs/{layer}")).await;
    assert!(got.body[..] == vec![9; 300_000]);
    here.get("/v2/mirror/up/app/manifests/v1").await.is(200);
}

/// The blobs that are missing, and who needs them.
fn missing(found: &Scrubbed) -> Vec<(Digest, Vec<&str>)> {
    assert_eq!(found.missing.len(), found.missing_total);
    found
        .missing
        .iter()
        .map(|m| (m.digest.clone(), m.needed_by.iter().map(String::as_str).collect()))
        .collect()
}

#[tokio::test]
async fn what_an_image_needs_and_a_pull_found_rotten_is_told_by_each_scrub_until_it_is_pushed() {
    let bench = Bench::new();
    let layer = vec![5; 300_000];
    let rotten = Digest::sha256(&layer);
    let first = bench.tagged("a", "v1", &layer).await;
    bench.tagged("b", "v1", b"other").await;
    let mut untagged = bench.image("b", &layer).await;
    untagged["annotations"] = serde_json::json!({ "of": "b" });
    let second = Digest::sha256(untagged.to_string().as_bytes());
    bench.put("b", &second.to_string(), &untagged).await.is(201);
    assert_eq!(bench.registry.scrub().await.unwrap().missing_total, 0);
    bench.damage(&rotten);
    bench.get(&format!("/v2/a/blobs/{rotten}")).await;
    bench.get(&format!("/v2/a/blobs/{rotten}")).await.is(404);
    for _ in 0..2 {
        let found = bench.registry.scrub().await.unwrap();
        assert!(found.rotten.is_empty());
        let by = format!("b@{second}");
        let (digest, needing) = missing(&found).remove(0);
        assert_eq!((digest, needing.len()), (rotten.clone(), 2));
        assert!(needing.contains(&"a:v1") && needing.contains(&by.as_str()), "{needing:?}");
        assert_eq!((found.missing_total, &found.missing[0].healed), (1, &None));
    }
    bench.push_blob("a", &layer).await;
    assert_eq!(bench.registry.scrub().await.unwrap().missing_total, 0);
    // A manifest that is gone is missed as well; not what only it needs, for nobody knows what that is.
    assert!(bench.registry.blobs().delete(&first).await.unwrap());
    let found = bench.registry.scrub().await.unwrap();
    assert_eq!(missing(&found), [(first, vec!["a:v1"])]);
}

#[tokio::test]
async fn what_is_not_here_on_purpose_is_not_missed() {
    let bench = Bench::new();
    // A layer that stays at its own address.
    let mut image = bench.image("a", b"layer").await;
    let away = Digest::sha256(b"away");
    image["layers"][0]["digest"] = serde_json::json!(away);
    image["layers"][0]["urls"] = serde_json::json!(["https://files.test/away"]);
    bench.put("a", "v1", &image).await.is(201);
    // An index of which an image was deleted.
    let (one, two) = (bench.tagged("b", "one", b"one").await, bench.tagged("b", "two", b"two").await);
    let size = bench.get("/v2/b/manifests/one").await.body.len();
    let index = crate::conformance::index_of(&[(&one, size), (&two, size)]);
    bench.put("b", "both", &index).await.is(201);
    bench.send("DELETE", &format!("/v2/b/manifests/{two}"), &[], "").await.is(202);
    assert!(bench.registry.blobs().delete(&two).await.unwrap());
    assert!(bench.registry.blobs().delete(&Digest::sha256(b"two")).await.unwrap());
    assert_eq!(missing(&bench.registry.scrub().await.unwrap()), []);
    assert!(bench.registry.blobs().delete(&Digest::sha256(b"one")).await.unwrap());
    let found = bench.registry.scrub().await.unwrap();
    assert_eq!(missing(&found), [(Digest::sha256(b"one"), vec!["b:one"])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_of_a_mirror_is_fetched_anew_and_what_was_never_pulled_is_not_missed() {
    let there = Bench::new();
    let (layer, other) = (vec![9; 300_000], vec![8; 300_000]);
    let one = there.tagged("app", "one", &layer).await;
    let two = there.tagged("app", "two", &other).await;
    let size = there.get("/v2/app/manifests/one").await.body.len();
    let index = crate::conformance::index_of(&[(&one, size), (&two, size)]);
    there.put("app", "v1", &index).await.is(201);
    let (host, asked) = serve(&there).await;
    let here = Bench::new();
    let login = Some(("ada".to_owned(), windlass_kernel::Secret::new("ada-token".to_owned())));
    let fresh = std::time::Duration::from_hours(1);
    here.registry.set_mirrors(vec![Mirror { name: "up".into(), host, login, fresh }]);
    let layer = Digest::sha256(&layer);
    for path in ["manifests/v1".to_owned(), format!("manifests/{one}"), format!("blobs/{layer}")] {
        here.get(&format!("/v2/mirror/up/app/{path}")).await.is(200);
    }
    // Neither the other image nor this one's configuration was pulled.
    assert_eq!(missing(&here.registry.scrub().await.unwrap()), []);
    let lose = async || {
        for digest in [&layer, &one] {
            assert!(here.registry.blobs().delete(digest).await.unwrap());
        }
    };
    lose().await;
    let found = here.registry.scrub().await.unwrap();
    let by = format!("mirror/up/app@{one}");
    assert_eq!(missing(&found), [(one.clone(), vec![by.as_str()]), (layer.clone(), vec![by.as_str()])]);
    assert!(found.missing.iter().all(|m| m.healed.as_ref().is_some_and(|h| h.as_str() == "mirror/up/app")));
    assert_eq!(here.registry.blobs().stat(&layer).await.unwrap(), Some(300_000));
    assert_eq!(missing(&here.registry.scrub().await.unwrap()), []);
    // With the other registry away they stay lost, and are told.
    lose().await;
    asked.go_away();
    let found = here.registry.scrub().await.unwrap();
    assert_eq!((found.missing_total, &found.missing[0].healed), (1, &None));
}
