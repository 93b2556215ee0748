//! Go: a static program, on nothing.

use super::texts::{image_name, inside, version};
use super::{Files, Ground, Kind, Project, Read, Unrecognised, Where};

pub(super) fn read(files: &Files) -> Read {
    let text = files.text("go.mod")?;
    Some(program(files).map(|(folder, why)| project(files, text, &folder, why)))
}

/// The value of a directive of `go.mod`.
fn directive<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.split("//").next().unwrap_or_default().trim().trim_matches('"'))
}

/// The folder of the program: the root, or the only one that has a `main`.
fn program(files: &Files) -> Result<(String, String), Unrecognised> {
    let mut found: Vec<(&str, &str)> = files
        .ending(".go")
        .filter(|(path, text)| !path.ends_with("_test.go") && has_main(text))
        .map(|(path, _)| (path.rsplit_once('/').map_or("", |(folder, _)| folder), path))
        .filter(|(folder, _)| folder.is_empty() || inside(folder) && !folder.split('/').any(beside))
        .collect();
    found.sort_unstable();
    found.dedup_by_key(|(folder, _)| *folder);
    if found.is_empty() {
        let why = "no folder of it has a package main with a func main";
        return Err(Unrecognised::unclear(Kind::Go, why, "add a main.go, at the root or in cmd/NAME"));
    }
    let at_root = files.program.is_none() && found[0].0.is_empty();
    let names: Vec<&str> = found.iter().map(|(folder, _)| name_of(folder)).collect();
    let chosen = if at_root {
        0
    } else {
        let name = files.chosen(Kind::Go, &names)?;
        names.iter().position(|known| *known == name).unwrap_or_default()
    };
    let (folder, path) = found[chosen];
    Ok((folder.to_owned(), path.to_owned()))
}

/// A program is called what its folder is called; the root is `.`.
fn name_of(folder: &str) -> &str {
    if folder.is_empty() { "." } else { folder.rsplit('/').next().unwrap_or(folder) }
}

/// Folders whose programs are not what the project is for.
fn beside(part: &str) -> bool {
    matches!(part, "vendor" | "testdata" | "examples" | "example" | "internal" | "tools" | "hack")
        || part.starts_with(['_', '.'])
}

fn has_main(text: &str) -> bool {
    let package = text.lines().map(str::trim_end).find(|line| line.starts_with("package "));
    let named = package.is_some_and(|line| line.split_whitespace().nth(1) == Some("main"));
    // What no build has is generated with, not run.
    let ignored = text.lines().any(|line| line.starts_with("//go:build ignore"));
    named && !ignored && text.lines().any(|line| line.starts_with("func main("))
}

fn project(files: &Files, text: &str, folder: &str, why: String) -> Project {
    let module = directive(text, "module").unwrap_or_default();
    let named = if folder.is_empty() { module } else { folder };
    let name = image_name(if named.is_empty() { &files.folder } else { named });
    let mut project = Project::new(Kind::Go, &name);
    project.found("a Go module", "go.mod");
    project.found(format!("the program '{name}'"), why);
    project.tools = vec!["go"];
    project.ground = Ground::Scratch;
    project.certificates = true;
    let vendored = files.has("vendor/modules.txt");
    if vendored {
        project.found("dependencies beside the code", "vendor/modules.txt");
    } else if files.has("go.sum") {
        project.found("versions that are fixed", "go.sum");
        // Modules beside the code are not there yet when only these two files are.
        if !text.contains("=> .") {
            let download = project.step(&["go", "mod", "download"], &[]);
            (download.early, download.place) = (true, Where::There);
            project.manifests = vec!["go.mod".to_owned(), "go.sum".to_owned()];
        }
    }
    let mut argv = vec!["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="];
    if files
        .ending(".go")
        .any(|(path, text)| !path.starts_with("vendor/") && text.contains("time.LoadLocation("))
    {
        project.found("time zones", "time.LoadLocation: they are built in");
        argv.push("-tags=timetzdata");
    }
    let package = if folder.is_empty() { ".".to_owned() } else { format!("./{folder}") };
    argv.extend(["-o", "{out}/program", &package]);
    project.step(&argv, &[("CGO_ENABLED", "0")]);
    project.layer("program", "program", &format!("/app/{name}"), &[]);
    if files.ending(".go").any(|(path, text)| !path.starts_with("vendor/") && text.contains("env(\"PORT\")"))
    {
        project.found("it listens on PORT", "the variable is read by its code");
        project.listens(8080);
    }
    project.entrypoint = vec![format!("/app/{name}")];
    let wanted = directive(text, "go").and_then(|text| version(text, 2)).unwrap_or_else(|| "1".to_owned());
    project.images = (format!("golang:{wanted}"), "scratch".to_owned());
    project.caches = vec!["/go/pkg/mod", "/root/.cache/go-build"];
    project
}
