//! The machine's Docker Engine, where its operator opens it to jobs: the container that steps run in, services beside it,
//! and actions that are images. The client runs on the unit's side; programs of steps are handed to an init of ours that
//! runs in the container (crate `runtime`).

mod action;
mod client;
mod entry;
mod exec;
mod externals;
mod image;
mod options;
mod owner;
mod start;
mod wanted;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use windlass_runtime::Exec;
use windlass_workflow::expr::Value;

pub(crate) use action::DockerProgram;
pub(crate) use client::Client;
pub use owner::machine as engine_mark;
pub(crate) use start::wants as wants_containers;

use crate::action::ActionError;
use crate::job::Job;
use crate::place::{Ended, Patience, Place, PlaceError};
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

/// What was started for a job.
pub(crate) struct Containers {
    network: String,
    job: Option<Running>,
    services: Vec<(String, Running)>,
    /// Whether all of it was ended.
    ended: AtomicBool,
}

/// A container that runs.
struct Running {
    id: String,
    /// The port of the machine for each port of the container.
    ports: BTreeMap<String, String>,
    /// Where steps' programs run in it, and the variables that they start from; none of a service.
    inside: Option<Inside>,
}

/// The inside of a container.
pub(crate) struct Inside {
    place: Place,
    env: BTreeMap<String, String>,
}

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

impl Containers {
    /// The contexts `job.container` and `job.services`.
    fn context(&self) -> Vec<(&'static str, Value)> {
        let network = || ("network".to_owned(), Value::from(self.network.clone()));
        let id = |running: &Running| ("id".to_owned(), Value::from(running.id.clone()));
        let services = self.services.iter().map(|(name, running)| {
            let ports =
                running.ports.iter().map(|(inner, outer)| (inner.clone(), Value::from(outer.clone())));
            let ports = ("ports".to_owned(), Value::object(ports));
            (name.clone(), Value::object([id(running), network(), ports]))
        });
        let mut context = vec![("services", Value::object(services))];
        if let Some(job) = &self.job {
            context.push(("container", Value::object([id(job), network()])));
        }
        context
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

    /// Whether steps run in a container.
    pub(crate) fn in_container(&self) -> bool {
        self.inside().is_some()
    }

    fn inside(&self) -> Option<&Inside> {
        self.containers.get()?.job.as_ref()?.inside.as_ref()
    }

    /// Where programs of steps run: the job's container if it has one, else its sandbox.
    pub(crate) fn step_place(&self) -> &Place {
        self.inside().map_or(&self.place, |inside| &inside.place)
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
