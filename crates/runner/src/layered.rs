//! Containers on our own sandbox, from image layers, with no engine on the machine: each is a sandbox over the layers of its
//! image, what is written in it is thrown away. The job's container has the machine's network, as every job has; a service has
//! one of its own (`net`).

mod archive;
mod image;
mod net;
mod options;
mod raise;
mod run;
mod service;
mod store;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use windlass_runtime::{Exit, Level, Runtime};

use crate::action::{ActionError, failed};
use crate::container::{Engine, Once, Running, Wanted};
use crate::job::Job;
use crate::transcript::Voice;

use net::{Address, Mesh};
use options::Options;
use service::Service;
use store::Laid;

/// What containers on our own sandbox need of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSettings {
    /// Where images are kept; none: with the job, for that job only.
    pub images: Option<PathBuf>,
    /// The machine's folders that containers may have as volumes.
    pub volumes: Vec<PathBuf>,
}

impl ContainerSettings {
    /// Images in `images`, and the folders that `WINDLASS_VOLUMES` names, divided by colons.
    pub fn of_machine(images: PathBuf) -> Self {
        let named = std::env::var_os("WINDLASS_VOLUMES").unwrap_or_default();
        let volumes = std::env::split_paths(&named).filter(|folder| folder.is_absolute()).collect();
        Self { images: Some(images), volumes }
    }
}

/// Containers of one job on our own sandbox.
pub(crate) struct Layered {
    settings: ContainerSettings,
    /// What starts them; else why there is nothing that does.
    sandboxes: Result<Arc<dyn Runtime>, String>,
    shared: Mutex<Shared>,
    mesh: Arc<Mesh>,
    images: tokio::sync::Mutex<BTreeMap<String, Laid>>,
}

/// What the containers of a job share.
#[derive(Default)]
struct Shared {
    /// Each service's address, and its names.
    addresses: Vec<(Address, Vec<String>)>,
    services: Vec<Arc<Service>>,
    /// Whether this machine gives sandboxes no network of their own.
    on_machine: bool,
}

impl Layered {
    pub(crate) fn new(settings: ContainerSettings, sandboxes: Result<Arc<dyn Runtime>, String>) -> Self {
        Self {
            settings,
            sandboxes,
            shared: Mutex::default(),
            mesh: Arc::default(),
            images: tokio::sync::Mutex::default(),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What starts sandboxes that are kept apart.
    fn sandboxes(&self) -> Result<&Arc<dyn Runtime>, ActionError> {
        let refused = |why: &str| {
            failed(format!(
                "containers need a sandbox with namespaces, and this machine gives none: {why} Let them run on the Docker \
                 Engine instead (`windlass up --docker`, `windlass run --docker`), or look at `windlass doctor`"
            ))
        };
        let sandboxes = self.sandboxes.as_ref().map_err(|why| refused(&format!("{why}.")))?;
        let can = sandboxes.capabilities();
        if can.level == Level::Process { Err(refused(&can.why.join(" "))) } else { Ok(sandboxes) }
    }

    fn level(&self) -> Level {
        self.sandboxes.as_ref().map_or(Level::Process, |sandboxes| sandboxes.capabilities().level)
    }

    /// The folder of what containers of a job need beside their sandboxes' own.
    fn folder(job: &Job) -> PathBuf {
        job.place.private_folder("containers")
    }

    /// What a container looks names up in: services first. `on_machine`: it has the machine's network.
    fn hosts(&self, hostname: &str, options: &Options, on_machine: bool) -> String {
        let mut text = String::new();
        let mut line = |ip: IpAddr, names: &str| text.push_str(&format!("{ip}\t{names}\n"));
        line(Ipv4Addr::LOCALHOST.into(), "localhost");
        line(std::net::Ipv6Addr::LOCALHOST.into(), "localhost ip6-localhost ip6-loopback");
        for (address, names) in &self.shared().addresses {
            line(address.ip.into(), &names.join(" "));
        }
        for (name, ip) in &options.hosts {
            line(*ip, name);
        }
        line(Ipv4Addr::LOCALHOST.into(), hostname);
        if on_machine {
            line(Ipv4Addr::LOCALHOST.into(), "host.docker.internal windlass.localhost");
            text.push_str(&std::fs::read_to_string("/etc/hosts").unwrap_or_default());
        }
        text
    }
}

#[async_trait]
impl Engine for Layered {
    async fn begin(&self, job: &Job, services: &[(String, Wanted)]) -> Result<String, ActionError> {
        self.sandboxes()?;
        let id = format!("{}.{}", job.assignment.job, job.assignment.attempt);
        let mut addresses = Vec::new();
        for (name, wanted) in services {
            let options =
                Options::parse(&wanted.options).map_err(|e| failed(format!("service `{name}`: {e}")))?;
            let names = std::iter::once(name.clone()).chain(options.aliases).collect();
            let address = Address::take(&format!("{id} {name}"));
            let address = address
                .map_err(|e| failed(format!("service `{name}`: no address can be had for it: {e}")))?;
            addresses.push((address, names));
        }
        self.shared().addresses = addresses;
        Ok(format!("windlass_network_{id}"))
    }

    async fn service(
        &self,
        job: &Job,
        name: &str,
        wanted: &Wanted,
        voice: &Voice,
    ) -> Result<Running, ActionError> {
        self.start_service(job, name, wanted, voice).await
    }

    async fn container(&self, job: &Job, wanted: &Wanted, voice: &Voice) -> Result<Running, ActionError> {
        self.start_container(job, wanted, voice).await
    }

    async fn well(&self, job: &Job, name: &str, service: &Running, voice: &Voice) -> Result<(), ActionError> {
        let found = self.find(service);
        match found {
            Some(service) => {
                service.well(job, name, voice).await?;
                self.mesh.caught_up().await;
                Ok(())
            }
            None => Err(failed(format!("the service `{name}` is gone"))),
        }
    }

    async fn said(&self, _job: &Job, service: &Running, voice: &Voice) {
        if let Some(service) = self.find(service) {
            service.said(voice);
        }
    }

    async fn run(&self, job: &Job, once: Once<'_>) -> Result<Exit, ActionError> {
        self.sandboxes()?;
        self.run_once(job, once).await
    }

    async fn leave(&self, job: &Job) {
        self.mesh.end();
        let services = std::mem::take(&mut self.shared().services);
        for service in services {
            service.end().await;
        }
        self.shared().addresses.clear();
        let folder = Self::folder(job);
        if let Err(e) = std::fs::remove_dir_all(&folder)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %folder.display(), error = %e, "what containers of a job left cannot be removed");
        }
    }
}

impl Layered {
    fn find(&self, running: &Running) -> Option<Arc<Service>> {
        self.shared().services.iter().find(|service| service.id() == running.id).cloned()
    }
}
