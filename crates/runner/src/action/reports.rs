//! What tools found, kept with the run: `github/codeql-action/upload-sarif` as the artifact `sarif`,
//! `codecov/codecov-action` as the artifact `coverage`.

use async_trait::async_trait;

use super::{Action, ActionError, ActionRun, failed};
use crate::control::NewArtifact;
use crate::tool::{Request, Zipping};

pub(super) struct Sarif;
pub(super) struct Coverage;

/// Where coverage usually lies.
const USUAL: &[&str] = &[
    "**/*coverage*.xml",
    "**/coverage*.json",
    "**/cobertura*.xml",
    "**/jacoco*.xml",
    "**/lcov.info",
    "**/*.lcov",
    "**/coverage.out",
    "**/coverage.txt",
    "**/clover*.xml",
    "!**/node_modules/**",
    "!**/.git/**",
];

#[async_trait]
impl Action for Sarif {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("sarif_file", "../results"),
            ("checkout_path", ""),
            ("ref", ""),
            ("sha", ""),
            ("token", ""),
            ("matrix", ""),
            ("category", ""),
            ("wait-for-processing", "true"),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let file = run.input("sarif_file").to_owned();
        let name = named("sarif", run.input("category"));
        let kept = keep(run, &name, vec![file.clone()]).await?;
        if kept == 0 {
            return Err(failed(format!("Path does not exist: {file}")));
        }
        run.voice.say(&format!("Kept with the run as the artifact `{name}` ({kept} files)."));
        run.output("sarif-id", name);
        Ok(())
    }
}

#[async_trait]
impl Action for Coverage {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("files", ""),
            ("file", ""),
            ("directory", ""),
            ("flags", ""),
            ("name", ""),
            ("token", ""),
            ("fail_ci_if_error", "false"),
            ("verbose", "false"),
            ("disable_search", "false"),
            ("env_vars", ""),
            ("exclude", ""),
            ("use_oidc", "false"),
            ("slug", ""),
            ("url", ""),
            ("report_type", "coverage"),
            ("working-directory", ""),
            ("handle_no_reports_found", "false"),
            ("os", ""),
            ("version", ""),
            ("plugins", ""),
            ("plugin", ""),
            ("root_dir", ""),
            ("codecov_yml_path", ""),
            ("dry_run", "false"),
            ("override_branch", ""),
            ("override_build", ""),
            ("override_build_url", ""),
            ("override_commit", ""),
            ("override_pr", ""),
            ("skip_validation", "false"),
            ("disable_file_fixes", "false"),
            ("disable_safe_directory", "false"),
            ("git_service", ""),
            ("gcov_args", ""),
            ("gcov_executable", ""),
            ("gcov_ignore", ""),
            ("gcov_include", ""),
            ("job_code", ""),
            ("network_filter", ""),
            ("network_prefix", ""),
            ("run_command", ""),
            ("swift_project", ""),
            ("commit_parent", ""),
            ("binary", ""),
            ("allow-untrusted-inputs", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let given = [run.input("files"), run.input("file")].join(",");
        let folder = [run.input("working-directory"), run.input("directory")].join("/");
        let folder = folder.trim_matches('/').to_owned();
        let below = |pattern: &str| match (pattern.strip_prefix('!'), folder.as_str()) {
            (_, "") => pattern.to_owned(),
            (Some(rest), folder) => format!("!{folder}/{rest}"),
            (None, folder) => format!("{folder}/{pattern}"),
        };
        let mut patterns: Vec<String> =
            given.split([',', '\n']).map(str::trim).filter(|file| !file.is_empty()).map(below).collect();
        if patterns.is_empty() && !run.flag("disable_search")? {
            patterns = USUAL.iter().map(|pattern| below(pattern)).collect();
        }
        let kind = if run.input("report_type") == "test_results" { "test-results" } else { "coverage" };
        let name = named(kind, &[run.input("flags"), run.input("name")].join(" "));
        let kept = if patterns.is_empty() { 0 } else { keep(run, &name, patterns).await? };
        if kept > 0 {
            run.voice.say(&format!(
                "Kept with the run as the artifact `{name}` ({kept} files); nothing is sent elsewhere."
            ));
            return Ok(());
        }
        let why = "no coverage files were found";
        if run.flag("fail_ci_if_error")? && !run.flag("handle_no_reports_found")? {
            return Err(failed(why));
        }
        run.voice.warn(why);
        Ok(())
    }
}

/// A name for an artifact, with what tells it from others of its kind.
pub(super) fn named(kind: &str, apart: &str) -> String {
    let apart: String = apart
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect();
    if apart.is_empty() { kind.to_owned() } else { format!("{kind}-{apart}") }
}

/// Keeps files as an artifact; gives how many there were.
pub(super) async fn keep(run: &ActionRun<'_>, name: &str, patterns: Vec<String>) -> Result<u64, ActionError> {
    let archive = run
        .job
        .place
        .outgoing(&format!("report-{}.zip", run.job.next_serial()))
        .map_err(|e| failed(format!("cannot keep the archive: {e}")))?;
    let zipping = Zipping { root: run.workspace(), patterns, hidden: false, level: 6 };
    let report = run.tool(Request::Zip(zipping), Some(&archive)).await?;
    report.notes.iter().for_each(|note| run.voice.warn(note));
    if report.files > 0 {
        let artifact = NewArtifact { name, archive: &archive, retention_days: None, overwrite: true };
        run.insist("keeping the report", || run.job.control.store_artifact(artifact.clone())).await?;
    }
    let _ = std::fs::remove_file(&archive);
    Ok(report.files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_reports_apart() {
        assert_eq!(named("sarif", ""), "sarif");
        assert_eq!(named("sarif", "/language:go"), "sarif--language-go");
        assert_eq!(named("coverage", "unit "), "coverage-unit");
    }
}
