//! Many clients that pull one image at a time, each over a connection of its own, and read every byte.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use windlass_kernel::Secret;

use super::client::Client;

/// How many pull at a time.
const CLIENTS: usize = 200;

/// Has 200 clients pull an image; each logs in as any client does.
pub(super) async fn together(
    host: &str,
    token: Option<&Secret<String>>,
    repository: &str,
    tag: &str,
) -> Result<()> {
    let pulls: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (host, repository, tag) = (host.to_owned(), repository.to_owned(), tag.to_owned());
            let token = token.cloned();
            tokio::spawn(async move { pull(&host, token.as_ref(), &repository, &tag).await })
        })
        .collect();
    for pull in pulls {
        pull.await??;
    }
    Ok(())
}

/// Pulls one image.
pub(super) async fn pull(
    host: &str,
    token: Option<&Secret<String>>,
    repository: &str,
    tag: &str,
) -> Result<()> {
    let mut client = Client::log_in(host, token, repository, "pull").await?;
    let manifest = client.read(&format!("/v2/{repository}/manifests/{tag}")).await?;
    let manifest: Value = serde_json::from_slice(&manifest)?;
    let layers = manifest["layers"].as_array().context("the manifest names no layers")?;
    for part in layers.iter().chain([&manifest["config"]]) {
        let (digest, size) = (part["digest"].as_str(), part["size"].as_u64());
        let (digest, size) = digest.zip(size).context("the manifest is odd")?;
        let passed = client.drain(&format!("/v2/{repository}/blobs/{digest}")).await?;
        if passed != size {
            bail!("{passed} bytes of {size} came");
        }
    }
    Ok(())
}
