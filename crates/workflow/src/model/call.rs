//! Jobs that call another workflow.

use std::fmt;

use super::{Map, Spanned, Tree};

/// A call of a reusable workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `uses`: which workflow.
    pub workflow: Spanned<WorkflowRef>,
    /// `with`: its inputs, a mapping. A scalar keeps its type: `true` is a boolean, `'true'` a text.
    pub with: Tree,
    /// `secrets`
    pub secrets: CallSecrets,
}

/// What a called workflow gets of the caller's secrets.
#[derive(Clone, Debug, PartialEq)]
pub enum CallSecrets {
    /// `inherit`: all that the caller has.
    Inherit,
    /// Those that are written out; none when there is no `secrets`.
    Named(Map),
}

impl Default for CallSecrets {
    fn default() -> Self {
        Self::Named(Map::default())
    }
}

/// Which workflow a job calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WorkflowRef {
    /// `./.github/workflows/FILE`: of the caller's repository, at the caller's commit.
    Local {
        /// The file, from the repository's root: `.github/workflows/FILE`.
        path: String,
    },
    /// `$/.github/workflows/FILE`: of the repository and the commit that the calling file itself is from.
    Own {
        /// The file, from the repository's root: `.github/workflows/FILE`.
        path: String,
    },
    /// `owner/repo/.github/workflows/FILE@ref`
    Repository {
        /// The owner.
        owner: String,
        /// The repository.
        repo: String,
        /// The file, from the repository's root: `.github/workflows/FILE`.
        path: String,
        /// The branch, tag or commit.
        git_ref: String,
    },
}

/// The folder of workflows.
const FOLDER: &str = ".github/workflows/";

impl WorkflowRef {
    /// Reads what stands behind a job's `uses`.
    ///
    /// # Errors
    /// The message for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("Invalid workflow reference '{text}': {why}");
        let own = text.strip_prefix("$/");
        if let Some(path) = text.strip_prefix("./").or(own) {
            if path.contains('@') {
                return Err(wrong("cannot specify version when calling local workflows"));
            }
            let path = file(path).map_err(wrong)?;
            return Ok(if own.is_some() { Self::Own { path } } else { Self::Local { path } });
        }
        let (name, git_ref) = text.split_once('@').ok_or_else(|| wrong("no version specified"))?;
        let mut parts = name.splitn(3, '/');
        let (Some(owner), Some(repo), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong(
                "references to workflows must be prefixed with format 'owner/repository/' or './' for local workflows",
            ));
        };
        if !is_name(owner) || !is_name(repo) {
            return Err(wrong(
                "the owner and the repository may hold letters, digits, '-', '_' and '.' only",
            ));
        }
        if git_ref.is_empty() || git_ref.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong("no version specified"));
        }
        Ok(Self::Repository {
            owner: owner.to_owned(),
            repo: repo.to_owned(),
            path: file(path).map_err(wrong)?,
            git_ref: git_ref.to_owned(),
        })
    }

    /// The file, from its repository's root.
    pub fn path(&self) -> &str {
        match self {
            Self::Local { path } | Self::Own { path } | Self::Repository { path, .. } => path,
        }
    }
}

/// The path of a workflow file, checked.
fn file(path: &str) -> Result<String, &'static str> {
    let Some(name) = path.strip_prefix(FOLDER) else {
        return Err("references to workflows must be rooted in '.github/workflows'");
    };
    if name.contains(['/', '\\']) {
        return Err("workflows must be defined at the top level of the .github/workflows/ directory");
    }
    let stem = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml"));
    if stem.is_none_or(str::is_empty) {
        return Err("workflow file should have either a '.yml' or '.yaml' file extension");
    }
    Ok(path.to_owned())
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text != "." && text != ".." && text.chars().all(fits)
}

impl fmt::Display for WorkflowRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { path } => write!(f, "./{path}"),
            Self::Own { path } => write!(f, "$/{path}"),
            Self::Repository { owner, repo, path, git_ref } => write!(f, "{owner}/{repo}/{path}@{git_ref}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_called_workflows() {
        for text in [
            "./.github/workflows/a.yml",
            "$/.github/workflows/a-b.yaml",
            "o/r/.github/workflows/a.yml@v1",
            "o/r.x/.github/workflows/a.yml@feature/x",
        ] {
            assert_eq!(WorkflowRef::parse(text).map(|found| found.to_string()), Ok(text.to_owned()));
        }
        for (text, why) in [
            ("", "no version"),
            ("./a.yml", "rooted"),
            ("./.github/workflows/x/a.yml", "top level"),
            ("./.github/workflows/a.txt", "extension"),
            ("./.github/workflows/.yml", "extension"),
            ("./.github/workflows/a.yml@v1", "cannot specify version"),
            ("$/.github/workflows/a.yml@v1", "cannot specify version"),
            ("o/r/.github/workflows/a.yml", "no version"),
            ("o/r/.github/workflows/a.yml@", "no version"),
            ("o/r@v1", "prefixed"),
            ("../r/.github/workflows/a.yml@v1", "letters"),
            ("o/r/../.github/workflows/a.yml@v1", "rooted"),
        ] {
            let error = WorkflowRef::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
