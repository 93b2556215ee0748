//! `windlass lint`: reads workflows as the platform will, before the push.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use windlass_workflow::{Diagnostic, Severity, parse_bytes};

use crate::connection::Global;
use crate::failure::{Exit, Failure};
use crate::show::{self, Tone};

/// Check workflow files; exit 1 if one has an error
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass lint                      .github/workflows of this repository
  windlass lint ci.yml other/folder")]
pub(crate) struct Lint {
    /// Files, or folders with workflow files [default: .github/workflows]
    paths: Vec<PathBuf>,
}

/// The largest file that is read, in bytes: larger ones are no workflows.
const LARGEST: u64 = 16 << 20;

/// Checks workflow files.
pub(crate) fn run(global: &Global, lint: Lint) -> Result<Exit> {
    let files = if lint.paths.is_empty() { of_folder(&workflows()?)? } else { named(&lint.paths)? };
    let (mut errors, mut warnings, mut findings) = (0, 0, Vec::new());
    for path in &files {
        if path.metadata().is_ok_and(|m| m.len() > LARGEST) {
            return Err(Failure::new(
                Exit::Failed,
                format!("{} is larger than {LARGEST} bytes", path.display()),
            )
            .into());
        }
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = path.display().to_string();
        let text = String::from_utf8_lossy(&bytes);
        for finding in parse_bytes(&file, &bytes).diagnostics {
            match finding.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
                Severity::Note => {}
            }
            if global.json {
                findings.push(as_json(&file, &finding));
            } else {
                show::print(&toned(&finding, &finding.snippet(&file, &text)))?;
            }
        }
    }
    if global.json {
        show::json(&findings)?;
    } else {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let tone = if errors > 0 { Tone::Bad } else { Tone::Good };
        let text = format!(
            "{}: {}, {}",
            count(files.len(), "file"),
            count(errors, "error"),
            count(warnings, "warning")
        );
        show::print(&tone.paint(text))?;
    }
    Ok(if errors > 0 { Exit::Failed } else { Exit::Done })
}

fn as_json(file: &str, finding: &Diagnostic) -> windlass_api::DiagnosticView {
    windlass_api::DiagnosticView {
        severity: finding.severity.to_string(),
        file: file.to_owned(),
        line: finding.span.start.line,
        column: finding.span.start.column,
        message: finding.sentence(),
    }
}

/// The snippet with its first line in the severity's colour.
pub(crate) fn toned(finding: &Diagnostic, snippet: &str) -> String {
    let tone = match finding.severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Busy,
        Severity::Note => Tone::Dim,
    };
    let (head, rest) = snippet.split_once('\n').unwrap_or((snippet, ""));
    format!("{}\n{}", tone.paint(show::clean(head)), show::clean(rest))
}

/// `.github/workflows` here or in a folder above, up to the repository's root.
fn workflows() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    for folder in here.ancestors() {
        let found = folder.join(".github/workflows");
        if found.is_dir() {
            return Ok(found.strip_prefix(&here).map_or_else(|_| found.clone(), Path::to_owned));
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    Err(Failure::not_found("there is no .github/workflows here: name files or folders").into())
}

fn named(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let inner = path.join(".github/workflows");
            files.extend(of_folder(if inner.is_dir() { &inner } else { path })?);
        } else if path.exists() {
            files.push(path.clone());
        } else {
            return Err(Failure::not_found(format!("{} does not exist", path.display())).into());
        }
    }
    Ok(files)
}

fn of_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|p| p.is_file() && p.extension().is_some_and(|e| e == "yml" || e == "yaml"));
    files.sort();
    if files.is_empty() {
        return Err(
            Failure::not_found(format!("{} holds no workflow (*.yml, *.yaml)", folder.display())).into()
        );
    }
    Ok(files)
}
