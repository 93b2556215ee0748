//! Containers of a job: the one that its steps run in, services beside it, and actions that are images. What is asked for and
//! what steps find there is said here, once; who carries it out is an [`Engine`]: our own sandbox over an image's layers
//! (`layered`), or the machine's Docker Engine (`docker`), where that was asked for by name.

mod action;
mod engine;
mod exec;
pub(crate) mod externals;
mod once;
mod start;
mod wanted;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use windlass_workflow::expr::Value;

pub(crate) use action::{DockerProgram, Image};
pub(crate) use engine::{Engine, Once};
pub(crate) use once::{WORK, environment};
pub(crate) use start::{HOME, WORKFLOW, wants as wants_containers};
pub(crate) use wanted::Wanted;
#[cfg(test)]
pub(crate) use wanted::words;

use crate::job::Job;
use crate::place::Place;

/// The search path of an image that sets none.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What was started for a job.
pub(crate) struct Containers {
    pub(crate) network: String,
    pub(crate) job: Option<Running>,
    pub(crate) services: Vec<(String, Running)>,
    /// Whether all of it was ended.
    pub(crate) ended: AtomicBool,
}

/// A container that runs.
pub(crate) struct Running {
    pub(crate) id: String,
    /// The port of the machine for each port of the container.
    pub(crate) ports: BTreeMap<String, String>,
    /// Where steps' programs run in it, and the variables that they start from; none of a service.
    pub(crate) inside: Option<Inside>,
}

/// The inside of a container.
pub(crate) struct Inside {
    pub(crate) place: Place,
    pub(crate) env: BTreeMap<String, String>,
    /// How the machine's Node.js is called there; nothing if it has none.
    pub(crate) node: Vec<String>,
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
    /// Whether steps run in a container.
    pub(crate) fn in_container(&self) -> bool {
        self.inside().is_some()
    }

    fn inside(&self) -> Option<&Inside> {
        self.containers.get()?.job.as_ref()?.inside.as_ref()
    }

    /// How the machine's Node.js is called in the job's container.
    pub(crate) fn outside_node(&self) -> &[String] {
        self.inside().map_or(&[], |inside| &inside.node)
    }

    /// The machine's Node.js, for a container.
    pub(crate) async fn node_externals(&self) -> Option<externals::Externals> {
        let path = self.place.base().get("PATH")?;
        let program =
            path.split(':').map(|folder| Path::new(folder).join("node")).find(|file| file.is_file());
        let program = program?.canonicalize().ok()?;
        externals::of(&program, externals::NODE).await.ok()
    }

    /// Where programs of steps run: the job's container if it has one, else its sandbox.
    pub(crate) fn step_place(&self) -> &Place {
        self.inside().map_or(&self.place, |inside| &inside.place)
    }
}
