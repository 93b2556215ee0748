//! Starting what a job wants before its first step, waiting until it is well, and ending it after the last.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_runtime::Exec;
use windlass_workflow::model::Job as JobModel;

use super::wanted::{Wanted, services};
use super::{Containers, LABEL, Running};
use crate::action::ActionError;
use crate::context::StepScope;
use crate::job::{Job, Progress};
use crate::place::PlaceError;
use crate::transcript::Voice;

/// How long a health check is waited for between two looks: doubled each time, from the first to the last.
const FIRST_LOOK: Duration = Duration::from_secs(2);
const LAST_LOOK: Duration = Duration::from_secs(32);
/// The folders of a job's own, within `RUNNER_TEMP`.
pub(super) const HOME: &str = "_github_home";
pub(super) const WORKFLOW: &str = "_github_workflow";

/// Whether a job wants any container.
pub(crate) fn wants(model: &JobModel) -> bool {
    model.container.is_some() || !model.services.is_empty()
}

impl Job {
    /// Starts the containers of a job.
    pub(crate) async fn start_containers(
        &self,
        progress: &Progress,
        model: &JobModel,
        voice: &Voice,
    ) -> Result<(), ActionError> {
        let words = |e: String| PlaceError::Failed(format!("the job's containers cannot be evaluated: {e}"));
        let (job, wanted) = {
            let scope: StepScope<'_> = self.step_scope(progress, &progress.frame, &progress.env, None);
            let job = model.container.as_ref().map(|setting| Wanted::of(setting, &scope)).transpose();
            (job.map_err(words)?.flatten(), services(&model.services, &scope).map_err(words)?)
        };
        if job.is_none() && wanted.is_empty() {
            return Ok(());
        }
        let patience = self.last_patience();
        let network = format!("windlass_network_{}_{}", self.assignment.job, self.assignment.attempt);
        let label = format!("{LABEL}={}", self.assignment.job);
        self.docker(&["network", "create", "--label", &label, "--", &network], &patience).await?;
        let mut containers = Containers { network, job: None, services: Vec::new() };
        let mut result = Ok(());
        for (name, wanted) in &wanted {
            match self.start(&containers.network, Some(name), wanted, voice).await {
                Ok(running) => containers.services.push((name.clone(), running)),
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
        if let (Ok(()), Some(wanted)) = (&result, &job) {
            match self.start(&containers.network, None, wanted, voice).await {
                Ok(running) => containers.job = Some(running),
                Err(e) => result = Err(e),
            }
        }
        let _ = self.contexts.job.set(containers.context());
        let names: Vec<(String, String)> =
            containers.services.iter().map(|(name, running)| (name.clone(), running.id.clone())).collect();
        let _ = self.containers.set(containers);
        result?;
        for (name, id) in names {
            self.is_well(&name, &id, voice).await?;
        }
        Ok(())
    }

    async fn start(
        &self,
        network: &str,
        service: Option<&str>,
        wanted: &Wanted,
        voice: &Voice,
    ) -> Result<Running, ActionError> {
        let patience = self.last_patience();
        voice.say(&format!("{}: {}", service.unwrap_or("The job's container"), wanted.image));
        if let Some((user, password)) = &wanted.credentials {
            self.log_in(&wanted.image, user, password).await?;
        }
        self.docker_image(&wanted.image, voice, &patience).await?;
        let serial = self.next_serial();
        let name = format!("windlass_{}_{}_{serial}", self.assignment.job, self.assignment.attempt);
        let create = self.create(network, service, wanted, &name);
        let id = self.docker_ask(create, "create", &patience).await?;
        self.docker(&["start", &id], &patience).await?;
        let path = ["inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", &id];
        let env = self.docker(&path, &patience).await?;
        let path = env.lines().find_map(|line| line.strip_prefix("PATH=")).unwrap_or_default().to_owned();
        let ports = ports(&self.docker(&["port", &id], &patience).await?);
        Ok(Running { id, ports, path })
    }

    fn create(&self, network: &str, service: Option<&str>, wanted: &Wanted, name: &str) -> Exec {
        let label = format!("{LABEL}={}", self.assignment.job);
        let mut words: Vec<String> =
            ["create", "--name", name, "--label", &label, "--network", network].map(str::to_owned).to_vec();
        let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        if let Some(service) = service {
            option("--network-alias", service);
        }
        wanted.ports.iter().for_each(|port| option("--publish", port));
        // Their values travel in the client's own environment: arguments are seen by everybody.
        wanted.env.iter().for_each(|(name, _)| option("--env", name));
        wanted.volumes.iter().for_each(|volume| option("--volume", volume));
        let mut command = wanted.command.clone();
        if service.is_none() {
            for (outside, inside) in self.mounts() {
                option("--volume", &format!("{outside}:{inside}"));
            }
            option("--workdir", &self.translated(&self.place.layout.workspace.to_string_lossy()));
            option("--env", "HOME");
            option("--entrypoint", "tail");
            command = vec!["-f".to_owned(), "/dev/null".to_owned()];
        } else if let Some(entrypoint) = &wanted.entrypoint {
            option("--entrypoint", entrypoint);
        }
        words.extend(wanted.options.iter().cloned());
        words.push(wanted.image.clone());
        words.extend(command);
        let mut exec = self.docker_exec(words);
        exec.env.insert("HOME".into(), "/github/home".into());
        exec.env.extend(wanted.env.iter().cloned());
        exec
    }

    async fn log_in(&self, image: &str, user: &str, password: &str) -> Result<(), ActionError> {
        self.log.mask(password);
        let first = image.split('/').next().unwrap_or_default();
        let is_registry = image.contains('/') && (first.contains(['.', ':']) || first == "localhost");
        let mut words: Vec<String> =
            ["login", "--username", user, "--password-stdin"].map(str::to_owned).to_vec();
        words.extend(is_registry.then(|| first.to_owned()));
        let exec = self.docker_exec(words).stdin(password.as_bytes().to_vec());
        self.docker_ask(exec, "login", &self.last_patience()).await.map(|_| ())
    }

    /// Waits while a service's health check says that it is starting. One without a check is well.
    async fn is_well(&self, name: &str, id: &str, voice: &Voice) -> Result<(), ActionError> {
        let patience = self.last_patience();
        let asked = [
            "inspect",
            "--format",
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}",
            id,
        ];
        let mut wait = FIRST_LOOK;
        loop {
            let state = self.docker(&asked, &patience).await?;
            match state.as_str() {
                "healthy" | "running" => {
                    voice.say(&format!("{name} is ready."));
                    return Ok(());
                }
                "starting" | "created" | "restarting" => {
                    voice.say(&format!("{name} is {state}; looking again in {} seconds", wait.as_secs()));
                    let stopped = self.stop.until(crate::stop::Stop::is_stop);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        _ = stopped => return Err(PlaceError::Interrupted(crate::place::Interruption::Cancelled)),
                    }
                    wait = (wait * 2).min(LAST_LOOK);
                }
                state => {
                    let _ = self.docker_shown(&["logs", id], voice, &patience).await;
                    return Err(PlaceError::Failed(format!(
                        "the service `{name}` is {state}; what it said stands above"
                    )));
                }
            }
        }
    }

    /// Ends everything that was started for the job.
    pub(crate) async fn stop_containers(&self, voice: &Voice) {
        let patience = self.last_patience();
        if let Some(containers) = self.containers.get() {
            for (name, running) in &containers.services {
                voice.say(&format!("##[group]What the service {name} said"));
                let _ = self.docker_shown(&["logs", "--tail", "1000", &running.id], voice, &patience).await;
                voice.say("##[endgroup]");
            }
        }
        let label = format!("label={LABEL}={}", self.assignment.job);
        let listed = self.docker(&["ps", "--all", "--quiet", "--filter", &label], &patience).await;
        for id in listed.unwrap_or_default().lines() {
            if let Err(e) = self.docker(&["rm", "--force", "--volumes", id], &patience).await {
                voice.warn(&format!("a container does not go away: {e}"));
            }
        }
        let listed = self.docker(&["network", "ls", "--quiet", "--filter", &label], &patience).await;
        for id in listed.unwrap_or_default().lines() {
            if let Err(e) = self.docker(&["network", "rm", id], &patience).await {
                voice.warn(&format!("a network does not go away: {e}"));
            }
        }
    }
}

/// What `docker port` says: `5432/tcp -> 0.0.0.0:32768`, once per address of the machine.
fn ports(said: &str) -> BTreeMap<String, String> {
    let mut ports = BTreeMap::new();
    for line in said.lines() {
        let Some((inner, outer)) = line.split_once(" -> ") else { continue };
        let inner = inner.split('/').next().unwrap_or(inner);
        if let Some((_, port)) = outer.rsplit_once(':') {
            ports.entry(inner.to_owned()).or_insert_with(|| port.to_owned());
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_once_each() {
        let found = ports("5432/tcp -> 0.0.0.0:32768\n5432/tcp -> [::]:32768\n53/udp -> 0.0.0.0:9\n");
        assert_eq!(found["5432"], "32768");
        assert_eq!(found["53"], "9");
        assert_eq!(found.len(), 2);
    }
}
