//! Git repositories as sources, through the `git` program.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// A repository, with what of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    pub(crate) remote: String,
    pub(crate) reference: Option<String>,
    pub(crate) folder: Option<String>,
}

impl Repository {
    /// Reads `https://host/path.git#ref:folder`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (remote, rest) = text.split_once('#').unwrap_or((text, ""));
        let (reference, folder) = rest.split_once(':').unwrap_or((rest, ""));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let it = Self { remote: remote.to_owned(), reference: some(reference), folder: some(folder) };
        it.check()?;
        Ok(it)
    }

    /// Whether a text names a repository rather than a folder.
    pub(crate) fn is_one(text: &str) -> bool {
        let address = text.split('#').next().unwrap_or_default();
        let by_scheme = ["git://", "ssh://"].iter().any(|scheme| address.starts_with(scheme));
        let over_http = address.starts_with("https://") || address.starts_with("http://");
        by_scheme || address.starts_with("git@") || (over_http && address.strip_suffix(".git").is_some())
    }

    /// Only what a network address can be; nothing that `git` would take for an option or a program.
    pub(crate) fn check(&self) -> Result<(), String> {
        let known = ["https://", "http://", "git://", "ssh://", "git@", "file:///"];
        if !known.iter().any(|start| self.remote.starts_with(start)) {
            return Err(format!("`{}` is no address of a Git repository", self.remote));
        }
        if let Some(reference) = &self.reference
            && (reference.starts_with('-')
                || reference.contains(|c: char| c.is_whitespace() || c.is_control()))
        {
            return Err(format!("`{reference}` is no branch, tag or commit"));
        }
        Ok(())
    }
}

/// Checks a repository out into the folder `into`, which is made. Gives the commit.
pub(crate) async fn check_out(
    repository: &Repository,
    into: &Path,
    keep_git: bool,
) -> Result<String, String> {
    repository.check()?;
    std::fs::create_dir_all(into).map_err(|e| format!("{}: {e}", into.display()))?;
    run(into, &["init", "--quiet", "."]).await?;
    let wanted = repository.reference.as_deref().unwrap_or("HEAD");
    let fetch = ["fetch", "--quiet", "--depth", "1", "--no-tags", "--", &repository.remote, wanted];
    if let Err(first) = run(into, &fetch).await {
        // A server may refuse a single commit: then all of it is fetched.
        let all =
            ["fetch", "--quiet", "--tags", "--", &repository.remote, "+refs/heads/*:refs/remotes/origin/*"];
        run(into, &all).await.map_err(|_| first.clone())?;
        run(into, &["update-ref", "FETCH_HEAD_WANTED", &format!("{wanted}^{{commit}}")])
            .await
            .map_err(|_| first)?;
        run(into, &["checkout", "--quiet", "--detach", "FETCH_HEAD_WANTED"]).await?;
    } else {
        run(into, &["checkout", "--quiet", "--detach", "FETCH_HEAD"]).await?;
    }
    let commit = run(into, &["rev-parse", "HEAD"]).await?.trim().to_owned();
    if !keep_git {
        std::fs::remove_dir_all(into.join(".git")).map_err(|e| format!("removing .git: {e}"))?;
    }
    Ok(commit)
}

async fn run(folder: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    command
        .args([
            "-c",
            "protocol.ext.allow=never",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "advice.detachedHead=false",
        ])
        .args(args)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let out = command.output().await.map_err(|e| format!("the program `git` could not be started: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(format!("git {}: {}", args.first().unwrap_or(&""), said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_tricks_refused() {
        let it = Repository::parse("https://h.example/a.git#v1:sub/dir").unwrap();
        assert_eq!((it.reference.as_deref(), it.folder.as_deref()), (Some("v1"), Some("sub/dir")));
        for bad in ["ext::sh -c x", "--upload-pack=x", "https://h/a.git#--x", "/etc"] {
            assert!(Repository::parse(bad).is_err(), "{bad}");
        }
        for (text, one) in [
            ("https://h.example/a.git#main", true),
            ("git@h.example:a/b", true),
            ("https://h.example/a.tar", false),
            (".", false),
            ("./a.git", false),
        ] {
            assert_eq!(Repository::is_one(text), one, "{text}");
        }
    }
}
