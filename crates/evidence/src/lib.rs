//! What is known of an image, by its digest: what is in it, what is wrong with it, how it came to be; as signed
//! statements that travel with it.
//!
//! Not here: where the images lie (`oci`), what an environment asks for (`delivery`), and when statements are made
//! (`server`).

mod catalog;
mod key;
mod layers;
mod leaks;
mod package;
mod sbom;
mod statement;
mod version;

use windlass_kernel::Digest;

pub use catalog::{Contents, scan};
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
