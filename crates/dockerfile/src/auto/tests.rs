//! Projects by their files. What is recognised builds: crates/cli has a test with real ones.

use super::*;
use crate::plan::{Options, Plan, Platform};
use crate::{lint, parse};

fn files(paths: &[&str], texts: &[(&str, &str)], tools: &[&str]) -> Files {
    let all = paths.iter().copied().chain(texts.iter().map(|(path, _)| *path));
    Files {
        paths: all.map(str::to_owned).collect(),
        texts: texts.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
        tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        folder: "My App".to_owned(),
    }
}

/// Both Dockerfiles of a project can be read and planned, and no rule finds anything in them.
#[track_caller]
fn sound(project: &Project) {
    for text in [project.dockerfile(), project.assembly()] {
        let parsed = parse(&text);
        let options = Options {
            build_args: BTreeMap::new(),
            target: None,
            platform: Platform::linux("amd64"),
            build_platform: Platform::linux("amd64"),
            contexts: BTreeSet::new(),
        };
        let found: Vec<String> =
            lint(&parsed, &options, None).iter().map(|one| one.snippet("f", &text)).collect();
        assert!(found.is_empty(), "{}\n{text}", found.join("\n"));
        Plan::new(&parsed.dockerfile.expect("a file"), options).expect("a plan");
    }
}

#[track_caller]
fn found(files: &Files, kind: Kind, name: &str, entrypoint: &[&str], layers: &[&str]) -> Project {
    let project = recognise(files).unwrap_or_else(|error| panic!("{error}"));
    sound(&project);
    assert_eq!((project.kind, project.name.as_str()), (kind, name));
    assert_eq!(project.entrypoint, entrypoint);
    assert_eq!(project.layers.iter().map(|layer| layer.name).collect::<Vec<_>>(), layers);
    project
}

#[test]
fn rust_programs() {
    let package = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n";
    let project = found(
        &files(&["src/main.rs", "Cargo.lock"], &[("Cargo.toml", package)], &[]),
        Kind::Rust,
        "hello",
        &["/app/hello"],
        &["program"],
    );
    assert_eq!(project.ground, Ground::Scratch);
    assert!(project.steps[0].argv.contains(&"--locked".to_owned()));
    let bin = format!("{package}[[bin]]\nname = \"tool\"\npath = \"x.rs\"\n");
    found(&files(&["x.rs"], &[("Cargo.toml", &bin)], &[]), Kind::Rust, "tool", &["/app/tool"], &["program"]);
    let member = files(
        &["cli/src/main.rs", "lib/src/lib.rs"],
        &[
            ("Cargo.toml", "[workspace]\nmembers = [\"cli\", \"lib\"]\n"),
            ("cli/Cargo.toml", package),
            ("lib/Cargo.toml", package),
        ],
        &[],
    );
    let project = found(&member, Kind::Rust, "hello", &["/app/hello"], &["program"]);
    assert!(project.steps[0].argv.windows(2).any(|pair| pair == ["--package", "hello"]));
}

#[test]
fn go_programs() {
    let module = "module example.org/team/tool\n\ngo 1.22\n";
    let project = found(
        &files(&["main.go"], &[("go.mod", module)], &[]),
        Kind::Go,
        "tool",
        &["/app/tool"],
        &["program"],
    );
    assert!(project.dockerfile().contains("FROM golang:1.22 AS build"));
    let below = files(&["cmd/server/main.go"], &[("go.mod", module)], &[]);
    found(&below, Kind::Go, "server", &["/app/server"], &["program"]);
}

#[test]
fn node_programs_and_sites() {
    let package = r#"{"name": "@team/web", "scripts": {"start": "node server.js"}, "dependencies": {"x": "1"}, "engines": {"node": ">=20.1"}}"#;
    let project = found(
        &files(&["server.js", "package-lock.json"], &[("package.json", package)], &[]),
        Kind::Node,
        "web",
        &["node", "server.js"],
        &["dependencies", "code"],
    );
    assert!(project.dockerfile().contains("FROM node:20-alpine AS build"));
    assert_eq!(project.steps[0].argv[..3], ["npm", "ci", "--omit=dev"]);
    let shell = r#"{"scripts": {"start": "next start -p $PORT", "build": "next build"}, "dependencies": {"next": "1"}}"#;
    let project = found(
        &files(&[], &[("package.json", shell)], &[]),
        Kind::Node,
        "my-app",
        &["/bin/sh", "-c", "exec next start -p $PORT"],
        &["dependencies", "code"],
    );
    assert_eq!(project.steps.len(), 3);
    let none = r#"{"main": "./lib.js"}"#;
    let project = found(
        &files(&["lib.js"], &[("package.json", none)], &[]),
        Kind::Node,
        "my-app",
        &["node", "./lib.js"],
        &["code"],
    );
    assert!(project.steps.is_empty());
    let site = r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "5"}}"#;
    found(
        &files(&["index.html"], &[("package.json", site)], &["busybox"]),
        Kind::Site,
        "my-app",
        &["busybox", "httpd", "-f", "-p", "8080", "-h", "/site"],
        &["files"],
    );
}

#[test]
fn python_programs() {
    let flask = files(&["app.py"], &[("requirements.txt", "Flask==3.0\n# x\n\ngunicorn\n")], &[]);
    let project = found(
        &flask,
        Kind::Python,
        "my-app",
        &["python3", "-m", "gunicorn", "-b", "0.0.0.0:8000", "app:app"],
        &["packages", "code"],
    );
    assert_eq!(project.port, Some(8000));
    let api =
        "[project]\nname = \"api\"\nrequires-python = \">=3.11\"\ndependencies = [\n \"fastapi>=0.1\",\n]\n";
    let project = found(
        &files(&["main.py"], &[("pyproject.toml", api)], &[]),
        Kind::Python,
        "api",
        &["python3", "-m", "uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"],
        &["packages", "code"],
    );
    assert!(project.dockerfile().contains("FROM python:3.11-slim"));
    found(&files(&["main.py"], &[], &[]), Kind::Python, "my-app", &["python3", "main.py"], &["code"]);
    let django = [
        ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')"),
        ("requirements.txt", "django\ngunicorn"),
    ];
    found(
        &files(&[], &django, &[]),
        Kind::Python,
        "my-app",
        &["python3", "-m", "gunicorn", "-b", "0.0.0.0:8000", "shop.wsgi"],
        &["packages", "code"],
    );
    let procfile = [("Procfile", "worker: x\nweb: python3 run.py --port $PORT\n"), ("requirements.txt", "")];
    found(
        &files(&["run.py"], &procfile, &[]),
        Kind::Python,
        "my-app",
        &["/bin/sh", "-c", "exec python3 run.py --port $PORT"],
        &["code"],
    );
    let module = "[project]\nname = \"thing\"\n";
    found(
        &files(&["src/thing/__main__.py", "src/thing/__init__.py"], &[("pyproject.toml", module)], &[]),
        Kind::Python,
        "thing",
        &["python3", "-m", "thing"],
        &["code"],
    );
}

#[test]
fn java_programs() {
    let main = "package org.example;\npublic class Main { public static void main(String[] a) {} }";
    found(
        &files(&["src/Util.java"], &[("src/Main.java", main)], &[]),
        Kind::Java,
        "my-app",
        &["java", "-cp", "/app/classes", "org.example.Main"],
        &["classes"],
    );
    let pom = "<project><parent><artifactId>p</artifactId></parent><artifactId>shop</artifactId></project>";
    let maven = [("pom.xml", pom), ("src/main/java/org/example/Main.java", main)];
    found(
        &files(&[], &maven, &[]),
        Kind::Java,
        "shop",
        &["java", "-cp", "/app/classes:/app/lib/*", "org.example.Main"],
        &["dependencies", "classes"],
    );
}

#[test]
fn static_sites() {
    let busybox = ["busybox", "httpd", "-f", "-p", "8080", "-h", "/site"];
    let project = found(
        &files(&["index.html"], &[], &["busybox", "python3"]),
        Kind::Site,
        "my-app",
        &busybox,
        &["files"],
    );
    assert_eq!(project.layers[0].from, "src");
    let project = found(
        &files(&["public/index.html"], &[], &["python3"]),
        Kind::Site,
        "my-app",
        &["python3", "-m", "http.server", "8080", "--directory", "/site"],
        &["files"],
    );
    assert_eq!(project.layers[0].from, "src/public");
}

#[test]
fn what_is_not_clear_says_what_would_make_it_clear() {
    let two = "[package]\nname = \"a\"\n";
    for (given, wanted) in [
        (files(&["README"], &[], &[]), "nothing here is known"),
        (files(&["src/lib.rs"], &[("Cargo.toml", two)], &[]), "only a library"),
        (
            files(&["src/bin/a.rs", "src/bin/b.rs"], &[("Cargo.toml", two)], &[]),
            "it has 2 programs: a, b (say default-run",
        ),
        (files(&[], &[("Cargo.toml", "[workspace]\n")], &[]), "no member of the workspace"),
        (files(&["cmd/a/main.go", "cmd/b/main.go"], &[("go.mod", "module x")], &[]), "there are 2 programs"),
        (files(&[], &[("package.json", "{}")], &[]), "add a script start"),
        (files(&[], &[("package.json", "{")], &[]), "package.json is no JSON"),
        (files(&[], &[("requirements.txt", "x")], &[]), "nothing says how it starts"),
        (files(&["build.gradle"], &[], &[]), "Gradle"),
        (
            files(&[], &[("Cargo.toml", "[package]\nname = \"a; rm -rf\"\n"), ("src/main.rs", "")], &[]),
            "is no program's name",
        ),
    ] {
        let error = recognise(&given).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn the_report_says_what_was_found_and_why() {
    let project = recognise(&files(&["app.py"], &[("requirements.txt", "flask")], &[])).unwrap();
    let report = project.report();
    for wanted in [
        "Python project 'my-app'",
        "requirements.txt",
        "flask is needed",
        "layer   packages in /packages",
        "port    8000",
    ] {
        assert!(report.contains(wanted), "{wanted}\n{report}");
    }
}
