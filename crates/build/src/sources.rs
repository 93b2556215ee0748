//! Where images come from: this machine's store, or a registry. Their layers are fetched and laid out only when a step
//! has to look at them.

mod layout;
mod web;

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use windlass_dockerfile::Platform;
use windlass_kernel::Digest;
use windlass_oci::{
    BlobStore as _, Descriptor, ImageConfig, ImageManifest, ImageName, LayOut, Puller, UnpackLimits,
    WhiteoutStyle, lay_out,
};

use crate::BuildError;
use crate::cache::Lost;
use crate::image::{Image, Layer, measured, read_config};
use crate::progress::Reporter;
use crate::store::{LocalImage, Store};
use crate::tree::Stack;

pub(crate) use web::{Bounds, file_name};

/// Finds images, once each.
pub(crate) struct Sources {
    pub(crate) store: Arc<Store>,
    pub(crate) puller: Puller,
    pub(crate) style: WhiteoutStyle,
    pub(crate) reporter: Reporter,
    /// Registries for names without a host.
    pub(crate) default_hosts: Vec<String>,
    /// Whether this machine's images do not count.
    pub(crate) pull: bool,
    pub(crate) limits: UnpackLimits,
    pub(crate) lost: Lost,
    known: Mutex<HashMap<String, Arc<OnceCell<Arc<Image>>>>>,
}

impl Sources {
    pub(crate) fn new(
        store: Arc<Store>,
        puller: Puller,
        style: WhiteoutStyle,
        reporter: Reporter,
        (default_hosts, pull): (Vec<String>, bool),
        limits: UnpackLimits,
    ) -> Self {
        Self {
            store,
            puller,
            style,
            reporter,
            default_hosts,
            pull,
            limits,
            lost: Lost::default(),
            known: Mutex::default(),
        }
    }

    /// The image of that name.
    pub(crate) async fn image(&self, name: &str, platform: &Platform) -> Result<Arc<Image>, BuildError> {
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(format!("{name} {platform}")).or_default().clone()
        };
        let found = cell.get_or_try_init(|| async {
            let doing = self.reporter.start(format!("[internal] load metadata for {name}"));
            let found = self.find(name, platform).await;
            doing.end(&found);
            found.map(Arc::new)
        });
        found.await.cloned()
    }

    async fn find(&self, text: &str, platform: &Platform) -> Result<Image, BuildError> {
        let name: ImageName = text.parse().map_err(|e| BuildError::image(text, e))?;
        let mut other = None;
        if let Some(local) = self.store.image(&name).filter(|_| !self.pull) {
            for variant in std::iter::once(&local).chain(&local.variants) {
                match fitting(text, self.local(variant).await?, platform) {
                    Ok(image) => return Ok(image),
                    // A registry may have it for this platform.
                    Err(error) => other = other.or(Some(error)),
                }
            }
        }
        let candidates: Vec<ImageName> = match &name.host {
            Some(_) => vec![name],
            None => {
                let with = |host: &String| ImageName { host: Some(host.clone()), ..name.clone() };
                self.default_hosts.iter().map(with).collect()
            }
        };
        let mut last = None;
        for candidate in candidates {
            match self.remote(&candidate, platform).await {
                Ok(image) => return fitting(text, image, platform),
                Err(error) => last = Some(error),
            }
        }
        let why = || {
            "this machine has no image of that name, and no registry is asked for names without a host"
                .to_owned()
        };
        if let Some(error) = other {
            return Err(error);
        }
        Err(BuildError::image(text, last.map_or_else(why, |error: BuildError| error.to_string())))
    }

    async fn remote(&self, name: &ImageName, platform: &Platform) -> Result<Image, BuildError> {
        let failed = |e: windlass_oci::PullError| BuildError::Store(e.to_string());
        let blobs = self.store.blobs();
        let asked = async {
            let mut pull = self.puller.begin_for(name, &as_image_has_it(platform)).await?;
            let config = pull.config(blobs).await?;
            Ok::<_, windlass_oci::PullError>((pull.digest.clone(), pull.manifest.clone(), config))
        };
        let (digest, manifest, config) = asked.await.map_err(failed)?;
        // The layers of another platform's image are found by its own manifest, whatever the name's index says then.
        let other = (platform.architecture != windlass_oci::machine_architecture()).then(|| digest.clone());
        let from = ImageName { digest: other.or_else(|| name.digest.clone()), ..name.clone() };
        let mut image = self.of_manifest(&manifest, config, Some(&from.to_string()));
        image.digest = Some(digest);
        Ok(image)
    }

    /// An image of a manifest whose configuration is known.
    pub(crate) fn of_manifest(
        &self,
        manifest: &ImageManifest,
        config: ImageConfig,
        remote: Option<&str>,
    ) -> Image {
        let layers = manifest.layers.iter().zip(&config.rootfs.diff_ids);
        let layers =
            layers.map(|(blob, diff_id)| self.layer(diff_id, 0, Some(blob.clone()), remote)).collect();
        of_config(config, layers)
    }

    fn layer(
        &self,
        diff_id: &Digest,
        size: u64,
        blob: Option<Descriptor>,
        remote: Option<&str>,
    ) -> Arc<Layer> {
        Arc::new(Layer {
            folder: self.store.layer_folder(diff_id, self.style),
            measured: measured(diff_id.clone(), size),
            step: None,
            blob,
            remote: remote.map(str::to_owned),
            record: None,
        })
    }

    /// An image of this machine.
    pub(crate) async fn local(&self, local: &LocalImage) -> Result<Image, BuildError> {
        let config = ImageConfig::parse(&self.store.bytes(&local.config).await?)
            .map_err(|e| BuildError::image(&local.name, e))?;
        let layers = local.layers.iter().map(|known| {
            let layer = self.layer(&known.diff_id, known.size, known.blob.clone(), known.image.as_deref());
            let step = known.step.as_ref().map(|step| (step, self.store.step_folder(step)));
            match step.filter(|(_, folder)| folder.is_dir()) {
                Some((step, folder)) => {
                    Arc::new(Layer { folder, step: Some(step.clone()), ..(*layer).clone() })
                }
                None => layer,
            }
        });
        let layers = layers.collect();
        Ok(of_config(config, layers))
    }

    /// Sees to it that all layers are laid out, and gives the tree that they make.
    pub(crate) async fn lay(&self, image: &Image) -> Result<Arc<Stack>, BuildError> {
        for layer in &image.layers {
            self.lay_one(layer).await?;
        }
        Ok(Arc::new(Stack::new(image.folders())))
    }

    async fn lay_one(&self, layer: &Layer) -> Result<(), BuildError> {
        let laid = self.lay_out_one(layer).await;
        self.forgetting(layer, laid)
    }

    /// A layer that cannot be had is no longer what the cache knows of its step.
    fn forgetting<T>(&self, layer: &Layer, had: Result<T, BuildError>) -> Result<T, BuildError> {
        if let (Err(error), Some(key)) = (&had, layer.record) {
            self.store.forget(key);
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
        }
        had
    }

    async fn lay_out_one(&self, layer: &Layer) -> Result<(), BuildError> {
        if layer.folder.is_dir() {
            return Ok(());
        }
        let packed = layer.measured.clone().await.map_err(BuildError::Store)?;
        let Some(blob) = layer.blob.clone() else {
            return Err(BuildError::Store(format!(
                "the layer {} was removed while it was needed: build again",
                packed.digest
            )));
        };
        let _lock = self.store.lock(&format!("layer-{}", packed.digest.hex())).await?;
        if layer.folder.is_dir() {
            return Ok(());
        }
        self.have(layer, &blob).await?;
        let doing = self.reporter.start(format!("extracting {}", blob.digest));
        let what = LayOut {
            layer: blob.clone(),
            diff_id: packed.digest.clone(),
            style: self.style,
            limits: self.limits,
            new: self.store.fresh("layer"),
            folder: layer.folder.clone(),
            durable: false,
        };
        let path = self.store.blobs().path(&blob.digest);
        let outcome = tokio::task::spawn_blocking(move || {
            let file =
                File::open(&path).map_err(|e| BuildError::io(format!("opening {}", path.display()), e))?;
            lay_out(what, file).map_err(|e| BuildError::Store(e.to_string()))
        });
        let outcome = outcome.await.unwrap_or_else(|e| Err(BuildError::Store(e.to_string())));
        doing.end(&outcome);
        outcome
    }

    /// Sees to it that a layer's blob is in the store.
    pub(crate) async fn have(&self, layer: &Layer, blob: &Descriptor) -> Result<(), BuildError> {
        let there = self.store.blobs().stat(&blob.digest).await;
        if there.map_err(|e| BuildError::Store(e.to_string()))? == Some(blob.size) {
            return Ok(());
        }
        let Some(remote) = &layer.remote else {
            return Err(BuildError::Store(format!("the blob {} is not there any more", blob.digest)));
        };
        let doing = self.reporter.start(format!("pulling {} of {remote}", blob.digest));
        let fetched = async {
            let name: ImageName = remote.parse().map_err(|e| BuildError::image(remote, e))?;
            let mut pull = self.puller.begin(&name).await.map_err(|e| BuildError::image(remote, e))?;
            pull.blob(self.store.blobs(), blob).await.map_err(|e| BuildError::image(remote, e))
        };
        let fetched = fetched.await;
        doing.end(&fetched);
        self.forgetting(layer, fetched)
    }
}

/// An image of its configuration and layers.
fn of_config(config: ImageConfig, layers: Vec<Arc<Layer>>) -> Image {
    let author = config.rest.get("author").and_then(|author| author.as_str()).map(str::to_owned);
    let variant = config.rest.get("variant").and_then(|variant| variant.as_str());
    let text = match variant {
        Some(variant) => format!("{}/{}/{variant}", config.os, config.architecture),
        None => format!("{}/{}", config.os, config.architecture),
    };
    let platform = text.parse().unwrap_or_else(|_| Platform::linux(&config.architecture));
    Image {
        layers,
        config: read_config(&config.config, author),
        found: config.config,
        history: config.history,
        created: config.created,
        platform,
        cmd_said: false,
        digest: None,
    }
}

/// A platform as manifests and configurations write it.
pub(crate) fn as_image_has_it(platform: &Platform) -> windlass_oci::Platform {
    let Platform { os, architecture, variant } = platform.clone();
    windlass_oci::Platform { architecture, os, variant }
}

fn fitting(name: &str, image: Image, wanted: &Platform) -> Result<Image, BuildError> {
    let is = &image.platform;
    if (is.os.as_str(), is.architecture.as_str()) == (wanted.os.as_str(), wanted.architecture.as_str()) {
        return Ok(image);
    }
    Err(BuildError::image(name, format!("it is an image for {is}, and {wanted} is wanted")))
}
