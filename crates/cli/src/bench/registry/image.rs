//! Images of noise in an OCI layout, for measurements.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;

use anyhow::Result;
use serde_json::json;
use windlass_kernel::Digest;

/// Makes a layout with these images (tag, number of layers), each layer of `size` bytes that occur nowhere else.
pub(super) fn make(layout: &Path, images: &[(String, usize)], size: u64) -> Result<()> {
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    let put = |bytes: &[u8]| -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes)?;
        Ok(digest)
    };
    let mut noise = File::open("/dev/urandom")?;
    let mut entries = Vec::new();
    for (tag, count) in images {
        let mut layers = Vec::new();
        for _ in 0..*count {
            layers.push(layer(&mut noise, &blobs, size)?);
        }
        let config = json!({ "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": layers } });
        let config = config.to_string();
        let described = |digest: &Digest| json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "digest": digest, "size": size });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": put(config.as_bytes())?, "size": config.len() },
            "layers": layers.iter().map(described).collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string();
        entries.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": put(manifest.as_bytes())?,
            "size": manifest.len(),
            "annotations": { "org.opencontainers.image.ref.name": tag },
        }));
    }
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    std::fs::write(
        layout.join("index.json"),
        json!({ "schemaVersion": 2, "manifests": entries }).to_string(),
    )?;
    Ok(())
}

fn layer(noise: &mut File, blobs: &Path, size: u64) -> Result<Digest> {
    // A layer's digest is known at its end: it is read once more, which a measurement's preparation can afford.
    let path = blobs.join("new");
    let mut out = BufWriter::new(File::create(&path)?);
    std::io::copy(&mut noise.take(size), &mut out)?;
    out.flush()?;
    let digest = windlass_oci::digest_of(&mut File::open(&path)?)?;
    std::fs::rename(path, blobs.join(digest.hex()))?;
    Ok(digest)
}
