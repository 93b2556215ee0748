//! Conformance: the OCI distribution specification 1.1, section by section. A file for each section, a test for each
//! endpoint (`end_N` in the specification's table) and for each error code (`code_N`).

mod authentication;
mod content_discovery;
mod content_management;
mod error_codes;
mod kinds;
mod pull;
mod push_blobs;
mod push_manifests;

use serde_json::{Value, json};
use windlass_kernel::{Algorithm, Digest};

use crate::bench::{Bench, Reply};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Bench {
    /// A manifest's text, whose configuration and layer are in `repository`.
    pub(crate) async fn image(&self, repository: &str, layer: &[u8]) -> Value {
        let config = self.push_blob(repository, b"{}").await;
        self.push_blob(repository, layer).await;
        image_of(&config, layer)
    }

    /// The same where configuration and layer are known to be there.
    pub(crate) async fn known_image(&self, repository: &str, layer: &[u8]) -> Value {
        let config = Digest::sha256(b"{}");
        let there = self.send("HEAD", &format!("/v2/{repository}/blobs/{config}"), &[], "").await;
        if there.status != 200 {
            self.push_blob(repository, b"{}").await;
        }
        image_of(&config, layer)
    }

    /// Puts a manifest; its media type is what it says itself.
    pub(crate) async fn put(&self, repository: &str, reference: &str, manifest: &Value) -> Reply {
        let kind = manifest["mediaType"].as_str().unwrap_or(MANIFEST).to_owned();
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.send("PUT", &path, &[("content-type", &kind)], manifest.to_string()).await
    }

    /// Puts an image under a tag; its digest.
    pub(crate) async fn tagged(&self, repository: &str, tag: &str, layer: &[u8]) -> Digest {
        let manifest = self.image(repository, layer).await;
        let reply = self.put(repository, tag, &manifest).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        Digest::sha256(manifest.to_string().as_bytes())
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    /// Begins an upload; its address.
    pub(crate) async fn begin(&self, repository: &str) -> String {
        let reply = self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], "").await;
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.header("location").to_owned()
    }
}

fn image_of(config: &Digest, layer: &[u8]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config, "size": 2 },
        "layers": [{ "mediaType": LAYER, "digest": Digest::sha256(layer), "size": layer.len() }],
    })
}

/// An index of images that were pushed.
pub(crate) fn index_of(images: &[(&Digest, usize)]) -> Value {
    let named =
        |(digest, size): &(&Digest, usize)| json!({ "mediaType": MANIFEST, "digest": digest, "size": size });
    json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": images.iter().map(named).collect::<Vec<_>>(),
    })
}

impl Reply {
    /// Status and error code, to compare.
    pub(super) fn told(&self) -> (u16, String) {
        (self.status.as_u16(), self.code())
    }

    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

pub(super) fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

pub(super) fn sha512(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha512, bytes)
}
