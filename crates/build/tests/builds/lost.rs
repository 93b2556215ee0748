//! Blobs that are not where they were.

use std::path::Path;
use std::sync::{Arc, Mutex};

use windlass_build::{CacheFrom, CacheTo, Compression, Destination, Event, Keyring, Login, Output};
use windlass_kernel::Secret;

use crate::fixture::{Heard, Site};
use crate::registry::{registry, registry_with};

/// One login, which counts how often it was asked for.
#[derive(Debug, Default)]
struct Counted(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Keyring for Counted {
    async fn login(&self, host: &str, repository: &str) -> Result<Option<Login>, String> {
        self.0.lock().unwrap().push(repository.to_owned());
        let password = Secret::new("open-sesame".to_owned());
        Ok(Some(Login { host: host.to_owned(), user: "ali".into(), password }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_gone_is_fetched_with_the_login_of_the_first_time() {
    const TEST: &str = "a_layer_that_is_gone";
    let site = Site::new().await;
    let users = site.path("users");
    // The password is `open-sesame`.
    std::fs::write(&users, "ali:$2b$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO\n").unwrap();
    let closed = format!("auth:\n  htpasswd:\n    realm: closed\n    path: {}\n", users.display());
    let Some(registry) = registry_with(TEST, site.temp.path(), &closed) else { return };
    let keyring = Arc::new(Counted::default());
    let builder = site.builder.clone().with_keyring(keyring.clone());
    site.file("a", "1");
    let name = format!("{}/closed/app:1", registry.host);
    let mut request = site.request("FROM scratch\nCOPY a /a\n");
    request.tags = vec![name.parse().unwrap()];
    request.named_here = false;
    request.outputs = vec![Output::Push(Compression::Gzip)];
    builder.build(request.clone(), Arc::new(Heard::default())).await.unwrap();
    let refused = site.builder.build(request, Arc::new(Heard::default())).await.unwrap_err();
    assert!(refused.to_string().contains("login"), "{refused}");

    let other = Site::new().await;
    let theirs = other.builder.clone().with_keyring(keyring.clone());
    let mut request = other.request(&format!("FROM {name}\nLABEL a=b\n"));
    let own = "on-top:1".parse().unwrap();
    request.tags = vec!["on-top:1".parse().unwrap()];
    theirs.build(request, Arc::new(Heard::default())).await.unwrap();
    // Its layer was never needed here, so it is not here; whoever writes the image fetches it.
    let to =
        Output::Docker { to: Destination::Path(other.path("saved.tar")), compression: Compression::None };
    assert!(other.builder.save(&own, &to).await.unwrap_err().to_string().contains("login"));
    let before = keyring.0.lock().unwrap().len();
    theirs.save(&own, &to).await.unwrap();
    assert_eq!(keyring.0.lock().unwrap()[before..], ["closed/app"]);
    // And once more when the blob was removed.
    let image = other.builder.store().image(&own).unwrap();
    let blob = other.builder.store().blobs().path(&image.layers[0].blob.as_ref().unwrap().digest);
    std::fs::remove_file(&blob).unwrap();
    theirs.save(&own, &to).await.unwrap();
    assert!(blob.is_file());
}

/// Removes the large blobs of a registry's storage: its layers. What names them stays.
fn lose_layers(storage: &Path) -> usize {
    let mut lost = 0;
    let mut waiting = vec![storage.join("docker/registry/v2/blobs")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(path).unwrap().flatten().map(|entry| entry.path()));
        } else if !std::fs::read(&path).unwrap().starts_with(b"{") {
            std::fs::remove_file(path).unwrap();
            lost += 1;
        }
    }
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_whose_layers_are_lost_is_no_cache_and_no_error() {
    const TEST: &str = "a_cache_whose_layers_are_lost";
    let site = Site::new().await;
    let Some(registry) = registry(TEST, site.temp.path()) else { return };
    let cache = format!("{}/cache:1", registry.host);
    let dockerfile = "FROM scratch AS one\nCOPY a /one\nCOPY a /more\nFROM scratch\nCOPY --from=one /one /more /out/\nCOPY a /last\n";
    site.file("a", "1");
    let mut request = site.request(dockerfile);
    request.cache_to = vec![CacheTo::Registry(cache.parse().unwrap())];
    let first = site.run(request).await.unwrap();
    for whole in [true, false] {
        if !whole {
            assert!(lose_layers(&site.path("registry")) >= 3);
        }
        let other = Site::new().await;
        other.file("a", "1");
        let mut request = other.request(dockerfile);
        request.cache_from = vec![CacheFrom::Registry(cache.parse().unwrap())];
        let built = other.run(request).await.unwrap();
        assert_eq!((built.text("out/one"), built.text("out/more"), built.text("last")), ("1", "1", "1"));
        assert_eq!(built.files, first.files);
        let events = built.heard.0.lock().unwrap();
        let warned = events
            .iter()
            .any(|event| matches!(event, Event::Warning { message } if message.contains("is done again")));
        assert_eq!((warned, built.outcome.cached == built.outcome.steps), (!whole, whole), "{events:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_a_broken_cache_is_no_cache_and_no_error() {
    let site = Site::new().await;
    site.file("a", "1");
    let mut request = site.request("FROM scratch\nCOPY a /one\n");
    request.cache_to = vec![CacheTo::Local(site.path("cache"))];
    site.run(request).await.unwrap();
    for entry in std::fs::read_dir(site.path("cache/blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        if !std::fs::read(&path).unwrap().starts_with(b"{") {
            std::fs::write(path, "something else").unwrap();
        }
    }
    let other = Site::new().await;
    other.file("a", "1");
    let mut request = other.request("FROM scratch\nCOPY a /one\n");
    request.cache_from = vec![CacheFrom::Local(site.path("cache")), CacheFrom::Local(site.path("nowhere"))];
    let built = other.run(request).await.unwrap();
    assert_eq!((built.text("one"), built.outcome.cached), ("1", 0));
    let events = built.heard.0.lock().unwrap();
    let warned = events.iter().filter(
        |event| matches!(event, Event::Warning { message } if message.contains("no cache was taken")),
    );
    assert_eq!(warned.count(), 2);
}
