//! The cache in an image: which step's key is which layer. It stands in the image's configuration, in a field of its own:
//! so an ordinary image can carry it (`inline`), and an image that is nothing else (`registry`, `local`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_dockerfile::Platform;
use windlass_kernel::{Digest, Timestamp};
use windlass_oci::{ImageConfig, ImageName};

use crate::BuildError;
use crate::image::{Image, Layer};
use crate::key::Key;
use crate::request::CacheFrom;
use crate::sources::Sources;
use crate::store::{Record, StepLayer, Store};

/// The field of the configuration.
pub(crate) const CACHE_FIELD: &str = "dev.windlass.build.cache";
/// More entries are not read.
const MOST: usize = 10_000;

/// One step's outcome, as an image carries it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    /// The step's key.
    key: String,
    /// Which of the image's layers it left; none when it changed nothing.
    layer: Option<usize>,
    /// When it was carried out.
    created: Timestamp,
}

/// What a build did, or found done.
#[derive(Default)]
pub(crate) struct Entries(Mutex<Vec<Outcome>>, Lost);

/// Why layers of steps that the cache knows could not be had; those steps are forgotten.
pub(crate) type Lost = Arc<Mutex<Vec<String>>>;

/// A step's key, when it was carried out, and the layer that it left.
type Outcome = (Key, Timestamp, Option<Arc<Layer>>);

impl Entries {
    pub(crate) fn add(&self, key: Key, created: Timestamp, layer: Option<Arc<Layer>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((key, created, layer));
    }

    pub(crate) fn lost_list(&self) -> Lost {
        self.1.clone()
    }

    pub(crate) fn lost(&self) -> Vec<String> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn all(&self) -> Vec<Outcome> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by_key(|(key, ..)| key.hex());
        all.dedup_by_key(|(key, ..)| *key);
        all
    }

    /// The entries whose layers an image with these has.
    pub(crate) async fn of_image(&self, diff_ids: &[Digest]) -> Result<Value, BuildError> {
        let mut entries = Vec::new();
        for (key, created, layer) in self.all() {
            let place = match layer {
                None => None,
                Some(layer) => {
                    let digest = layer.measured.clone().await.map_err(BuildError::Store)?.digest;
                    match diff_ids.iter().position(|known| *known == digest) {
                        None => continue,
                        place => place,
                    }
                }
            };
            entries.push(Entry { key: key.hex(), layer: place, created });
        }
        serde_json::to_value(entries).map_err(|e| BuildError::Store(e.to_string()))
    }

    /// An image of nothing but the layers of all steps.
    pub(crate) fn as_image(&self, platform: &Platform) -> Image {
        let mut image = Image::scratch(platform.clone());
        let mut folders = BTreeMap::new();
        for (_, _, layer) in self.all() {
            if let Some(layer) = layer {
                folders.insert(layer.folder.clone(), layer);
            }
        }
        image.layers = folders.into_values().collect();
        image
    }
}

/// Takes the entries of a cache into the store. Layers stay where they are until a step needs them.
pub(crate) async fn import(sources: &Sources, from: &CacheFrom) -> Result<usize, BuildError> {
    match from {
        CacheFrom::Registry(name) => {
            let failed = |e: windlass_oci::PullError| BuildError::image(&name.to_string(), e);
            let mut pull = sources.puller.begin(name).await.map_err(failed)?;
            let config = pull.config(sources.store.blobs()).await.map_err(failed)?;
            let image = sources.of_manifest(&pull.manifest, config.clone(), Some(&name.to_string()));
            keep(&sources.store, &config, &image).await
        }
        CacheFrom::Local(folder) => {
            let image = local(sources, folder).await?;
            let config = ImageConfig::parse(&sources.store.bytes(&image.1).await?)
                .map_err(|e| BuildError::image(&folder.display().to_string(), e))?;
            keep(&sources.store, &config, &image.0).await
        }
    }
}

async fn local(sources: &Sources, folder: &Path) -> Result<(Image, Digest), BuildError> {
    let mut loaded = sources.load(folder).await?;
    let wrong = || BuildError::image(&folder.display().to_string(), "it has no cache");
    let one = loaded.pop().ok_or_else(wrong)?;
    Ok((one.image, one.config))
}

async fn keep(store: &Store, config: &ImageConfig, image: &Image) -> Result<usize, BuildError> {
    let Some(found) = config.rest.get(CACHE_FIELD) else { return Ok(0) };
    let entries: Vec<Entry> = serde_json::from_value(found.clone()).unwrap_or_default();
    let mut taken = 0;
    for entry in entries.into_iter().take(MOST) {
        let Some(key) = Key::from_hex(&entry.key) else { continue };
        if store.record(key).is_some() {
            continue;
        }
        let layer = match entry.layer {
            None => None,
            Some(place) => {
                let Some(layer) = image.layers.get(place) else { continue };
                let packed = layer.measured.clone().await.map_err(BuildError::Store)?;
                let (blob, image) = (layer.blob.clone(), layer.remote.clone());
                Some(StepLayer { diff_id: packed.digest, size: packed.size, step: None, blob, image })
            }
        };
        store.keep_record(key, &Record { layer, created: entry.created })?;
        taken += 1;
    }
    Ok(taken)
}

/// The name of a cache, as progress shows it.
pub(crate) fn shown(from: &CacheFrom) -> String {
    match from {
        CacheFrom::Local(folder) => folder.display().to_string(),
        CacheFrom::Registry(name) => ImageName::to_string(name),
    }
}
