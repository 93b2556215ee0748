//! Where a result goes: registries, archives, folders, another engine.

mod files;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use serde_json::json;
use windlass_kernel::Digest;
use windlass_oci::{FULL_NAME, ImageName, MediaType, PushedBlob, REF_NAME};

use crate::BuildError;
use crate::assemble::{Assembled, Finished, finish};
use crate::exec::Session;
use crate::pack::{Compression, Entry, Rules, Tar};
use crate::platforms::Indexed;
use crate::request::{BuildRequest, CacheTo, Destination, Output};
use crate::sources::Sources;
use crate::tree::{Kind, Node};

type Say<'a> = &'a (dyn Fn(String) + Sync);

/// Puts a result where it goes; the digest of the manifest, where there is one.
pub(crate) async fn put(
    session: &Session,
    finished: &Finished,
    to: &Output,
    say: Say<'_>,
) -> Result<Option<Digest>, BuildError> {
    put_with(&session.sources, &session.request, session.rules, finished, to, say).await
}

/// Writes an image of the store.
pub(crate) async fn save(
    sources: &Sources,
    request: &BuildRequest,
    finished: &Finished,
    to: &Output,
) -> Result<Option<Digest>, BuildError> {
    put_with(sources, request, Rules::new(None), finished, to, &|_| {}).await
}

async fn put_with(
    sources: &Sources,
    request: &BuildRequest,
    rules: Rules,
    finished: &Finished,
    to: &Output,
    say: Say<'_>,
) -> Result<Option<Digest>, BuildError> {
    let assembled = |compression| finished.assemble(sources, compression, rules, &request.annotations);
    match to {
        Output::Push(compression) => {
            let assembled = assembled(*compression).await?;
            for tag in &request.tags {
                push(sources, request, &assembled, tag, say).await?;
            }
            Ok(Some(assembled.digest))
        }
        Output::Oci { to, folder, compression } => {
            let assembled = assembled(*compression).await?;
            if *folder {
                layout(&assembled, &request.tags, to)?;
            } else {
                archive(&assembled, request.tags.clone(), to.clone(), false).await?;
            }
            Ok(Some(assembled.digest))
        }
        Output::Docker { to, compression } => {
            let assembled = assembled(*compression).await?;
            archive(&assembled, request.tags.clone(), to.clone(), true).await?;
            Ok(Some(assembled.digest))
        }
        Output::DockerLoad => {
            let assembled = assembled(Compression::None).await?;
            let path = sources.store.fresh("docker");
            archive(&assembled, request.tags.clone(), Destination::Path(path.clone()), true).await?;
            docker_load(&path, say).await?;
            Ok(Some(assembled.digest))
        }
        Output::Local(folder) => {
            let stack = sources.lay(&finished.image).await?;
            files::local(stack, folder.clone()).await?;
            Ok(None)
        }
        Output::Tar(to) => {
            let stack = sources.lay(&finished.image).await?;
            files::tar(stack, to.clone(), rules).await?;
            Ok(None)
        }
    }
}

async fn push(
    sources: &Sources,
    request: &BuildRequest,
    assembled: &Assembled,
    tag: &ImageName,
    say: Say<'_>,
) -> Result<(), BuildError> {
    let tag = with_host(tag, request);
    let blob = |descriptor: &windlass_oci::Descriptor, file: PathBuf| PushedBlob {
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        file,
    };
    let mut blobs: Vec<PushedBlob> =
        assembled.layers.iter().map(|(layer, path)| blob(layer, path.clone())).collect();
    blobs.push(blob(&assembled.config, sources.store.blobs().path(&assembled.config.digest)));
    say(format!("pushing {tag} with {} layers", assembled.layers.len()));
    let manifest = Bytes::from(assembled.manifest.clone());
    let pushed = sources.puller.push(&tag, &blobs, MediaType::OciManifest.as_str(), manifest).await;
    pushed.map_err(|e| BuildError::output(format!("pushing {tag}"), e))?;
    say(format!("pushed {tag}@{}", assembled.digest));
    Ok(())
}

fn with_host(tag: &ImageName, request: &BuildRequest) -> ImageName {
    let host = tag.host.clone().or_else(|| request.default_hosts.first().cloned());
    ImageName { host, ..tag.clone() }
}

/// Puts an index where it goes, with all that it names.
pub(crate) async fn put_index(
    sources: &Sources,
    request: &BuildRequest,
    indexed: &Indexed,
    to: &Output,
    say: Say<'_>,
) -> Result<(), BuildError> {
    match to {
        Output::Push(_) => {
            for tag in &request.tags {
                for image in &indexed.images {
                    let name = ImageName { tag: None, digest: Some(image.digest.clone()), ..tag.clone() };
                    push(sources, request, image, &name, say).await?;
                }
                let tag = with_host(tag, request);
                let bytes = Bytes::from(indexed.bytes.clone());
                let pushed = sources.puller.push(&tag, &[], MediaType::OciIndex.as_str(), bytes).await;
                pushed.map_err(|e| BuildError::output(format!("pushing {tag}"), e))?;
                say(format!("pushed {tag}@{}", indexed.digest));
            }
            Ok(())
        }
        Output::Oci { to: Destination::Path(folder), folder: true, .. } => {
            for image in &indexed.images {
                layout(image, &[], &Destination::Path(folder.clone()))?;
            }
            let top = top(MediaType::OciIndex, &indexed.digest, indexed.bytes.len(), &request.tags);
            let at = folder.join("blobs/sha256").join(indexed.digest.hex());
            let written = std::fs::write(at, &indexed.bytes)
                .and_then(|()| std::fs::write(folder.join("index.json"), top));
            written.map_err(|e| BuildError::output(format!("writing {}", folder.display()), e))
        }
        Output::Oci { to, .. } => {
            let top = top(MediaType::OciIndex, &indexed.digest, indexed.bytes.len(), &request.tags);
            let more = BTreeMap::from([(in_layout(&indexed.digest), Blob::Bytes(indexed.bytes.clone()))]);
            let files = vec![("index.json", top)];
            archive_of(&indexed.images, more, files, to.clone()).await
        }
        _ => Err(BuildError::Request("this output holds one platform only".into())),
    }
}

/// What stands in `index.json`.
fn index(assembled: &Assembled, tags: &[ImageName]) -> Vec<u8> {
    top(MediaType::OciManifest, &assembled.digest, assembled.manifest.len(), tags)
}

fn top(kind: MediaType, digest: &Digest, size: usize, tags: &[ImageName]) -> Vec<u8> {
    let entry = |tag: Option<&ImageName>| {
        let mut annotations = BTreeMap::new();
        if let Some(tag) = tag {
            annotations.insert(FULL_NAME, tag.to_string());
            annotations
                .insert(REF_NAME, tag.tag.as_ref().map_or_else(|| "latest".into(), ToString::to_string));
        }
        json!({
            "mediaType": kind.as_str(),
            "digest": digest.to_string(),
            "size": size,
            "annotations": annotations,
        })
    };
    let entries: Vec<_> =
        if tags.is_empty() { vec![entry(None)] } else { tags.iter().map(|tag| entry(Some(tag))).collect() };
    let index =
        json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": entries });
    index.to_string().into_bytes()
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

fn layout(assembled: &Assembled, tags: &[ImageName], to: &Destination) -> Result<(), BuildError> {
    let Destination::Path(folder) = to else {
        return Err(BuildError::Request("a folder cannot go to standard output: give dest=".into()));
    };
    let written = (|| {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs)?;
        for (layer, path) in &assembled.layers {
            let at = blobs.join(layer.digest.hex());
            if !at.is_file() {
                std::fs::copy(path, at)?;
            }
        }
        std::fs::write(blobs.join(assembled.digest.hex()), &assembled.manifest)?;
        std::fs::write(blobs.join(assembled.config.digest.hex()), &assembled.config_bytes)?;
        std::fs::write(folder.join("index.json"), index(assembled, tags))?;
        std::fs::write(folder.join("oci-layout"), LAYOUT)
    })();
    written.map_err(|e| BuildError::output(format!("writing {}", folder.display()), e))
}

/// Writes an archive, in a thread that may block.
async fn archive(
    assembled: &Assembled,
    tags: Vec<ImageName>,
    to: Destination,
    docker: bool,
) -> Result<(), BuildError> {
    let mut files = vec![("index.json", index(assembled, &tags))];
    if docker {
        files.push(("manifest.json", docker_manifest(assembled, &tags)));
    }
    archive_of(std::slice::from_ref(assembled), BTreeMap::new(), files, to).await
}

fn in_layout(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Writes images with these further blobs and files.
async fn archive_of(
    images: &[Assembled],
    mut blobs: BTreeMap<String, Blob>,
    files: Vec<(&'static str, Vec<u8>)>,
    to: Destination,
) -> Result<(), BuildError> {
    let what = shown(&to);
    for image in images {
        for (layer, path) in &image.layers {
            blobs.insert(in_layout(&layer.digest), Blob::File(path.clone()));
        }
        blobs.insert(in_layout(&image.digest), Blob::Bytes(image.manifest.clone()));
        blobs.insert(in_layout(&image.config.digest), Blob::Bytes(image.config_bytes.clone()));
    }
    let written = tokio::task::spawn_blocking(move || {
        into(&to, |out| {
            let mut tar = Tar::new(out);
            folder(&mut tar, "blobs")?;
            folder(&mut tar, "blobs/sha256")?;
            for (name, blob) in blobs {
                match blob {
                    Blob::Bytes(bytes) => file(&mut tar, &name, bytes.len() as u64, &bytes[..])?,
                    Blob::File(path) => {
                        let opened = File::open(path)?;
                        file(&mut tar, &name, opened.metadata()?.len(), opened)?;
                    }
                }
            }
            for (name, bytes) in &files {
                file(&mut tar, name, bytes.len() as u64, &bytes[..])?;
            }
            file(&mut tar, "oci-layout", LAYOUT.len() as u64, LAYOUT)?;
            tar.finish().map(drop)
        })
    });
    let written = written.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    written.map_err(|e| BuildError::output(format!("writing {what}"), e))
}

enum Blob {
    Bytes(Vec<u8>),
    File(PathBuf),
}

fn docker_manifest(assembled: &Assembled, tags: &[ImageName]) -> Vec<u8> {
    let layers: Vec<String> = assembled.layers.iter().map(|(layer, _)| in_layout(&layer.digest)).collect();
    let tags: Vec<String> = tags.iter().map(crate::store::usual).collect();
    let config = in_layout(&assembled.config.digest);
    json!([{ "Config": config, "RepoTags": tags, "Layers": layers }]).to_string().into_bytes()
}

fn folder<W: Write>(tar: &mut Tar<W>, name: &str) -> io::Result<()> {
    tar.empty(&Entry::new(Path::new(name), &Node::folder(), &[]))
}

fn file<W: Write>(tar: &mut Tar<W>, name: &str, size: u64, bytes: impl io::Read) -> io::Result<()> {
    let node = Node { kind: Kind::File, mode: 0o644, size, ..Node::folder() };
    tar.file(&Entry::new(Path::new(name), &node, &[]), bytes)
}

fn shown(to: &Destination) -> String {
    match to {
        Destination::Path(path) => path.display().to_string(),
        Destination::Stdout => "standard output".into(),
    }
}

/// Writes to a file, which appears when it is whole, or to standard output.
fn into(to: &Destination, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match to {
        Destination::Stdout => {
            let mut out = io::stdout().lock();
            write(&mut out)?;
            out.flush()
        }
        Destination::Path(path) => {
            let new = path.with_file_name(format!(
                ".{}.{}",
                path.file_name().unwrap_or_default().to_string_lossy(),
                std::process::id()
            ));
            let written = File::create(&new).and_then(|mut file| {
                write(&mut file)?;
                std::fs::rename(&new, path)
            });
            if written.is_err() {
                let _ = std::fs::remove_file(&new);
            }
            written
        }
    }
}

async fn docker_load(path: &Path, say: Say<'_>) -> Result<(), BuildError> {
    let failed = |why: String| BuildError::output("docker load", why);
    let input = File::open(path).map_err(|e| failed(e.to_string()))?;
    let mut command = tokio::process::Command::new("docker");
    command.arg("load").stdin(Stdio::from(input)).kill_on_drop(true);
    let out = command
        .output()
        .await
        .map_err(|e| failed(format!("the program `docker` could not be started: {e}")))?;
    if !out.status.success() {
        return Err(failed(String::from_utf8_lossy(&out.stderr).trim().to_owned()));
    }
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        say(line.to_owned());
    }
    Ok(())
}

/// Writes what was done where other builds find it.
pub(crate) async fn cache_to(session: &Session, to: &CacheTo) -> Result<(), BuildError> {
    if *to == CacheTo::Inline {
        return Ok(());
    }
    let doing = session.reporter.start("exporting cache");
    let written = async {
        let image = session.entries.as_image(session.platform());
        let finished = finish(image, &BuildRequest::of("."), Some(&session.entries)).await?;
        let none = BTreeMap::new();
        let assembled = finished.assemble(&session.sources, Compression::Zstd, session.rules, &none).await?;
        match to {
            CacheTo::Local(folder) => layout(&assembled, &[], &Destination::Path(folder.clone())),
            CacheTo::Registry(name) => {
                push(&session.sources, &session.request, &assembled, name, &|line| doing.line(line)).await
            }
            CacheTo::Inline => Ok(()),
        }
    };
    let written = written.await;
    doing.end(&written);
    written
}
