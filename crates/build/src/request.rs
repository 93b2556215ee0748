//! What is to be built, from what, and where it goes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use windlass_dockerfile::Platform;
use windlass_kernel::{Digest, Secret};
use windlass_oci::{ImageName, Login};
use windlass_runtime::Limits;

use crate::pack::Compression;

/// One build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The files that `COPY` and `ADD` see.
    pub context: Context,
    /// Where the Dockerfile is.
    pub dockerfile: DockerfileSource,
    /// `--build-context`, by name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// `--target`.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--label`, over those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`, of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// `--platform`; this machine's when none is said. Several make one index.
    pub platforms: Vec<Platform>,
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, Secret<Vec<u8>>>,
    /// `--ssh`: sockets of agents, by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// `--tag`.
    pub tags: Vec<ImageName>,
    /// `--output`. The image is also named on this machine when there are tags and [`Self::named_here`].
    pub outputs: Vec<Output>,
    /// Whether the tags name the image in this machine's store.
    pub named_here: bool,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`: stages, by name.
    pub no_cache_filter: Vec<String>,
    /// `--pull`: images are looked up anew although they are here.
    pub pull: bool,
    /// `--cache-from`.
    pub cache_from: Vec<CacheFrom>,
    /// `--cache-to`.
    pub cache_to: Vec<CacheTo>,
    /// `--network`: what `RUN` has by default.
    pub network: Network,
    /// `SOURCE_DATE_EPOCH`: seconds since the epoch; no time in the image is later.
    pub source_date_epoch: Option<i64>,
    /// What a step may use.
    pub limits: StepLimits,
    /// Registries that a name without a host is looked up in, in order.
    pub default_hosts: Vec<String>,
    /// Logins to registries.
    pub logins: Vec<Login>,
    /// Whether repositories are fetched as this machine's user, with the settings, keys and logins that `git` has from
    /// them. Not where somebody else says what is built.
    pub as_user: bool,
}

impl BuildRequest {
    /// A build of a folder with its `Dockerfile`, and nothing else said.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self {
            context: Context::Folder(folder.into()),
            dockerfile: DockerfileSource::InContext("Dockerfile".into()),
            contexts: BTreeMap::new(),
            target: None,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            platforms: Vec::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            tags: Vec::new(),
            outputs: Vec::new(),
            named_here: true,
            no_cache: false,
            no_cache_filter: Vec::new(),
            pull: false,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            network: Network::Host,
            source_date_epoch: None,
            limits: StepLimits::default(),
            default_hosts: vec!["docker.io".into()],
            logins: Vec::new(),
            as_user: true,
        }
    }
}

/// The files that `COPY` and `ADD` see.
#[derive(Clone, Debug)]
pub enum Context {
    /// A folder of this machine; `.dockerignore` in it holds.
    Folder(PathBuf),
    /// None.
    Empty,
    /// A tar, plain or compressed, in a file.
    Tar(PathBuf),
    /// A Git repository: `https://host/path.git#ref:folder`.
    Git(String),
    /// What an address leads to: a tar, plain or compressed, or a Dockerfile that needs no files.
    Url(String),
}

/// Where the Dockerfile is.
#[derive(Clone, Debug)]
pub enum DockerfileSource {
    /// A path in the context.
    InContext(String),
    /// A file of this machine.
    File(PathBuf),
    /// Its text.
    Text(String),
}

/// `--build-context`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// A folder of this machine.
    Folder(PathBuf),
    /// An image: `docker-image://NAME`.
    Image(String),
    /// An OCI layout: `oci-layout://PATH[:TAG|@DIGEST]`.
    Layout(PathBuf, Option<String>),
    /// A Git repository, or a tar at an address.
    Remote(String),
}

impl FromStr for NamedContext {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(image) = text.strip_prefix("docker-image://") {
            return Ok(Self::Image(image.to_owned()));
        }
        if let Some(path) = text.strip_prefix("oci-layout://") {
            let (path, name) = match (path.split_once('@'), path.rsplit_once(':')) {
                (Some((path, digest)), _) => (path, Some(digest.to_owned())),
                (None, Some((path, tag))) if !tag.contains('/') => (path, Some(tag.to_owned())),
                _ => (path, None),
            };
            return Ok(Self::Layout(path.into(), name));
        }
        if crate::is_remote(text) {
            return Ok(Self::Remote(text.to_owned()));
        }
        if text.contains("://") {
            return Err(format!(
                "`{text}` is no build context: use a folder, docker-image://NAME, oci-layout://PATH, a Git address or that of a tar"
            ));
        }
        Ok(Self::Folder(text.into()))
    }
}

/// What `RUN` sees of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The machine's.
    #[default]
    Host,
    /// Loopback only.
    None,
}

/// What a step may use.
#[derive(Clone, Copy, Debug)]
pub struct StepLimits {
    /// Memory, processors, processes.
    pub sandbox: Limits,
    /// The most bytes that a step may leave or unpack.
    pub layer_bytes: u64,
    /// The most entries of a layer or archive that is unpacked.
    pub layer_entries: u64,
    /// How long a server that something is fetched from may say nothing.
    pub stall: Duration,
    /// How many bytes stay free on the disk, whatever a step writes.
    pub reserve_bytes: u64,
    /// How much of a step's output is shown.
    pub log_bytes: u64,
}

impl Default for StepLimits {
    /// 32768 processes, 32 GiB and a million entries a layer, 512 MiB free, 16 MiB of output.
    fn default() -> Self {
        Self {
            sandbox: Limits { processes: Some(32_768), ..Limits::default() },
            layer_bytes: 32 << 30,
            layer_entries: 1_000_000,
            stall: Duration::from_mins(2),
            reserve_bytes: 512 << 20,
            log_bytes: 16 << 20,
        }
    }
}

/// Where the result goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To the registries that the tags name.
    Push(Compression),
    /// An OCI layout: a tar, or a folder.
    Oci {
        /// Where to.
        to: Destination,
        /// As a folder.
        folder: bool,
        /// How layers are compressed.
        compression: Compression,
    },
    /// An archive that `docker load` reads.
    Docker {
        /// Where to.
        to: Destination,
        /// How layers are compressed.
        compression: Compression,
    },
    /// To the Docker of this machine, through `docker load`.
    DockerLoad,
    /// The files, in a folder.
    Local(PathBuf),
    /// The files, as a tar.
    Tar(Destination),
}

/// A file, or standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A path.
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

/// `--cache-from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheFrom {
    /// A folder that `--cache-to type=local` wrote.
    Local(PathBuf),
    /// An image that has a cache in it, or is one.
    Registry(ImageName),
}

/// `--cache-to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheTo {
    /// A folder.
    Local(PathBuf),
    /// An image of its own.
    Registry(ImageName),
    /// Within the image that is pushed.
    Inline,
}

/// What a build made.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The digest of the image's configuration: its id.
    pub id: Option<Digest>,
    /// The digest of the manifest, where one was written.
    pub digest: Option<Digest>,
    /// The names that it was given.
    pub names: Vec<String>,
    /// How many steps there were.
    pub steps: u32,
    /// How many of those had been done before.
    pub cached: u32,
    /// The bytes of the image's layers, uncompressed.
    pub size: u64,
}

impl fmt::Display for NamedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Image(name) => write!(f, "docker-image://{name}"),
            Self::Remote(address) => f.write_str(address),
            Self::Layout(path, name) => {
                write!(f, "oci-layout://{}", path.display())?;
                name.as_ref().map_or(Ok(()), |name| write!(f, ":{name}"))
            }
        }
    }
}
