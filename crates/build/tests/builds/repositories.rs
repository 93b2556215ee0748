//! Git: `ADD` of repositories, and contexts that are one, over git's own server.

use std::path::Path;
use std::process::Command;

use windlass_build::{Context, DockerfileSource, NamedContext};
use windlass_kernel::Secret;

use crate::fixture::Site;
use crate::web_server;

fn git(folder: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn commit(folder: &Path, name: &str, text: &str) -> String {
    std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
    std::fs::write(folder.join(name), text).unwrap();
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "-m", text]);
    git(folder, &["rev-parse", "HEAD"])
}

/// A repository `r.git` in a folder that a server serves: a branch, a tag, a file that may be executed.
fn repository(site: &Site) -> std::path::PathBuf {
    let folder = site.path("served/r.git");
    std::fs::create_dir_all(&folder).unwrap();
    git(&folder, &["init", "-q", "-b", "main"]);
    commit(&folder, "a", "one");
    std::fs::write(folder.join("run"), "#!").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(folder.join("run"), mode).unwrap();
    commit(&folder, "sub/Dockerfile", "FROM scratch\nCOPY f /in-sub\n");
    commit(&folder, "sub/f", "sub");
    git(&folder, &["tag", "-a", "v1", "-m", "v1"]);
    git(&folder, &["branch", "topic"]);
    commit(&folder, "a", "two");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_added_by_commit() {
    let site = Site::new().await;
    let folder = repository(&site);
    let server = web_server::git(site.path("served"), None);
    let url = server.url("r.git");
    let head = git(&folder, &["rev-parse", "HEAD"]);
    let tagged = git(&folder, &["rev-parse", "v1^{commit}"]);
    for (suffix, path, text) in [
        ("", "x/a", "two"),
        ("#main", "x/a", "two"),
        ("#refs/heads/main", "x/a", "two"),
        ("#v1", "x/a", "one"),
        ("#topic", "x/a", "one"),
        (&format!("#{tagged}"), "x/a", "one"),
        (&format!("#{}", &tagged[..9]), "x/a", "one"),
        ("#main:sub", "x/f", "sub"),
    ] {
        let built = site.build(&format!("FROM scratch\nADD {url}{suffix} /x\n")).await.unwrap();
        assert_eq!(built.text(path), text, "{suffix}");
        assert!(!built.has("x/.git"), "{suffix}");
        if path == "x/a" {
            assert_eq!((built.files["x/run"].mode, built.files["x/a"].mode), (0o755, 0o644));
        }
    }
    for (line, expected) in [
        (format!("ADD {url}#none /x"), "none"),
        (format!("ADD {url}#main:nowhere /x"), "nowhere"),
        (format!("ADD --checksum={} {url} /x", "0".repeat(40)), "is at the commit"),
        (format!("ADD {} /x", server.url("missing.git")), "missing.git"),
    ] {
        let error = site.build(&format!("FROM scratch\n{line}\n")).await.err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains("Dockerfile:2"), "{line}: {error}");
    }
    let right = format!("FROM scratch\nADD --checksum={} {url} /x\n", &head[..12]);
    assert_eq!(site.build(&right).await.unwrap().text("x/a"), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_moved_is_fetched_and_one_that_did_not_is_not() {
    let site = Site::new().await;
    let folder = repository(&site);
    let server = web_server::git(site.path("served"), None);
    for flag in ["", "--keep-git-dir=true "] {
        let dockerfile = format!("FROM scratch\nADD {flag}{}#main /x\n", server.url("r.git"));
        let text = format!("moved {flag}");
        let built = site.build(&dockerfile).await.unwrap();
        assert_eq!((built.outcome.cached, built.has("x/.git/HEAD")), (0, !flag.is_empty()));
        server.asked();
        assert_eq!(site.build(&dockerfile).await.unwrap().outcome.cached, 1, "{flag}");
        let fetched =
            server.asked().iter().any(|asked| String::from_utf8_lossy(&asked.body).contains("command=fetch"));
        assert!(!fetched, "the commit is known: nothing is fetched");
        commit(&folder, "a", &text);
        let built = site.build(&dockerfile).await.unwrap();
        assert_eq!((built.outcome.cached, built.text("x/a")), (0, text.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_within_are_there_too_and_a_token_opens_the_door() {
    let site = Site::new().await;
    let folder = repository(&site);
    let inner = site.path("served/inner.git");
    std::fs::create_dir_all(&inner).unwrap();
    git(&inner, &["init", "-q", "-b", "main"]);
    commit(&inner, "deep", "deep");
    git(&folder, &["submodule", "--quiet", "add", "../inner.git", "within"]);
    std::fs::write(
        folder.join(".gitmodules"),
        "[submodule \"within\"]\n\tpath = within\n\turl = ../inner.git\n",
    )
    .unwrap();
    commit(&folder, "a", "with another");
    let server = web_server::git(site.path("served"), None);
    let built = site.build(&format!("FROM scratch\nADD {} /x\n", server.url("r.git"))).await.unwrap();
    assert_eq!(built.text("x/within/deep"), "deep");
    assert!(!built.has("x/within/.git"));

    let closed = web_server::git(site.path("served"), Some("basic eC1hY2Nlc3MtdG9rZW46aGlkZGVuLXdvcmQ="));
    let mut request = site.request(&format!("FROM scratch\nADD {}#v1 /x\n", closed.url("r.git")));
    let refused = site.run(request.clone()).await.err().unwrap().to_string();
    assert!(refused.contains("failed to load"), "{refused}");
    request.secrets.insert("GIT_AUTH_TOKEN".into(), Secret::new(b"hidden-word".to_vec()));
    assert_eq!(site.run(request.clone()).await.unwrap().text("x/a"), "one");
    request.dockerfile =
        DockerfileSource::Text(format!("FROM scratch\nADD {}#none /x\n", closed.url("r.git")));
    let wrong = site.run(request).await.err().unwrap().to_string();
    assert!(!wrong.contains("hidden-word") && !wrong.contains("aGlkZGVuLXdvcmQ"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_may_be_repositories() {
    let site = Site::new().await;
    repository(&site);
    let server = web_server::git(site.path("served"), None);
    let mut request = site.request("");
    request.dockerfile = DockerfileSource::InContext("Dockerfile".into());
    request.context = Context::Git(format!("{}#topic:sub", server.url("r.git")));
    assert_eq!(site.run(request.clone()).await.unwrap().text("in-sub"), "sub");
    assert_eq!(site.run(request.clone()).await.unwrap().outcome.cached, 1);
    for (suffix, expected) in
        [("#topic:nowhere", "no folder `nowhere`"), ("#none", "none"), ("#main:a", "no folder `a`")]
    {
        request.context = Context::Git(format!("{}{suffix}", server.url("r.git")));
        let error = site.run(request.clone()).await.err().unwrap().to_string();
        assert!(error.contains(expected), "{suffix}: {error}");
    }
    let mut named =
        site.request("FROM code AS c\nFROM scratch\nCOPY --from=code a /a\nCOPY --from=c run /run\n");
    named
        .contexts
        .insert("code".into(), format!("{}#v1", server.url("r.git")).parse::<NamedContext>().unwrap());
    let built = site.run(named).await.unwrap();
    assert_eq!((built.text("a"), built.files["run"].mode), ("one", 0o755));
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_may_be_layouts() {
    use windlass_build::{Compression, Destination, Output};
    let site = Site::new().await;
    site.file("f", "laid out");
    let mut made = site.request("FROM scratch\nCOPY f /f\nENV FROM_THERE=yes\n");
    made.tags = vec!["in-layout:7".parse().unwrap()];
    made.named_here = false;
    let to = Destination::Path(site.path("layout"));
    made.outputs = vec![Output::Oci { to, folder: true, compression: Compression::Gzip }];
    let digest = site.run(made).await.unwrap().outcome.digest.unwrap();
    let layout = site.path("layout").display().to_string();
    for (reference, fine) in
        [(String::new(), true), (":7".into(), true), (format!("@{digest}"), true), (":8".into(), false)]
    {
        let mut request = site.request("FROM it\nCOPY --from=it /f /again\n");
        request.contexts.insert("it".into(), format!("oci-layout://{layout}{reference}").parse().unwrap());
        match site.run(request).await {
            Ok(built) => {
                assert!(fine, "{reference}");
                assert_eq!((built.text("f"), built.text("again")), ("laid out", "laid out"));
                let env = site.config(&built.outcome)["config"]["Env"].to_string();
                assert!(env.contains("FROM_THERE=yes"), "{env}");
            }
            Err(error) => {
                assert!(!fine && error.to_string().contains("no image `8`"), "{reference}: {error}");
            }
        }
    }
}
