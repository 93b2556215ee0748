//! Garbage is collected while others push, and whenever it is broken off a whole registry is left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use windlass_kernel::{Actor, Digest};
use windlass_oci::{Collected, Collection, Root, RuleKind};

use crate::bench::{Bench, files_below};

async fn collect(bench: &Bench, dry_run: bool, roots: &[Root]) -> Collected {
    let grace = Duration::from_hours(1);
    let how =
        Collection { grace, dry_run, roots: roots.to_vec(), others: BTreeSet::new(), by: Actor::System };
    bench.registry.collect(&how).await.unwrap()
}

fn blobs(report: &Collected) -> usize {
    report.taken.iter().filter(|t| t.what.starts_with("blob ")).count()
}

#[tokio::test]
async fn a_dry_run_says_what_a_run_then_does() {
    let bench = Bench::new();
    bench.rule("two", "app", "v*", RuleKind::Keep { last: Some(2), days: None }).await;
    let mut digests = Vec::new();
    for n in 0..4u8 {
        digests.push(bench.tagged("app", &format!("v{n}"), &[n; 1000]).await);
        bench.clock.advance(Duration::from_mins(1));
    }
    bench.clock.advance(Duration::from_hours(2));
    let before = files_below(&bench.path("blobs"));
    let told = collect(&bench, true, &[]).await;
    assert_eq!(files_below(&bench.path("blobs")), before, "a dry run changes nothing");
    // Two tags, two manifests, and of each a manifest and a layer on the disk; the configuration is shared.
    assert_eq!((told.taken.len(), blobs(&told)), (8, 4));
    let done = collect(&bench, false, &[]).await;
    let sorted = |report: &Collected| {
        let mut all: Vec<String> = report.taken.iter().map(|t| t.what.clone()).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&told), sorted(&done));
    assert_eq!((told.freed, told.kept, told.kept_size), (done.freed, done.kept, done.kept_size));
    assert_eq!(files_below(&bench.path("blobs")), before - 4);
    bench.get("/v2/app/manifests/v3").await.is(200);
    bench.get(&format!("/v2/app/blobs/{}", Digest::sha256(&[3; 1000]))).await.is(200);
    bench.get(&format!("/v2/app/manifests/{}", digests[0])).await.is(404);
    assert!(collect(&bench, false, &[]).await.taken.is_empty(), "nothing is left to do");
    let event = bench.store.happened().into_iter().filter(|(kind, _)| kind == "image.collected").count();
    assert_eq!(event, 1);
}

#[tokio::test]
async fn what_runs_is_not_garbage_whatever_the_rules_say() {
    let bench = Bench::new();
    bench.rule("one", "*", "*", RuleKind::Keep { last: Some(1), days: None }).await;
    let digest = bench.tagged("app", "old", b"old layer").await;
    let mut evidence = bench.image("app", b"sbom").await;
    evidence["subject"] = json!({ "mediaType": "x/y", "digest": digest, "size": 1 });
    let referrer = Digest::sha256(evidence.to_string().as_bytes());
    bench.put("app", &referrer.to_string(), &evidence).await.is(201);
    bench.clock.advance(Duration::from_mins(1));
    bench.tagged("app", "new", b"new layer").await;
    bench.clock.advance(Duration::from_hours(2));
    let repository = "app".parse().unwrap();
    let roots = [Root { repository, digest: digest.clone(), why: "runs in production".into() }];
    assert!(collect(&bench, false, &roots).await.taken.is_empty());
    for manifest in [&digest, &referrer] {
        bench.get(&format!("/v2/app/manifests/{manifest}")).await.is(200);
    }
    // Whoever pulled the manifests a moment ago comes for what they name.
    assert_eq!(blobs(&collect(&bench, true, &[]).await), 0);
    bench.clock.advance(Duration::from_hours(2));
    let report = collect(&bench, false, &[]).await;
    assert_eq!(blobs(&report), 4, "image and evidence with a layer each");
}

#[tokio::test]
async fn a_blob_that_a_client_was_told_of_waits_for_its_manifest() {
    let bench = Bench::new();
    let manifest = bench.image("app", b"layer").await;
    bench.clock.advance(Duration::from_hours(2));
    // The client asks whether it must send the layer; it is told that it need not.
    let layer = format!("/v2/app/blobs/{}", Digest::sha256(b"layer"));
    for path in [layer, format!("/v2/app/blobs/{}", Digest::sha256(b"{}"))] {
        bench.send("HEAD", &path, &[], "").await.is(200);
    }
    assert!(collect(&bench, false, &[]).await.taken.is_empty());
    bench.put("app", "v1", &manifest).await.is(201);
    bench.clock.advance(Duration::from_hours(2));
    assert!(collect(&bench, false, &[]).await.taken.is_empty());
}

/// An image all of whose parts can be had.
async fn whole(bench: &Bench, repository: &str, reference: &str) {
    let got = bench.get(&format!("/v2/{repository}/manifests/{reference}")).await;
    let manifest = got.is(200).json();
    let layers = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
    for part in layers {
        let path = format!("/v2/{repository}/blobs/{}", part["digest"].as_str().unwrap());
        bench.get(&path).await.is(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_and_collections_side_by_side_lose_nothing() {
    let bench = Arc::new(Bench::new());
    // Nobody's push may last longer than the grace period: time passes only between pushes.
    let time = Arc::new(tokio::sync::RwLock::new(()));
    let over = Arc::new(AtomicBool::new(false));
    let collected = Arc::new(AtomicUsize::new(0));
    let pushers: Vec<_> = (0..4u8)
        .map(|who| {
            let (bench, time) = (bench.clone(), time.clone());
            tokio::spawn(async move {
                let name = format!("app{}", who % 2);
                for round in 0..40u8 {
                    let tag = format!("t{who}");
                    {
                        let _during = time.read().await;
                        // Few different layers, so that what is garbage now is pushed again soon.
                        let layer = vec![round % 5; 30_000];
                        let digest = Digest::sha256(&layer);
                        let held = bench.send("HEAD", &format!("/v2/{name}/blobs/{digest}"), &[], "").await;
                        let manifest = if held.status == 200 {
                            bench.known_image(&name, &layer).await
                        } else {
                            bench.image(&name, &layer).await
                        };
                        tokio::task::yield_now().await;
                        bench.put(&name, &tag, &manifest).await.is(201);
                        whole(&bench, &name, &tag).await;
                    }
                    tokio::task::yield_now().await;
                    let _during = time.read().await;
                    whole(&bench, &name, &tag).await;
                    bench.send("DELETE", &format!("/v2/{name}/manifests/{tag}"), &[], "").await.is(202);
                }
            })
        })
        .collect();
    bench.rule("rest", "*", "*", RuleKind::Untagged { days: 1 }).await;
    let collector = {
        let (bench, over, collected) = (bench.clone(), over.clone(), collected.clone());
        tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                collected.fetch_add(blobs(&collect(&bench, false, &[]).await), Ordering::SeqCst);
            }
        })
    };
    let clock = {
        let (bench, over) = (bench.clone(), over.clone());
        tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                {
                    let _alone = time.write().await;
                    bench.clock.advance(Duration::from_hours(25));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    for pusher in pushers {
        pusher.await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    collector.await.unwrap();
    clock.await.unwrap();
    assert!(collected.load(Ordering::SeqCst) > 0, "there was garbage to collect meanwhile");
    bench.clock.advance(Duration::from_hours(50));
    collect(&bench, false, &[]).await;
    assert_eq!(files_below(&bench.path("blobs")), 0, "in the end nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_is_broken_off_leaves_a_whole_registry() {
    for cut in 0..25u64 {
        let bench = Arc::new(Bench::new());
        bench.rule("three", "*", "*", RuleKind::Keep { last: Some(3), days: None }).await;
        for n in 0..12u8 {
            bench.tagged("app", &format!("v{n:02}"), &[n; 5000]).await;
            bench.clock.advance(Duration::from_mins(1));
        }
        bench.clock.advance(Duration::from_hours(2));
        let running = {
            let bench = bench.clone();
            tokio::spawn(async move { collect(&bench, false, &[]).await })
        };
        tokio::time::sleep(Duration::from_micros(cut * 300)).await;
        running.abort();
        let _ = running.await;
        // Whatever has a name is whole.
        let tags = bench.get("/v2/app/tags/list").await.json()["tags"].clone();
        let tags = tags.as_array().unwrap().clone();
        assert!(tags.len() >= 3);
        for tag in &tags {
            whole(&bench, "app", tag.as_str().unwrap()).await;
        }
        bench.clock.advance(Duration::from_hours(2));
        collect(&bench, false, &[]).await;
        assert_eq!(files_below(&bench.path("blobs")), 3 + 3 + 1, "the next one takes the rest");
    }
}
