//! An image of this machine for others to read: its layers as files that nobody takes away meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use windlass_kernel::Digest;
use windlass_oci::{ImageConfig, ImageManifest, machine_architecture};

use crate::BuildError;
use crate::builder::Builder;
use crate::pack::{Compression, Rules};
use crate::store::{LocalImage, Store, remove_tree};

/// An image of the store, as long as this value lives.
#[derive(Debug)]
pub struct Taken {
    /// The digest of its configuration.
    pub id: Digest,
    /// Its layers and their media types.
    pub manifest: ImageManifest,
    /// Its configuration.
    pub config: ImageConfig,
    /// The files of its layers, bottom first.
    pub layers: Vec<PathBuf>,
    folder: PathBuf,
    /// Folders of work stay while their store is open.
    _store: Arc<Store>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        // The store removes what is left.
        let _ = remove_tree(&self.folder);
    }
}

impl Builder {
    /// Takes an image of the store out. To make room, or to take its name away, does it no harm from here on: its layers
    /// have a second name in a folder that belongs to this process.
    pub async fn take(&self, image: &LocalImage) -> Result<Taken, BuildError> {
        let (sources, finished) = self.stored(image).await?;
        let config = ImageConfig::parse(&finished.config).map_err(|e| BuildError::image(&image.name, e))?;
        if config.architecture != machine_architecture() {
            let why = format!(
                "it is an image for {}/{}, and this machine is linux/{}",
                config.os,
                config.architecture,
                machine_architecture()
            );
            return Err(BuildError::image(&image.name, why));
        }
        let rules = Rules::new(None);
        let assembled = finished.assemble(&sources, Compression::None, rules, &BTreeMap::new()).await?;
        let manifest = serde_json::from_slice(&assembled.manifest)
            .map_err(|e| BuildError::Store(format!("the manifest of {}: {e}", image.name)))?;
        let folder = self.store().fresh_folder("taken")?;
        let (id, store) = (image.config.clone(), self.store().clone());
        let mut taken = Taken { id, manifest, config, layers: Vec::new(), folder, _store: store };
        for (number, (layer, path)) in assembled.layers.iter().enumerate() {
            let own = taken.folder.join(number.to_string());
            fs::hard_link(path, &own)
                .map_err(|e| BuildError::io(format!("taking the layer {}", layer.digest), e))?;
            taken.layers.push(own);
        }
        Ok(taken)
    }
}
