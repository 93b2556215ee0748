//! Rust: a static program, on nothing.

use super::{Files, Ground, Kind, Project, Read, Unrecognised, plain, toml};

pub(super) fn read(files: &Files) -> Read {
    let text = files.text("Cargo.toml")?;
    Some(program(files, text).map(|(package, name, why)| project(files, package.as_deref(), &name, why)))
}

/// The package of a workspace, the program, and why it is that one.
type Program = (Option<String>, String, String);

fn program(files: &Files, text: &str) -> Result<Program, Unrecognised> {
    if let Some(package) = toml::string(text, "package", "name") {
        return of_package(files, text, "", &package).map(|(name, why)| (None, name, why));
    }
    // A workspace without a package of its own: the one member that is a program.
    let members: Vec<(&String, &String)> = files
        .texts
        .iter()
        .filter(|(path, _)| path.ends_with("/Cargo.toml"))
        .filter(|(path, _)| {
            let folder = path.trim_end_matches("Cargo.toml");
            files.has(&format!("{folder}src/main.rs"))
        })
        .collect();
    let [(path, text)] = members[..] else {
        let why = match members.len() {
            0 => "no member of the workspace has a src/main.rs".to_owned(),
            count => format!("{count} members of the workspace are programs"),
        };
        return Err(Unrecognised::unclear(Kind::Rust, why, "run it in the member's own folder"));
    };
    let folder = path.trim_end_matches("Cargo.toml");
    let Some(package) = toml::string(text, "package", "name") else {
        return Err(Unrecognised::unclear(Kind::Rust, format!("{path} names no package"), "give it a name"));
    };
    let (name, why) = of_package(files, text, folder, &package)?;
    Ok((Some(package), name, why))
}

/// The program of a package.
fn of_package(
    files: &Files,
    text: &str,
    folder: &str,
    package: &str,
) -> Result<(String, String), Unrecognised> {
    let check = |name: String, why: String| {
        if plain(&name) && !name.contains('/') {
            return Ok((name, why));
        }
        Err(Unrecognised::unclear(
            Kind::Rust,
            format!("'{name}' is no program's name"),
            "give it another one",
        ))
    };
    if let Some(name) = toml::string(text, "package", "default-run") {
        return check(name, format!("{folder}Cargo.toml: default-run"));
    }
    let mut names = toml::in_list(text, "bin", "name");
    if files.has(&format!("{folder}src/main.rs")) && names.is_empty() {
        return check(package.to_owned(), format!("{folder}src/main.rs"));
    }
    let bins = format!("{folder}src/bin/");
    names.extend(files.paths.iter().filter_map(|path| {
        let name = path.strip_prefix(&bins)?.strip_suffix(".rs")?;
        (!name.contains('/')).then(|| name.to_owned())
    }));
    names.sort();
    names.dedup();
    match names.as_slice() {
        [] => {
            Err(Unrecognised::unclear(Kind::Rust, "it has no program, only a library", "add a src/main.rs"))
        }
        [name] => check(name.clone(), format!("{folder}Cargo.toml and src/bin")),
        many => {
            let why = format!("it has {} programs: {}", many.len(), many.join(", "));
            Err(Unrecognised::unclear(Kind::Rust, why, "say default-run in Cargo.toml"))
        }
    }
}

fn project(files: &Files, package: Option<&str>, name: &str, why: String) -> Project {
    let mut project = Project::new(Kind::Rust, name);
    let locked = files.has("Cargo.lock");
    project.found("a Rust project", "Cargo.toml");
    project.found(format!("the program '{name}'"), why);
    if locked {
        project.found("versions that are fixed", "Cargo.lock");
    }
    project.tools = vec!["cargo"];
    project.ground = Ground::Scratch;
    let mut argv = vec!["cargo", "build", "--release", "--bin", name];
    argv.extend(package.iter().flat_map(|package| ["--package", package]));
    argv.extend(locked.then_some("--locked"));
    let shared = argv.join(" ");
    // With a target said, the flags are for the program alone and not for what runs while it is built.
    argv.extend(["--target", "{arch}-unknown-linux-gnu", "--target-dir", "{out}/target"]);
    let flags = "-Ctarget-feature=+crt-static -Cstrip=symbols --remap-path-prefix={src}=/src";
    project.step(&argv, &[("RUSTFLAGS", flags), ("CARGO_INCREMENTAL", "0")]);
    let built = format!("target/{{arch}}-unknown-linux-gnu/release/{name}");
    project.layer("program", &built, &format!("/app/{name}"), &[]);
    project.entrypoint = vec![format!("/app/{name}")];
    project.stages = format!(
        "FROM rust:1-alpine AS build\nRUN apk add --no-cache musl-dev\nWORKDIR /src\nCOPY . .\n\
         RUN --mount=type=cache,target=/usr/local/cargo/registry \\\n    --mount=type=cache,target=/src/target \\\n    \
         {shared} && cp target/release/{name} /program\n\nFROM scratch\nCOPY --from=build /program /app/{name}\n"
    );
    project
}
