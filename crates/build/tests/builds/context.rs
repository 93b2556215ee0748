//! What `COPY` and `ADD` take from where.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use windlass_build::{Context, DockerfileSource, NamedContext};

use crate::fixture::Site;

#[tokio::test(flavor = "multi_thread")]
async fn copies_follow_the_rules() {
    let site = Site::new().await;
    for (name, text) in [("f1.txt", "1"), ("f2.txt", "2"), ("g.md", "g"), ("dir/a", "a"), ("dir/sub/b", "b")]
    {
        site.file(name, text);
    }
    symlink("f1.txt", site.path("context/link")).unwrap();
    symlink("a", site.path("context/dir/inner")).unwrap();
    for (dockerfile, expected) in [
        ("COPY f1.txt /x", &[("x", "1")][..]),
        ("COPY f1.txt /x/", &[("x", "d"), ("x/f1.txt", "1")]),
        ("COPY *.txt /x/", &[("x/f1.txt", "1"), ("x/f2.txt", "2")]),
        ("COPY f?.txt g.md /x/", &[("x/f1.txt", "1"), ("x/f2.txt", "2"), ("x/g.md", "g")]),
        ("COPY nothing* /x/", &[]),
        ("COPY dir /x", &[("x/a", "a"), ("x/sub/b", "b"), ("x/inner", "a")]),
        ("COPY dir/ /x/", &[("x/a", "a"), ("x/sub/b", "b")]),
        ("COPY link /x", &[("x", "1")]),
        ("COPY dir/inner /x", &[("x", "a")]),
        ("COPY . /all/", &[("all/f1.txt", "1"), ("all/dir/sub/b", "b"), ("all/link", "f1.txt")]),
        ("COPY --parents dir/sub/b f1.txt /x/", &[("x/dir/sub/b", "b"), ("x/f1.txt", "1")]),
        ("COPY --parents dir/./sub/b /x/", &[("x/sub/b", "b")]),
        ("COPY --parents ./**/b /x/", &[("x/dir/sub/b", "b")]),
        ("COPY --exclude=*.md --exclude=dir . /x/", &[("x/f1.txt", "1"), ("x/link", "f1.txt")]),
        ("COPY f1.txt /x\nCOPY f2.txt /x", &[("x", "2")]),
        ("COPY dir /x\nCOPY dir/sub /x/", &[("x/a", "a"), ("x/b", "b"), ("x/sub/b", "b")]),
        ("WORKDIR /w\nCOPY f1.txt .\nCOPY f2.txt sub/y", &[("w/f1.txt", "1"), ("w/sub/y", "2")]),
        ("COPY --link dir /x", &[("x/a", "a")]),
    ] {
        let built = site.build(&format!("FROM scratch\n{dockerfile}\n")).await.unwrap();
        for (path, text) in expected {
            if *text == "d" {
                assert_eq!(built.files[*path].kind, 'd', "{dockerfile}: {path}");
            } else {
                assert_eq!(built.text(path), *text, "{dockerfile}: {path}");
            }
        }
        if dockerfile.contains("--exclude") {
            assert!(!built.has("x/g.md") && !built.has("x/dir"), "{dockerfile}");
        }
        if dockerfile.contains("--parents dir/./") {
            assert!(!built.has("x/dir"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_says_so() {
    let site = Site::new().await;
    site.file("f", "1");
    site.file("d/f/x", "2");
    for (dockerfile, expected) in [
        ("COPY missing /", "\"/missing\": not found"),
        ("COPY ../outside /", "\"/outside\": not found"),
        ("COPY d /x\nCOPY f /x/f/", "cannot"),
        ("COPY f /f\nCOPY d /", "cannot copy to non-directory: /f"),
        ("COPY --chown=nobody f /", "unable to find user nobody"),
        ("COPY --chmod=z+q f /", "chmod"),
    ] {
        let outcome = site.build(&format!("FROM scratch\n{dockerfile}\n")).await;
        match outcome {
            Err(error) => assert!(error.to_string().contains(expected), "{dockerfile}: {error}"),
            Ok(built) if expected == "cannot" => assert_eq!(built.text("x/f/f"), "1"),
            Ok(_) => panic!("{dockerfile} must fail"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_modes_are_those_that_are_asked_for() {
    let site = Site::new().await;
    let script = site.file("run.sh", "#!/bin/sh");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o640)).unwrap();
    site.file("d/f", "f");
    if !std::path::Path::new("/bin/busybox").exists() {
        return windlass_testkit::skip("owners_and_modes", "there is no busybox for a base image");
    }
    let built = site
        .build(
            "FROM base\nCOPY run.sh /a\nCOPY --chown=app run.sh /b\nCOPY --chown=app:staff --chmod=4711 run.sh /new/c\n\
             COPY --chmod=u=rwX,go=rX d /d\nCOPY --chown=5 d /e/\n",
        )
        .await
        .unwrap();
    let of = |path: &str| (built.files[path].mode, built.files[path].owner);
    assert_eq!(of("a"), (0o640, (0, 0)));
    assert_eq!(of("b"), (0o640, (1000, 1001)));
    assert_eq!(of("new/c"), (0o4711, (1000, 50)));
    assert_eq!(of("new"), (0o755, (1000, 50)));
    assert_eq!(of("d/f").0, 0o644);
    assert_eq!(of("e/f").1, (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_is_not_there() {
    let site = Site::new().await;
    for name in ["a", "b.log", "deep/c.log", "deep/keep.log", "node_modules/x/y"] {
        site.file(name, "x");
    }
    site.file(".dockerignore", "**/*.log\n!deep/keep.log\nnode_modules\n");
    let built = site.build("FROM scratch\nCOPY . /\n").await.unwrap();
    let names: Vec<&str> = built.files.keys().map(String::as_str).collect();
    assert_eq!(names, [".dockerignore", "a", "deep", "deep/keep.log"]);
    let missing = site.build("FROM scratch\nCOPY b.log /\n").await.err().unwrap();
    assert!(missing.to_string().contains("\"/b.log\": not found"), "{missing}");
    site.file("sub/My.Dockerfile", "FROM scratch\nCOPY . /\n");
    site.file("sub/My.Dockerfile.dockerignore", "*\n!a\n");
    let mut request = site.request("");
    request.dockerfile = DockerfileSource::InContext("sub/My.Dockerfile".into());
    let built = site.run(request).await.unwrap();
    assert_eq!(built.files.keys().collect::<Vec<_>>(), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_may_be_tars_named_folders_and_images() {
    let site = Site::new().await;
    site.file("a", "in a tar");
    let tar = site.path("context.tar.gz");
    let made = std::process::Command::new("tar")
        .args(["-czf"])
        .arg(&tar)
        .args(["-C"])
        .arg(site.path("context"))
        .arg(".")
        .status();
    assert!(made.unwrap().success());
    let mut request = site.request("FROM scratch\nCOPY a /\n");
    request.context = Context::Tar(tar);
    assert_eq!(site.run(request).await.unwrap().text("a"), "in a tar");
    std::fs::create_dir_all(site.path("other")).unwrap();
    std::fs::write(site.path("other/o"), "other").unwrap();
    let mut request = site.request("FROM scratch\nCOPY --from=named o /\n");
    request.contexts.insert("named".into(), NamedContext::Folder(site.path("other")));
    assert_eq!(site.run(request.clone()).await.unwrap().text("o"), "other");
    request.dockerfile = DockerfileSource::Text("FROM named\nCOPY a /\n".into());
    let built = site.run(request.clone()).await.unwrap();
    assert_eq!((built.text("o"), built.text("a")), ("other", "in a tar"));
    let mut image = site.request("FROM scratch\nCOPY a /from-image\n");
    image.tags = vec!["named-image:1".parse().unwrap()];
    site.run(image).await.unwrap();
    request.contexts.insert("named".into(), NamedContext::Image("named-image:1".into()));
    request.dockerfile = DockerfileSource::Text("FROM scratch\nCOPY --from=named /from-image /x\n".into());
    assert_eq!(site.run(request).await.unwrap().text("x"), "in a tar");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_unpacked_by_add_and_only_by_add() {
    let site = Site::new().await;
    site.file("in/x", "x");
    site.file("in/d/y", "y");
    for (flag, name) in [("-cf", "a.tar"), ("-czf", "a.tgz"), ("-cJf", "a.txz"), ("-cjf", "a.tbz")] {
        let tar = site.path("context").join(name);
        let mut command = std::process::Command::new("tar");
        command.arg(flag).arg(&tar).arg("-C").arg(site.path("context/in")).args(["x", "d"]);
        if !command.status().unwrap().success() {
            windlass_testkit::skip("archives_are_unpacked", &format!("tar {flag} does not work here"));
            continue;
        }
        let built = site.build(&format!("FROM scratch\nADD {name} /u\nCOPY {name} /c/\n")).await.unwrap();
        assert_eq!((built.text("u/x"), built.text("u/d/y")), ("x", "y"), "{name}");
        assert!(built.has(&format!("c/{name}")));
        let kept = site.build(&format!("FROM scratch\nADD --unpack=false {name} /u/\n")).await.unwrap();
        assert!(kept.has(&format!("u/{name}")));
    }
}
