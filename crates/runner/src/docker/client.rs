//! The machine's Docker Engine, asked through its `docker` program from the unit's side: argument vectors, a configuration
//! of the job's own (no credentials of the machine's users are in it), and nothing of a workflow in the program's own
//! environment. The engine itself is never within a job's reach.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use windlass_runtime::{Exec, Host, Runtime as _, SandboxSpec};

use super::Docker;
use crate::folder::private;
use crate::place::Place;

/// Variables of this process that the program needs.
const PASSED: &[&str] = &[
    "PATH",
    "HOME",
    "XDG_RUNTIME_DIR",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];
/// The longest line of a file of variables.
const LONGEST: usize = 32 << 10;
/// How long a short answer may take.
const SHORT: Duration = Duration::from_mins(2);

/// The engine's program, as this process calls it.
pub(crate) struct Caller {
    program: String,
    env: BTreeMap<String, String>,
    /// Private to the caller.
    pub(super) folder: PathBuf,
}

/// The engine, for one job.
pub(crate) struct Client {
    caller: Caller,
    /// Where its program runs.
    pub(super) place: Place,
}

impl std::ops::Deref for Client {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// A file with variables for a container: arguments are seen by everybody on the machine.
pub(super) struct Variables(PathBuf);

impl Drop for Variables {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Variables {
    /// What `docker create` is told.
    pub(super) fn arguments(&self) -> [String; 2] {
        ["--env-file".to_owned(), self.0.display().to_string()]
    }
}

impl Client {
    /// The engine of this machine, if it answers.
    pub(super) async fn find(place: &Place, docker: &Docker) -> Result<Self, String> {
        let caller = Caller::find(&place.private_folder("docker"), docker).await?;
        let spec = SandboxSpec::machine("docker", caller.folder.join("none"));
        let runner = Host::new().start(spec).await.map_err(|e| e.to_string())?;
        let place = place.through(runner, Vec::new());
        Ok(Self { caller, place })
    }
}

impl Caller {
    /// The engine of this machine, if it answers. `folder` is made, and nobody else's.
    pub(super) async fn find(folder: &Path, docker: &Docker) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|e| format!("the job's folder cannot be used: {e}"))?;
        let mut env: BTreeMap<String, String> = PASSED
            .iter()
            .flat_map(|name| [(*name).to_owned(), name.to_lowercase()])
            .filter_map(|name| Some((name.clone(), std::env::var(&name).ok()?)))
            .collect();
        let path = env.get("PATH").cloned().unwrap_or_default();
        let program =
            path.split(':').map(|folder| Path::new(folder).join("docker")).find(|file| file.is_file());
        let program = program.ok_or_else(|| {
            format!("containers need the Docker Engine, and there is no `docker` in {path} on the runner's machine")
        })?;
        env.insert("DOCKER_CLI_HINTS".into(), "false".into());
        if let Some(host) = &docker.host {
            env.insert("DOCKER_HOST".into(), host.clone());
        }
        let program = program.display().to_string();
        let mut client = Self { program, env, folder: folder.to_owned() };
        if !client.env.contains_key("DOCKER_HOST") {
            // The machine's user may have chosen another engine; the rest of the user's settings stays out.
            let said = client.ask(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).await;
            let host = said.unwrap_or_default().trim().to_owned();
            if !host.is_empty() {
                client.env.insert("DOCKER_HOST".into(), host);
            }
        }
        client.env.insert("DOCKER_CONFIG".into(), client.folder.display().to_string());
        match client.ask(["version", "--format", "{{.Server.Version}}"]).await {
            Ok(_) => Ok(client),
            Err(why) => Err(format!("the Docker Engine does not answer on the runner's machine: {why}")),
        }
    }

    /// A call of the program.
    pub(super) fn exec<S: Into<String>>(&self, words: impl IntoIterator<Item = S>) -> Exec {
        let words = std::iter::once(self.program.clone()).chain(words.into_iter().map(Into::into));
        Exec::new(words).envs(self.env.clone()).cwd(&self.folder)
    }

    /// Asks; what it says on its standard output, or why it did not do it.
    pub(super) async fn ask<S: Into<String>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<String, String> {
        let Exec { argv, env, cwd, .. } = self.exec(words);
        let mut command = tokio::process::Command::new(&self.program);
        command.args(argv.get(1..).unwrap_or_default()).env_clear().envs(env).current_dir(cwd);
        let asked = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let Ok(done) = tokio::time::timeout(SHORT, asked).await else {
            return Err(format!("the Docker Engine did not answer for {} seconds", SHORT.as_secs()));
        };
        let done = done.map_err(|e| format!("`{}` cannot be run: {e}", self.program))?;
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        } else {
            Err(last_line(&String::from_utf8_lossy(&done.stderr)))
        }
    }

    /// A file of variables for a container.
    pub(super) fn variables(&self, serial: u32, variables: &[(String, String)]) -> Result<Variables, String> {
        let mut text = String::new();
        for (name, value) in variables {
            if name.is_empty()
                || name.starts_with('#')
                || name.contains(|c: char| c.is_whitespace() || c == '=')
            {
                return Err(format!("`{name}` cannot be the name of a variable of a container"));
            }
            if value.contains(['\n', '\r', '\0']) || value.len() > LONGEST {
                return Err(format!(
                    "the variable `{name}` of a service has several lines, or more than 32 KiB, which Docker does not take"
                ));
            }
            text.push_str(&format!("{name}={value}\n"));
        }
        let file = self.folder.join(format!("variables-{serial}"));
        let written = private(&file).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|e| format!("a container's variables cannot be handed over: {e}"))?;
        Ok(Variables(file))
    }

    /// Forgets the job's credentials.
    pub(super) fn forget(&self) {
        if let Err(e) = std::fs::remove_dir_all(&self.folder)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.folder.display(), error = %e, "a job's folder for Docker cannot be removed");
        }
    }
}

fn last_line(text: &str) -> String {
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("See 'docker"));
    let line = lines.next_back().unwrap_or("it does not say why");
    line.trim_start_matches("Error response from daemon: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_why() {
        let text = "Error response from daemon: no such image\nSee 'docker run --help'.\n\n";
        assert_eq!(last_line(text), "no such image");
        assert_eq!(last_line(""), "it does not say why");
    }
}
