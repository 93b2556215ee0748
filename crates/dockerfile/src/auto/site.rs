//! Files that a browser asks for, and a small server.

use super::texts::owned;
use super::{Files, Ground, Kind, Project, Read, Where};

/// Where a site's first page may stand.
const ROOTS: [&str; 5] = ["", "public/", "dist/", "_site/", "site/"];

/// Types of files that a small server does not know by itself, and the page for what is not there.
const SETTINGS: &str = "E404:/site/404.html\n.mjs:text/javascript\n.wasm:application/wasm\n.webp:image/webp\n\
                        .avif:image/avif\n.woff2:font/woff2\n.webmanifest:application/manifest+json\n.json:application/json\n";

pub(super) fn read(files: &Files) -> Read {
    if let Some(config) = hugo(files) {
        let mut project = Project::new(Kind::Site, &files.folder);
        project.found("a Hugo site", config);
        project.tools = vec!["hugo"];
        project.step(&["hugo", "--minify", "--destination", "{src}/public"], &[("HUGO_ENV", "production")]);
        "hugomods/hugo:base".clone_into(&mut project.images.0);
        serve(&mut project, files, "src/public");
        return Some(Ok(project));
    }
    let root = ROOTS.into_iter().find(|root| files.has(&format!("{root}index.html")))?;
    let mut project = Project::new(Kind::Site, &files.folder);
    project.found("a static site", format!("{root}index.html"));
    let folder = root.trim_end_matches('/');
    let from = if folder.is_empty() { "src".to_owned() } else { format!("src/{folder}") };
    serve(&mut project, files, &from);
    Some(Ok(project))
}

fn hugo(files: &Files) -> Option<&'static str> {
    let named = files.first(&["hugo.toml", "hugo.yaml", "hugo.json", "config/_default/hugo.toml"]);
    // `config.toml` is a name that many things have.
    let old = files.first(&["config.toml", "config.yaml"]);
    let content = || files.paths.iter().any(|path| path.starts_with("content/"));
    named.or_else(|| old.filter(|_| content()))
}

/// Serves a folder: by a busybox that is in the image if it needs no library, else by what the machine has.
pub(super) fn serve(project: &mut Project, files: &Files, from: &str) {
    "/site".clone_into(&mut project.folder);
    let own = files.tools.contains("busybox-static") && matches!(files.base, None | Some(Ground::Scratch));
    let busybox = own || files.tools.contains("busybox") || !files.tools.contains("python3");
    let (server, why) = match (own, busybox) {
        (true, _) => ("busybox", "it is small, needs no library, and is in the image"),
        (false, true) => ("busybox", "it is small"),
        (false, false) => ("python3", "the machine has no busybox"),
    };
    project.found(format!("served by {server}"), why);
    project.tools.push(server);
    if own {
        project.ground = Ground::Scratch;
        // Wherever it is on this machine.
        project.step(&["busybox", "cp", "/proc/self/exe", "{out}/program"], &[]).place = Where::Here;
        let server = project.layer("server", "program", "/bin/busybox", &[]);
        server.there = Some(("busybox:stable-musl", "/bin/busybox"));
    }
    if busybox {
        project.texts.push(("httpd.conf".to_owned(), SETTINGS.to_owned()));
        project.layer("settings", "httpd.conf", "/etc/httpd.conf", &[]);
    }
    let kept: &[&str] = if from == "src" { &["**/.gitignore", "**/.gitattributes"] } else { &[] };
    project.layer("files", from, "/site", kept);
    project.listens(8080);
    // A small server does not read PORT itself.
    if busybox {
        let line = "exec busybox httpd -f -p \"$PORT\" -h /site -c /etc/httpd.conf";
        let shell: &[&str] = if own { &["/bin/busybox", "sh", "-c", line] } else { &["/bin/sh", "-c", line] };
        project.entrypoint = owned(shell);
        "busybox:stable-musl".clone_into(&mut project.images.1);
        // It has nothing to end in order.
        project.stop = Some("SIGKILL");
    } else {
        project.starts_by_shell("exec python3 -m http.server \"$PORT\" --directory /site");
        "python:3-alpine".clone_into(&mut project.images.1);
        project.stop = Some("SIGINT");
    }
    if project.images.0.is_empty() && own {
        "busybox:stable-musl".clone_into(&mut project.images.0);
    }
}
