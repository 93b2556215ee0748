//! Python: packages in a layer of their own, over the machine's interpreter.

use super::framework::start;
use super::requirements::{self, Needs, Source};
use super::texts::{owned, pairs, plain, string, version};
use super::{Files, Kind, Project, Read, Step, Unrecognised, Where};

/// What makes a project one in Python.
const MARKERS: [&str; 9] = [
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "poetry.lock",
    "uv.lock",
    "manage.py",
    "app.py",
    "main.py",
    "wsgi.py",
];

/// Programs of packages name the interpreter that installed them, by its path on this machine, and a list of files has
/// their digests. Both are made what they are on every machine.
const TIDY: &str = r##"import os, pathlib, re, sys
packages = pathlib.Path(sys.argv[1])
for path in sorted((packages / "bin").glob("*")):
    text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    if re.match(rb"#!/bin/sh\n'''exec'", text):
        text = b"#!" + b"python\n" + text.split(b"\n", 3)[3]
    first, _, rest = text.partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        path.write_bytes(b"#!/usr/bin/env python3\n" + rest)
for path in sorted(packages.glob("*.dist-info/RECORD")):
    lines = path.read_text().splitlines()
    path.write_text("".join(line + "\n" for line in lines if not line.startswith("../../bin/")))
"##;

pub(super) fn read(files: &Files) -> Read {
    let marker = files.first(&MARKERS)?;
    // A pyproject.toml alone may be for tools of another kind of project.
    if marker == "pyproject.toml" && !files.paths.iter().any(|path| path.strip_suffix(".py").is_some()) {
        return None;
    }
    Some(project(files, marker))
}

fn project(files: &Files, marker: &str) -> Result<Project, Unrecognised> {
    let text = files.text("pyproject.toml").unwrap_or_default();
    let pyproject: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let why = format!("pyproject.toml cannot be read: {}", error.message());
        Unrecognised::unclear(Kind::Python, why, "mend it")
    })?;
    let of_project = |key: &str| {
        string(&pyproject, &["project", key]).or_else(|| string(&pyproject, &["tool", "poetry", key]))
    };
    let needs = Needs::of(files, &pyproject)?;
    let name = of_project("name").unwrap_or_else(|| files.folder.clone());
    let mut project = Project::new(Kind::Python, &name);
    project.version = of_project("version").filter(|version| plain(version));
    project.found("a Python project", marker);
    let start = start(files, &pyproject, &needs)?;
    project.found("how it starts", start.why);
    project.tools = vec!["python3"];
    install(&mut project, files, &needs);
    project.layer("code", "src", "/app", &[]);
    let below_src = files.paths.iter().any(|path| path.starts_with("src/") && path.ends_with("/__init__.py"));
    let path = if below_src { "/app:/app/src:/packages" } else { "/app:/packages" };
    project.env = pairs(&[
        ("PYTHONPATH", path),
        ("PATH", "/packages/bin:$PATH"),
        ("PYTHONUNBUFFERED", "1"),
        // Nobody may write beside the code.
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ]);
    if let Some(port) = start.port {
        project.listens(port);
    }
    project.stop = start.stop;
    project.entrypoint = start.argv;
    let wanted = requirements::python(files, &pyproject);
    let image = match wanted.as_deref().and_then(|text| version(text, 2)) {
        Some(version) if version.contains('.') => format!("python:{version}-slim"),
        _ => "python:3-slim".to_owned(),
    };
    project.images = (image.clone(), image);
    project.caches = vec!["/root/.cache/pip"];
    Ok(project)
}

/// The steps and the layer of what it needs.
fn install(project: &mut Project, files: &Files, needs: &Needs) {
    let mut pip = vec![
        "python3",
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-compile",
        "--root-user-action=ignore",
        "--target",
        "{out}/packages",
    ];
    let count = format!("{} packages", needs.list.len());
    match &needs.source {
        Source::Nothing => return,
        Source::List => {
            project.found(count, "requirements.txt");
            pip.extend(["-r", "requirements.txt"]);
            // A list may name other files.
            let alone =
                needs.list.iter().all(|line| !line.starts_with(['-', '.', '/']) && !line.contains("file:"));
            project.manifests = if alone { owned(&["requirements.txt"]) } else { Vec::new() };
        }
        Source::Project => {
            project.found(count, "pyproject.toml: dependencies");
            // What begins with a dash would be an option.
            pip.push("--");
            pip.extend(needs.list.iter().map(String::as_str));
        }
        Source::Lock { file, text, tool } => {
            project.found(count, *file);
            pip.extend(["--no-deps", "-r", "{out}/requirements.locked"]);
            project.texts.push(("requirements.locked".to_owned(), text.clone()));
            let all = ["pyproject.toml", "Pipfile", file];
            project.manifests = all.into_iter().filter(|path| files.has(path)).map(str::to_owned).collect();
            for argv in tool {
                project.steps.push(Step {
                    argv: owned(argv),
                    env: Vec::new(),
                    place: Where::There,
                    early: true,
                });
            }
        }
    }
    let early = needs.source == Source::Project || !project.manifests.is_empty();
    let env = [("PYTHONDONTWRITEBYTECODE", "1"), ("SOURCE_DATE_EPOCH", "315532800")];
    project.step(&pip, &env).early = early;
    project.texts.push(("tidy.py".to_owned(), TIDY.to_owned()));
    project.step(&["python3", "{out}/tidy.py", "{out}/packages"], &[]).early = early;
    // Byte code has the time of its making in it.
    project.layer("packages", "packages", "/packages", &["**/__pycache__"]);
}
