//! The repository's rules, kept by a program: which crate may depend on which, what the pure heart may not
//! name, how large files and functions may be, what nothing may be called, what the architecture page says.

mod architecture;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::root;

const FILE_LIMIT: usize = 600;
const FUNCTION_LIMIT: usize = 80;
const PURE: [&str; 5] = ["kernel", "workflow", "pipeline", "delivery", "dockerfile"];

/// The dependency table of ARCHITECTURE.md: a crate, and the crates of ours that it may name.
const ARROWS: [(&str, &[&str]); 21] = [
    ("kernel", &[]),
    ("workflow", &["kernel"]),
    ("pipeline", &["kernel", "workflow"]),
    ("delivery", &["kernel"]),
    ("identity", &["kernel"]),
    ("secrets", &["kernel"]),
    ("source", &["kernel", "identity"]),
    ("oci", &["kernel", "identity", "runtime"]),
    ("runtime", &["kernel"]),
    ("dockerfile", &["kernel"]),
    ("build", &["kernel", "dockerfile", "oci", "runtime"]),
    ("evidence", &["kernel", "oci"]),
    ("runner", &["kernel", "workflow", "runtime", "api", "secrets", "oci", "build"]),
    ("gateway", &["kernel"]),
    ("telemetry", &["kernel"]),
    ("store", &["kernel"]),
    ("api", &["kernel"]),
    ("web", &["api", "kernel", "identity"]),
    (
        "server",
        &[
            "api",
            "build",
            "delivery",
            "evidence",
            "gateway",
            "identity",
            "kernel",
            "oci",
            "pipeline",
            "runner",
            "runtime",
            "secrets",
            "source",
            "store",
            "telemetry",
            "web",
            "workflow",
        ],
    ),
    ("cli", &["api", "kernel", "workflow", "runner", "server", "dockerfile", "build", "evidence", "oci"]),
    ("testkit", &["kernel"]),
];

/// What the pure crates may not name: an async runtime, a network, a database, a file system, the ambient world.
const IMPURE: [&str; 11] = [
    "tokio",
    "hyper",
    "axum",
    "reqwest",
    "sqlx",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "SystemTime",
];

/// Runs every rule and reports every breach.
pub(crate) fn run() -> Result<()> {
    let mut breaches = Vec::new();
    arrows(&mut breaches)?;
    architecture::check(&ARROWS, &mut breaches)?;
    for file in rust_files(&root().join("crates"))?.into_iter().chain(rust_files(&root().join("xtask"))?) {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(root()).unwrap_or(&file).to_owned();
        source(&name, &text, &mut breaches);
    }
    for breach in &breaches {
        println!("tidy: {breach}");
    }
    if breaches.is_empty() {
        println!("tidy: ok");
        return Ok(());
    }
    bail!("{} breaches of the repository's rules", breaches.len());
}

fn arrows(breaches: &mut Vec<String>) -> Result<()> {
    let table: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut crates: Vec<_> = std::fs::read_dir(root().join("crates"))?.collect::<Result<_, _>>()?;
    crates.sort_by_key(|e| e.file_name());
    for entry in crates {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(allowed) = table.get(name.as_str()) else {
            breaches.push(format!(
                "crates/{name}: not in the dependency table of ARCHITECTURE.md and xtask/src/tidy.rs"
            ));
            continue;
        };
        let manifest = std::fs::read_to_string(entry.path().join("Cargo.toml"))?;
        if !manifest.contains("[lints]\nworkspace = true") {
            breaches.push(format!("crates/{name}/Cargo.toml: `[lints] workspace = true` is missing"));
        }
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let Some(rest) = line.strip_prefix("windlass-") else { continue };
            let dependency = rest.split(['.', ' ', '=']).next().unwrap_or_default();
            let development = section == "[dev-dependencies]";
            if development && dependency == "testkit" {
                continue;
            }
            if dependency == "testkit" || (!development && !allowed.contains(dependency)) {
                breaches.push(format!(
                    "crates/{name}/Cargo.toml: {name} may not depend on {dependency} ({section})"
                ));
            }
        }
        if PURE.contains(&name.as_str()) {
            for word in ["tokio", "hyper", "axum", "reqwest", "sqlx"] {
                let named = manifest
                    .lines()
                    .any(|l| l.starts_with(&format!("{word}.")) || l.starts_with(&format!("{word} ")));
                if named {
                    breaches
                        .push(format!("crates/{name}/Cargo.toml: the pure heart may not depend on {word}"));
                }
            }
        }
    }
    Ok(())
}

fn source(file: &Path, text: &str, breaches: &mut Vec<String>) {
    let shown = file.display();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if ["utils", "util", "common", "helpers", "helper", "misc"].contains(&stem.as_str()) {
        breaches.push(format!("{shown}: name the module after a thing of the domain"));
    }
    if stem == "mod" {
        breaches.push(format!("{shown}: no mod.rs; name the file after its module"));
    }
    let lines = text.lines().count();
    if lines > FILE_LIMIT {
        breaches.push(format!("{shown}: {lines} lines (limit {FILE_LIMIT})"));
    }
    let is_test = stem == "tests" || file.components().any(|c| c.as_os_str() == "tests");
    if ["lib", "main"].contains(&stem.as_str()) && !text.starts_with("//!") {
        breaches.push(format!("{shown}: begins without `//!` saying what it is for"));
    }
    let mut parts = file.components().map(|c| c.as_os_str().to_string_lossy().into_owned());
    let in_crates = parts.next().as_deref() == Some("crates");
    let name = parts.next().unwrap_or_default();
    if in_crates && PURE.contains(&name.as_str()) && !is_test {
        pure(&shown.to_string(), &name, text, breaches);
    }
    functions(&shown.to_string(), text, breaches);
}

fn pure(shown: &str, name: &str, text: &str, breaches: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            return;
        }
        let code = line.split("//").next().unwrap_or_default();
        for word in IMPURE {
            // The kernel's clock is the one place where time enters.
            let exempt = name == "kernel" && word == "SystemTime" && shown.ends_with("clock.rs");
            if code.contains(word) && !exempt {
                breaches.push(format!("{shown}:{}: the pure heart may not name {word}", number + 1));
            }
        }
    }
}

/// Lengths of functions, by rustfmt's layout: a function ends at the first `}` indented as deep as its `fn`.
fn functions(shown: &str, text: &str, breaches: &mut Vec<String>) {
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        if let Some((start, indent, name)) = &open {
            // A signature over several lines without a body: a trait's method.
            let no_body = line.trim_end().ends_with(';') && depth == *indent && !trimmed.starts_with('}');
            if no_body {
                open = None;
                continue;
            }
            if depth == *indent && trimmed.starts_with('}') {
                let length = number - start + 1;
                if length > FUNCTION_LIMIT {
                    breaches.push(format!(
                        "{shown}:{}: `{name}` has {length} lines (limit {FUNCTION_LIMIT})",
                        start + 1
                    ));
                }
                open = None;
            } else if depth == *indent && trimmed.ends_with(';') {
                // A declaration in a trait: no body.
                open = None;
            }
            continue;
        }
        let head = trimmed
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("const ")
            .trim_start_matches("async ")
            .trim_start_matches("unsafe ")
            .trim_start_matches("extern \"C\" ");
        if let Some(rest) = head.strip_prefix("fn ")
            && !line.trim_end().ends_with(';')
            && !line.trim_end().ends_with('}')
        {
            let name = rest.split(['(', '<']).next().unwrap_or_default().to_owned();
            open = Some((number, depth, name));
        }
    }
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
