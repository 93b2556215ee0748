//! Files that a browser asks for, and a small server.

use super::{Files, Kind, Project, Read};

/// Where a site's first page may stand.
const ROOTS: [&str; 5] = ["", "public/", "dist/", "_site/", "site/"];

pub(super) fn read(files: &Files) -> Read {
    let root = ROOTS.into_iter().find(|root| files.has(&format!("{root}index.html")))?;
    let mut project = Project::new(Kind::Site, &files.folder);
    project.found("a static site", format!("{root}index.html"));
    let folder = root.trim_end_matches('/');
    let (from, shown) =
        if folder.is_empty() { ("src".to_owned(), ".") } else { (format!("src/{folder}"), folder) };
    serve(&mut project, files, &from, "", shown);
    Some(Ok(project))
}

/// Serves a folder: by busybox, or by Python where the machine has no busybox.
pub(super) fn serve(project: &mut Project, files: &Files, from: &str, stages: &str, source: &str) {
    project.layer("files", from, "/site", &[]);
    "/site".clone_into(&mut project.folder);
    project.port = Some(8080);
    let busybox = ["busybox", "httpd", "-f", "-p", "8080", "-h", "/site"];
    let python = ["python3", "-m", "http.server", "8080", "--directory", "/site"];
    let here = !files.tools.contains("busybox") && files.tools.contains("python3");
    let (server, why) =
        if here { (&python[..], "the machine has no busybox") } else { (&busybox[..], "it is small") };
    project.found(format!("served by {}", server[0]), why);
    project.tools.push(if here { "python3" } else { "busybox" });
    project.entrypoint = super::owned(server);
    let image = if here { "python:3-alpine" } else { "busybox:stable-musl" };
    project.stages = format!("{stages}FROM {image}\nCOPY {source} /site\n");
}
