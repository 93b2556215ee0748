//! Images that local runs build: blobs and names in the user's cache, and an OCI image layout beside them
//! (OCI image specification 1.1, "Image Layout") that `skopeo`, `podman` and the like read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;
use windlass_api::runner::{BuildImage, BuiltImage};
use windlass_kernel::{Actor, Clock, Digest, Entropy, OsEntropy, Store, SystemClock};
use windlass_oci::{
    Assembler, Base, BlobError, ByteStream, FileBlobs, Puller, REF_NAME, Reference, Registry, RepositoryName,
    StoreIndex,
};
use windlass_store::SqliteStore;

use crate::platform::assembly;

/// The largest image that is built from files, in bytes.
const LARGEST: u64 = 4 << 30;
/// How images of this store are named, in `base` too.
const HOST: &str = "localhost";

/// The images of this user's local runs.
pub(super) struct LocalImages {
    blobs: Arc<FileBlobs>,
    registry: Registry,
    assembler: Assembler,
    layout: PathBuf,
}

impl LocalImages {
    /// Those below `folder`, which is made if it is not there.
    pub(super) async fn open(folder: &Path) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.join("index.sqlite")).await?);
        let blobs = Arc::new(FileBlobs::open(&folder.join("blobs"), clock.clone(), entropy.clone())?);
        let index = Arc::new(StoreIndex::new(store, clock.clone()));
        let registry = Registry::new(blobs.clone(), index, clock);
        let spool = folder.join("scratch");
        std::fs::create_dir_all(&spool)?;
        let puller = Puller::new(Vec::new());
        let assembler = Assembler::new(registry.clone(), puller, spool, entropy, LARGEST);
        Ok(Self { blobs, registry, assembler, layout: folder.join("layout") })
    }

    /// Assembles an image from a tar of its files. `name` is what it is called if nothing else was said.
    pub(super) async fn build(&self, wanted: BuildImage, name: &str, tar: &Path) -> Result<BuiltImage> {
        let repository: RepositoryName = wanted.name.as_deref().unwrap_or(name).parse()?;
        let base = Base::parse(&wanted.base, &[HOST])?;
        let spec = assembly(wanted, base, repository.clone()).map_err(|p| anyhow::anyhow!(p.detail))?;
        let file = tokio::fs::File::open(tar).await?;
        let files = ReaderStream::with_capacity(file, 64 << 10);
        let files: ByteStream = Box::pin(futures_util::StreamExt::map(files, |chunk| {
            chunk.map_err(|e| BlobError::Interrupted(e.to_string()))
        }));
        let built = self.assembler.assemble(&spec, files, &Actor::System).await?;
        let names: Vec<String> = match spec.tags.as_slice() {
            [] => vec![repository.to_string()],
            tags => tags.iter().map(|tag| format!("{repository}:{tag}")).collect(),
        };
        self.lay_out(&repository, &built.digest, &names).await.context("the image's layout")?;
        Ok(BuiltImage {
            reference: format!("{HOST}/{repository}@{}", built.digest),
            digest: built.digest.to_string(),
            size: built.size,
        })
    }

    /// Where the layout is.
    pub(super) fn layout(&self) -> &Path {
        &self.layout
    }

    /// Puts an image into the layout, under these names.
    async fn lay_out(&self, repository: &RepositoryName, digest: &Digest, names: &[String]) -> Result<()> {
        let (_, manifest, _) = self.registry.image(repository, &Reference::Digest(digest.clone())).await?;
        let folder = self.layout.join("blobs/sha256");
        std::fs::create_dir_all(&folder)?;
        let parts =
            manifest.layers.iter().map(|layer| &layer.digest).chain([&manifest.config.digest, digest]);
        for part in parts {
            let (from, to) = (self.blobs.path(part), folder.join(part.hex()));
            // The same bytes need not lie on the disk twice.
            match std::fs::hard_link(&from, &to) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(_) => drop(std::fs::copy(&from, &to)?),
                Ok(()) => {}
            }
        }
        put(&self.layout.join("oci-layout"), &json!({"imageLayoutVersion": "1.0.0"}))?;
        let index = self.layout.join("index.json");
        let known: Value = match std::fs::read(&index) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(_) => Value::Null,
        };
        let size = std::fs::metadata(self.blobs.path(digest))?.len();
        put(&index, &entered(&known, digest, size, names))
    }
}

/// A layout's index with an image under these names, which no other has any more.
fn entered(known: &Value, digest: &Digest, size: u64, names: &[String]) -> Value {
    let named = |entry: &&Value| {
        let name = entry["annotations"][REF_NAME].as_str().unwrap_or_default();
        !names.iter().any(|new| new == name)
    };
    let mut manifests: Vec<Value> =
        known["manifests"].as_array().into_iter().flatten().filter(named).cloned().collect();
    manifests.extend(names.iter().map(|name| {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest.to_string(), "size": size,
            "annotations": {REF_NAME: name},
        })
    }));
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})
}

/// Writes a file that is there whole or as it was.
fn put(path: &Path, value: &Value) -> Result<()> {
    let draft = path.with_extension(format!("draft{}", std::process::id()));
    std::fs::write(&draft, serde_json::to_vec_pretty(value)?)?;
    Ok(std::fs::rename(draft, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_images_only() {
        let digest = |text: &str| Digest::sha256(text.as_bytes());
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let one = entered(&Value::Null, &digest("1"), 1, &names(&["a:1", "a:latest"]));
        let two = entered(&one, &digest("2"), 2, &names(&["a:latest"]));
        let seen: Vec<(&str, String)> = two["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (m["annotations"][REF_NAME].as_str().unwrap(), m["digest"].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(seen, [("a:1", digest("1").to_string()), ("a:latest", digest("2").to_string())]);
    }
}
