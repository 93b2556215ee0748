//! Registries: Debian's, with its own storage.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use windlass_build::{BuildRequest, CacheFrom, CacheTo, Compression, DockerfileSource, Output};

use crate::fixture::{Heard, Site};

pub(crate) struct Registry {
    child: Child,
    pub(crate) host: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A registry of this test's own, if the machine has the program.
pub(crate) fn registry(test: &str, root: &Path) -> Option<Registry> {
    registry_with(test, root, "")
}

/// Such a registry with more in its configuration.
pub(crate) fn registry_with(test: &str, root: &Path, more: &str) -> Option<Registry> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = format!("127.0.0.1:{port}");
    let config = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n{more}",
        root.join("registry").display()
    );
    let path = root.join("registry.yml");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
    let child = match command.spawn() {
        Ok(child) => child,
        Err(e) => {
            windlass_testkit::skip(test, &format!("docker-registry could not be started: {e}"));
            return None;
        }
    };
    let registry = Registry { child, host };
    for _ in 0..100 {
        if std::net::TcpStream::connect(&registry.host).is_ok() {
            return Some(registry);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    windlass_testkit::skip(test, "docker-registry does not answer");
    None
}

async fn build(site: &Site, request: BuildRequest) -> windlass_build::Outcome {
    site.builder.build(request, Arc::new(Heard::default())).await.unwrap_or_else(|e| panic!("{e}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn images_go_to_a_registry_and_come_from_it() {
    let Some(site) = Site::with_steps("images_go_to_a_registry").await else { return };
    let Some(registry) = registry("images_go_to_a_registry", site.temp.path()) else { return };
    site.file("a", "1");
    let mut request = site.request("FROM base\nCOPY a /a\nRUN cat /a > /b\nENV FROM_THERE=yes\n");
    request.tags = vec![format!("{}/team/app:1", registry.host).parse().unwrap()];
    request.named_here = false;
    request.outputs = vec![Output::Push(Compression::Gzip)];
    let pushed = build(&site, request.clone()).await;
    let digest = pushed.digest.unwrap();
    // A second push has nothing to send, and says the same.
    assert_eq!(build(&site, request).await.digest, Some(digest.clone()));
    let other = Site::new().await;
    for name in [format!("{}/team/app:1", registry.host), format!("{}/team/app@{digest}", registry.host)] {
        let dockerfile = format!("FROM {name}\nRUN echo $FROM_THERE; cat /a /b\n");
        let built = other.build(&dockerfile).await.unwrap();
        assert_eq!((built.text("a"), built.text("b")), ("1", "1"));
    }
    let missing = other.build(&format!("FROM {}/team/none:1\n", registry.host)).await.err().unwrap();
    assert!(missing.to_string().contains("team/none:1"), "{missing}");
    let mut short = other.request("FROM team/app:1\nRUN cat /b\n");
    short.default_hosts = vec![registry.host.clone()];
    assert_eq!(other.run(short).await.unwrap().text("b"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_in_a_registry_serves_another_machine() {
    let Some(site) = Site::with_steps("a_cache_in_a_registry").await else { return };
    let Some(registry) = registry("a_cache_in_a_registry", site.temp.path()) else { return };
    let of = |name: &str| format!("{}/{name}", registry.host);
    let mut base = site.request("FROM base\n");
    base.tags = vec![of("base:1").parse().unwrap()];
    base.outputs = vec![Output::Push(Compression::Gzip)];
    build(&site, base).await;
    site.file("a", "1");
    let uuid = "cat /proc/sys/kernel/random/uuid";
    let dockerfile = format!(
        "FROM {0} AS one\nCOPY a /a\nRUN {uuid} > /one\nFROM {0}\nCOPY --from=one /one /one\nRUN {uuid} > /two\n",
        of("base:1")
    );
    for inline in [false, true] {
        let mut request = site.request(&dockerfile);
        request.tags = vec![of("app:1").parse().unwrap()];
        request.outputs = vec![Output::Push(Compression::Gzip)];
        let cache = if inline { of("app:1") } else { of("cache:1") };
        request.cache_to =
            vec![if inline { CacheTo::Inline } else { CacheTo::Registry(cache.parse().unwrap()) }];
        build(&site, request).await;
        let other = Site::new().await;
        other.file("a", "1");
        let mut request = other.request("");
        request.dockerfile = DockerfileSource::Text(dockerfile.clone());
        request.cache_from = vec![CacheFrom::Registry(cache.parse().unwrap())];
        let built = other.run(request).await.unwrap();
        // Within the image itself are only its own layers: the copy into the other stage is missing. What the other
        // stage's step left is there, since the file that was copied of it makes the same layer.
        assert_eq!(built.outcome.cached, if inline { 3 } else { 4 }, "inline: {inline}");
        if !inline {
            let ours = site.build(&dockerfile).await.unwrap();
            assert_eq!(built.text("two"), ours.text("two"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_steps_of_others_carries_its_whole_cache() {
    let Some(site) = Site::with_steps("an_image_carries_its_cache").await else { return };
    let Some(registry) = registry("an_image_carries_its_cache", site.temp.path()) else { return };
    site.file("a", "1");
    let name = format!("{}/inline:1", registry.host);
    let mut request = site.request("FROM scratch\nCOPY a /a\nCOPY a /b\n");
    request.tags = vec![name.parse().unwrap()];
    request.outputs = vec![Output::Push(Compression::Zstd)];
    request.cache_to = vec![CacheTo::Inline];
    build(&site, request.clone()).await;
    let other = Site::new().await;
    other.file("a", "1");
    let mut again = other.request("FROM scratch\nCOPY a /a\nCOPY a /b\n");
    again.cache_from = vec![CacheFrom::Registry(name.parse().unwrap())];
    let built = other.run(again).await.unwrap();
    assert_eq!(built.outcome.cached, 2);
    assert_eq!(built.text("b"), "1");
}
