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
