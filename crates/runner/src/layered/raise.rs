//! A container comes up: a sandbox over an image's layers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_oci::ImageUser;
use windlass_runtime::{Bind, RuntimeError, Sandbox, SandboxSpec};

use super::options::Options;
use super::store::Laid;
use super::{Layered, Shared};
use crate::action::{ActionError, failed};
use crate::container::{Inside, Running, Wanted, environment, externals};
use crate::docker::options::volume;
use crate::job::Job;
use crate::transcript::Voice;

/// What a container is made of.
pub(super) struct Plan<'a> {
    /// No other of the job has it.
    pub(super) name: String,
    pub(super) laid: &'a Laid,
    pub(super) options: &'a Options,
    pub(super) volumes: &'a [String],
    pub(super) binds: Vec<Bind>,
    /// Links that lie over the image.
    pub(super) links: Vec<(String, PathBuf)>,
    pub(super) hostname: String,
    pub(super) workdir: Option<String>,
    /// Whether it has a network of its own.
    pub(super) isolated: bool,
}

/// A container that came up.
pub(super) struct Raised {
    pub(super) sandbox: Arc<dyn Sandbox>,
    pub(super) user: ImageUser,
    pub(super) isolated: bool,
}

impl Layered {
    /// Starts a sandbox over an image.
    pub(super) async fn raise(&self, job: &Job, plan: Plan<'_>) -> Result<Raised, ActionError> {
        let folder = Self::folder(job);
        let user = plan.options.user.clone().unwrap_or_else(|| plan.laid.config.user.clone());
        let user = ImageUser::of(&user, &plan.laid.layers).map_err(failed)?;
        let mut spec = self.spec(job, &plan, &folder).map_err(failed)?;
        spec.user = user.ids;
        let sandboxes = self.sandboxes()?.clone();
        let isolated = plan.isolated && !self.shared().on_machine;
        spec.isolate_network = isolated;
        spec.binds.push(self.hosts_file(&plan, &folder, !isolated).map_err(failed)?);
        match sandboxes.start(spec.clone()).await {
            Ok(sandbox) => Ok(Raised { sandbox, user, isolated }),
            Err(why @ RuntimeError::Start { .. }) if isolated => {
                // Some machines give namespaces, but no network in them.
                spec.isolate_network = false;
                {
                    let Shared { addresses, on_machine, .. } = &mut *self.shared();
                    *on_machine = true;
                    for (address, _) in addresses {
                        *address = super::Address::of_machine();
                    }
                }
                self.hosts_file(&plan, &folder, true).map_err(failed)?;
                let sandbox = sandboxes.start(spec).await.map_err(|_| failed(why.to_string()))?;
                Ok(Raised { sandbox, user, isolated: false })
            }
            Err(why) => Err(failed(format!("the container does not start: {why}"))),
        }
    }

    fn spec(&self, job: &Job, plan: &Plan<'_>, folder: &Path) -> Result<SandboxSpec, String> {
        let unusable = |e: std::io::Error| format!("the folder of the job's containers cannot be used: {e}");
        let top = top(plan, &folder.join("top").join(&plan.name)).map_err(unusable)?;
        let layers: Vec<PathBuf> = top.into_iter().chain(plan.laid.layers.iter().cloned()).collect();
        if layers.is_empty() {
            return Err("the image has no layers: there is nothing to run in it".to_owned());
        }
        let id = format!("{}.{}.{}", job.assignment.job, job.assignment.attempt, plan.name);
        let scratch = job.place.private_folder("scratch").join(&plan.name);
        let mut spec = SandboxSpec::layers(id, scratch, layers);
        spec.image_folders = true;
        spec.hostname.clone_from(&plan.hostname);
        spec.read_only_root = plan.options.read_only;
        spec.limits = windlass_runtime::Limits {
            cpu_millis: plan.options.limits.cpu_millis.or(job.limits.cpu_millis),
            memory_bytes: plan.options.limits.memory_bytes.or(job.limits.memory_bytes),
            processes: plan.options.limits.processes.or(job.limits.processes),
        };
        spec.binds.clone_from(&plan.binds);
        spec.memory.extend(plan.options.empty.iter().cloned());
        for (number, text) in plan.volumes.iter().chain(&plan.options.volumes).enumerate() {
            spec.binds.push(self.volume(
                job,
                text,
                &folder.join("volumes"),
                &format!("{}-{number}", plan.name),
            )?);
        }
        Ok(spec)
    }

    /// A volume: of the job's own, below its folder, or a folder that the operator lets containers have.
    fn volume(&self, job: &Job, text: &str, volumes: &Path, own: &str) -> Result<Bind, String> {
        let own_folder = |name: &str| volumes.join(name).to_string_lossy().into_owned();
        let source = text.split(':').next().map(Path::new).filter(|source| source.is_absolute());
        let real = source.and_then(|source| source.canonicalize().ok()).filter(|source| {
            let mut folders = self.settings.volumes.iter().filter_map(|folder| folder.canonicalize().ok());
            text.contains(':') && folders.any(|folder| source.starts_with(folder))
        });
        let permitted = real.is_some();
        let mut named = false;
        let spelt = volume(text, permitted, &job.place.work(), |name| {
            named = true;
            // Names of volumes begin with a letter or a digit; whatever they begin with, they stay in their folder.
            own_folder(&format!("named-{name}"))
        });
        let spelt = spelt.map_err(|why| {
            why.replace(
                "WINDLASS_DOCKER=allowed lets jobs use the whole engine",
                "WINDLASS_VOLUMES names folders that jobs may have",
            )
        })?;
        let (host, rest) = match spelt.split_once(':') {
            Some((host, rest)) => (host.to_owned(), rest.to_owned()),
            None => (own_folder(&format!("own-{own}")), spelt.clone()),
        };
        let (inside, mode) =
            rest.split_once(':').map_or((rest.as_str(), ""), |(inside, mode)| (inside, mode));
        // What was looked at is what is shown, whatever a link leads to by then.
        let host = real.unwrap_or_else(|| PathBuf::from(host));
        if named || host.starts_with(volumes) {
            std::fs::create_dir_all(&host).map_err(|e| format!("the volume `{text}` cannot be made: {e}"))?;
        }
        let read_only = mode.split(',').any(|word| word == "ro");
        Ok(Bind { host, inside: inside.into(), read_only })
    }

    fn hosts_file(&self, plan: &Plan<'_>, folder: &Path, on_machine: bool) -> Result<Bind, String> {
        let host = folder.join("hosts").join(&plan.name);
        let text = self.hosts(&plan.hostname, plan.options, on_machine);
        let written =
            std::fs::create_dir_all(folder.join("hosts")).and_then(|()| std::fs::write(&host, text));
        written.map_err(|e| format!("the table of hosts of a container cannot be written: {e}"))?;
        Ok(Bind { host, inside: "/etc/hosts".into(), read_only: false })
    }

    /// What of ours programs beside the image's need.
    pub(super) async fn externals(job: &Job) -> Result<(Vec<Bind>, Vec<String>), ActionError> {
        let found = externals::find(&job.place.program()).await.map_err(failed)?;
        let binds = found.files.into_iter().map(|(host, inside)| Bind {
            host,
            inside: inside.into(),
            read_only: true,
        });
        Ok((binds.collect(), found.argv))
    }

    /// Starts the container that a job's steps run in.
    pub(super) async fn start_container(
        &self,
        job: &Job,
        wanted: &Wanted,
        voice: &Voice,
    ) -> Result<Running, ActionError> {
        let patience = job.last_patience();
        let options = Options::parse(&wanted.options).map_err(failed)?;
        options.notes.iter().for_each(|note| voice.say(note));
        let laid = self.image(job, &wanted.image, wanted.credentials.as_ref(), voice, &patience).await?;
        let (mut binds, argv) = Self::externals(job).await?;
        let node = job.node_externals().await;
        for (host, inside) in node.iter().flat_map(|node| &node.files) {
            binds.push(Bind { host: host.clone(), inside: inside.into(), read_only: true });
        }
        for (outside, inside) in job.mounts() {
            binds.push(Bind { host: outside.into(), inside: inside.into(), read_only: false });
        }
        let hostname = options.hostname.clone().unwrap_or_else(|| "container".to_owned());
        let plan = Plan {
            name: "container".to_owned(),
            laid: &laid,
            options: &options,
            volumes: &wanted.volumes,
            binds,
            links: Vec::new(),
            hostname: hostname.clone(),
            workdir: None,
            isolated: false,
        };
        let raised = self.raise(job, plan).await?;
        let mut env = environment(&laid.config);
        env.insert("HOSTNAME".into(), hostname);
        env.extend(options.env.iter().cloned());
        env.extend(wanted.env.iter().cloned());
        let id = raised.sandbox.id().to_owned();
        let node = node.map(|node| node.argv).unwrap_or_default();
        let inside = Inside { place: job.place.through(raised.sandbox, argv), env, node };
        // It has the machine's network: its ports are the machine's.
        let ports = std::collections::BTreeMap::new();
        Ok(Running { id, ports, inside: Some(inside) })
    }
}

/// A layer over an image with what it lacks: links, and the working directory as an engine makes it. None if it lacks nothing.
fn top(plan: &Plan<'_>, folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let missing = plan.workdir.as_deref().and_then(|dir| missing(dir, &plan.laid.layers));
    if plan.links.is_empty() && missing.is_none() {
        return Ok(None);
    }
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    if let Some(missing) = missing {
        std::fs::create_dir_all(folder.join(missing))?;
    }
    for (at, target) in &plan.links {
        let at = folder.join(at);
        if let Some(parent) = at.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::os::unix::fs::symlink(target, at)?;
    }
    Ok(Some(folder.to_owned()))
}

/// A folder that no layer has, from the root; none if one has it, or something else is on the way.
fn missing(dir: &str, layers: &[PathBuf]) -> Option<PathBuf> {
    let relative = Path::new(dir).strip_prefix("/").ok()?;
    let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain || relative.as_os_str().is_empty() {
        return None;
    }
    let there = |path: &Path| {
        let found = layers.iter().find_map(|layer| std::fs::symlink_metadata(layer.join(path)).ok());
        found.map(|meta| meta.is_dir())
    };
    // Through a link of the image it may be there.
    let ancestors = relative.ancestors().filter(|path| !path.as_os_str().is_empty());
    if ancestors.clone().any(|path| there(path) == Some(false)) || there(relative).is_some() {
        return None;
    }
    Some(relative.to_owned())
}
