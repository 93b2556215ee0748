//! The image that a build made, as bytes: configuration, manifest, and its layers as blobs in the form that is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use windlass_kernel::{Digest, Timestamp};
use windlass_oci::{Descriptor, ImageConfig, ImageManifest, MediaType, RootFs};

use crate::BuildError;
use crate::cache::{CACHE_FIELD, Entries};
use crate::image::{Image, Layer, write_config};
use crate::pack::{Compression, Hashed, Packed, Rules, compress, pack};
use crate::request::BuildRequest;
use crate::sources::Sources;
use crate::store::{LocalImage, LocalLayer, Store};

/// An image's configuration, and what it is of.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) image: Image,
    pub(crate) config: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) diff_ids: Vec<Digest>,
    /// The layers' bytes, uncompressed; 0 for those of which it is not known.
    pub(crate) size: u64,
}

/// An image whose layers are blobs.
#[derive(Clone, Debug)]
pub(crate) struct Assembled {
    pub(crate) manifest: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) config: Descriptor,
    pub(crate) config_bytes: Vec<u8>,
    pub(crate) layers: Vec<(Descriptor, PathBuf)>,
}

/// Waits for the layers' digests and writes the configuration.
pub(crate) async fn finish(
    mut image: Image,
    request: &BuildRequest,
    inline: Option<&Entries>,
) -> Result<Finished, BuildError> {
    let (mut diff_ids, mut size) = (Vec::new(), 0);
    for layer in &image.layers {
        let packed = layer.measured.clone().await.map_err(BuildError::Store)?;
        size += packed.size;
        diff_ids.push(packed.digest);
    }
    image.config.labels.extend(request.labels.clone());
    let epoch =
        request.source_date_epoch.map(|at| Timestamp::from_millis(at.saturating_mul(1000)).to_string());
    let mut rest = Map::new();
    if let Some(author) = &image.config.author {
        rest.insert("author".into(), Value::String(author.clone()));
    }
    if let Some(variant) = &image.platform.variant {
        rest.insert("variant".into(), Value::String(variant.clone()));
    }
    if let Some(entries) = inline {
        rest.insert(CACHE_FIELD.into(), entries.of_image(&diff_ids).await?);
    }
    let config = ImageConfig {
        created: epoch.or_else(|| image.created.clone()),
        architecture: image.platform.architecture.clone(),
        os: image.platform.os.clone(),
        config: write_config(&image),
        rootfs: RootFs { kind: "layers".into(), diff_ids: diff_ids.clone() },
        history: image.history.clone(),
        rest,
    };
    let config = serde_json::to_vec(&config).map_err(|e| BuildError::Store(e.to_string()))?;
    let digest = Digest::sha256(&config);
    Ok(Finished { image, config, digest, diff_ids, size })
}

impl Finished {
    /// The image as the store keeps it.
    pub(crate) fn local(&self, store: &Store) -> Result<LocalImage, BuildError> {
        store.keep_bytes(&self.config)?;
        let layer = |(layer, diff_id): (&Arc<Layer>, &Digest)| LocalLayer {
            diff_id: diff_id.clone(),
            size: layer.measured.peek().and_then(|known| known.as_ref().ok()).map_or(0, |packed| packed.size),
            step: layer.step.clone(),
            blob: layer.blob.clone(),
            image: layer.remote.clone(),
        };
        let layers = self.image.layers.iter().zip(&self.diff_ids).map(layer).collect();
        let (name, config, named_at) = (String::new(), self.digest.clone(), store.now());
        Ok(LocalImage { name, config, layers, named_at, variants: Vec::new() })
    }

    /// Makes blobs of the layers.
    pub(crate) async fn assemble(
        &self,
        sources: &Sources,
        compression: Compression,
        rules: Rules,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Assembled, BuildError> {
        let mut layers = Vec::new();
        let all = self.rules(rules);
        for (layer, diff_id) in self.image.layers.iter().zip(&self.diff_ids) {
            layers.push(blob(sources, layer, diff_id, compression, &all).await?);
        }
        let media_type = "application/vnd.oci.image.config.v1+json".to_owned();
        let config =
            Descriptor::new(media_type, sources.store.keep_bytes(&self.config)?, self.config.len() as u64);
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(MediaType::OciManifest.as_str().to_owned()),
            artifact_type: None,
            config: config.clone(),
            layers: layers.iter().map(|(layer, _)| layer.clone()).collect(),
            subject: None,
            annotations: annotations.clone(),
        };
        let manifest = serde_json::to_vec(&manifest).map_err(|e| BuildError::Store(e.to_string()))?;
        let digest = sources.store.keep_bytes(&manifest)?;
        Ok(Assembled { manifest, digest, config, config_bytes: self.config.clone(), layers })
    }

    /// The rules that a layer may have been measured by: those of this build, none, and those of the builds that left the
    /// image, or what it stands on: a build with `SOURCE_DATE_EPOCH` names it as the time of what it made.
    fn rules(&self, rules: Rules) -> Vec<Rules> {
        let config: Value = serde_json::from_slice(&self.config).unwrap_or_default();
        let history = config["history"].as_array().into_iter().flatten();
        let times = std::iter::once(&config).chain(history).filter_map(|made| made["created"].as_str());
        let mut all = vec![rules, Rules { clamp: None, ..rules }];
        for clamp in times.filter_map(seconds).map(Some) {
            if !all.iter().any(|known| known.clamp == clamp) && all.len() < MOST_RULES {
                all.push(Rules { clamp, ..rules });
            }
        }
        all
    }
}

/// The seconds since the epoch of a time as configurations have it (RFC 3339, in UTC); none for all others.
fn seconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let time = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    if !text.ends_with('Z') || !(1..=12).contains(&month) {
        return None;
    }
    // Years begin in March here, so that a leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year;
    Some((days - 719_468) * 86_400 + time)
}

/// The most rules that are tried for a layer.
const MOST_RULES: usize = 16;

/// A layer as a blob in the store, by the first rules that give its digest.
async fn blob(
    sources: &Sources,
    layer: &Layer,
    diff_id: &Digest,
    compression: Compression,
    rules: &[Rules],
) -> Result<(Descriptor, PathBuf), BuildError> {
    let store = &sources.store;
    if let Some(found) = &layer.blob {
        sources.have(layer, found).await?;
        let media_type = found.media_type.replace(
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        );
        let described = Descriptor::new(media_type, found.digest.clone(), found.size);
        return Ok((described, store.blobs().path(&found.digest)));
    }
    let name = format!("{}.{}", diff_id.hex(), compression.name());
    let note = store.path("packed", &format!("{name}.json"));
    let _lock = store.lock(&format!("packed-{name}")).await?;
    if let Some(known) = Store::read_json::<Descriptor>(&note) {
        let path = store.blobs().path(&known.digest);
        if path.is_file() {
            return Ok((known, path));
        }
    }
    let new = store.fresh("packed");
    for rules in rules {
        let (folder, at, rules) = (layer.folder.clone(), new.clone(), *rules);
        let packed = tokio::task::spawn_blocking(move || write(&folder, rules, compression, &at));
        let packed = packed.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
        let (packed, inner) =
            packed.map_err(|e| BuildError::io(format!("packing the layer {diff_id}"), e))?;
        if inner.as_ref() == Some(diff_id) {
            let path = store.keep_file(&new, &packed.digest)?;
            let described = Descriptor::new(compression.media_type().to_owned(), packed.digest, packed.size);
            store.write_json(&note, &described)?;
            return Ok((described, path));
        }
    }
    let why = format!("the layer {diff_id} was changed on the disk: build again with --no-cache");
    Err(BuildError::Store(why))
}

/// Writes a layer's folder, and gives what was written, and the digest of the tar in it.
fn write(
    folder: &Path,
    rules: Rules,
    compression: Compression,
    to: &Path,
) -> std::io::Result<(Packed, Option<Digest>)> {
    let mut inner = None;
    let out = compress(compression, Hashed::new(fs::File::create(to)?), |out| {
        let mut hashed = Hashed::new(out);
        pack(folder, rules, &mut hashed)?;
        inner = Some(hashed.finish().1.digest);
        Ok(())
    })?;
    Ok((out.finish().1, inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_configurations_are_read() {
        for seconds_of in [0, 951_782_400, 1_709_164_800, 1_763_672_461, 4_102_444_799] {
            let text = Timestamp::from_millis(seconds_of * 1000).to_string();
            assert_eq!(seconds(&text), Some(seconds_of), "{text}");
        }
        for text in ["", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00+01:00", "x"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
