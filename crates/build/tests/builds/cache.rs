//! Same inputs, no work.

use std::sync::Arc;

use windlass_build::{CacheFrom, CacheTo};

use crate::fixture::{Heard, Site, open};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_not_done_again() {
    let Some(site) = Site::with_steps("what_was_done").await else { return };
    let file = site.file("a", "1");
    let dockerfile = "FROM base AS b\nCOPY a /a\nRUN cat /a > /b && cat /proc/sys/kernel/random/uuid > /when\nFROM base\nCOPY --from=b /b /b\nRUN cat /proc/sys/kernel/random/uuid > /last\n";
    let first = site.build(dockerfile).await.unwrap();
    let again = site.build(dockerfile).await.unwrap();
    assert_eq!((first.outcome.cached, again.outcome.cached), (0, 4));
    assert_eq!(first.outcome.id, again.outcome.id);
    // Another time of the file is no other file.
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    assert_eq!(site.build(dockerfile).await.unwrap().outcome.cached, 4);
    // Another content is; what comes of it in the end may be the same, and then the rest is known.
    std::fs::write(&file, "2").unwrap();
    let changed = site.build(dockerfile).await.unwrap();
    assert_eq!(changed.outcome.cached, 0);
    assert_eq!(changed.text("b"), "2");
    let other_stage = dockerfile.replacen("RUN cat", "ENV X=1\nRUN cat", 1);
    let same_files = site.build(&other_stage).await.unwrap();
    assert_eq!(same_files.outcome.cached, 3, "the copy's files are the same: copy and last step are known");
    let mut request = site.request(dockerfile);
    request.no_cache_filter = vec!["b".into()];
    assert_eq!(site.run(request.clone()).await.unwrap().outcome.cached, 2);
    request.no_cache = true;
    let anew = site.run(request).await.unwrap();
    assert_eq!(anew.outcome.cached, 0);
    assert_ne!(anew.text("last"), changed.text("last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_again_is_done_again_by_those_who_build_on_it() {
    let Some(site) = Site::with_steps("what_is_done_again").await else { return };
    let uuid = "cat /proc/sys/kernel/random/uuid";
    let dockerfile = format!(
        "FROM base AS one\nRUN {uuid} > /one\nFROM one AS over\nRUN cat /one > /over\nFROM base\nCOPY --from=one /one /copied\nCOPY --from=over /over /over\n"
    );
    let first = site.build(&dockerfile).await.unwrap();
    assert_eq!(first.text("copied"), first.text("over"));
    let mut request = site.request(&dockerfile);
    request.no_cache_filter = vec!["one".into()];
    let second = site.run(request).await.unwrap();
    assert_ne!(second.text("copied"), first.text("copied"));
    assert_eq!(second.text("copied"), second.text("over"));
    // And whoever comes afterwards finds the newer one, whole.
    let third = site.build(&dockerfile).await.unwrap();
    assert_eq!((third.outcome.cached, third.text("over")), (4, second.text("over")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_laid_out_for_what_is_known() {
    let Some(site) = Site::with_steps("nothing_is_laid_out").await else { return };
    site.file("a", "1");
    let mut request = site.request("FROM base\nCOPY a /a\nRUN cat /a > /b\n");
    request.tags = vec!["x".parse().unwrap()];
    let heard = Arc::new(Heard::default());
    let first = site.builder.build(request.clone(), heard.clone()).await.unwrap();
    // Without the base's layers nothing could be carried out.
    let layers = site.builder.store().root().join("layers");
    for entry in std::fs::read_dir(layers).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let again = site.builder.build(request, heard).await.unwrap();
    assert_eq!((again.cached, again.id), (2, first.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_of_one_step_run_it_once() {
    let Some(site) = Site::with_steps("two_builds").await else { return };
    let other = open(site.temp.path()).await;
    let request = site.request("FROM base\nRUN sleep 1; cat /proc/sys/kernel/random/uuid > /when\n");
    let (heard, also) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
    let (a, b) = tokio::join!(site.builder.build(request.clone(), heard), other.build(request.clone(), also));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.cached + b.cached, 1);
    assert_eq!(a.id, b.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_digest_twice_without_a_cache() {
    let Some(site) = Site::with_steps("the_same_digest_twice").await else { return };
    site.file("d/a", "1");
    site.file("d/b", "2");
    let mut request =
        site.request("FROM base\nWORKDIR /w\nCOPY d .\nRUN echo x > y && mkdir z\nCMD [\"/bin/sh\"]\n");
    request.source_date_epoch = Some(1_700_000_000);
    request.no_cache = true;
    let first = site.run(request.clone()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    std::fs::write(site.path("context/d/a"), "1").unwrap();
    let second = site.run(request).await.unwrap();
    assert_eq!(first.outcome.id, second.outcome.id);
    assert_eq!(site.config(&first.outcome)["created"], "2023-11-14T22:13:20.000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_in_a_folder_serves_another_store() {
    let Some(site) = Site::with_steps("a_cache_in_a_folder").await else { return };
    site.file("a", "1");
    let dockerfile = "FROM base\nCOPY a /a\nRUN cat /a > /b; cat /proc/sys/kernel/random/uuid > /when\nRUN true\nRUN cat /when\n";
    let mut request = site.request(dockerfile);
    request.cache_to = vec![CacheTo::Local(site.path("exported"))];
    let first = site.run(request).await.unwrap();
    let Some(other) = Site::with_steps("a_cache_in_a_folder").await else { return };
    other.file("a", "1");
    let mut request = other.request(dockerfile);
    request.cache_from = vec![CacheFrom::Local(site.path("exported"))];
    // The other store's base is another image with the same layers only if it was made alike.
    let (ours, theirs) = (base_layers(&site), base_layers(&other));
    let second = other.run(request).await.unwrap();
    if ours == theirs {
        assert_eq!(second.outcome.cached, 4);
        assert_eq!(second.text("when"), first.text("when"));
    } else {
        assert_eq!(second.outcome.cached, 0);
    }
}

fn base_layers(site: &Site) -> Vec<String> {
    let image = site.builder.store().image(&"base".parse().unwrap()).unwrap();
    image.layers.iter().map(|layer| layer.diff_id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_made_without_breaking_images() {
    let site = Site::new().await;
    site.file("a", "1");
    site.build("FROM scratch\nCOPY a /unnamed\n").await.unwrap();
    let mut request = site.request("FROM scratch\nCOPY a /named\n");
    request.tags = vec!["keep".parse().unwrap()];
    site.run(request).await.unwrap();
    let evicted = site.builder.store().evict(0).unwrap();
    assert!(evicted.entries > 0);
    let mut request = site.request("FROM keep\nCOPY a /more\n");
    request.pull = false;
    let built = site.run(request).await.unwrap();
    assert!(built.has("named") && built.has("more"));
    assert_eq!(site.build("FROM scratch\nCOPY a /unnamed\n").await.unwrap().outcome.cached, 0);
}
