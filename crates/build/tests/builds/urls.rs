//! `ADD` of addresses, and contexts that are at one.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use windlass_build::{Context, Destination, DockerfileSource, NamedContext, Output};
use windlass_kernel::Digest;

use crate::fixture::{Heard, Site};
use crate::web_server::{Answer, Server};

/// A compressed tar with the file `inside`.
fn archive(text: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in [("inside", text), ("Dockerfile", "FROM scratch\nCOPY inside /from-tar\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&tar.into_inner().unwrap()).unwrap();
    packed.finish().unwrap()
}

/// When the entry of a tar was last changed.
fn modified(tar: &std::path::Path, name: &str) -> u64 {
    let mut archive = tar::Archive::new(std::fs::File::open(tar).unwrap());
    let found = archive.entries().unwrap().flatten().find(|e| &*e.path_bytes() == name.as_bytes());
    found.unwrap().header().mtime().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_address_leads_to_is_one_file() {
    let site = Site::new().await;
    let server = Server::start(|asked| match asked.path.as_str() {
        "/dated" => Answer::ok("dated").with("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        "/named" => Answer::ok("named").with("Content-Disposition", "attachment; filename=other"),
        "/a.tar.gz" => Answer::ok(archive("inside")),
        "/old/moved" => Answer::status(302).with("Location", "/dated"),
        "/a%20b" => Answer::ok("spaced"),
        _ => Answer::status(404),
    });
    for (instruction, path, mode, owner, text) in [
        ("ADD {}/dated /d/", "d/dated", 0o600, (0, 0), Some("dated")),
        ("ADD {}/dated /renamed", "renamed", 0o600, (0, 0), Some("dated")),
        ("ADD {}/named /", "named", 0o600, (0, 0), Some("named")),
        ("ADD --chown=7:8 --chmod=0751 {}/dated /x", "x", 0o751, (7, 8), Some("dated")),
        ("ADD {}/old/moved?x=y /", "moved", 0o600, (0, 0), Some("dated")),
        ("ADD {}/a%20b /", "a b", 0o600, (0, 0), Some("spaced")),
        ("ADD {}/a.tar.gz /", "a.tar.gz", 0o600, (0, 0), None),
        ("ADD --unpack=true {}/a.tar.gz /u/", "u/inside", 0o644, (0, 0), Some("inside")),
        ("ADD --link {}/dated /l/", "l/dated", 0o600, (0, 0), Some("dated")),
    ] {
        let instruction = instruction.replace("{}", &format!("http://{}", server.host));
        let built = site.build(&format!("FROM scratch\n{instruction}\n")).await.unwrap();
        let file = built.files.get(path).unwrap_or_else(|| panic!("{instruction}: {:?}", built.files.keys()));
        assert_eq!((file.kind, file.mode, file.owner), ('f', mode, owner), "{instruction}");
        assert!(text.is_none_or(|text| file.text == text), "{instruction}: {}", file.text);
    }
    let tar = site.path("times.tar");
    let mut request =
        site.request(&format!("FROM scratch\nADD {} {} /\n", server.url("dated"), server.url("named")));
    request.outputs = vec![Output::Tar(Destination::Path(tar.clone()))];
    site.builder.build(request, Arc::new(Heard::default())).await.unwrap();
    assert_eq!((modified(&tar, "dated"), modified(&tar, "named")), (784_111_777, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_no_work_and_others_are() {
    let site = Site::new().await;
    let version = Arc::new(AtomicU32::new(1));
    let now = version.clone();
    let server = Server::start(move |asked| {
        let text = format!("version {}", now.load(Ordering::SeqCst));
        let etag = format!("\"{text}\"");
        match (asked.path.as_str(), asked.headers.get("if-none-match")) {
            ("/tagged", Some(known)) if *known == etag => Answer::status(304).with("ETag", &etag),
            ("/tagged", _) => Answer::ok(text).with("ETag", &etag),
            _ => Answer::ok(text),
        }
    });
    for path in ["tagged", "plain"] {
        version.store(1, Ordering::SeqCst);
        let dockerfile = format!("FROM scratch\nADD {} /f\n", server.url(path));
        for (number, cached, text) in
            [(1, 0, "version 1"), (1, 1, "version 1"), (2, 0, "version 2"), (2, 1, "version 2")]
        {
            version.store(number, Ordering::SeqCst);
            server.asked();
            let built = site.build(&dockerfile).await.unwrap();
            assert_eq!((built.outcome.cached, built.text("f")), (cached, text), "{path}");
            assert_eq!(server.asked().len(), 1, "{path}: it is asked for once, and each time");
        }
    }
    // What has a checksum and is here is not even asked for.
    let digest = Digest::sha256(b"version 2");
    let dockerfile = format!("FROM scratch\nADD --checksum={digest} {} /g\n", server.url("summed"));
    assert_eq!(site.build(&dockerfile).await.unwrap().text("g"), "version 2");
    version.store(3, Ordering::SeqCst);
    server.asked();
    assert_eq!(site.build(&dockerfile).await.unwrap().outcome.cached, 1);
    assert_eq!(
        site.build(&dockerfile.replace("/g", "/elsewhere")).await.unwrap().text("elsewhere"),
        "version 2"
    );
    assert_eq!(server.asked().len(), 0);
    let wrong = site.build(&dockerfile.replace("summed", "other")).await.err().unwrap().to_string();
    let found = Digest::sha256(b"version 3");
    assert!(wrong.contains("digest mismatch") && wrong.contains(&found.to_string()), "{wrong}");
    assert!(wrong.contains("Dockerfile:2"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_says_why() {
    let site = Site::new().await;
    let server = Server::start(|asked| match asked.path.as_str() {
        "/large" => Answer { missing: 5000, ..Answer::ok("x") },
        "/creeping" => Answer::ok(vec![b'x'; 5000]),
        "/silent" => Answer { missing: 10, stalls: true, ..Answer::ok("x") },
        "/short" => Answer { missing: 10, ..Answer::ok("x") },
        "/round" => Answer::status(302).with("Location", "/round"),
        "/out" => Answer::status(302).with("Location", "file:///etc/passwd"),
        _ => Answer::status(404),
    });
    let with_password = format!("http://me:hidden-word@{}/gone", server.host);
    for (address, expected) in [
        (server.url("gone"), "the server answered 404"),
        (with_password, "the server answered 404"),
        (server.url("large"), "it is larger than 1000 bytes"),
        (server.url("creeping"), "it is larger than 1000 bytes"),
        (server.url("silent"), "the server said nothing for"),
        (server.url("short"), "failed to load"),
        (server.url("round"), "more than 10 redirections"),
        (server.url("out"), "failed to load"),
        ("http://127.0.0.1:1/x".to_owned(), "refused"),
    ] {
        let mut request = site.request(&format!("FROM scratch\nADD {address} /f\n"));
        request.limits.layer_bytes = 1000;
        request.limits.stall = Duration::from_millis(400);
        let error = site.run(request).await.err().unwrap_or_else(|| panic!("{address} must fail"));
        let text = error.to_string();
        assert!(text.contains(expected), "{address}: {text}");
        let said = text.lines().last().unwrap();
        assert!(!said.contains("hidden-word"), "{said}");
    }
    let urls = std::fs::read_dir(site.builder.store().root().join("urls")).map_or(0, Iterator::count);
    assert_eq!(urls, 0, "nothing is remembered of what failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_may_be_at_an_address() {
    let site = Site::new().await;
    site.file("own", "own");
    let server = Server::start(|asked| match asked.path.as_str() {
        "/c.tar.gz" => Answer::ok(archive("tarred")),
        "/Dockerfile" => Answer::ok("FROM scratch\nCOPY <<EOF /here\nhere\nEOF\n"),
        _ => Answer::ok(vec![0, 1, 2]),
    });
    let mut request = site.request("");
    request.dockerfile = DockerfileSource::InContext("Dockerfile".into());
    request.context = Context::Url(server.url("c.tar.gz"));
    assert_eq!(site.run(request.clone()).await.unwrap().text("from-tar"), "tarred");
    request.context = Context::Url(server.url("Dockerfile"));
    assert_eq!(site.run(request.clone()).await.unwrap().text("here"), "here\n");
    request.context = Context::Url(server.url("noise"));
    let error = site.run(request).await.err().unwrap().to_string();
    assert!(error.contains("neither a tar nor a Dockerfile"), "{error}");
    let mut named = site.request("FROM there\nCOPY --from=there inside /copied\nCOPY own /\n");
    named.contexts.insert("there".into(), NamedContext::Remote(server.url("c.tar.gz")));
    let built = site.run(named).await.unwrap();
    assert_eq!((built.text("inside"), built.text("copied"), built.text("own")), ("tarred", "tarred", "own"));
}
