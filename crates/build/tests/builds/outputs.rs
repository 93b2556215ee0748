//! Where results go, and that others read them.

use std::process::Command;
use std::sync::Arc;

use windlass_build::{Compression, Destination, Output};

use crate::fixture::{Heard, Site};

fn program(test: &str, name: &str) -> bool {
    let there = Command::new(name).arg("--version").output().is_ok();
    if !there {
        windlass_testkit::skip(test, &format!("there is no {name}"));
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_read_by_skopeo_and_by_ourselves() {
    let site = Site::new().await;
    site.file("a", "hello");
    let mut request = site.request("FROM scratch\nCOPY a /a\nCMD [\"x\"]\n");
    request.tags = vec!["name:1".parse().unwrap()];
    let path = |name: &str| Destination::Path(site.path(name));
    request.outputs = vec![
        Output::Oci { to: path("oci.tar"), folder: false, compression: Compression::Gzip },
        Output::Oci { to: path("oci"), folder: true, compression: Compression::Zstd },
        Output::Docker { to: path("docker.tar"), compression: Compression::None },
        Output::Local(site.path("local")),
    ];
    let built = site.builder.build(request, Arc::new(Heard::default())).await.unwrap();
    assert_eq!(std::fs::read_to_string(site.path("local/a")).unwrap(), "hello");
    let again = Site::new().await;
    for name in ["oci.tar", "oci", "docker.tar"] {
        let loaded = again.builder.load(&site.path(name)).await.unwrap();
        assert_eq!(loaded[0].name, "name:1", "{name}");
        assert_eq!(Some(&loaded[0].config), built.id.as_ref(), "{name}");
        let request = again.request("FROM name:1\nCOPY --from=name:1 /a /b\n");
        let over = again.run(request).await.unwrap();
        assert_eq!((over.text("a"), over.text("b")), ("hello", "hello"));
    }
    if !program("archives_are_read_by_skopeo", "skopeo") {
        return;
    }
    for source in ["oci-archive:oci.tar", "oci:oci", "docker-archive:docker.tar"] {
        let (kind, name) = source.split_once(':').unwrap();
        let target = format!("dir:{}", site.path(&format!("copied-{kind}")).display());
        let from = format!("{kind}:{}", site.path(name).display());
        let out =
            Command::new("skopeo").args(["copy", "--insecure-policy", &from, &target]).output().unwrap();
        assert!(out.status.success(), "{source}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_stays_whoever_makes_room() {
    let site = Site::new().await;
    site.file("a", "hello");
    let mut request = site.request("FROM scratch\nCOPY a /a\nCMD [\"x\"]\n");
    let name = "name:1".parse().unwrap();
    request.tags = vec!["name:1".parse().unwrap()];
    let built = site.builder.build(request, Arc::new(Heard::default())).await.unwrap();
    let store = site.builder.store();
    let taken = site.builder.take(&store.image(&name).unwrap()).await.unwrap();
    assert_eq!(
        (Some(&taken.id), taken.config.config.cmd.as_slice()),
        (built.id.as_ref(), &["x".to_owned()][..])
    );
    assert!(store.remove_image(&name).unwrap() && store.evict(0).unwrap().entries > 0);
    let layer = std::fs::read(&taken.layers[0]).unwrap();
    assert_eq!(windlass_kernel::Digest::sha256(&layer), taken.manifest.layers[0].digest);
    assert_eq!(taken.config.rootfs.diff_ids, [taken.manifest.layers[0].digest.clone()]);
    let path = taken.layers[0].clone();
    drop(taken);
    assert!(!path.exists(), "what was taken is left behind");
}
