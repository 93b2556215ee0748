//! The application that the demo delivers: found beside this program, copied, and edited as a developer would.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::failure::Failure;

/// A folder with the application's sources.
#[derive(Clone, Debug)]
pub(crate) struct App(PathBuf);

/// The file that the two new versions change.
const SOURCE: &str = "src/api.rs";
/// The line that begins the health check.
const HEALTH: &str = "async fn health(";
/// What the version says of itself.
const VERSION: &str = "env!(\"CARGO_PKG_VERSION\")";

impl App {
    /// The given folder, or `apps/tasks` above the current folder or above this program.
    pub(crate) fn find(given: Option<&Path>) -> Result<Self> {
        if let Some(folder) = given {
            if !folder.join("Cargo.toml").is_file() {
                return Err(Failure::not_found(format!("{} holds no Cargo.toml", folder.display())).into());
            }
            return Ok(Self(folder.canonicalize()?));
        }
        let roots = [
            std::env::current_dir().ok(),
            std::env::current_exe().ok(),
            std::env::var_os("WINDLASS_REPOSITORY").map(Into::into),
        ];
        for root in roots.iter().flatten() {
            for above in root.ancestors() {
                let folder = above.join("apps/tasks");
                if folder.join("Cargo.toml").is_file() {
                    return Ok(Self(folder));
                }
            }
        }
        let message = "apps/tasks is neither above this folder nor above this program: go to Windlass' repository, or name the folder with --app";
        Err(Failure::not_found(message).into())
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Copies the sources: what git tracks, or, outside a repository, all but what is built.
    pub(crate) fn copy_to(&self, target: &Path) -> Result<()> {
        let files = match self.tracked() {
            Some(files) if !files.is_empty() => files,
            _ => walk(&self.0, Path::new(""))?,
        };
        for file in files {
            let (from, to) = (self.0.join(&file), target.join(&file));
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent)?;
            }
            // A file that is tracked and was removed since is not part of it any more.
            if from.is_file() {
                std::fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
                std::fs::set_permissions(
                    &to,
                    std::fs::Permissions::from_mode(from.metadata()?.permissions().mode() | 0o200),
                )?;
            }
        }
        Ok(())
    }

    fn tracked(&self) -> Option<Vec<PathBuf>> {
        let done = Command::new("git").arg("-C").arg(&self.0).args(["ls-files", "-z"]).output().ok()?;
        if !done.status.success() {
            return None;
        }
        let text = String::from_utf8(done.stdout).ok()?;
        Some(text.split('\0').filter(|f| !f.is_empty()).map(PathBuf::from).collect())
    }

    /// Makes the copy's health check fail in production, and nowhere else.
    pub(crate) fn break_health(copy: &Path) -> Result<()> {
        edit(copy, broken)
    }

    /// Brings the copy's source back, with a mark in the version that it tells.
    pub(crate) fn mend_and_mark(&self, copy: &Path) -> Result<()> {
        std::fs::copy(self.0.join(SOURCE), copy.join(SOURCE))?;
        edit(copy, marked)
    }
}

fn edit(copy: &Path, change: fn(&str) -> Option<String>) -> Result<()> {
    let path = copy.join(SOURCE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let Some(changed) = change(&text) else {
        bail!(
            "{} does not hold the line that the demo changes (`{HEALTH}` and `{VERSION}` are looked for)",
            path.display()
        );
    };
    std::fs::write(&path, changed).with_context(|| format!("cannot write {}", path.display()))
}

/// The source with a health check that answers 500 in production.
fn broken(source: &str) -> Option<String> {
    let line = source.lines().find(|l| l.starts_with(HEALTH) && l.ends_with('{'))?;
    let failing = format!(
        "{line}\n    if std::env::var(\"WINDLASS_ENVIRONMENT\").is_ok_and(|name| name == \"production\") {{\n        \
         return answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({{ \"status\": \"unhealthy\" }}));\n    }}"
    );
    Some(source.replacen(line, &failing, 1))
}

/// The source with a mark in the version that it tells.
fn marked(source: &str) -> Option<String> {
    let marked = format!("concat!({VERSION}, \"+second\")");
    source.contains(VERSION).then(|| source.replacen(VERSION, &marked, 1))
}

/// All files below, but for what is built and what git keeps.
fn walk(root: &Path, below: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !matches!(entry.file_name().to_str(), Some("target" | ".git")) {
                files.extend(walk(root, &path)?);
            }
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_are_copied() {
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        for file in ["Cargo.toml", "src/api.rs", "target/debug/x", ".github/workflows/ci.yml", ".git/config"]
        {
            let path = from.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        App::find(Some(&from)).unwrap().copy_to(&to).unwrap();
        for (file, there) in [
            ("Cargo.toml", true),
            (".github/workflows/ci.yml", true),
            ("target/debug/x", false),
            (".git/config", false),
        ] {
            assert_eq!(to.join(file).exists(), there, "{file}");
        }
        assert!(App::find(Some(&to.join("none"))).is_err());
    }

    #[test]
    fn the_edits_fit_the_application_that_comes_with_windlass() {
        let source = include_str!("../../../../apps/tasks/src/api.rs");
        let broken = broken(source).unwrap();
        let [line] = broken.lines().filter(|l| l.contains("WINDLASS_ENVIRONMENT")).collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        assert!(line.starts_with("    if "));
        assert!(broken.lines().filter(|l| l.contains("\"unhealthy\" }")).all(|l| l.len() <= 110));
        assert!(marked(source).unwrap().contains("+second"));
        assert_eq!((super::broken("fn x() {}"), super::marked("fn x() {}")), (None, None));
    }
}
