//! Images in folders and archives: OCI layouts (image specification, "Image Layout") and what `docker save` writes.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use windlass_dockerfile::Platform;
use windlass_kernel::Digest;
use windlass_oci::{
    Descriptor, FULL_NAME, ImageConfig, ImageIndex, ImageManifest, LARGEST_MANIFEST, Manifest, MediaType,
    REF_NAME, SavedImage, layer_type, machine_architecture,
};

use super::{Sources, as_image_has_it};
use crate::BuildError;
use crate::image::Image;
use crate::pack::Hashed;
use crate::transfer::{Archive, unpack};
use crate::tree::{Kind, Local, Tree as _, follow, relative};
use crate::writer::Writer;

/// An image that was found in an archive, with its names.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) names: Vec<String>,
    pub(crate) image: Image,
    pub(crate) config: Digest,
}

/// A folder that is read with care: links in it lead nowhere else.
struct Folder {
    tree: Local,
    name: String,
}

impl Folder {
    fn open(sources: &Sources, path: &Path) -> Result<Self, BuildError> {
        let name = path.display().to_string();
        let tree = Local::open(path, None, None, &**sources.store.clock());
        Ok(Self { tree: tree.map_err(|e| BuildError::image(&name, e))?, name })
    }

    fn wrong(&self, why: impl std::fmt::Display) -> BuildError {
        BuildError::image(&self.name, why)
    }

    fn real(&self, path: &str) -> Result<PathBuf, BuildError> {
        let real = follow(&self.tree, &relative(Path::new(path))).map_err(|e| self.wrong(e))?;
        match self.tree.node(&real).map_err(|e| self.wrong(e))? {
            Some(node) if node.kind == Kind::File => Ok(real),
            _ => Err(self.wrong(format!("it has no file `{path}`"))),
        }
    }

    fn has(&self, path: &str) -> bool {
        self.real(path).is_ok()
    }

    fn small(&self, path: &str) -> Result<Vec<u8>, BuildError> {
        let real = self.real(path)?;
        let mut bytes = Vec::new();
        let file = self.tree.open(&real).map_err(|e| self.wrong(e))?;
        file.take(LARGEST_MANIFEST + 1).read_to_end(&mut bytes).map_err(|e| self.wrong(e))?;
        if bytes.len() as u64 > LARGEST_MANIFEST {
            return Err(self.wrong(format!("`{path}` is larger than {LARGEST_MANIFEST} bytes")));
        }
        Ok(bytes)
    }

    fn blob(digest: &Digest) -> String {
        let algorithm = digest.to_string();
        format!("blobs/{}/{}", algorithm.split(':').next().unwrap_or("sha256"), digest.hex())
    }

    fn document(&self, digest: &Digest) -> Result<Vec<u8>, BuildError> {
        let bytes = self.small(&Self::blob(digest))?;
        let found = Digest::of(digest.algorithm(), &bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            Err(self.wrong(format!("the blob {digest} hashes to {found}")))
        }
    }

    /// Copies a file into the store as a blob; its digest and size.
    fn take(
        &self,
        sources: &Sources,
        path: &str,
        expected: Option<&Digest>,
    ) -> Result<(Digest, u64), BuildError> {
        if let Some(expected) = expected
            && let Ok(meta) = fs::metadata(sources.store.blobs().path(expected))
        {
            return Ok((expected.clone(), meta.len()));
        }
        let real = self.real(path)?;
        let new = sources.store.fresh("blob");
        let copied = (|| {
            let mut out = Hashed::new(fs::File::create(&new)?);
            io::copy(&mut self.tree.open(&real)?, &mut out)?;
            Ok(out.finish().1)
        })();
        let packed = copied.map_err(|e: io::Error| self.wrong(e))?;
        if let Some(expected) = expected.filter(|expected| **expected != packed.digest) {
            return Err(self.wrong(format!("the blob {expected} hashes to {}", packed.digest)));
        }
        sources.store.keep_file(&new, &packed.digest)?;
        Ok((packed.digest, packed.size))
    }
}

impl Sources {
    /// The image of an OCI layout: that of the name or digest, else the only one.
    pub(crate) async fn layout(
        &self,
        path: &Path,
        reference: Option<&str>,
        platform: &Platform,
    ) -> Result<Image, BuildError> {
        let folder = Folder::open(self, path)?;
        let index: ImageIndex =
            serde_json::from_slice(&folder.small("index.json")?).map_err(|e| folder.wrong(e))?;
        let fits = |d: &&Descriptor| {
            reference.is_none_or(|wanted| {
                d.digest.to_string() == wanted
                    || [REF_NAME, FULL_NAME].iter().any(|name| {
                        d.annotations
                            .get(*name)
                            .is_some_and(|n| n == wanted || n.ends_with(&format!(":{wanted}")))
                    })
            })
        };
        let found = index.manifests.iter().find(fits);
        let found =
            found.ok_or_else(|| folder.wrong(format!("it has no image `{}`", reference.unwrap_or(""))))?;
        let (image, _) = self.of_descriptor(&folder, found, platform)?;
        Ok(image)
    }

    fn of_descriptor(
        &self,
        folder: &Folder,
        found: &Descriptor,
        platform: &Platform,
    ) -> Result<(Image, Digest), BuildError> {
        let read = |d: &Descriptor| {
            let kind = MediaType::parse(&d.media_type).map_err(|e| folder.wrong(e))?;
            Manifest::parse(kind, &folder.document(&d.digest)?).map_err(|e| folder.wrong(e))
        };
        let mut manifest = read(found)?;
        if let Manifest::Index(index) = &manifest {
            let chosen = index.select_variant(&as_image_has_it(platform));
            let chosen = chosen.ok_or_else(|| folder.wrong(format!("it has no variant for {platform}")))?;
            manifest = read(chosen)?;
        }
        let Manifest::Image(manifest) = manifest else {
            return Err(folder.wrong("it is an index within an index"));
        };
        let bytes = folder.document(&manifest.config.digest)?;
        let config = ImageConfig::parse(&bytes).map_err(|e| folder.wrong(e))?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(folder.wrong("its configuration and its manifest name different numbers of layers"));
        }
        self.store.keep_bytes(&bytes)?;
        for layer in &manifest.layers {
            folder.take(self, &Folder::blob(&layer.digest), Some(&layer.digest))?;
        }
        Ok((self.of_manifest(&manifest, config, None), manifest.config.digest.clone()))
    }

    /// All images of an archive or a folder: an OCI layout, or what `docker save` writes.
    pub(crate) async fn load(&self, path: &Path) -> Result<Vec<Loaded>, BuildError> {
        let folder = if path.is_dir() { path.to_owned() } else { self.unpacked(path)? };
        let folder = Folder::open(self, &folder)?;
        if folder.has("manifest.json") {
            return self.saved(&folder);
        }
        let index: ImageIndex =
            serde_json::from_slice(&folder.small("index.json")?).map_err(|e| folder.wrong(e))?;
        let mut loaded = Vec::new();
        for found in &index.manifests {
            let here = Platform::linux(machine_architecture());
            let (image, config) = self.of_descriptor(&folder, found, &here)?;
            let name = found.annotations.get(FULL_NAME).or_else(|| found.annotations.get(REF_NAME));
            loaded.push(Loaded { names: name.cloned().into_iter().collect(), image, config });
        }
        Ok(loaded)
    }

    fn unpacked(&self, path: &Path) -> Result<PathBuf, BuildError> {
        let wrong = |why: String| BuildError::image(&path.display().to_string(), why);
        let mut file = fs::File::open(path).map_err(|e| wrong(e.to_string()))?;
        let archive = Archive::of(&mut file).map_err(|e| wrong(e.to_string()))?;
        let archive = archive.ok_or_else(|| wrong("it is no tar".into()))?;
        let folder = self.store.fresh("archive");
        let mut writer = Writer::plain(folder.clone()).map_err(|e| wrong(e.to_string()))?;
        unpack(&mut writer, file, archive, "/", Some((0, 0)), self.limits)
            .map_err(|e| wrong(e.to_string()))?;
        Ok(folder)
    }

    fn saved(&self, folder: &Folder) -> Result<Vec<Loaded>, BuildError> {
        let saved: Vec<SavedImage> =
            serde_json::from_slice(&folder.small("manifest.json")?).map_err(|e| folder.wrong(e))?;
        let mut loaded = Vec::new();
        for one in saved {
            let bytes = folder.small(&one.config)?;
            let config = ImageConfig::parse(&bytes).map_err(|e| folder.wrong(e))?;
            if config.rootfs.diff_ids.len() != one.layers.len() {
                return Err(folder.wrong("its configuration names another number of layers than it has"));
            }
            let mut layers = Vec::new();
            for path in &one.layers {
                let mut head = [0; 4];
                let real = folder.real(path)?;
                let read = folder.tree.open(&real).and_then(|mut file| file.read(&mut head));
                read.map_err(|e| folder.wrong(e))?;
                let (digest, size) = folder.take(self, path, None)?;
                layers.push(Descriptor::new(layer_type(&head), digest, size));
            }
            let digest = self.store.keep_bytes(&bytes)?;
            let size = bytes.len() as u64;
            let manifest = ImageManifest {
                schema_version: 2,
                media_type: None,
                artifact_type: None,
                config: Descriptor::new("application/vnd.oci.image.config.v1+json", digest.clone(), size),
                layers,
                subject: None,
                annotations: std::collections::BTreeMap::new(),
            };
            let image = self.of_manifest(&manifest, config, None);
            loaded.push(Loaded { names: one.repo_tags.unwrap_or_default(), image, config: digest });
        }
        Ok(loaded)
    }
}
