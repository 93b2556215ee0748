//! What `cosign` before its version 3 reads of an image: one manifest with the signatures and one with the statements,
//! found by tags made of the image's digest (cosign's signature and attestation specifications).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use windlass_kernel::Digest;

use crate::key::{KeyError, SigningKey};

/// Which of the two: also how the tag ends, behind `sha256-HEX.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Signatures of the image.
    Signatures,
    /// Statements about it.
    Statements,
}

/// Something that a manifest of [`Beside`] lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What lies in the registry.
    pub bytes: Vec<u8>,
    /// Its media type.
    pub media_type: &'static str,
    /// What the manifest says of it.
    pub annotations: Value,
}

impl Beside {
    /// The artifact type, by which referrers of an image are told apart.
    pub fn artifact_type(self) -> &'static str {
        match self {
            Self::Signatures => "application/vnd.dev.cosign.artifact.sig.v1+json",
            Self::Statements => "application/vnd.dev.cosign.artifact.att.v1+json",
        }
    }
}

/// A signature of an image that lies in `place` (`HOST/NAME`).
pub fn signature(place: &str, digest: &Digest, key: &SigningKey) -> Result<Listed, KeyError> {
    let says = json!({
        "critical": {
            "identity": { "docker-reference": place },
            "image": { "docker-manifest-digest": digest.to_string() },
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let bytes = says.to_string().into_bytes();
    let signature = STANDARD.encode(key.sign(&bytes)?);
    Ok(Listed {
        bytes,
        media_type: "application/vnd.dev.cosign.simplesigning.v1+json",
        annotations: json!({ "dev.cosignproject.cosign/signature": signature }),
    })
}

/// A signed statement: its envelope alone.
pub fn statement(envelope: &crate::Envelope, predicate_type: &str) -> Listed {
    Listed {
        bytes: serde_json::to_vec(envelope).unwrap_or_default(),
        media_type: "application/vnd.dsse.envelope.v1+json",
        annotations: json!({ "dev.cosignproject.cosign/signature": "", "predicateType": predicate_type }),
    }
}

/// The configuration of such a manifest: that of an image without anything to run, as cosign has it.
pub fn configuration(layers: &[Digest]) -> Vec<u8> {
    let says = json!({
        "architecture": "", "os": "", "created": "0001-01-01T00:00:00Z", "config": {},
        "history": layers.iter().map(|_| json!({ "created": "0001-01-01T00:00:00Z" })).collect::<Vec<_>>(),
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(Digest::to_string).collect::<Vec<_>>() },
    });
    says.to_string().into_bytes()
}
