//! Rust: a static program, on nothing.

use super::texts::{inside, plain, string, strings};
use super::{Files, Ground, Kind, Project, Read, Unrecognised, texts};

/// A program of the project, and the package that it is of.
struct Program {
    name: String,
    package: String,
    version: Option<String>,
    why: String,
}

pub(super) fn read(files: &Files) -> Read {
    let text = files.text("Cargo.toml")?;
    Some(parse("Cargo.toml", text).and_then(|root| {
        let all = programs(files, &root)?;
        let program = choose(files, &root, all)?;
        Ok(project(files, &root, program))
    }))
}

fn parse(path: &str, text: &str) -> Result<toml::Table, Unrecognised> {
    text.parse::<toml::Table>().map_err(|error| {
        Unrecognised::unclear(
            Kind::Rust,
            format!("{path} cannot be read: {}", error.message()),
            "cargo says where",
        )
    })
}

/// The programs of the package at the root; of a workspace without one, those of all members.
fn programs(files: &Files, root: &toml::Table) -> Result<Vec<Program>, Unrecognised> {
    let shared = string(root, &["workspace", "package", "version"]);
    let mut all = Vec::new();
    if root.contains_key("package") {
        of_package(files, root, "", &mut all);
    }
    if root.contains_key("workspace") {
        let members = files.texts.iter().filter(|(path, _)| path.ends_with("/Cargo.toml"));
        let left_out = strings(texts::at(root, &["workspace", "exclude"]));
        for (path, text) in members {
            let folder = path.trim_end_matches("Cargo.toml");
            if left_out.iter().any(|out| folder.starts_with(&format!("{}/", out.trim_end_matches('/')))) {
                continue;
            }
            of_package(files, &parse(path, text)?, folder, &mut all);
        }
    }
    for program in &mut all {
        program.version = program.version.take().or_else(|| shared.clone());
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    match all.iter().find(|program| !plain(&program.name) || program.name.contains('/')) {
        None => Ok(all),
        Some(bad) => {
            let why = format!("'{}' is no program's name", bad.name);
            Err(Unrecognised::unclear(Kind::Rust, why, "give it another one"))
        }
    }
}

/// The programs of one package.
fn of_package(files: &Files, table: &toml::Table, folder: &str, all: &mut Vec<Program>) {
    let Some(package) = string(table, &["package", "name"]) else { return };
    let version = string(table, &["package", "version"]);
    let mut add = |name: String, why: String| {
        if !all.iter().any(|known| known.name == name) {
            all.push(Program { name, package: package.clone(), version: version.clone(), why });
        }
    };
    let bins = table.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
    let mut of_main = false;
    for bin in bins {
        of_main |= bin.get("path").and_then(toml::Value::as_str) == Some("src/main.rs");
        if let Some(name) = bin.get("name").and_then(toml::Value::as_str) {
            add(name.to_owned(), format!("{folder}Cargo.toml: [[bin]]"));
        }
    }
    let found = texts::at(table, &["package", "autobins"]).and_then(toml::Value::as_bool) != Some(false);
    if found && !of_main && files.has(&format!("{folder}src/main.rs")) {
        add(package.clone(), format!("{folder}src/main.rs"));
    }
    let bins = format!("{folder}src/bin/");
    for path in files.paths.iter().filter(|_| found) {
        let Some(rest) = path.strip_prefix(&bins) else { continue };
        let name = rest.strip_suffix("/main.rs").or_else(|| rest.strip_suffix(".rs"));
        if let Some(name) = name.filter(|name| !name.contains('/')) {
            add(name.to_owned(), path.clone());
        }
    }
}

fn choose(files: &Files, root: &toml::Table, mut all: Vec<Program>) -> Result<Program, Unrecognised> {
    if all.is_empty() {
        let why = if root.contains_key("package") {
            "it has no program, only a library"
        } else {
            "no member of the workspace is a program"
        };
        return Err(Unrecognised::unclear(Kind::Rust, why, "add a src/main.rs"));
    }
    let preferred = string(root, &["package", "default-run"]);
    let names: Vec<&str> = all.iter().map(|program| program.name.as_str()).collect();
    let name = match (&files.program, preferred) {
        (None, Some(name)) => name,
        _ => files.chosen(Kind::Rust, &names)?.to_owned(),
    };
    let Some(at) = all.iter().position(|program| program.name == name) else {
        let why = format!("default-run names '{name}', which is no program of it");
        return Err(Unrecognised::unclear(Kind::Rust, why, "mend it in Cargo.toml"));
    };
    Ok(all.swap_remove(at))
}

fn project(files: &Files, root: &toml::Table, program: Program) -> Project {
    let Program { name, package, version, why } = program;
    let mut project = Project::new(Kind::Rust, &name);
    let locked = files.has("Cargo.lock");
    project.found("a Rust project", "Cargo.toml");
    project.found(format!("the program '{name}'"), why);
    if locked {
        project.found("versions that are fixed", "Cargo.lock");
    }
    project.version = version;
    project.package.clone_from(&package);
    project.ground = Ground::Scratch;
    project.certificates = true;
    // What musl is for is not to need anything; where it is not, glibc is linked in too.
    let musl = files.tools.contains("rust-musl");
    let target = if musl { "{arch}-unknown-linux-musl" } else { "{arch}-unknown-linux-gnu" };
    project.tools = vec!["cargo"];
    if musl {
        project.found("musl", "the machine has the target and musl-gcc");
        let add = project.step(&["rustup", "target", "add", target], &[]);
        (add.place, add.early) = (super::Where::There, true);
        let install = project.step(
            &["sh", "-c", "apt-get update && apt-get install -y --no-install-recommends musl-tools"],
            &[],
        );
        (install.place, install.early) = (super::Where::There, true);
    }
    // With a target said, the flags are for the program alone and not for what runs while it is built.
    let mut argv = vec!["cargo", "build", "--release", "--bin", &name];
    if !root.contains_key("package")
        || plain(&package) && string(root, &["package", "name"]).as_ref() != Some(&package)
    {
        argv.extend(["--package", &package]);
    }
    argv.extend(locked.then_some("--locked"));
    argv.extend(["--target", target, "--target-dir", "{out}/target"]);
    let flags = "-Ctarget-feature=+crt-static -Cstrip=symbols --remap-path-prefix={src}=/src";
    project.step(&argv, &[("RUSTFLAGS", flags), ("CARGO_INCREMENTAL", "0")]);
    // Out of what is kept from one build to the next.
    project.step(&["cp", &format!("{{out}}/target/{target}/release/{name}"), "{out}/program"], &[]);
    project.layer("program", "program", &format!("/app/{name}"), &[]);
    if reads_port(files) {
        project.found("it listens on PORT", "the variable is read by its code");
        project.listens(8080);
    }
    project.entrypoint = vec![format!("/app/{name}")];
    let image = match string(root, &["package", "rust-version"]) {
        Some(version) if inside(&version) => format!("rust:{version}"),
        _ => "rust:1".to_owned(),
    };
    project.images = (image, "scratch".to_owned());
    project.caches = vec!["/usr/local/cargo/registry", "/out/target"];
    project
}

fn reads_port(files: &Files) -> bool {
    files.ending(".rs").any(|(_, text)| text.contains("\"PORT\"") && text.contains("env"))
}
