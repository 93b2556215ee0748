//! Images in folders and archives: what every reader of an OCI layout (image specification, "Image Layout") or of what
//! `docker save` writes has to know. Not here: the reading, which differs by where the bytes are wanted.

use serde::Deserialize;

/// The annotation that names an image within a layout (image specification, "Pre-Defined Annotation Keys").
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with an image's whole name, as containerd writes it.
pub const FULL_NAME: &str = "io.containerd.image.name";

/// One entry of `manifest.json`, as `docker save` writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SavedImage {
    /// The file of its configuration.
    pub config: String,
    /// Its names.
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    /// The files of its layers, the lowest first.
    pub layers: Vec<String>,
}

/// The media type of a layer whose file begins so; four bytes are enough.
pub fn layer_type(begin: &[u8]) -> &'static str {
    match begin {
        [0x1f, 0x8b, ..] => "application/vnd.oci.image.layer.v1.tar+gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "application/vnd.oci.image.layer.v1.tar+zstd",
        _ => "application/vnd.oci.image.layer.v1.tar",
    }
}
