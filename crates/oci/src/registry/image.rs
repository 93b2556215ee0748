//! Finding the image for this machine behind a reference.

use windlass_kernel::Digest;

use super::{Registry, RegistryError, machine_architecture};
use crate::{ImageConfig, ImageManifest, LARGEST_MANIFEST, Manifest, MediaType, Reference, RepositoryName};

impl Registry {
    /// The image for this machine behind a manifest or index, with its configuration.
    pub async fn image(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<(Digest, ImageManifest, ImageConfig), RegistryError> {
        let architecture = machine_architecture();
        let mut stored = self.manifest(repository, reference).await?;
        let not = |digest: &Digest, why: String| RegistryError::NotAnImage {
            digest: digest.clone(),
            architecture,
            why,
        };
        let mut manifest = Manifest::parse(MediaType::parse(&stored.media_type)?, &stored.bytes)?;
        if let Manifest::Index(index) = &manifest {
            let chosen = index.select("linux", architecture).ok_or_else(|| {
                let has: Vec<String> = index
                    .manifests
                    .iter()
                    .filter_map(|d| d.platform.as_ref())
                    .map(|p| format!("{}/{}", p.os, p.architecture))
                    .collect();
                not(&stored.digest, format!("it is an index of [{}]", has.join(", ")))
            })?;
            let chosen = Reference::Digest(chosen.digest.clone());
            stored = self.manifest(repository, &chosen).await?;
            manifest = Manifest::parse(MediaType::parse(&stored.media_type)?, &stored.bytes)?;
        }
        let Manifest::Image(image) = manifest else {
            return Err(not(&stored.digest, "it is an index within an index".into()));
        };
        if image.artifact_type.is_some() {
            return Err(not(&stored.digest, format!("it is an artifact of type {:?}", image.artifact_type)));
        }
        let config = ImageConfig::parse(&self.blobs.read(&image.config.digest, LARGEST_MANIFEST).await?)?;
        if config.rootfs.diff_ids.len() != image.layers.len() {
            let why = format!(
                "its configuration names {} layers, its manifest {}",
                config.rootfs.diff_ids.len(),
                image.layers.len()
            );
            return Err(not(&stored.digest, why));
        }
        Ok((stored.digest, *image, config))
    }
}
