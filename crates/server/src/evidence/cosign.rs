//! Signatures and statements in the two manifests in which `cosign` looks for them before its version 3. The registry
//! answers with them to cosign's tags (`oci::registry::beside`); they refer to the image, so that they go with it.

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::json;
use windlass_evidence::{Beside, LARGEST_BUNDLE, Listed, configuration, cosign_signature, cosign_statement};
use windlass_kernel::{Actor, Digest};
use windlass_oci::{Manifest, MediaType, Reference};

use super::attach::bundle_of;
use super::documents::EvidenceDoc;
use crate::context::Context;

/// How many statements cosign reads.
const MOST: usize = 1000;

/// Puts what was stated about an image where cosign reads it. What lay there before goes.
pub(super) async fn publish(ctx: &Context, doc: &mut EvidenceDoc) -> anyhow::Result<()> {
    let mut listed = Vec::new();
    let skipped = doc.made.len().saturating_sub(MOST);
    for made in doc.made.iter().skip(skipped) {
        // One that somebody deleted is not there any more.
        if let Some(statement) = read(ctx, doc, &made.referrer).await? {
            listed.push(statement);
        }
    }
    let statements = put(ctx, doc, Beside::Statements, listed).await?;
    if let Some(before) = doc.for_cosign.replace(statements.clone())
        && before != statements
    {
        ctx.images.registry.delete_manifest(&doc.repository, &before, &Actor::System).await?;
    }
    // Only what a run of this platform made is signed as a whole: what anybody pushed is not vouched for.
    if doc.signature.is_none() && !doc.origins.is_empty() {
        let host = ctx.endpoint.url.split("://").last().unwrap_or_default().trim_end_matches('/');
        let keys = ctx.statement_keys().await.map_err(|p| anyhow::anyhow!("{p}"))?;
        let signature = cosign_signature(&format!("{host}/{}", doc.repository), &doc.digest, &keys.signing)?;
        doc.signature = Some(put(ctx, doc, Beside::Signatures, vec![signature]).await?);
    }
    Ok(())
}

/// The envelope of a statement that control put beside the image.
async fn read(ctx: &Context, doc: &EvidenceDoc, referrer: &Digest) -> anyhow::Result<Option<Listed>> {
    let registry = &ctx.images.registry;
    if registry.index().manifest(&doc.repository, referrer).await?.is_none() {
        return Ok(None);
    }
    let stored = registry.manifest(&doc.repository, &Reference::Digest(referrer.clone())).await?;
    let Manifest::Image(manifest) = Manifest::parse(MediaType::parse(&stored.media_type)?, &stored.bytes)?
    else {
        return Ok(None);
    };
    let Some(layer) = bundle_of(&manifest.layers) else { return Ok(None) };
    let bundle =
        windlass_evidence::Bundle::parse(&registry.blobs().read(&layer.digest, LARGEST_BUNDLE).await?)?;
    let of = manifest.annotations.get("dev.sigstore.bundle.predicateType").cloned().unwrap_or_default();
    Ok(Some(cosign_statement(&bundle.dsse_envelope, &of)))
}

async fn put(ctx: &Context, doc: &EvidenceDoc, what: Beside, listed: Vec<Listed>) -> anyhow::Result<Digest> {
    let registry = &ctx.images.registry;
    let repository = &doc.repository;
    let image = registry.record(repository, &Reference::Digest(doc.digest.clone())).await?;
    let (mut layers, mut digests) = (Vec::new(), Vec::new());
    for Listed { bytes, media_type, annotations } in listed {
        let size = bytes.len();
        let digest = registry.blobs().put(bytes.into()).await?;
        layers.push(
            json!({ "mediaType": media_type, "digest": digest, "size": size, "annotations": annotations }),
        );
        digests.push(digest);
    }
    let config = configuration(&digests);
    let size = config.len();
    let config = registry.blobs().put(config.into()).await?;
    digests.push(config.clone());
    registry.index().link_blobs(repository, &digests).await?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest.as_str(),
        "artifactType": what.artifact_type(),
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size },
        "layers": layers,
        "subject": { "mediaType": image.media_type, "digest": image.digest, "size": image.size },
    });
    let bytes = Bytes::from(serde_json::to_vec(&manifest)?);
    let reference = Reference::Digest(Digest::sha256(&bytes));
    let pushed = registry.push(repository, &reference, MediaType::OciManifest, bytes, &Actor::System).await;
    Ok(pushed.context("the registry does not take what cosign reads")?.digest)
}
