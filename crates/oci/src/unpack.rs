//! Layers laid out as folders, once each, for a sandbox to stack: `ROOT/HEX` of the uncompressed layer's digest.
//! A folder appears by a rename, after the layer's digests were found right. An image is hostile until proven
//! otherwise: nothing is followed, nothing leaves the folder, no device comes into being.

mod below;
#[cfg(test)]
mod fuzz;
mod layer;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::MultiGzDecoder;
use futures_util::StreamExt as _;
use tokio_util::io::{StreamReader, SyncIoBridge};
use windlass_kernel::{Digest, Entropy};

use crate::hashing::Hashing;
use crate::{
    BASE_LABEL, BlobError, ContainerConfig, Descriptor, MACHINE_BASE, Reference, Registry, RegistryError,
    RepositoryName, UploadId,
};

/// How removed files are laid out for the file system that will stack the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhiteoutStyle {
    /// For overlay mounted by root: character devices 0:0 and `trusted.overlay.opaque`.
    Overlay,
    /// For overlay mounted in a user namespace with `userxattr`: `user.overlay.*` attributes.
    OverlayUser,
    /// Left out: for layers that are not stacked.
    None,
}

/// How much one layer may hold.
#[derive(Clone, Copy, Debug)]
pub struct UnpackLimits {
    /// Uncompressed bytes.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// An image, laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpacked {
    /// The digest of the image's manifest (that for this machine, where it was an index).
    pub digest: Digest,
    /// The layers' folders, top first, as overlay wants them.
    pub layers: Vec<PathBuf>,
    /// How to run it.
    pub config: ContainerConfig,
}

/// Lays images out.
#[derive(Clone)]
pub struct Unpacker {
    registry: Registry,
    root: PathBuf,
    style: WhiteoutStyle,
    limits: UnpackLimits,
    entropy: Arc<dyn Entropy>,
}

/// Why an image could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// An entry that would reach out of the layer, or cannot be told apart from an attack.
    #[error("layer {layer} is refused: `{path}` {why}")]
    Hostile {
        /// The layer's digest.
        layer: Digest,
        /// The entry's path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than is allowed.
    #[error("layer {layer} is refused: it holds more than {limit}")]
    TooLarge {
        /// The layer's digest.
        layer: Digest,
        /// The limit, in words.
        limit: String,
    },
    /// The uncompressed layer is not what the configuration says.
    #[error("layer {layer} unpacks to {found}, but the image's configuration says {expected}")]
    WrongContent {
        /// The layer's digest.
        layer: Digest,
        /// What the configuration says.
        expected: Digest,
        /// What came out.
        found: Digest,
    },
    /// A layer of a kind that cannot be unpacked.
    #[error(
        "layer {layer} has the media type `{media_type}`, which cannot be unpacked (tar, tar+gzip and tar+zstd can)"
    )]
    MediaType {
        /// The layer's digest.
        layer: Digest,
        /// Its media type.
        media_type: String,
    },
    /// The layer is no readable archive.
    #[error("layer {layer} cannot be unpacked: {why}")]
    Archive {
        /// The layer's digest.
        layer: Digest,
        /// What the reader or the file system said.
        why: String,
    },
    /// There is no room left.
    #[error("the disk that holds the layers is full: free some space and deploy again")]
    Full,
    /// The registry failed, or does not have the image.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The blobs failed; a corrupt one says so.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl Default for UnpackLimits {
    /// 16 GiB and a million entries.
    fn default() -> Self {
        Self { bytes: 16 << 30, entries: 1_000_000 }
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker")
            .field("root", &self.root)
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

impl Unpacked {
    /// Whether it stands on the machine's own root.
    pub fn on_machine(&self) -> bool {
        self.config.labels.get(BASE_LABEL).is_some_and(|base| base == MACHINE_BASE)
    }
}

/// One layer to be laid out by [`lay_out`], apart from any registry.
#[derive(Clone, Debug)]
pub struct LayOut {
    /// The layer as its manifest names it; its media type says how it is compressed.
    pub layer: Descriptor,
    /// The digest of the tar within.
    pub diff_id: Digest,
    /// How removed files are laid out.
    pub style: WhiteoutStyle,
    /// How much it may hold.
    pub limits: UnpackLimits,
    /// Where it is unpacked: a folder that is not there yet.
    pub new: PathBuf,
    /// Where it appears, by a rename of `new`.
    pub folder: PathBuf,
    /// Whether it is forced to the disk first. Without, a loss of power may leave files without their bytes.
    pub durable: bool,
}

/// Lays one layer out; blocks. When somebody else's lies at `folder` already, that is as good.
pub fn lay_out(what: LayOut, blob: impl Read) -> Result<(), UnpackError> {
    let LayOut { layer, diff_id, style, limits, new, folder, durable } = what;
    let packing = Packing::of(&layer)?;
    Job { packing, layer: layer.digest, diff_id, style, limits, new, folder, durable }.run(blob)
}

/// A layer in the making. Removed again unless it is kept.
struct Draft(Option<PathBuf>);

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "an unfinished layer could not be removed");
        }
    }
}

impl Unpacker {
    /// An unpacker into `root`. One process may own the folder: what an earlier one left unfinished is removed.
    pub fn open(
        registry: Registry,
        root: &Path,
        style: WhiteoutStyle,
        limits: UnpackLimits,
        entropy: Arc<dyn Entropy>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        for entry in std::fs::read_dir(root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(".new-") {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self { registry, root: root.to_owned(), style, limits, entropy })
    }

    /// Lays an image out; layers that are there already are used as they are.
    pub async fn unpack(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Unpacked, UnpackError> {
        let (digest, manifest, config) = self.registry.image(repository, reference).await?;
        let mut layers = Vec::with_capacity(manifest.layers.len());
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            layers.push(self.layer(layer, diff_id).await?);
        }
        layers.reverse();
        Ok(Unpacked { digest, layers, config: config.config })
    }

    /// Where a layer's folder is. Another style of whiteouts is another folder.
    fn folder(&self, diff_id: &Digest) -> PathBuf {
        let style = match self.style {
            WhiteoutStyle::Overlay => "",
            WhiteoutStyle::OverlayUser => "-user",
            WhiteoutStyle::None => "-plain",
        };
        self.root.join(format!("{}{style}", diff_id.hex()))
    }

    async fn layer(&self, layer: &Descriptor, diff_id: &Digest) -> Result<PathBuf, UnpackError> {
        let folder = self.folder(diff_id);
        if tokio::fs::try_exists(&folder).await.unwrap_or(false) {
            return Ok(folder);
        }
        let packing = Packing::of(layer)?;
        let blob = self.registry.blobs().open(&layer.digest, None).await?;
        // The reader's error type cannot carry ours: what the blob store said is kept beside.
        let said = Arc::new(Mutex::new(None));
        let saying = said.clone();
        let bytes = blob.bytes.map(move |chunk| {
            chunk.map_err(|error| {
                let text = error.to_string();
                *saying.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                io::Error::other(text)
            })
        });
        let bridge = SyncIoBridge::new(StreamReader::new(bytes));
        let new = self.root.join(format!(".new-{}", UploadId::new(&*self.entropy)));
        let job = Job {
            packing,
            layer: layer.digest.clone(),
            diff_id: diff_id.clone(),
            style: self.style,
            limits: self.limits,
            new,
            folder: folder.clone(),
            durable: true,
        };
        let outcome = tokio::task::spawn_blocking(move || job.run(bridge)).await;
        if let Some(error) = said.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error.into());
        }
        match outcome {
            Ok(result) => result.map(|()| folder),
            Err(e) => Err(UnpackError::Archive { layer: layer.digest.clone(), why: e.to_string() }),
        }
    }
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    fn of(layer: &Descriptor) -> Result<Self, UnpackError> {
        match layer.media_type.rsplit(['.', '+']).next() {
            Some("tar") => Ok(Self::Plain),
            Some("gzip") => Ok(Self::Gzip),
            Some("zstd") => Ok(Self::Zstd),
            _ => Err(UnpackError::MediaType {
                layer: layer.digest.clone(),
                media_type: layer.media_type.chars().take(120).collect(),
            }),
        }
    }
}

/// Unpacking one layer, in a thread that may block.
struct Job {
    packing: Packing,
    layer: Digest,
    diff_id: Digest,
    style: WhiteoutStyle,
    limits: UnpackLimits,
    new: PathBuf,
    folder: PathBuf,
    durable: bool,
}

impl Job {
    fn run(self, mut blob: impl Read) -> Result<(), UnpackError> {
        let result = self.unpack(&mut blob);
        if result.is_err() {
            // A corrupt blob breaks the archive before its end: only reading on tells which of the two it is.
            let _ = io::copy(&mut blob, &mut io::sink());
        }
        result
    }

    fn unpack(&self, blob: &mut impl Read) -> Result<(), UnpackError> {
        let tar: Box<dyn Read + '_> = match self.packing {
            Packing::Plain => Box::new(blob),
            Packing::Gzip => Box::new(MultiGzDecoder::new(blob)),
            Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(blob).map_err(|e| self.broken(e))?),
        };
        let mut tar = Hashing::with(tar.take(self.limits.bytes + 1), self.diff_id.algorithm());
        std::fs::create_dir(&self.new).map_err(|e| self.broken(e))?;
        let mut draft = Draft(Some(self.new.clone()));
        let outcome = layer::extract(&mut tar, &self.new, self.style, self.limits);
        // What follows the end of the archive belongs to the digest too.
        let rest = outcome.and_then(|()| io::copy(&mut tar, &mut io::sink()).map_err(Into::into));
        if tar.count > self.limits.bytes {
            return Err(self.too_large(format!("{} bytes", self.limits.bytes)));
        }
        rest.map_err(|e| self.refusal(e))?;
        let (_, found, _) = tar.finish();
        if found != self.diff_id {
            let (layer, expected) = (self.layer.clone(), self.diff_id.clone());
            return Err(UnpackError::WrongContent { layer, expected, found });
        }
        self.keep(&mut draft)
    }

    /// Forces the layer to the disk, if asked to, and gives it its name.
    fn keep(&self, draft: &mut Draft) -> Result<(), UnpackError> {
        if self.durable {
            let written = std::fs::File::open(&self.new).and_then(|dir| Ok(nix::unistd::syncfs(dir)?));
            written.map_err(|e| self.broken(e))?;
        }
        match std::fs::rename(&self.new, &self.folder) {
            Ok(()) => {
                draft.0 = None;
                Ok(())
            }
            // Somebody else laid out the same layer meanwhile; theirs is as good.
            Err(_) if self.folder.is_dir() => Ok(()),
            Err(e) => Err(self.broken(e)),
        }
    }

    fn too_large(&self, limit: String) -> UnpackError {
        UnpackError::TooLarge { layer: self.layer.clone(), limit }
    }

    fn refusal(&self, error: layer::Refusal) -> UnpackError {
        let layer = self.layer.clone();
        match error {
            layer::Refusal::Hostile { path, why } => {
                let path = String::from_utf8_lossy(&path).chars().take(300).collect();
                UnpackError::Hostile { layer, path, why }
            }
            layer::Refusal::TooMany => self.too_large(format!("{} entries", self.limits.entries)),
            layer::Refusal::TooLarge => self.too_large(format!("{} bytes", self.limits.bytes)),
            layer::Refusal::Io(e) => self.broken(e),
        }
    }

    fn broken(&self, error: io::Error) -> UnpackError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => UnpackError::Full,
            _ => UnpackError::Archive { layer: self.layer.clone(), why: error.to_string() },
        }
    }
}
