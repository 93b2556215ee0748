//! What lies in an image's layers, looked into once and remembered in a file: what is lost is looked into again.

use std::io::{self, Read};

use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio_util::io::{StreamReader, SyncIoBridge};
use windlass_evidence::{Contents, Layer, Layers, Limits, scan};
use windlass_kernel::Digest;
use windlass_oci::{Reference, Registry, RepositoryName};

use crate::context::Context;

/// An image's contents, and when its configuration says that it was made.
pub(super) struct Looked {
    pub(super) contents: Contents,
    pub(super) created: Option<String>,
}

/// Layers that the registry has.
struct InRegistry {
    registry: Registry,
    layers: Vec<Layer>,
    handle: Handle,
}

impl Layers for InRegistry {
    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn Read + '_>> {
        let digest = &self.layers[index].digest;
        let opened = self.handle.block_on(self.registry.blobs().open(digest, None));
        let bytes = opened.map_err(io::Error::other)?.bytes.map(|chunk| chunk.map_err(io::Error::other));
        Ok(Box::new(SyncIoBridge::new_with_handle(StreamReader::new(bytes), self.handle.clone())))
    }
}

/// Looks into an image: that of this machine's architecture, where it is an index.
pub(super) async fn look(
    ctx: &Context,
    repository: &RepositoryName,
    digest: &Digest,
) -> anyhow::Result<Looked> {
    let reference = Reference::Digest(digest.clone());
    let (own, manifest, config) = ctx.images.registry.image(repository, &reference).await?;
    let path = ctx.evidence.contents.join(format!("{}.json", own.to_string().replace(':', "-")));
    let created = config.created;
    if let Ok(text) = tokio::fs::read(&path).await
        && let Ok(contents) = serde_json::from_slice(&text)
    {
        return Ok(Looked { contents, created });
    }
    let layers: Vec<Layer> = manifest
        .layers
        .iter()
        .map(|layer| Layer { digest: layer.digest.clone(), media_type: layer.media_type.clone() })
        .collect();
    let layers = InRegistry { registry: ctx.images.registry.clone(), layers, handle: Handle::current() };
    let contents = tokio::task::spawn_blocking(move || scan(&layers, Limits::default())).await??;
    // Not to have it again costs time only.
    let kept = async {
        tokio::fs::create_dir_all(&ctx.evidence.contents).await?;
        let part = path.with_extension("part");
        tokio::fs::write(&part, serde_json::to_vec(&contents)?).await?;
        tokio::fs::rename(&part, &path).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(%error, "what an image holds could not be remembered");
    }
    Ok(Looked { contents, created })
}
