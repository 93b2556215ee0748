//! What is known of an image, by its digest: what is in it, what is wrong with it, how it came to be; as signed
//! statements that travel with it.
//!
//! Not here: where the images lie (`oci`), what an environment asks for (`delivery`), and when statements are made
//! (`server`).

mod catalog;
mod cosign;
mod key;
mod layers;
mod leaks;
mod package;
mod sbom;
mod statement;
mod version;
mod vulndb;
mod vulns;
mod words;

use windlass_kernel::Digest;

pub use catalog::{Contents, scan};
pub use cosign::{
    Beside, Listed, configuration, signature as cosign_signature, statement as cosign_statement,
};
pub use key::{KeyError, PublicKey, SigningKey};
pub use layers::{File, Layer, Layers, Limits, walk};
pub use leaks::Leak;
pub use package::{Kind, Os, Package};
pub use sbom::{Subject, cyclonedx, spdx};
pub use statement::{
    About, BUNDLE, Bundle, BundleError, Claim, Envelope, Hint, LARGEST_BUNDLE, Material, PAYLOAD, Signature,
    Statement,
};
pub use version::compare;
pub use vulndb::{Database, FRESH, Imported, State, import};
pub use vulns::{Finding, NotChecked, Severity, VulnReport, check, sarif};

/// Why an image could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A layer cannot be read.
    #[error("layer {layer} cannot be read: {why}")]
    Layer {
        /// The layer.
        layer: Digest,
        /// What the reader said.
        why: String,
    },
    /// A layer of a kind that is not known.
    #[error(
        "layer {layer} has the media type `{media_type}`, which cannot be read (tar, tar+gzip and tar+zstd can)"
    )]
    MediaType {
        /// The layer.
        layer: Digest,
        /// Its media type.
        media_type: String,
    },
    /// More files than are looked at.
    #[error("the image has more than {0} entries; it is not looked into")]
    TooMany(u64),
}

/// Why advisories could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file system failed.
    #[error("{path} cannot be read or written: {why}")]
    Io {
        /// Where.
        path: String,
        /// What the system said.
        why: String,
    },
    /// An archive cannot be read.
    #[error("{path} is no archive that can be read: {why}")]
    Broken {
        /// The file.
        path: String,
        /// What the reader said.
        why: String,
    },
    /// There is no advisory in it.
    #[error(
        "{0} holds no advisories in the OSV format (JSON files, or archives of them such as OSV's all.zip)"
    )]
    Nothing(String),
}

impl ImportError {
    fn io(path: &std::path::Path, why: &std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), why: why.to_string() }
    }
}
