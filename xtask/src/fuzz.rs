//! Fuzz targets: tests that run as long as they are told to. Each is an ordinary test of its crate as well.

use anyhow::{Context, Result, bail};

use crate::steps::{cargo, check};

/// A target: its name and corpus below `fuzz/`, its crate, and the test that it is.
const TARGETS: [(&str, &str, &[&str]); 14] = [
    ("workflow", "windlass-workflow", &["--test", "fuzz", "workflow"]),
    ("expression", "windlass-workflow", &["--test", "fuzz", "expression"]),
    ("glob", "windlass-workflow", &["--test", "fuzz", "glob"]),
    ("cron", "windlass-workflow", &["--test", "fuzz", "cron"]),
    ("commands", "windlass-runner", &["--lib", "fuzz::commands"]),
    ("env-files", "windlass-runner", &["--lib", "fuzz::env_files"]),
    ("matchers", "windlass-runner", &["--lib", "fuzz::matchers"]),
    ("zip", "windlass-runner", &["--lib", "tool::fuzz::zip"]),
    ("tar", "windlass-runner", &["--lib", "tool::fuzz::cache_archive"]),
    ("paths", "windlass-runner", &["--lib", "tool::fuzz::path_patterns"]),
    ("layer", "windlass-oci", &["--lib", "unpack::fuzz::layer"]),
    ("dockerfile", "windlass-dockerfile", &["--test", "fuzz", "dockerfile"]),
    ("dockerfile-words", "windlass-dockerfile", &["--test", "fuzz", "words"]),
    ("dockerignore", "windlass-dockerfile", &["--test", "fuzz", "dockerignore"]),
];

/// `[NAME…] [--seconds N] [--keep]`
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (mut seconds, mut keep, mut names) = (60_u64, false, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let text = args.next().context("--seconds needs a number")?;
                seconds = text.parse().with_context(|| format!("--seconds {text}: a number is needed"))?;
            }
            "--keep" => keep = true,
            name if TARGETS.iter().any(|(known, ..)| *known == name) => names.push(name),
            name => bail!(
                "there is no fuzz target `{name}`; there are: {}",
                TARGETS.map(|(name, ..)| name).join(", ")
            ),
        }
    }
    for (name, package, test) in TARGETS {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        let mut command = cargo(&["test", "--quiet", "--package", package]);
        command.args(test).args(["--", "--exact", "--nocapture"]);
        command.env("WINDLASS_FUZZ_SECONDS", seconds.to_string());
        if keep {
            command.env("WINDLASS_FUZZ_KEEP", "1");
        }
        check(&mut command)?;
    }
    Ok(())
}
