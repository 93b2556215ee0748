//! Rot is found, said, and put right where the bytes can be had once more.

use windlass_kernel::Digest;
use windlass_oci::Mirror;

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
