//! Images assembled from files, without a daemon: one layer of the files over a base. The same files over the same
//! base give the same digest, whoever packs them and whenever.

mod layer;
mod plan;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Map, json};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use windlass_kernel::{Actor, Digest, Entropy};

use crate::registry::machine_architecture;
use crate::{
    BlobError, ByteStream, ContainerConfig, Descriptor, History, ImageConfig, ImageManifest, ImageName,
    MediaType, NameError, PullError, Puller, Reference, Registry, RegistryError, RepositoryName, RootFs, Tag,
    UploadId,
};
use layer::Layer;

/// The label that says what an image stands on.
pub const BASE_LABEL: &str = "dev.windlass.base";
/// The label's value for an image that runs over the machine's own root.
pub const MACHINE_BASE: &str = "machine";

const EPOCH: &str = "1970-01-01T00:00:00Z";

/// What an image is assembled over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// The machine's own root: no layers, a label that the runtime understands.
    Machine,
    /// An image in our own registry. The caller has checked that it may be pulled.
    Own(RepositoryName, Reference),
    /// An image in another registry.
    Remote(ImageName),
}

/// What to assemble.
#[derive(Clone, Debug)]
pub struct AssembleSpec {
    /// What it stands on.
    pub base: Base,
    /// The repository that it goes to.
    pub repository: RepositoryName,
    /// The tags to set.
    pub tags: Vec<Tag>,
    /// The program to start; empty: the base's.
    pub entrypoint: Vec<String>,
    /// Its default arguments; empty: the base's, unless there is a new entrypoint.
    pub cmd: Vec<String>,
    /// Environment variables, `NAME=value`, over the base's.
    pub env: Vec<String>,
    /// The working directory; none: the base's.
    pub workdir: Option<String>,
    /// `uid` or `uid:gid`; none: the base's.
    pub user: Option<String>,
    /// TCP ports that it listens on.
    pub expose: Vec<u16>,
    /// Labels, over the base's.
    pub labels: BTreeMap<String, String>,
    /// Who owns the files: user and group id.
    pub owner: (u32, u32),
}

/// What an image stands on: layers, configuration, and its name with its digest where it has one.
type Grounds = (Vec<Descriptor>, ImageConfig, Option<(String, Digest)>);

/// An assembled image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The manifest's digest.
    pub digest: Digest,
    /// The size of its layers, compressed, in bytes.
    pub size: u64,
    /// What it stands on: the image's name (none in front of it: of this registry) and its digest.
    pub base: Option<(String, Digest)>,
}

/// Assembles images into a registry.
#[derive(Clone)]
pub struct Assembler {
    registry: Registry,
    puller: Puller,
    spool: PathBuf,
    entropy: Arc<dyn Entropy>,
    largest: u64,
}

/// Why an image could not be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The tar of the files cannot be read.
    #[error("the tar of the image's files cannot be read: {0}")]
    Tar(String),
    /// A file that an image may not hold.
    #[error("`{path}` cannot go into the image: {why}")]
    Entry {
        /// The path within the tar.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing to put into it.
    #[error("the image would be empty: no files were given, and its base has no layers")]
    Empty,
    /// More than is allowed.
    #[error("the image's files are larger than {limit} bytes")]
    TooLarge {
        /// The most that is allowed.
        limit: u64,
    },
    /// A setting that cannot be.
    #[error("`{value}` cannot be the image's {what}: {why}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The base cannot be pulled.
    #[error("the base image cannot be pulled: {0}")]
    Base(#[from] PullError),
    /// The registry failed, or does not have the base.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The spool failed.
    #[error("the files could not be spooled: {0}")]
    Spool(#[source] BlobError),
}

impl From<BlobError> for AssembleError {
    fn from(error: BlobError) -> Self {
        Self::Registry(error.into())
    }
}

impl fmt::Debug for Assembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembler").field("spool", &self.spool).finish_non_exhaustive()
    }
}

impl Base {
    /// Reads `scratch`, `machine`, or an image's name. Without a host, or with one of `own_hosts`, it is ours.
    pub fn parse(text: &str, own_hosts: &[&str]) -> Result<Self, NameError> {
        match text {
            "scratch" => return Ok(Self::Scratch),
            "machine" => return Ok(Self::Machine),
            _ => {}
        }
        let name: ImageName = text.parse()?;
        match &name.host {
            Some(host) if !own_hosts.contains(&host.as_str()) => Ok(Self::Remote(name)),
            _ => Ok(Self::Own(name.repository.clone(), name.reference())),
        }
    }
}

impl AssembleSpec {
    /// An image from files alone, without settings.
    pub fn new(base: Base, repository: RepositoryName) -> Self {
        Self {
            base,
            repository,
            tags: Vec::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
            workdir: None,
            user: None,
            expose: Vec::new(),
            labels: BTreeMap::new(),
            owner: (0, 0),
        }
    }

    fn check(&self) -> Result<(), AssembleError> {
        let refuse = |what, value: &str, why| {
            Err(AssembleError::Setting { what, value: value.chars().take(160).collect(), why })
        };
        for variable in &self.env {
            if !variable.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !variable.contains('\0'))
            {
                return refuse("environment variable", variable, "it is written NAME=value");
            }
        }
        if let Some(dir) = self.workdir.as_deref().filter(|dir| !dir.starts_with('/')) {
            return refuse("working directory", dir, "it begins with `/`");
        }
        if let Some(user) = &self.user {
            let numbers = user.splitn(2, ':').all(|n| n.parse::<u32>().is_ok());
            if !numbers && matches!(self.base, Base::Scratch) {
                return refuse("user", user, "over `scratch` there are no names: write `uid` or `uid:gid`");
            }
        }
        Ok(())
    }

    /// The settings over the base's.
    fn settle(&self, mut config: ContainerConfig) -> ContainerConfig {
        if !self.entrypoint.is_empty() {
            config.entrypoint.clone_from(&self.entrypoint);
            // The base's arguments were meant for the base's program.
            config.cmd.clear();
        }
        if !self.cmd.is_empty() {
            config.cmd.clone_from(&self.cmd);
        }
        for variable in &self.env {
            let name = variable.split('=').next().unwrap_or_default();
            config.env.retain(|standing| standing.split('=').next() != Some(name));
            config.env.push(variable.clone());
        }
        if let Some(dir) = &self.workdir {
            config.working_dir.clone_from(dir);
        }
        if let Some(user) = &self.user {
            config.user.clone_from(user);
        }
        config.exposed_ports.extend(self.expose.iter().map(|port| (format!("{port}/tcp"), json!({}))));
        config.labels.extend(self.labels.clone());
        if self.base == Base::Machine {
            config.labels.insert(BASE_LABEL.to_owned(), MACHINE_BASE.to_owned());
        }
        config
    }
}

impl Assembler {
    /// An assembler that spools below `spool` and takes at most `largest` bytes of files.
    pub fn new(
        registry: Registry,
        puller: Puller,
        spool: PathBuf,
        entropy: Arc<dyn Entropy>,
        largest: u64,
    ) -> Self {
        Self { registry, puller, spool, entropy, largest }
    }

    /// Assembles an image from a tar of its files, and pushes it.
    pub async fn assemble(
        &self,
        spec: &AssembleSpec,
        files: ByteStream,
        by: &Actor,
    ) -> Result<Assembled, AssembleError> {
        spec.check()?;
        let spooled = self.spool(files).await?;
        let (mut layers, mut config, base) = self.base(spec).await?;
        let (planned, spooled) = blocking(move || plan::read(&spooled).map(|plan| (plan, spooled))).await?;
        if planned.is_empty() && layers.is_empty() && spec.base != Base::Machine {
            return Err(AssembleError::Empty);
        }
        if !planned.is_empty() || layers.is_empty() {
            let layer = self.store_layer(planned, spooled, spec.owner).await?;
            config.rootfs.diff_ids.push(layer.diff_id);
            layers.push(Descriptor::new(
                "application/vnd.oci.image.layer.v1.tar+gzip",
                layer.digest,
                layer.size,
            ));
        }
        config.history.push(History {
            created: Some(EPOCH.to_owned()),
            created_by: Some("windlass/build".to_owned()),
            ..History::default()
        });
        config.config = spec.settle(config.config);
        Ok(Assembled { base, ..self.publish(spec, layers, &config, by).await? })
    }

    async fn publish(
        &self,
        spec: &AssembleSpec,
        layers: Vec<Descriptor>,
        config: &ImageConfig,
        by: &Actor,
    ) -> Result<Assembled, AssembleError> {
        let config = Bytes::from(serde_json::to_vec(config).expect("a configuration serialises to JSON"));
        let config_size = config.len() as u64;
        let config = self.registry.blobs().put(config).await?;
        let linked: Vec<Digest> = layers.iter().map(|d| d.digest.clone()).chain([config.clone()]).collect();
        self.registry.index().link_blobs(&spec.repository, &linked).await.map_err(RegistryError::from)?;
        let size = layers.iter().map(|d| d.size).sum();
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(MediaType::OciManifest.as_str().to_owned()),
            artifact_type: None,
            config: Descriptor::new("application/vnd.oci.image.config.v1+json", config, config_size),
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        };
        let bytes = Bytes::from(serde_json::to_vec(&manifest).expect("a manifest serialises to JSON"));
        let digest = Digest::sha256(&bytes);
        let mut references: Vec<Reference> = spec.tags.iter().cloned().map(Reference::Tag).collect();
        if references.is_empty() {
            references.push(Reference::Digest(digest.clone()));
        }
        for reference in &references {
            self.registry
                .push(&spec.repository, reference, MediaType::OciManifest, bytes.clone(), by)
                .await?;
        }
        Ok(Assembled { digest, size, base: None })
    }

    /// The base's layers and configuration, its name and digest.
    async fn base(&self, spec: &AssembleSpec) -> Result<Grounds, AssembleError> {
        let (layers, config, base) = match &spec.base {
            Base::Scratch | Base::Machine => (Vec::new(), empty_config(), None),
            Base::Own(repository, reference) => {
                let (digest, manifest, config) = self.registry.image(repository, reference).await?;
                (manifest.layers, config, Some((repository.to_string(), digest)))
            }
            Base::Remote(name) => {
                let pulled = self.puller.pull(&self.registry, &spec.repository, name).await?;
                let (digest, manifest, config) = pulled;
                let host = name.host.as_deref().unwrap_or("docker.io");
                (manifest.layers, config, Some((format!("{host}/{}", name.repository), digest)))
            }
        };
        let config = ImageConfig { created: Some(EPOCH.to_owned()), ..config };
        Ok((layers.into_iter().map(oci_layer).collect(), config, base))
    }

    /// Keeps the tar in a file that has no name any more: it goes when it is closed, whatever happens.
    async fn spool(&self, mut files: ByteStream) -> Result<std::fs::File, AssembleError> {
        let failed = |e: io::Error| AssembleError::Spool(BlobError::io("spooling the image's files")(e));
        tokio::fs::create_dir_all(&self.spool).await.map_err(failed)?;
        let path = self.spool.join(format!("assemble-{}", UploadId::new(&*self.entropy)));
        let mut options = tokio::fs::File::options();
        let mut file = options.read(true).write(true).create_new(true).open(&path).await.map_err(failed)?;
        tokio::fs::remove_file(&path).await.map_err(failed)?;
        let mut size = 0u64;
        while let Some(chunk) = files.next().await {
            let chunk = chunk.map_err(AssembleError::Spool)?;
            size += chunk.len() as u64;
            if size > self.largest {
                return Err(AssembleError::TooLarge { limit: self.largest });
            }
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.rewind().await.map_err(failed)?;
        Ok(file.into_std().await)
    }

    /// Packs the layer in one thread while another stores it.
    async fn store_layer(
        &self,
        plan: plan::Plan,
        source: std::fs::File,
        owner: (u32, u32),
    ) -> Result<Layer, AssembleError> {
        let blobs = self.registry.blobs();
        let (writer, packed) = layer::channel();
        let packing = tokio::task::spawn_blocking(move || layer::pack(&plan, &source, owner, writer));
        let upload = blobs.begin().await?;
        let stored = blobs.append(&upload, Some(0), packed).await;
        let layer = match packing.await {
            Ok(layer) => {
                layer.map_err(|e| AssembleError::Spool(BlobError::io("packing the image's files")(e)))
            }
            Err(e) => Err(AssembleError::Tar(e.to_string())),
        };
        match (stored, layer) {
            (Ok(_), Ok(layer)) => {
                blobs.finish(&upload, &layer.digest).await?;
                Ok(layer)
            }
            // A store that failed is why the packing failed.
            (Err(error), _) => {
                let _ = blobs.cancel(&upload).await;
                Err(error.into())
            }
            (Ok(_), Err(error)) => {
                let _ = blobs.cancel(&upload).await;
                Err(error)
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AssembleError> + Send + 'static,
) -> Result<T, AssembleError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(AssembleError::Tar(e.to_string())))
}

/// Docker's layers are OCI's under another name; an OCI manifest names them by OCI's.
fn oci_layer(mut layer: Descriptor) -> Descriptor {
    let oci = match layer.media_type.as_str() {
        "application/vnd.docker.image.rootfs.diff.tar" => "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => "application/vnd.oci.image.layer.v1.tar+zstd",
        _ => return layer,
    };
    oci.clone_into(&mut layer.media_type);
    layer
}

fn empty_config() -> ImageConfig {
    ImageConfig {
        created: None,
        architecture: machine_architecture().to_owned(),
        os: "linux".to_owned(),
        config: ContainerConfig::default(),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
        history: Vec::new(),
        rest: Map::new(),
    }
}
