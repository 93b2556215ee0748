//! Starting containers with the engine, looking whether they are well, and removing what was made.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::entry::{Entry, config, environment, mount};
use super::{LABEL, options};
use crate::action::ActionError;
use crate::container::{Inside, Running, Wanted};
use crate::job::Job;
use crate::place::{Patience, PlaceError};
use crate::transcript::Voice;

/// How long a health check is waited for between two looks: doubled each time, from the first to the last.
const FIRST_LOOK: Duration = Duration::from_secs(2);
const LAST_LOOK: Duration = Duration::from_secs(32);

impl Job {
    pub(super) async fn docker_begin(&self) -> Result<String, ActionError> {
        let network = format!("windlass_network_{}_{}", self.assignment.job, self.assignment.attempt);
        let labels = self.labels();
        let words = ["network", "create"].into_iter().chain(labels.iter().map(String::as_str));
        self.docker(&words.chain(["--", &network]).collect::<Vec<_>>(), &self.last_patience()).await?;
        Ok(network)
    }

    pub(super) async fn docker_start(
        &self,
        service: Option<&str>,
        wanted: &Wanted,
        voice: &Voice,
    ) -> Result<Running, ActionError> {
        let patience = self.last_patience();
        let network = &format!("windlass_network_{}_{}", self.assignment.job, self.assignment.attempt);
        if let Some((user, password)) = &wanted.credentials {
            self.docker_log_in(&wanted.image, user, password).await?;
        }
        // Fetching takes its time: a job that is cancelled does not wait for it.
        let impatient = Patience { survives_cancel: false, ..patience.clone() };
        self.docker_image(&wanted.image, voice, &impatient).await?;
        let client = self.client().await?;
        let serial = self.next_serial();
        let mut words = vec!["create".to_owned(), "--network".into(), network.to_owned()];
        words.extend(self.labels());
        words.extend(self.asked_for(wanted, voice).await?);
        words.extend(self.bounds());
        // Arguments are seen by everybody: variables travel in a file, those of the job's container with its programs.
        let variables = service.map(|_| client.variables(serial, &wanted.env)).transpose();
        let variables = variables.map_err(PlaceError::Failed)?;
        let mut entry = None;
        let node = if service.is_none() { self.node_externals().await } else { None };
        match service {
            Some(service) => {
                words.extend(["--network-alias".to_owned(), service.to_owned()]);
                words.extend(wanted.entrypoint.iter().flat_map(|e| ["--entrypoint".to_owned(), e.clone()]));
                words.extend(variables.iter().flat_map(super::client::Variables::arguments));
                words.push(wanted.image.clone());
                words.extend(wanted.command.iter().cloned());
            }
            None => {
                let ready = self.entry(serial).await?;
                let gateway = [
                    "network",
                    "inspect",
                    "--format",
                    "{{range .IPAM.Config}}{{println .Gateway}}{{end}}",
                    network,
                ];
                let gateway = self.docker(&gateway, &patience).await?;
                if let Some(gateway) = gateway.lines().find(|line| !line.trim().is_empty()) {
                    words.extend([
                        "--add-host".to_owned(),
                        format!("host.docker.internal:{}", gateway.trim()),
                    ]);
                }
                for (outside, inside) in self.mounts() {
                    let mount = mount(Path::new(&outside), &inside, false).map_err(PlaceError::Failed)?;
                    words.extend(["--mount".to_owned(), mount]);
                }
                for (file, inside) in node.iter().flat_map(|node| &node.files) {
                    let mount = mount(file, inside, true).map_err(PlaceError::Failed)?;
                    words.extend(["--mount".to_owned(), mount]);
                }
                words.extend(ready.options.iter().cloned());
                words.push(wanted.image.clone());
                words.extend(ready.command.iter().cloned());
                entry = Some(ready);
            }
        }
        let id = self.docker_ask(client.exec(words), "create", &patience).await?;
        // What it warns of stands before the id.
        let id = id.lines().last().unwrap_or_default().trim().to_owned();
        self.docker(&["start", &id], &patience).await?;
        let inside = match entry {
            Some(entry) => {
                let node = node.map(|node| node.argv).unwrap_or_default();
                Some(self.enter(entry, &id, wanted, node, voice).await?)
            }
            None => None,
        };
        let ports = ports(&self.docker(&["port", &id], &patience).await?);
        Ok(Running { id, ports, inside })
    }

    /// The way into a container that is about to be made.
    pub(super) async fn entry(&self, serial: u32) -> Result<Entry, ActionError> {
        let folder = self.client().await?.folder.join(format!("entry-{serial}"));
        Entry::prepare(&self.place.program(), &folder).await.map_err(PlaceError::Failed)
    }

    async fn enter(
        &self,
        entry: Entry,
        id: &str,
        wanted: &Wanted,
        node: Vec<String>,
        voice: &Voice,
    ) -> Result<Inside, ActionError> {
        let patience = self.last_patience();
        let said = self.docker(&["inspect", "--format", "{{json .Config}}", id], &patience).await?;
        let mut env = environment(&config(&said).map_err(PlaceError::Failed)?);
        env.extend(wanted.env.iter().cloned());
        let argv = entry.argv.clone();
        match entry.answer(id).await {
            Ok(sandbox) => Ok(Inside { place: self.place.through(sandbox, argv), env, node }),
            Err(why) => {
                let _ = self.docker_shown(&["logs", id], Vec::new(), voice, &patience).await;
                Err(PlaceError::Failed(why))
            }
        }
    }

    /// What a workflow asks for, as far as the operator permits it.
    async fn asked_for(&self, wanted: &Wanted, voice: &Voice) -> Result<Vec<String>, ActionError> {
        let free = self.docker.allowed;
        let work = self.place.work();
        let mut words = options::options(&wanted.options, free).map_err(PlaceError::Failed)?;
        for port in &wanted.ports {
            words.extend(["--publish".to_owned(), options::port(port, free).map_err(PlaceError::Failed)?]);
        }
        for volume in &wanted.volumes {
            let own = format!("windlass_{}_{}_", self.assignment.job, self.assignment.attempt);
            let mut named = None;
            let spelt = options::volume(volume, free, &work, |name| {
                let name = format!("{own}{name}");
                named = Some(name.clone());
                name
            });
            words.extend(["--volume".to_owned(), spelt.map_err(PlaceError::Failed)?]);
            if let Some(name) = named {
                let labels = self.labels();
                let create = ["volume", "create"].into_iter().chain(labels.iter().map(String::as_str));
                let create: Vec<&str> = create.chain(["--", &name]).collect();
                voice.debug(&format!("the volume {name} ends with the job"));
                self.docker(&create, &self.last_patience()).await?;
            }
        }
        Ok(words)
    }

    /// What a container may use at most.
    pub(super) fn bounds(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(millis) = self.limits.cpu_millis {
            words.extend(["--cpus".to_owned(), format!("{}.{:03}", millis / 1000, millis % 1000)]);
        }
        if let Some(bytes) = self.limits.memory_bytes {
            words.extend(["--memory".to_owned(), bytes.to_string()]);
        }
        if let Some(processes) = self.limits.processes {
            words.extend(["--pids-limit".to_owned(), processes.to_string()]);
        }
        words
    }

    async fn docker_log_in(&self, image: &str, user: &str, password: &str) -> Result<(), ActionError> {
        let first = image.split('/').next().unwrap_or_default();
        let is_registry = image.contains('/') && (first.contains(['.', ':']) || first == "localhost");
        let mut words: Vec<String> =
            ["login", "--username", user, "--password-stdin"].map(str::to_owned).to_vec();
        words.extend(is_registry.then(|| first.to_owned()));
        let exec = self.client().await?.exec(words).stdin(password.as_bytes().to_vec());
        self.docker_ask(exec, "login", &self.last_patience()).await.map(|_| ())
    }

    /// Waits while a service's health check says that it is starting. One without a check is well.
    pub(super) async fn docker_well(&self, name: &str, id: &str, voice: &Voice) -> Result<(), ActionError> {
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
                    let _ = self.docker_shown(&["logs", id], Vec::new(), voice, &patience).await;
                    return Err(PlaceError::Failed(format!(
                        "the service `{name}` is {state}; what it said stands above"
                    )));
                }
            }
        }
    }

    /// Shows what a container said.
    pub(super) async fn docker_said(&self, id: &str, voice: &Voice) {
        let logs = ["logs", "--tail", "1000", id];
        let _ = self.docker_shown(&logs, Vec::new(), voice, &self.last_patience()).await;
    }

    /// Removes what was made for the job in the engine, however it ended.
    pub(super) async fn docker_leave(&self) {
        let Some(client) = self.client.get() else { return };
        let label = format!("label={LABEL}={}", self.assignment.job);
        let kinds: [(&[&str], &[&str]); 4] = [
            (&["ps", "--all", "--quiet"], &["rm", "--force", "--volumes"]),
            (&["network", "ls", "--quiet"], &["network", "rm"]),
            (&["volume", "ls", "--quiet"], &["volume", "rm", "--force"]),
            (&["image", "ls", "--quiet"], &["image", "rm", "--force"]),
        ];
        for (list, remove) in kinds {
            let listed =
                client.ask(list.iter().copied().chain(["--filter", &label])).await.unwrap_or_default();
            if listed.trim().is_empty() {
                continue;
            }
            if let Err(why) = client.ask(remove.iter().copied().chain(listed.split_whitespace())).await {
                tracing::warn!(
                    why,
                    kind = list[0],
                    "what was made for a job in the Docker Engine cannot be removed"
                );
            }
        }
        client.forget();
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
