//! Images in files: an OCI layout (`oci:DIR[:TAG]`, image specification "Image Layout") and what `docker save` writes
//! (`docker-archive:FILE`). Nothing is unpacked to the disk; what is named by a digest must have it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use windlass_evidence::{Layer, Layers};
use windlass_kernel::Digest;
use windlass_oci::{
    ImageConfig, Manifest, MediaType, REF_NAME, SavedImage, digest_of, layer_type, machine_architecture,
};

/// The largest document that is read, in bytes, and the most entries of an archive.
const LARGEST: u64 = 4 << 20;
const MOST: usize = 100_000;

/// Where an image lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Layout(PathBuf, Option<String>),
    Archive(PathBuf),
}

/// An image in files.
pub(super) struct Filed {
    pub(super) digest: Digest,
    pub(super) created: Option<String>,
    pub(super) layers: Vec<Layer>,
    parts: Vec<Part>,
}

/// A part of a file.
#[derive(Clone, Debug)]
struct Part {
    file: PathBuf,
    from: u64,
    size: u64,
}

impl Place {
    /// The place that a text names; none if it names an image in the usual way.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(file) = text.strip_prefix("docker-archive:") {
            return Some(Self::Archive(file.into()));
        }
        let rest = text.strip_prefix("oci:")?;
        Some(match rest.rsplit_once(':') {
            Some((folder, tag)) if !tag.contains('/') => Self::Layout(folder.into(), Some(tag.to_owned())),
            _ => Self::Layout(rest.into(), None),
        })
    }

    pub(super) fn open(&self) -> Result<Filed> {
        match self {
            Self::Layout(folder, tag) => {
                layout(folder, tag.as_deref()).with_context(|| folder.display().to_string())
            }
            Self::Archive(file) => archive(file).with_context(|| file.display().to_string()),
        }
    }
}

impl Layers for Filed {
    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.parts[index].open()?))
    }
}

impl Part {
    fn open(&self) -> io::Result<io::Take<File>> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.from))?;
        Ok(file.take(self.size))
    }

    fn document(&self) -> Result<Vec<u8>> {
        if self.size > LARGEST {
            bail!("{} has more than {} MiB", self.file.display(), LARGEST >> 20);
        }
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A blob of a layout, if it is what its digest says.
fn blob(folder: &Path, digest: &Digest) -> Result<Part> {
    let text = digest.to_string();
    let (algorithm, hex) = text.split_once(':').unwrap_or_default();
    if algorithm != "sha256" {
        bail!("{digest} is of a kind that is not checked here (sha256 is)");
    }
    let file = folder.join("blobs").join(algorithm).join(hex);
    let size = std::fs::metadata(&file).with_context(|| format!("{digest} is not in it"))?.len();
    let found = digest_of(&mut File::open(&file)?)?;
    if found != *digest {
        bail!("the bytes under {digest} are {found}: it is damaged");
    }
    Ok(Part { file, from: 0, size })
}

fn layout(folder: &Path, tag: Option<&str>) -> Result<Filed> {
    let path = folder.join("index.json");
    let size = std::fs::metadata(&path).context("it is no OCI layout: it has no index.json")?.len();
    let bytes = Part { file: path, from: 0, size }.document()?;
    let Manifest::Index(index) = Manifest::parse(MediaType::OciIndex, &bytes)? else {
        bail!("its index.json is none");
    };
    let named = |d: &&windlass_oci::Descriptor| {
        let name = d.annotations.get(REF_NAME);
        tag.is_none_or(|tag| name.is_some_and(|name| name == tag || name.ends_with(&format!(":{tag}"))))
    };
    let mut chosen = match index.manifests.iter().filter(named).collect::<Vec<_>>()[..] {
        [] => bail!("it has no image{}", tag.map(|tag| format!(" named {tag}")).unwrap_or_default()),
        [one] => one.clone(),
        _ => own(&index).context("it has several images: name one, as oci:DIR:TAG")?,
    };
    for _ in 0..3 {
        let bytes = blob(folder, &chosen.digest)?.document()?;
        match Manifest::parse(MediaType::parse(&chosen.media_type)?, &bytes)? {
            Manifest::Index(inner) => chosen = own(&inner).context("it has no image for this machine")?,
            Manifest::Image(image) => {
                let config = ImageConfig::parse(&blob(folder, &image.config.digest)?.document()?)?;
                let parts = image.layers.iter().map(|l| blob(folder, &l.digest)).collect::<Result<_>>()?;
                let layers = image.layers.iter();
                let layers =
                    layers.map(|l| Layer { digest: l.digest.clone(), media_type: l.media_type.clone() });
                return Ok(Filed {
                    digest: chosen.digest,
                    created: config.created,
                    layers: layers.collect(),
                    parts,
                });
            }
        }
    }
    bail!("its indexes lie in each other")
}

/// The image for this machine.
fn own(index: &windlass_oci::ImageIndex) -> Option<windlass_oci::Descriptor> {
    index.select("linux", machine_architecture()).cloned()
}

fn archive(file: &Path) -> Result<Filed> {
    let parts = entries(file)?;
    let part = |name: &str| {
        let name = clean(name);
        parts.get(&name).with_context(|| format!("{name} is not in it"))
    };
    let manifest = part("manifest.json").context("it is nothing that `docker save` wrote")?.document()?;
    let saved: Vec<SavedImage> = serde_json::from_slice(&manifest).context("its manifest.json")?;
    let saved = match <[SavedImage; 1]>::try_from(saved) {
        Ok([saved]) => saved,
        Err(several) => bail!("it has {} images; one is expected", several.len()),
    };
    let config = part(&saved.config)?.document()?;
    let id = Digest::sha256(&config);
    let created = serde_json::from_slice::<Value>(&config)?["created"].as_str().map(str::to_owned);
    let config = ImageConfig::parse(&config)?;
    if config.rootfs.diff_ids.len() != saved.layers.len() {
        bail!(
            "its configuration names {} layers, it has {}",
            config.rootfs.diff_ids.len(),
            saved.layers.len()
        );
    }
    let (mut layers, mut found) = (Vec::new(), Vec::new());
    for (digest, name) in config.rootfs.diff_ids.iter().zip(&saved.layers) {
        let part = part(name)?.clone();
        let mut begin = Vec::new();
        part.open()?.take(4).read_to_end(&mut begin)?;
        let media_type = layer_type(&begin);
        // What is packed is named by what it unpacks to: only the rest can be checked as it lies there.
        if media_type.ends_with("tar") && digest_of(&mut part.open()?)? != *digest {
            bail!("the layer {name} is not {digest}: it is damaged");
        }
        layers.push(Layer { digest: digest.clone(), media_type: media_type.to_owned() });
        found.push(part);
    }
    Ok(Filed { digest: id, created, layers, parts: found })
}

/// Where the files of an archive lie in it, by their names. Links lead to others of them.
fn entries(file: &Path) -> Result<BTreeMap<String, Part>> {
    let mut archive = tar::Archive::new(File::open(file)?);
    let mut parts = BTreeMap::new();
    let mut links = Vec::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry.context("it is no tar archive")?;
        let name = clean(&String::from_utf8_lossy(&entry.path_bytes()));
        if parts.len() + links.len() >= MOST {
            bail!("it has more than {MOST} files");
        }
        match entry.link_name_bytes() {
            Some(target) => {
                let target = String::from_utf8_lossy(&target).into_owned();
                let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
                let hard = entry.header().entry_type().is_hard_link();
                let target = if hard { clean(&target) } else { clean(&format!("{parent}/{target}")) };
                links.push((name, target));
            }
            None if entry.header().entry_type().is_file() => {
                let (from, size) = (entry.raw_file_position(), entry.size());
                parts.insert(name, Part { file: file.to_owned(), from, size });
            }
            None => {}
        }
    }
    for (name, target) in links {
        if let Some(part) = parts.get(&target).cloned() {
            parts.insert(name, part);
        }
    }
    Ok(parts)
}

/// A name without `.` and `..`.
fn clean(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_names() {
        let layout = |folder: &str, tag: Option<&str>| Place::Layout(folder.into(), tag.map(str::to_owned));
        let cases = [
            ("oci:out", Some(layout("out", None))),
            ("oci:./out:v1", Some(layout("./out", Some("v1")))),
            ("oci:/a:b/c", Some(layout("/a:b/c", None))),
            ("docker-archive:x.tar", Some(Place::Archive("x.tar".into()))),
            ("tasks:v1", None),
            ("oci", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Place::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn names_in_archives_stay_in_them() {
        for (name, expected) in [("./a/b", "a/b"), ("x/../../layer.tar", "layer.tar"), ("/a", "a")] {
            assert_eq!(clean(name), expected);
        }
    }
}
