//! Runs the tests, adds up what cargo's harnesses say, and lists what was skipped and why.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::root;
use crate::steps::cargo;

#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: Vec<String>,
}

/// All tests, those of the applications too.
pub(crate) fn all(filter: &[String]) -> Result<()> {
    let mut totals = Totals::default();
    let mut ok = run(&["test", "--workspace", "--no-fail-fast"], filter, &mut totals)?;
    if filter.is_empty() {
        let manifest = root().join("apps/tasks/Cargo.toml");
        ok &= run(&["test", "--manifest-path", &manifest.to_string_lossy()], filter, &mut totals)?;
    }
    finish(totals, ok)
}

/// Only the end-to-end tests of the binary.
pub(crate) fn end_to_end(filter: &[String]) -> Result<()> {
    let mut totals = Totals::default();
    let ok =
        run(&["test", "--package", "windlass-cli", "--no-fail-fast", "--test", "*"], filter, &mut totals)?;
    finish(totals, ok)
}

fn run(args: &[&str], filter: &[String], totals: &mut Totals) -> Result<bool> {
    let skips = std::env::temp_dir().join(format!("windlass-skips-{}", std::process::id()));
    let _ = std::fs::remove_file(&skips);
    let mut command = cargo(args);
    command.args(filter).env("WINDLASS_SKIPS", &skips).stdout(Stdio::piped());
    println!("\n$ cargo {}", args.join(" "));
    let mut child = command.spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo's output is not there")?;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if line.starts_with("test result:") {
            totals.passed += count(&line, "passed");
            totals.failed += count(&line, "failed");
        }
        println!("{line}");
    }
    let status = child.wait()?;
    if let Ok(text) = std::fs::read_to_string(&skips) {
        totals.skipped.extend(text.lines().map(str::to_owned));
        std::fs::remove_file(&skips)?;
    }
    Ok(status.success())
}

/// The number before `word` in `test result: ok. 3 passed; 0 failed; …`.
fn count(line: &str, word: &str) -> u64 {
    let mut previous = "";
    for part in line.split_whitespace() {
        if part.trim_end_matches(';') == word {
            return previous.parse().unwrap_or(0);
        }
        previous = part;
    }
    0
}

fn finish(mut totals: Totals, ok: bool) -> Result<()> {
    totals.skipped.sort();
    totals.skipped.dedup();
    if !totals.skipped.is_empty() {
        println!("\nskipped, because this machine cannot run them:");
        for line in &totals.skipped {
            println!("  {line}");
        }
    }
    // A test that skips returns early and is counted as passed by the harness: it is not.
    let skipped = totals.skipped.len() as u64;
    let passed = totals.passed.saturating_sub(skipped);
    println!("\n{passed} passed, {} failed, {skipped} skipped", totals.failed);
    if !ok || totals.failed > 0 {
        bail!("tests failed");
    }
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}
