//! Steps, and the actions that they use.

use std::fmt;

use super::{Map, Setting, Spanned};
use crate::diagnostic::Span;
use crate::template::{Condition, Template};

/// A step of a job or of a composite action.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// `id`: the name under which others see its outputs.
    pub id: Option<Spanned<String>>,
    /// `name`: what it is called, where it says.
    pub name: Option<Spanned<Template>>,
    /// `if`; absent means `success()`.
    pub condition: Option<Spanned<Condition>>,
    /// What it does.
    pub kind: StepKind,
    /// `env`
    pub env: Map,
    /// `continue-on-error`
    pub continue_on_error: Setting<bool>,
    /// `timeout-minutes`; absent means as long as the job may take.
    pub timeout_minutes: Option<Setting<f64>>,
    /// `background`: the steps behind it do not wait for it. Only of [`StepKind::Run`] and [`StepKind::Uses`].
    pub background: bool,
    /// Where it stands.
    pub span: Span,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// `run`
    Run(Run),
    /// `uses`
    Uses(Uses),
    /// `wait`: for background steps before it, by their ids; never empty.
    Wait(Vec<Spanned<String>>),
    /// `wait-all`: for all background steps before it.
    WaitAll,
    /// `cancel`: a background step before it, by its id.
    Cancel(Spanned<String>),
    /// `parallel`: these at once, and all are waited for. Each is a [`StepKind::Run`] or [`StepKind::Uses`]; never
    /// empty.
    Parallel(Vec<Step>),
}

/// A script.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The script.
    pub script: Spanned<Template>,
    /// `shell`; absent means that of the defaults.
    pub shell: Option<Spanned<Template>>,
    /// `working-directory`; absent means that of the defaults.
    pub working_directory: Option<Spanned<Template>>,
}

/// An action.
#[derive(Clone, Debug, PartialEq)]
pub struct Uses {
    /// Which.
    pub action: Spanned<ActionRef>,
    /// `with`: its inputs.
    pub with: Map,
}

/// Which action a step uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ActionRef {
    /// `./path`: a folder of the workspace.
    Local {
        /// The folder, as written, without the leading `./`; empty for the workspace itself.
        path: String,
    },
    /// `owner/repo[/path]@ref`
    Repository {
        /// The owner.
        owner: String,
        /// The repository.
        repo: String,
        /// The folder in it, without slashes at its ends; empty for its root.
        path: String,
        /// The branch, tag or commit.
        git_ref: String,
    },
    /// `$/path`: a folder of the repository and the commit that the file with this step is from.
    Own {
        /// The folder, without the leading `$/`; empty for the repository's root.
        path: String,
    },
    /// `docker://image`
    Docker {
        /// The image.
        image: String,
    },
}

/// Whether what stands behind the `@` of a `uses` is the full id of a commit, SHA-1 or SHA-256: it cannot move.
pub fn is_commit(git_ref: &str) -> bool {
    matches!(git_ref.len(), 40 | 64) && git_ref.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl ActionRef {
    /// Reads what stands behind `uses`.
    ///
    /// # Errors
    /// The message for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("Expected format {{org}}/{{repo}}[/path]@ref. Actual '{text}'");
        if let Some(image) = text.strip_prefix("docker://") {
            return match image {
                "" => Err("Container image cannot be empty".to_owned()),
                image => Ok(Self::Docker { image: image.to_owned() }),
            };
        }
        if text == "." || text == "./" {
            return Ok(Self::Local { path: String::new() });
        }
        if let Some(path) = text.strip_prefix("./").or_else(|| text.strip_prefix(".\\")) {
            return Ok(Self::Local { path: path.trim_end_matches('/').to_owned() });
        }
        if let Some(path) = text.strip_prefix("$/") {
            if path.contains('@') {
                return Err(format!(
                    "'{text}' has no ref of its own: it is of the commit that the file is from"
                ));
            }
            return Ok(Self::Own { path: path.trim_end_matches('/').to_owned() });
        }
        let (name, git_ref) = text.split_once('@').ok_or_else(expected)?;
        let mut parts = name.split('/').filter(|part| !part.is_empty());
        let (Some(owner), Some(repo)) = (parts.next(), parts.next()) else { return Err(expected()) };
        let path = parts.collect::<Vec<_>>().join("/");
        let odd = |text: &str| text.chars().any(|c| c.is_whitespace() || c.is_control());
        if git_ref.is_empty() || name.starts_with('/') || odd(text) {
            return Err(expected());
        }
        Ok(Self::Repository {
            owner: owner.to_owned(),
            repo: repo.to_owned(),
            path,
            git_ref: git_ref.to_owned(),
        })
    }

    /// `owner/repo[/path]` in lower case, by which a built-in action is found; `None` for the other kinds.
    pub fn repository_name(&self) -> Option<String> {
        match self {
            Self::Repository { owner, repo, path, .. } => {
                let slash = if path.is_empty() { "" } else { "/" };
                Some(format!("{owner}/{repo}{slash}{path}").to_lowercase())
            }
            Self::Local { .. } | Self::Own { .. } | Self::Docker { .. } => None,
        }
    }
}

impl fmt::Display for ActionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { path } => write!(f, "./{path}"),
            Self::Own { path } => write!(f, "$/{path}"),
            Self::Repository { owner, repo, path, git_ref } => {
                let slash = if path.is_empty() { "" } else { "/" };
                write!(f, "{owner}/{repo}{slash}{path}@{git_ref}")
            }
            Self::Docker { image } => write!(f, "docker://{image}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_uses() {
        for (text, name, shown) in [
            ("actions/checkout@v4", Some("actions/checkout"), "actions/checkout@v4"),
            ("Actions/Cache/restore@v4", Some("actions/cache/restore"), "Actions/Cache/restore@v4"),
            ("o/r/a/b/@feature/x", Some("o/r/a/b"), "o/r/a/b@feature/x"),
            ("./.github/actions/x/", None, "./.github/actions/x"),
            ("./", None, "./"),
            ("docker://alpine:3", None, "docker://alpine:3"),
            ("$/actions/x/", None, "$/actions/x"),
        ] {
            let action = ActionRef::parse(text).unwrap();
            assert_eq!(action.repository_name().as_deref(), name, "{text}");
            assert_eq!(action.to_string(), shown);
        }
        for text in [
            "",
            "checkout",
            "actions/checkout",
            "checkout@v4",
            "actions/checkout@",
            "/a/b@v1",
            "@v1",
            "docker://",
            "$/x@v1",
            "a/b@v 1",
        ] {
            assert!(ActionRef::parse(text).is_err(), "{text}");
        }
    }
}
