//! The machine's Docker, where its operator opens it to jobs: the container that steps run in, services beside it, and
//! actions that are images. The client runs in the job's sandbox, like any other program of the job.

mod action;
mod exec;
mod start;
mod wanted;

use std::collections::BTreeMap;
use std::path::PathBuf;

use windlass_runtime::Exec;
use windlass_workflow::expr::Value;

pub(crate) use action::DockerProgram;
pub(crate) use start::wants as wants_containers;

use crate::action::ActionError;
use crate::job::Job;
use crate::place::{Ended, Patience, PlaceError};
use crate::transcript::Voice;

/// What a job without Docker is told.
pub(crate) const NO_DOCKER: &str = "Docker is not open to jobs of this runner. The operator of the machine can open it with the \
     variable WINDLASS_DOCKER=allowed of the runner; whoever may use Docker has the whole machine. Without it, the action \
     windlass/build makes images";

/// Whether jobs may use the machine's Docker, and where it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Docker {
    /// Whether they may: whoever may has the whole machine.
    pub allowed: bool,
    /// `DOCKER_HOST`; none means the usual socket.
    pub host: Option<String>,
}

/// The label by which a job's containers and networks are found.
const LABEL: &str = "windlass.job";

/// What was started for a job.
#[derive(Debug)]
pub(crate) struct Containers {
    network: String,
    job: Option<Running>,
    services: Vec<(String, Running)>,
}

/// A container that runs.
#[derive(Debug)]
struct Running {
    id: String,
    /// The port of the machine for each port of the container.
    ports: BTreeMap<String, String>,
    /// `PATH` as its image sets it.
    path: String,
}

impl Docker {
    /// As this process's environment says.
    pub fn of_machine() -> Self {
        Self {
            allowed: std::env::var("WINDLASS_DOCKER").is_ok_and(|value| value == "allowed"),
            host: std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()),
        }
    }

    /// The engine's socket, which a sandbox must show to its job.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        let host = self.host.as_deref().unwrap_or("unix:///var/run/docker.sock");
        let path = host.strip_prefix("unix://").filter(|_| self.allowed)?;
        std::fs::canonicalize(path).ok()
    }

    /// Its address, as the job reaches it.
    fn address(&self) -> Option<String> {
        self.socket().map(|socket| format!("unix://{}", socket.display())).or_else(|| self.host.clone())
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
    /// A call of the client, before its own words.
    fn docker_exec(&self, words: Vec<String>) -> Exec {
        let mut argv = vec!["docker".to_owned()];
        if let Some(host) = self.docker.address() {
            argv.extend(["--host".to_owned(), host]);
        }
        let config = self.place.layout.temp.join("_docker");
        argv.extend(["--config".to_owned(), config.to_string_lossy().into_owned()]);
        argv.extend(words);
        Exec { env: self.place.base().clone(), ..Exec::new(argv) }.cwd(&self.place.layout.workspace)
    }

    /// Asks the engine for something; gives what the client said.
    async fn docker(&self, words: &[&str], patience: &Patience) -> Result<String, ActionError> {
        let exec = self.docker_exec(words.iter().map(|word| (*word).to_owned()).collect());
        self.docker_ask(exec, words[0], patience).await
    }

    async fn docker_ask(&self, exec: Exec, verb: &str, patience: &Patience) -> Result<String, ActionError> {
        if !self.docker.allowed {
            return Err(PlaceError::Failed(NO_DOCKER.to_owned()));
        }
        match self.place.ask(exec, patience).await? {
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
        voice: &Voice,
        patience: &Patience,
    ) -> Result<(), ActionError> {
        if !self.docker.allowed {
            return Err(PlaceError::Failed(NO_DOCKER.to_owned()));
        }
        voice.say(&format!("##[command]docker {}", words.join(" ")));
        let exec = self.docker_exec(words.iter().map(|word| (*word).to_owned()).collect());
        let mut lines = crate::log::Lines::default();
        let mut sink = |bytes: &[u8]| {
            lines.feed(bytes, |part| voice.log.part(&part));
            voice.log.flush();
        };
        match self.place.run(exec, patience, &mut sink).await?.ended {
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
        match self.docker(&["image", "inspect", "--format", "{{.Id}}", "--", image], patience).await {
            Ok(_) => Ok(()),
            Err(PlaceError::Failed(_)) if self.docker.allowed => {
                self.docker_shown(&["pull", "--", image], voice, patience).await
            }
            Err(e) => Err(e),
        }
    }

    /// Whether steps run in a container.
    pub(crate) fn in_container(&self) -> bool {
        self.containers.get().is_some_and(|containers| containers.job.is_some())
    }
}
