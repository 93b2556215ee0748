//! Images of this machine's own files, for runs at a person's own terminal: `oci:PATH[:TAG]`, an OCI image layout as a folder or
//! as a tar file, and `docker-archive:PATH[:NAME]`, what `docker save` writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Component, Path, PathBuf};

use windlass_kernel::Digest;
use windlass_oci::{
    Descriptor, ImageConfig, ImageManifest, Manifest, MediaType, REF_NAME, SavedImage, digest_of, layer_type,
    machine_architecture,
};

/// The largest description, in bytes.
const LARGEST: u64 = 4 << 20;

/// Which image of this machine's files it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    kind: Kind,
    path: PathBuf,
    /// The tag, or the name.
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Layout,
    Saved,
}

/// An image of files.
pub(super) struct Archive {
    pub(super) digest: Digest,
    pub(super) manifest: ImageManifest,
    pub(super) config: ImageConfig,
    files: BTreeMap<String, PathBuf>,
    /// What was taken out of a tar file; goes with this value.
    _taken_out: Option<Folder>,
}

/// A folder that goes with the value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Place {
    /// None: it is an image of a registry. A relative path is below `base`.
    pub(super) fn of(image: &str, base: &Path) -> Option<Self> {
        let (kind, rest) = match image.split_once(':')? {
            ("oci", rest) => (Kind::Layout, rest),
            ("docker-archive", rest) => (Kind::Saved, rest),
            _ => return None,
        };
        let colons = || rest.match_indices(':').map(|(at, _)| at);
        let whole = base.join(rest).exists();
        // A path ends where something is, else at the first colon behind its last slash.
        let there = colons().find(|at| base.join(&rest[..*at]).exists());
        let at = there.or_else(|| colons().find(|at| *at > rest.rfind('/').unwrap_or(0))).filter(|_| !whole);
        let (path, name) = at.map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
        Some(Self { kind, path: base.join(path), name: name.map(str::to_owned) })
    }

    /// The only image of an OCI layout.
    pub(super) fn layout_at(path: &Path) -> Self {
        Self { kind: Kind::Layout, path: path.to_owned(), name: None }
    }

    /// Reads what the image is. Blocks. `scratch` is a folder to take things out of a tar file in.
    pub(super) fn open(&self, scratch: &Path) -> Result<Archive, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", self.path.display());
        let (folder, taken_out) = if self.path.is_dir() {
            (self.path.clone(), None)
        } else {
            let file = File::open(&self.path).map_err(|e| wrong(&e))?;
            let folder = Folder(scratch.to_owned());
            take_out(file, scratch).map_err(|e| wrong(&e))?;
            (scratch.to_owned(), Some(folder))
        };
        let opened = match self.kind {
            Kind::Layout => self.layout(&folder),
            Kind::Saved => self.saved(&folder),
        };
        let archive = opened.map_err(|e| wrong(&e))?;
        Ok(Archive { _taken_out: taken_out, ..archive })
    }

    fn layout(&self, folder: &Path) -> Result<Archive, String> {
        let blob = |digest: &Digest| {
            let algorithm = digest.to_string();
            let algorithm = algorithm.split(':').next().unwrap_or_default();
            folder.join("blobs").join(algorithm).join(digest.hex())
        };
        let read_manifest = |descriptor: &Descriptor| {
            let kind = MediaType::parse(&descriptor.media_type).map_err(|e| e.to_string())?;
            let bytes = small(&blob(&descriptor.digest))?;
            if Digest::of(descriptor.digest.algorithm(), &bytes) != descriptor.digest {
                return Err(format!("{} is not what its name says", descriptor.digest));
            }
            Manifest::parse(kind, &bytes).map_err(|e| e.to_string())
        };
        let bytes = small(&folder.join("index.json"))?;
        let Manifest::Index(index) =
            Manifest::parse(MediaType::OciIndex, &bytes).map_err(|e| e.to_string())?
        else {
            return Err("its index.json is no index".to_owned());
        };
        let named = |d: &&Descriptor| d.annotations.get(REF_NAME) == self.name.as_ref();
        let chosen = match (&self.name, index.manifests.as_slice()) {
            (None, [only]) => Some(only),
            (None, all) => index.select("linux", machine_architecture()).or_else(|| all.iter().find(named)),
            (Some(_), all) => all.iter().find(named),
        };
        let mut chosen = chosen.cloned().ok_or_else(|| match &self.name {
            Some(name) => format!("no image in it has the name `{name}`"),
            None => "it holds several images: say which by its name, as oci:PATH:NAME".to_owned(),
        })?;
        for _ in 0..2 {
            match read_manifest(&chosen)? {
                Manifest::Image(manifest) => {
                    let config = ImageConfig::parse(&small(&blob(&manifest.config.digest))?)
                        .map_err(|e| e.to_string())?;
                    let layers =
                        manifest.layers.iter().map(|layer| (layer.digest.to_string(), blob(&layer.digest)));
                    let files = layers.collect();
                    return Archive::new(chosen.digest, *manifest, config, files);
                }
                Manifest::Index(index) => {
                    let fitting = index.select("linux", machine_architecture()).cloned();
                    chosen = fitting
                        .ok_or_else(|| format!("it has no variant for linux/{}", machine_architecture()))?;
                }
            }
        }
        Err("it is an index within an index".to_owned())
    }

    fn saved(&self, folder: &Path) -> Result<Archive, String> {
        let bytes = small(&folder.join("manifest.json"))?;
        let all: Vec<SavedImage> =
            serde_json::from_slice(&bytes).map_err(|e| format!("its manifest.json: {e}"))?;
        let has = |saved: &&SavedImage| {
            let mut tags = saved.repo_tags.iter().flatten();
            self.name
                .as_ref()
                .is_some_and(|name| tags.any(|tag| tag == name || *tag == format!("{name}:latest")))
        };
        let chosen = match (&self.name, all.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), all) => all.iter().find(has),
        };
        let saved = chosen
            .ok_or("it does not hold exactly that image: say which, as docker-archive:PATH:NAME:TAG")?;
        let inside = |name: &str| {
            plain(Path::new(name)).map(|name| folder.join(name)).ok_or(format!("`{name}` is no plain path"))
        };
        let config_bytes = small(&inside(&saved.config)?)?;
        let config = ImageConfig::parse(&config_bytes).map_err(|e| e.to_string())?;
        let (mut layers, mut files) = (Vec::new(), BTreeMap::new());
        for name in &saved.layers {
            let path = inside(name)?;
            let (layer, size, kind) = layer_at(&path).map_err(|e| format!("{name}: {e}"))?;
            layers.push(Descriptor::new(kind, layer.clone(), size));
            files.insert(layer.to_string(), path);
        }
        let own = Descriptor::new(
            "application/vnd.docker.container.image.v1+json",
            Digest::sha256(&config_bytes),
            config_bytes.len() as u64,
        );
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(MediaType::DockerManifest.as_str().to_owned()),
            artifact_type: None,
            config: own,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(|e| e.to_string())?;
        Archive::new(Digest::sha256(&bytes), manifest, config, files)
    }
}

impl Archive {
    pub(super) fn new(
        digest: Digest,
        manifest: ImageManifest,
        config: ImageConfig,
        files: BTreeMap<String, PathBuf>,
    ) -> Result<Self, String> {
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err("its configuration and its manifest name different numbers of layers".to_owned());
        }
        Ok(Self { digest, manifest, config, files, _taken_out: None })
    }

    /// The file of a layer.
    pub(super) fn file(&self, layer: &Digest) -> Result<PathBuf, String> {
        let file = self.files.get(&layer.to_string()).filter(|file| file.is_file());
        file.cloned().ok_or_else(|| format!("the layer {layer} is missing"))
    }
}

fn small(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    match read() {
        Ok(bytes) if bytes.len() as u64 > LARGEST => {
            Err(format!("{name} has more than {} MiB", LARGEST >> 20))
        }
        Ok(bytes) => Ok(bytes),
        Err(e) => Err(format!("{name}: {e}")),
    }
}

/// A layer's digest, size and media type.
fn layer_at(path: &Path) -> io::Result<(Digest, u64, &'static str)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut begin = Vec::new();
    (&mut file).take(4).read_to_end(&mut begin)?;
    file.rewind()?;
    Ok((digest_of(&mut file)?, size, layer_type(&begin)))
}

fn plain(path: &Path) -> Option<&Path> {
    path.components().all(|part| matches!(part, Component::Normal(_))).then_some(path)
}

/// Takes regular files of plain names out of a tar file.
fn take_out(file: File, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Some(path) = plain(&path).filter(|_| entry.header().entry_type().is_file()) else { continue };
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        io::copy(&mut entry, &mut File::create(path)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_this_machine_are_told_from_images_of_a_registry() {
        let place = |image: &str| Place::of(image, Path::new("/repo")).map(|p| (p.kind, p.path, p.name));
        let named = |kind, path: &str, name: &str| Some((kind, PathBuf::from(path), Some(name.to_owned())));
        assert_eq!(place("oci:img"), Some((Kind::Layout, "/repo/img".into(), None)));
        assert_eq!(place("oci:./out/img:1.0"), named(Kind::Layout, "/repo/./out/img", "1.0"));
        assert_eq!(place("docker-archive:/a/b.tar:x:1"), named(Kind::Saved, "/a/b.tar", "x:1"));
        for other in ["alpine", "alpine:3", "localhost:5000/a:1", "docker.io/oci:1"] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    #[test]
    fn nothing_is_taken_out_beside_the_folder() {
        let temp = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        for name in ["a/b", "c"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &b"x"[..]).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.as_gnu_mut().unwrap().name[..4].copy_from_slice(b"../x");
        header.set_cksum();
        builder.append(&header, &b"x"[..]).unwrap();
        let file = temp.path().join("t.tar");
        std::fs::write(&file, builder.into_inner().unwrap()).unwrap();
        take_out(File::open(&file).unwrap(), &temp.path().join("out")).unwrap();
        assert!(temp.path().join("out/a/b").is_file() && !temp.path().join("x").exists());
    }
}
