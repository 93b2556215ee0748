//! Merges that nobody has made yet: what a branch would be with a change in it. Made by git, without a work tree.

use std::collections::BTreeSet;
use std::process::Stdio;

use crate::{Commit, RefName, Repository, Sha, SourceError, git};

/// The most files in conflict that are named.
const MOST_FILES: usize = 100;
const LIMIT: usize = 8 << 20;

/// What comes of merging two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The tree of both.
    Clean(Sha),
    /// The files that both changed, each in its own way; as many as are named.
    Conflicts(Vec<String>),
}

impl Repository {
    /// Merges `head` into `base`, without keeping a commit of it.
    pub async fn merge(&self, base: &Sha, head: &Sha) -> Result<Merge, SourceError> {
        let args = ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z"];
        let args = [&args[..], &[base.as_str(), head.as_str()]].concat();
        let output = git::run(self.path(), &args, LIMIT).await?;
        let code = output.code;
        if !matches!(code, Some(0 | 1)) || output.truncated {
            return Err(output.failure());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut fields = text.split('\0').map(|field| field.trim_end_matches('\n'));
        let tree = fields.next().unwrap_or_default();
        if code == Some(0) {
            let what = || format!("the tree `{}`", tree.chars().take(80).collect::<String>());
            return tree
                .parse()
                .map(Merge::Clean)
                .map_err(|_| SourceError::Answer { command: "merge-tree".into(), what: what() });
        }
        let files = fields.filter(|name| !name.is_empty()).take(MOST_FILES);
        Ok(Merge::Conflicts(files.map(str::to_owned).collect()))
    }

    /// Keeps the merge of `head` into `base` as a commit. The same again gives the same commit: its times are those of
    /// `head`.
    pub async fn commit_merge(&self, tree: &Sha, base: &Sha, head: &Commit) -> Result<Sha, SourceError> {
        let message = format!("Merge {} into {base}", head.sha);
        let args =
            ["commit-tree", tree.as_str(), "-p", base.as_str(), "-p", head.sha.as_str(), "-m", &message];
        let at = format!("{} +0000", head.committed_at.as_millis().max(0) / 1000);
        let mut command = git::command(self.path(), &args);
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "Windlass")
                .env(format!("GIT_{role}_EMAIL"), "changes@windlass.invalid")
                .env(format!("GIT_{role}_DATE"), &at);
        }
        let output = git::spawn(command.stdin(Stdio::null()))?.wait_with_output().await?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse().map_err(|_| SourceError::Git {
            command: "commit-tree".into(),
            why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// The refs that fit a pattern (as of `git for-each-ref`) and that a commit has all of.
    pub async fn merged_into(&self, commit: &Sha, pattern: &str) -> Result<BTreeSet<RefName>, SourceError> {
        let merged = format!("--merged={commit}");
        let args = ["for-each-ref", &merged, "--format=%(refname)", "--", pattern];
        let out = git::run(self.path(), &args, LIMIT).await?.complete(LIMIT)?;
        Ok(String::from_utf8_lossy(&out).lines().filter_map(|name| name.parse().ok()).collect())
    }

    /// Lets a ref point to a commit, whatever it was before.
    pub async fn set_ref(&self, name: &RefName, to: &Sha) -> Result<(), SourceError> {
        git::run(self.path(), &["update-ref", name.as_str(), to.as_str()], 4096).await?.complete(4096)?;
        Ok(())
    }
}
