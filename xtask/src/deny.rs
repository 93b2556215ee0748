//! Licences, sources and bans. With cargo-deny on the machine it does the work; without it, the same
//! deny.toml is read here for licences, sources and bans, and it is said that advisories were not checked.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::root;
use crate::steps::{cargo, check};

/// Checks the dependencies against deny.toml.
pub(crate) fn run() -> Result<()> {
    let there =
        Command::new("cargo-deny").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|s| s.success()) {
        return check(&mut cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]));
    }
    let rules = std::fs::read_to_string(root().join("deny.toml"))?;
    let allowed = list(&rules, "allow = [");
    let banned = list(&rules, "deny = [");
    let tree = ["tree", "--workspace", "--edges", "normal,build", "--prefix", "none", "--format", "{p}|{l}"];
    let output = cargo(&tree).output().context("cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    // `name v1.2.3|MIT`; ours carry their folder in parentheses, packages from Git their address.
    let packages: BTreeSet<&str> =
        text.lines().map(|l| l.trim_end_matches(" (*)")).filter(|l| !l.is_empty()).collect();
    let mut breaches = Vec::new();
    let mut checked = 0;
    for line in packages {
        let (package, licence) =
            line.split_once('|').with_context(|| format!("cargo tree printed `{line}`"))?;
        let name = package.split(' ').next().unwrap_or_default();
        if package.contains(&format!("({}", root().display())) {
            continue;
        }
        checked += 1;
        if package.contains("://") {
            breaches.push(format!("{package}: does not come from the registry"));
        }
        if banned.iter().any(|b| b == name) {
            breaches.push(format!("{name}: banned by deny.toml"));
        }
        if !acceptable(licence, &allowed) {
            breaches.push(format!("{name}: licence `{licence}` is not among those allowed"));
        }
    }
    for breach in &breaches {
        println!("deny: {breach}");
    }
    if !breaches.is_empty() {
        bail!("{} dependencies break deny.toml", breaches.len());
    }
    println!(
        "deny: ok ({checked} packages; cargo-deny is not on this machine: advisories and duplicates were not checked)"
    );
    Ok(())
}

/// The strings of a list in deny.toml, from `start` to the closing bracket.
fn list(text: &str, start: &str) -> Vec<String> {
    let Some(at) = text.find(start) else { return Vec::new() };
    let body = &text[at + start.len()..];
    let body = body.split(']').next().unwrap_or_default();
    body.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be satisfied by allowed licences alone.
fn acceptable(expression: &str, allowed: &[String]) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    // Without nesting, an expression is met if every AND part has an allowed OR alternative. Parentheses are
    // dropped, which can only make it stricter for the expressions in use: `A OR B AND C` needs C allowed.
    flat.split(" AND ")
        .all(|part| part.split(" OR ").any(|licence| allowed.iter().any(|a| a == licence.trim())))
}
