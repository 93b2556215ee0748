//! Images by name, on this machine: what `-t` names, and what `FROM` finds before it asks a registry.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use windlass_kernel::{Digest, Timestamp};
use windlass_oci::{Descriptor, ImageName};

use super::Store;
use crate::BuildError;

/// An image of this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalImage {
    /// Its name, with its tag.
    pub name: String,
    /// The digest of its configuration: what Docker calls the image's id.
    pub config: Digest,
    /// Its layers, bottom first.
    pub layers: Vec<LocalLayer>,
    /// When it was named.
    pub named_at: Timestamp,
    /// The same for other platforms, where it was built for several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<LocalImage>,
}

/// A layer of an image of this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalLayer {
    /// The digest of its tar.
    pub diff_id: Digest,
    /// The size of its tar in bytes; 0 when that is not known.
    pub size: u64,
    /// The step that left it.
    pub step: Option<String>,
    /// The blob that it is.
    pub blob: Option<Descriptor>,
    /// The image in another registry that has that blob.
    pub image: Option<String>,
}

/// A name as it is looked up: with a tag, and without what Docker leaves out.
pub(crate) fn usual(name: &ImageName) -> String {
    let mut name = name.clone();
    if matches!(name.host.as_deref(), Some("docker.io" | "index.docker.io")) {
        name.host = None;
        if let Some(short) = name.repository.as_str().strip_prefix("library/")
            && let Ok(short) = short.parse()
        {
            name.repository = short;
        }
    }
    if name.tag.is_none() && name.digest.is_none() {
        name.tag = Some(windlass_oci::Tag::latest());
    }
    name.digest = None;
    name.to_string()
}

impl Store {
    fn image_path(&self, name: &str) -> PathBuf {
        self.path("images", &format!("{}.json", Digest::sha256(name.as_bytes()).hex()))
    }

    /// The image of that name, if this machine has it. A digest in the name has to be its configuration's.
    pub fn image(&self, name: &ImageName) -> Option<LocalImage> {
        if let (None, Some(digest)) = (&name.tag, &name.digest) {
            return self.images().into_iter().find(|image| image.config == *digest);
        }
        let image: LocalImage = Self::read_json(&self.image_path(&usual(name)))?;
        name.digest.as_ref().is_none_or(|digest| *digest == image.config).then_some(image)
    }

    /// All images of this machine, by name.
    pub fn images(&self) -> Vec<LocalImage> {
        let entries = fs::read_dir(self.root.join("images")).into_iter().flatten().flatten();
        let mut images: Vec<LocalImage> = entries.filter_map(|e| Self::read_json(&e.path())).collect();
        images.sort_by(|a, b| a.name.cmp(&b.name));
        images
    }

    /// Gives an image a name; another that had it loses it.
    pub fn name_image(&self, name: &ImageName, image: &LocalImage) -> Result<(), BuildError> {
        let name = usual(name);
        let image = LocalImage { name: name.clone(), named_at: self.now(), ..image.clone() };
        self.write_json(&self.image_path(&name), &image)
    }

    /// Takes an image's name away; false if it had none.
    pub fn remove_image(&self, name: &ImageName) -> Result<bool, BuildError> {
        let path = self.image_path(&usual(name));
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(BuildError::io(format!("removing {}", path.display()), e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_the_same_are_the_same() {
        for (text, expected) in [
            ("x", "x:latest"),
            ("docker.io/library/x:1", "x:1"),
            ("docker.io/a/x:1", "a/x:1"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
        ] {
            assert_eq!(usual(&text.parse().unwrap()), expected);
        }
    }
}
