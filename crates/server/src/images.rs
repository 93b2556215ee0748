//! The registry as control runs it: who may do what with a repository, images laid out for instances, images built
//! from a job's files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use windlass_identity::{Action as Doing, Principal, Resource, authorize};
use windlass_kernel::{Actor, Clock, Entropy, ProjectName, Store};
use windlass_oci::{
    Access, Action, Assembler, BlobStore, Credential, Grant, ImageUser, MIRROR, Puller, Reference, Registry,
    RegistryToken, RepositoryName, StoreIndex, TokenSealer, UnpackLimits, Unpacker, WhiteoutStyle,
};
use windlass_runtime::{Capabilities, Level};

use crate::context::Context;
use crate::data_dir::DataDir;

/// The largest image that a job may build from files, in bytes.
const LARGEST_BUILD: u64 = 4 << 30;
/// The first component of the names of images that all projects stand on: people push them, every job may pull them.
pub(crate) const SHARED: &str = "shared";
/// How long a registry token lasts.
const TOKEN_LIFE: Duration = Duration::from_mins(5);

/// Everything about images.
pub(crate) struct Images {
    pub(crate) registry: Registry,
    pub(crate) blobs: Arc<dyn BlobStore>,
    /// Held by a collection or a scrub.
    pub(crate) caring: tokio::sync::Mutex<()>,
    pub(crate) assembler: Assembler,
    unpacker: Unpacker,
    sealer: TokenSealer,
}

/// An image, ready to be run.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) workdir: Option<String>,
    pub(crate) user: Option<(u32, u32)>,
    /// The home folder of that user, as the image's password file has it.
    pub(crate) home: Option<String>,
    /// It stands on the machine's own root.
    pub(crate) machine: bool,
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").finish_non_exhaustive()
    }
}

impl Images {
    pub(crate) fn open(
        data: &DataDir,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        capabilities: &Capabilities,
    ) -> anyhow::Result<Self> {
        let blobs = crate::registry::open_blobs(data, clock.clone(), entropy.clone())?;
        let index = Arc::new(StoreIndex::new(store, clock.clone()));
        let registry = Registry::new(blobs.clone(), index, clock.clone());
        let style = match capabilities.level {
            Level::Namespaces => WhiteoutStyle::Overlay,
            Level::UserNamespaces => WhiteoutStyle::OverlayUser,
            Level::Process => WhiteoutStyle::None,
        };
        let limits = UnpackLimits::default();
        let unpacker =
            Unpacker::open(registry.clone(), &data.path("layers"), style, limits, entropy.clone())?;
        let puller = Puller::new(Vec::new());
        let spool = data.path("scratch");
        let assembler = Assembler::new(registry.clone(), puller, spool, entropy.clone(), LARGEST_BUILD);
        let sealer = TokenSealer::new(&*entropy, clock, TOKEN_LIFE);
        Ok(Self { registry, blobs, caring: tokio::sync::Mutex::default(), assembler, unpacker, sealer })
    }

    /// Lays an image out and says how it is run.
    pub(crate) async fn prepare(&self, image: &windlass_delivery::Image) -> anyhow::Result<Prepared> {
        let (repository, _) = split_reference(&image.reference)
            .with_context(|| format!("`{}` is not an image's name by digest", image.reference))?;
        let reference = Reference::Digest(image.digest.clone());
        let unpacked = self.unpacker.unpack(&repository, &reference).await?;
        let machine = unpacked.on_machine();
        let config = unpacked.config;
        let mut trees = unpacked.layers.clone();
        trees.extend(machine.then(|| PathBuf::from("/")));
        let user = ImageUser::of(&config.user, &trees).map_err(anyhow::Error::msg)?;
        let argv = [config.entrypoint.clone(), config.cmd.clone()].concat();
        let pairs = config.env.iter().filter_map(|pair| pair.split_once('='));
        Ok(Prepared {
            layers: unpacked.layers,
            argv,
            env: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            workdir: Some(config.working_dir.clone()).filter(|dir| !dir.is_empty()),
            user: user.ids,
            home: user.home,
            machine,
        })
    }
}

/// `host/repository@digest` (the host may be missing) to the repository and the digest.
pub(crate) fn split_reference(text: &str) -> Option<(RepositoryName, windlass_kernel::Digest)> {
    let (name, digest) = text.rsplit_once('@')?;
    let digest = digest.parse().ok()?;
    let name = match name.split_once('/') {
        // A first part with a dot or a colon is a host (as every client reads it).
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => name,
    };
    Some((name.parse().ok()?, digest))
}

/// What a name stands for that no project can have, since images of no project lie below it.
pub(crate) fn reserved(name: &ProjectName) -> Option<&'static str> {
    match name.as_str() {
        MIRROR => Some("where images of other registries are mirrored"),
        SHARED => Some("where images lie that all projects may pull"),
        _ => None,
    }
}

/// The registry's question who may do what, answered by accounts and roles.
#[derive(Debug)]
pub(crate) struct RegistryAccess(pub(crate) Arc<Context>);

/// The project that a repository belongs to: its first segment.
fn project_of(repository: &RepositoryName) -> Option<ProjectName> {
    repository.as_str().split('/').next()?.parse().ok()
}

#[async_trait]
impl Access for RegistryAccess {
    type Principal = Principal;

    async fn authenticate(&self, credential: &Credential) -> Option<Principal> {
        let credential = match credential {
            Credential::Basic { user, password } => {
                windlass_web::Credential::Basic(user.clone(), password.clone())
            }
            Credential::Bearer(token) => windlass_web::Credential::Bearer(token.clone()),
        };
        let principal = self.0.authenticate(&credential).await.ok().flatten()?;
        self.0.at_work(&principal).await.then_some(principal)
    }

    async fn may(&self, principal: &Principal, action: Action, repository: &RepositoryName) -> bool {
        let Some(project) = project_of(repository) else { return false };
        if project.as_str() == MIRROR && action != Action::Pull {
            // An administrator may remove what was fetched; the registry itself refuses pushes.
            return authorize(principal, Doing::ManageRegistry, &Resource::Platform).is_ok();
        }
        if project.as_str() == MIRROR || project.as_str() == SHARED && action == Action::Pull {
            return may_pull_what_is_for_all(principal);
        }
        let doing = match action {
            Action::Pull => Doing::PullImage,
            Action::Push => Doing::PushImage,
            Action::Delete => Doing::DeleteImage,
        };
        authorize(principal, doing, &Resource::Project(project)).is_ok()
    }

    fn actor(&self, principal: &Principal) -> Actor {
        principal.actor.clone()
    }

    async fn issue(&self, principal: &Principal, grants: &[Grant]) -> RegistryToken {
        let subject = serde_json::json!({
            "actor": principal.actor,
            "role": principal.role,
            "scope": scope_text(&principal.scope),
        });
        self.0.images.sealer.issue(&subject.to_string(), grants)
    }

    async fn verify(&self, token: &str) -> Option<(Principal, Vec<Grant>)> {
        let claims = self.0.images.sealer.open(token)?;
        let subject: serde_json::Value = serde_json::from_str(&claims.subject).ok()?;
        let actor = serde_json::from_value(subject["actor"].clone()).ok()?;
        let role = serde_json::from_value(subject["role"].clone()).ok()?;
        let scope = scope_of(subject["scope"].as_str()?)?;
        let principal = Principal { actor, role, scope };
        // The registry's token may outlive the job.
        self.0.at_work(&principal).await.then_some((principal, claims.grants))
    }
}

/// What other registries have, and what people put below `shared/`, can be pulled by everybody who may pull something here.
fn may_pull_what_is_for_all(principal: &Principal) -> bool {
    use windlass_identity::Scope;
    match &principal.scope {
        Scope::Platform => authorize(principal, Doing::ReadPlatform, &Resource::Platform).is_ok(),
        Scope::Project(project) | Scope::Job { project, .. } => {
            authorize(principal, Doing::PullImage, &Resource::Project(project.clone())).is_ok()
        }
    }
}

fn scope_text(scope: &windlass_identity::Scope) -> String {
    use windlass_identity::Scope;
    match scope {
        Scope::Platform => "platform".into(),
        Scope::Project(project) => format!("project {project}"),
        Scope::Job { project, run, job, usage } => {
            // Compact JSON has no spaces.
            let usage = serde_json::to_string(usage).unwrap_or_default();
            format!("job {project} {run} {job} {usage}")
        }
    }
}

fn scope_of(text: &str) -> Option<windlass_identity::Scope> {
    use windlass_identity::Scope;
    let parts: Vec<&str> = text.split(' ').collect();
    match parts[..] {
        ["platform"] => Some(Scope::Platform),
        ["project", project] => Some(Scope::Project(project.parse().ok()?)),
        ["job", project, run, job, usage] => Some(Scope::Job {
            project: project.parse().ok()?,
            run: run.parse().ok()?,
            job: job.parse().ok()?,
            usage: serde_json::from_str(usage).ok()?,
        }),
        _ => None,
    }
}
