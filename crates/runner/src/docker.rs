//! The machine's Docker Engine, where its operator opens it to jobs: containers by the `docker` program. The client runs on the
//! unit's side; programs of steps are handed to an init of ours that runs in the container (crate `runtime`).

mod client;
mod engine;
mod entry;
mod image;
pub(crate) mod options;
mod owner;
mod start;

use std::path::PathBuf;

use windlass_runtime::Exec;

pub(crate) use client::Client;
pub(crate) use engine::DockerEngine;
pub use owner::machine as engine_mark;

use crate::action::ActionError;
use crate::job::Job;
use crate::place::{Ended, Patience, PlaceError};
use crate::transcript::Voice;

/// What a job's program is told that wants the engine itself.
pub(crate) const NO_DOCKER: &str = "Docker is not open to jobs of this runner. The operator of the machine can open it with the \
     variable WINDLASS_DOCKER=allowed of the runner; whoever may use Docker has the whole machine. Without it, the action \
     windlass/build makes images";
/// What a job is told that wants containers.
const NO_CONTAINERS: &str = "Jobs of this runner may have no containers. The operator of the machine can let them with the variable \
     WINDLASS_DOCKER=1 of the runner: then they have containers that reach nothing of the machine but the job's own folder \
     (docs/reference/containers.md)";

/// Whether jobs may use the machine's Docker, and where it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Docker {
    /// Whether they may have containers that reach nothing of the machine but the job's own folder.
    pub containers: bool,
    /// Whether they may do all that the engine can: whoever may has the whole machine.
    pub allowed: bool,
    /// `DOCKER_HOST`; none means the usual socket.
    pub host: Option<String>,
}

/// The label by which a job's containers, networks and volumes are found.
const LABEL: &str = "windlass.job";

impl Docker {
    /// As this process's environment says.
    pub fn of_machine() -> Self {
        Self::parse(
            &std::env::var("WINDLASS_DOCKER").unwrap_or_default(),
            std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()),
        )
    }

    fn parse(said: &str, host: Option<String>) -> Self {
        let allowed = said.trim() == "allowed";
        let containers = allowed || ["1", "true", "yes", "on", "containers"].contains(&said.trim());
        Self { containers, allowed, host }
    }

    /// Removes what jobs left in the engine whose process is gone, if jobs may use it. `folder` is made and removed.
    pub(crate) async fn sweep(&self, folder: &std::path::Path) {
        if !self.containers && !self.allowed {
            return;
        }
        match client::Caller::find(folder, self).await {
            Ok(caller) => {
                owner::sweep(&caller).await;
                caller.forget();
            }
            Err(why) => tracing::warn!(why, "jobs may have containers, but no engine answers"),
        }
    }

    /// The engine's socket, where a sandbox shows it to its job.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        let host = self.host.as_deref().unwrap_or("unix:///var/run/docker.sock");
        let path = host.strip_prefix("unix://").filter(|_| self.allowed)?;
        std::fs::canonicalize(path).ok()
    }
}

impl Job {
    /// The engine's client, if jobs may have containers and the engine answers.
    async fn client(&self) -> Result<&Client, ActionError> {
        if !self.docker.containers && !self.docker.allowed {
            return Err(PlaceError::Failed(NO_CONTAINERS.to_owned()));
        }
        self.client
            .get_or_try_init(|| async {
                let client = Client::find(&self.place, &self.docker).await.map_err(PlaceError::Failed)?;
                owner::sweep(&client).await;
                Ok(client)
            })
            .await
    }

    /// Labels and limits of everything that is made for the job.
    fn labels(&self) -> Vec<String> {
        let mut words = owner::labels();
        words.extend(["--label".to_owned(), format!("{LABEL}={}", self.assignment.job)]);
        words
    }

    /// Asks the engine for something; gives what the client said.
    async fn docker(&self, words: &[&str], patience: &Patience) -> Result<String, ActionError> {
        let exec = self.client().await?.exec(words.iter().copied());
        self.docker_ask(exec, words[0], patience).await
    }

    async fn docker_ask(&self, exec: Exec, verb: &str, patience: &Patience) -> Result<String, ActionError> {
        match self.client().await?.place.ask(exec, patience).await? {
            (0, out, _) => Ok(out.trim().to_owned()),
            (code, _, err) => {
                let words = self.log.masked(err.trim());
                Err(PlaceError::Failed(format!("`docker {verb}` failed with exit code {code}: {words}")))
            }
        }
    }

    /// Lets the engine do something that takes its time, and shows what the client says.
    async fn docker_shown(
        &self,
        words: &[&str],
        input: Vec<u8>,
        voice: &Voice,
        patience: &Patience,
    ) -> Result<(), ActionError> {
        let client = self.client().await?;
        voice.say(&format!("##[command]docker {}", words.join(" ")));
        let exec = client.exec(words.iter().copied()).stdin(input);
        let mut lines = crate::log::Lines::default();
        let mut sink = |bytes: &[u8]| {
            lines.feed(bytes, |part| voice.log.part(&part));
            voice.log.flush();
        };
        let ran = client.place.run(exec, patience, &mut sink).await;
        lines.finish(|part| voice.log.part(&part));
        match ran?.ended {
            Ended::Exit(exit) if exit.success() => Ok(()),
            Ended::Exit(exit) => {
                let code = exit.code();
                Err(PlaceError::Failed(format!("`docker {}` failed with exit code {code}", words[0])))
            }
            Ended::Interrupted(why) => Err(PlaceError::Interrupted(why)),
        }
    }

    /// An image, fetched if the engine does not have it.
    async fn docker_image(&self, image: &str, voice: &Voice, patience: &Patience) -> Result<(), ActionError> {
        if !options::plain_image(image) {
            return Err(PlaceError::Failed(format!("`{image}` is not the name of an image")));
        }
        match self.docker(&["image", "inspect", "--format", "{{.Id}}", "--", image], patience).await {
            Ok(_) => Ok(()),
            Err(PlaceError::Failed(_)) => {
                self.docker_shown(&["pull", "--quiet", "--", image], Vec::new(), voice, patience).await
            }
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_the_operators_to_give() {
        for (said, containers, allowed) in [
            ("", false, false),
            ("0", false, false),
            ("no", false, false),
            ("1", true, false),
            ("true", true, false),
            ("containers", true, false),
            ("allowed", true, true),
        ] {
            let docker = Docker::parse(said, None);
            assert_eq!((docker.containers, docker.allowed), (containers, allowed), "{said}");
        }
        let shown = Docker { containers: true, allowed: false, host: Some("unix:///dev/null".into()) };
        assert_eq!(shown.socket(), None, "the engine's socket stays out of jobs");
    }
}
