//! `Swatinem/rust-cache`: what cargo fetched and built, kept under a key made from the compiler and the lock files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::{Action, ActionError, ActionRun, cache};
use crate::tool::{Hashing, Request};

pub(super) struct RustCache;

#[async_trait]
impl Action for RustCache {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("prefix-key", "v0-rust"),
            ("shared-key", ""),
            ("key", ""),
            ("add-job-id-key", "true"),
            ("add-rust-environment-hash-key", "true"),
            ("env-vars", ""),
            ("workspaces", ". -> target"),
            ("cache-directories", ""),
            ("cache-targets", "true"),
            ("cache-on-failure", "false"),
            ("cache-all-crates", "false"),
            ("cache-workspace-crates", "false"),
            ("save-if", "true"),
            ("cache-provider", "github"),
            ("cache-bin", "true"),
            ("lookup-only", "false"),
            ("cmd-format", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let paths = paths(run)?;
        let (key, prefix) = key(run).await?;
        run.save("key", &*key);
        run.save("paths", paths.join("\n"));
        let found = cache::restore(run, &key, &[prefix], &paths, run.flag("lookup-only")?).await?;
        let hit = found.as_ref() == Some(&key);
        if let Some(found) = found {
            run.save("matched", found);
        }
        run.output("cache-hit", if hit { "true" } else { "false" });
        run.export("CARGO_INCREMENTAL", "0");
        Ok(())
    }

    fn has_post(&self) -> bool {
        true
    }

    async fn post(
        &self,
        run: &mut ActionRun<'_>,
        state: &BTreeMap<String, String>,
    ) -> Result<(), ActionError> {
        let (Some(key), Some(paths)) = (state.get("key"), state.get("paths")) else { return Ok(()) };
        if state.get("matched") == Some(key) {
            run.voice.say("Cache up-to-date.");
            return Ok(());
        }
        if !run.flag("save-if")? {
            run.voice.say("`save-if` is false: nothing is saved");
            return Ok(());
        }
        if run.job.failed_before_posts() && !run.flag("cache-on-failure")? {
            run.voice.say("The job failed and `cache-on-failure` is false: nothing is saved");
            return Ok(());
        }
        let paths: Vec<String> = paths.lines().map(str::to_owned).collect();
        cache::store(run, key, &paths).await
    }
}

/// Each workspace with its target folder.
fn workspaces(run: &ActionRun<'_>) -> Result<Vec<(PathBuf, PathBuf)>, ActionError> {
    run.lines("workspaces")
        .iter()
        .map(|line| {
            let (root, target) = line.split_once("->").unwrap_or((line, "target"));
            let root = run.in_workspace(root.trim())?;
            let target = root.join(target.trim());
            Ok((root, target))
        })
        .collect()
}

fn paths(run: &ActionRun<'_>) -> Result<Vec<String>, ActionError> {
    let home = run.env.get("CARGO_HOME").map_or_else(|| run.job.place.home().join(".cargo"), PathBuf::from);
    let mut paths: Vec<String> = ["registry/index", "registry/cache", "git/db"]
        .iter()
        .map(|part| home.join(part).to_string_lossy().into_owned())
        .collect();
    if run.flag("cache-targets")? {
        paths.extend(workspaces(run)?.iter().map(|(_, target)| target.to_string_lossy().into_owned()));
    }
    paths.extend(run.lines("cache-directories"));
    Ok(paths)
}

/// The key, and what it begins with when only the lock files differ.
async fn key(run: &ActionRun<'_>) -> Result<(String, String), ActionError> {
    let mut prefix = run.input("prefix-key").to_owned();
    if run.input("shared-key").is_empty() {
        if !run.input("key").is_empty() {
            prefix.push_str(&format!("-{}", run.input("key")));
        }
        prefix.push_str(&format!("-{}", run.job.assignment.key));
    } else {
        prefix.push_str(&format!("-{}", run.input("shared-key")));
    }
    prefix.push_str(&format!("-Linux-{}", std::env::consts::ARCH));
    let mut environment = Sha256::new();
    let compiler = run.read(&["rustc", "-vV"], &run.workspace()).await?.unwrap_or_default();
    environment.update(compiler);
    let extra: Vec<_> = run.input("env-vars").split_whitespace().collect();
    for (name, value) in &run.env {
        let counts =
            ["CARGO_PROFILE", "CARGO_BUILD", "RUSTFLAGS", "RUSTDOCFLAGS"].iter().any(|p| name.starts_with(p));
        if counts || extra.contains(&name.as_str()) {
            environment.update(format!("{name}={value}\n"));
        }
    }
    prefix.push_str(&format!("-{}", &hex::encode(environment.finalize())[..8]));
    let mut patterns = Vec::new();
    for (root, _) in workspaces(run)? {
        for file in
            ["**/Cargo.toml", "**/Cargo.lock", "rust-toolchain", "rust-toolchain.toml", ".cargo/config.toml"]
        {
            patterns.push(root.join(file).to_string_lossy().into_owned());
        }
    }
    for (_, target) in workspaces(run)? {
        patterns.push(format!("!{}", target.display()));
    }
    let hash = run.tool(Request::Hash(Hashing { root: run.workspace(), patterns }), None).await?.text;
    let short = if hash.is_empty() { "none" } else { &hash[..8] };
    // Commas divide keys.
    let prefix = prefix.replace(',', "_");
    Ok((format!("{prefix}-{short}"), prefix))
}
