//! `windlass lint`: reads workflows as the platform will, before the push, and says what is likely not meant.

mod dockerfile;
mod report;

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use windlass_workflow::lint::{self, Options};
use windlass_workflow::{Admit, Diagnostic, Severity, parse_bytes};

use crate::connection::Global;
use crate::failure::{Exit, Failure};

pub(crate) use report::toned;

/// Check workflow files, actions and Dockerfiles; exit 1 if one has an error
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass lint                         .github/workflows of this repository
  windlass lint ci.yml other/folder Dockerfile
  windlass lint --strict --notes        warnings fail too, and advice is shown
  windlass lint --format sarif > lint.sarif

Exit codes: 0 no error, 1 an error (with --strict: or a warning), 3 no such file.")]
pub(crate) struct Lint {
    /// Files, or folders with workflow files [default: .github/workflows]
    paths: Vec<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Show notes too, such as actions by a name that can move; JSON and SARIF always hold them
    #[arg(long)]
    notes: bool,
    /// Read the language as GitHub does: do not refuse what Windlass does not run yet
    #[arg(long)]
    github: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With the line that each is about
    Text,
    /// One list of objects
    Json,
    /// SARIF 2.1.0, for programs that show findings of many tools
    Sarif,
}

/// The largest file that is read, in bytes: larger ones are no workflows.
const LARGEST: u64 = 16 << 20;

/// A file that was read, and what was found in it.
pub(crate) struct Linted {
    /// Its path, as it is told.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: String,
    /// What was found, in its order.
    pub(crate) findings: Vec<Diagnostic>,
}

/// Checks workflow files.
pub(crate) fn run(global: &Global, lint: Lint) -> Result<Exit> {
    let files = if lint.paths.is_empty() { of_folder(&workflows()?)? } else { named(&lint.paths)? };
    let admit = if lint.github { Admit::Everything } else { Admit::Supported };
    let linted = all(&files, admit)?;
    match lint.format {
        Format::Json => report::json(&linted)?,
        Format::Text if global.json => report::json(&linted)?,
        Format::Sarif => report::sarif(&linted)?,
        Format::Text => report::text(&linted, lint.notes)?,
    }
    let count =
        |severity| linted.iter().flat_map(|one| &one.findings).any(|found| found.severity == severity);
    let failed = count(Severity::Error) || lint.strict && count(Severity::Warning);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// All files, on as many threads as the machine has, in order.
fn all(files: &[PathBuf], admit: Admit) -> Result<Vec<Linted>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = files.get(at) else { return done };
            done.push((at, one(path, admit)));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(files.len());
    let mut done: Vec<(usize, Result<Linted>)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_default());
        }
        done
    });
    anyhow::ensure!(
        done.len() == files.len(),
        "a file could not be read to its end; this is a defect of Windlass"
    );
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, linted)| linted).collect()
}

fn one(path: &Path, admit: Admit) -> Result<Linted> {
    if path.metadata().is_ok_and(|m| m.len() > LARGEST) {
        let message = format!("{} is larger than {LARGEST} bytes", path.display());
        return Err(Failure::new(Exit::Failed, message).into());
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = path.display().to_string();
    let findings = match std::str::from_utf8(&bytes) {
        Ok(text) => findings(path, text, admit),
        Err(_) => parse_bytes(&file, &bytes).diagnostics,
    };
    Ok(Linted { file, text: String::from_utf8_lossy(&bytes).into_owned(), findings })
}

fn findings(path: &Path, text: &str, admit: Admit) -> Vec<Diagnostic> {
    if dockerfile::is_one(path) {
        return dockerfile::findings(path, text);
    }
    let root = root(path);
    let read = |file: &str| root.as_deref().and_then(|root| beside(root, file));
    let options = Options { admit, files: root.is_some().then_some(&read) };
    let name = path.file_name().unwrap_or_default();
    if name == "action.yml" || name == "action.yaml" {
        return lint::action(text, options);
    }
    // What others of the repository call it: its path from the root.
    let file = root
        .as_deref()
        .and_then(|root| path.canonicalize().ok()?.strip_prefix(root).ok().map(Path::to_owned));
    let file = file.map_or_else(|| path.display().to_string(), |file| file.display().to_string());
    lint::workflow(&file, text, options)
}

/// The root of the repository that a file is of: the folder with `.github` on the way to it, or with `.git`.
fn root(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let found = path.ancestors().skip(1).find(|folder| folder.ends_with(".github"));
    if let Some(github) = found {
        return github.parent().map(Path::to_owned);
    }
    path.ancestors().skip(1).find(|folder| folder.join(".git").exists()).map(Path::to_owned)
}

/// Another file of the repository.
fn beside(root: &Path, file: &str) -> Option<String> {
    let file = Path::new(file);
    let below = file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = root.join(file);
    let small = below && path.metadata().is_ok_and(|m| m.is_file() && m.len() <= LARGEST);
    if small { std::fs::read_to_string(path).ok() } else { None }
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
