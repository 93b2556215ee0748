//! The ordinary git, as a developer's machine has it, without that machine's settings in the way.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;
use windlass_kernel::Secret;

use crate::failure::{Exit, Failure};
use crate::show;

/// A repository with a remote, and who pushes to it.
#[derive(Debug)]
pub(crate) struct Repository {
    folder: PathBuf,
    remote: String,
    header: Secret<String>,
}

/// The developer of the demo.
pub(crate) const PUSHER: &str = "dev";

/// Says whether git is there at all.
pub(crate) async fn check() -> Result<()> {
    match Command::new("git").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::new(
            Exit::Failed,
            "git is not installed: Windlass serves repositories through it (Debian: apt install git)",
        )
        .into()),
    }
}

impl Repository {
    /// A new repository in a folder, with all its files in a first state that is not committed yet.
    pub(crate) async fn make(folder: &Path, remote: &str, token: &Secret<String>) -> Result<Self> {
        let basic = STANDARD.encode(format!("{PUSHER}:{}", token.expose()));
        let header = Secret::new(format!("Authorization: Basic {basic}"));
        let made = Self { folder: folder.to_owned(), remote: remote.to_owned(), header };
        made.git(&["init", "--quiet", "--initial-branch=main"]).await?;
        made.git(&["remote", "add", "windlass", &made.remote]).await?;
        Ok(made)
    }

    /// Commits all that changed, and gives the commit's id.
    pub(crate) async fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "--all"]).await?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]).await?;
        self.git(&["rev-parse", "HEAD"]).await
    }

    /// Pushes `main`.
    pub(crate) async fn push(&self) -> Result<()> {
        self.git(&["push", "--quiet", "windlass", "HEAD:refs/heads/main"]).await.map(|_| ())
    }

    async fn git(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder).args(args).kill_on_drop(true).stdin(Stdio::null());
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_PARAMETERS"] {
            command.env_remove(name);
        }
        // The token travels in the environment: other users of the machine can read arguments.
        let settings: [(&str, &str); 9] = [
            ("user.name", PUSHER),
            ("user.email", "dev@example.invalid"),
            ("commit.gpgsign", "false"),
            ("core.hooksPath", "/dev/null"),
            ("core.autocrlf", "false"),
            ("http.proxy", ""),
            ("credential.helper", ""),
            ("http.lowSpeedTime", "600"),
            ("http.extraHeader", self.header.expose()),
        ];
        command
            .env("GIT_CONFIG_COUNT", settings.len().to_string())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("NO_PROXY", "127.0.0.1");
        for (at, (name, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), name).env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        let done = command.output().await.context("cannot run git")?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("git {} failed: {}", args.first().unwrap_or(&""), show::clean(said.trim()));
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commits_are_made_whatever_the_machine_is_set_to() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("a"), "1").unwrap();
        let token = Secret::new("hidden-token".to_owned());
        let repository = Repository::make(temp.path(), "http://127.0.0.1:1/x.git", &token).await.unwrap();
        let first = repository.commit("one").await.unwrap();
        assert_eq!(first.len(), 40);
        assert_ne!(repository.commit("two").await.unwrap(), first);
        let refused = repository.push().await.unwrap_err().to_string();
        assert!(refused.contains("git push failed") && !refused.contains("hidden-token"), "{refused}");
        let kept = std::fs::read_to_string(temp.path().join(".git/config")).unwrap();
        assert!(!kept.contains("Basic"), "{kept}");
    }
}
