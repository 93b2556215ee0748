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
use windlass_oci::{ImageName, MediaType, PushedBlob};

use crate::BuildError;
use crate::assemble::{Assembled, Finished, finish};
use crate::exec::Session;
use crate::pack::{Compression, Entry, Rules, Tar};
use crate::request::{BuildRequest, CacheTo, Destination, Output};
use crate::sources::{FULL_NAME, REF_NAME, Sources};
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
    let mut tag = tag.clone();
    if tag.host.is_none() {
        tag.host = request.default_hosts.first().cloned();
    }
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

/// What stands in `index.json`.
fn index(assembled: &Assembled, tags: &[ImageName]) -> Vec<u8> {
    let entry = |tag: Option<&ImageName>| {
        let mut annotations = BTreeMap::new();
        if let Some(tag) = tag {
            annotations.insert(FULL_NAME, tag.to_string());
            annotations
                .insert(REF_NAME, tag.tag.as_ref().map_or_else(|| "latest".into(), ToString::to_string));
        }
        json!({
            "mediaType": MediaType::OciManifest.as_str(),
            "digest": assembled.digest.to_string(),
            "size": assembled.manifest.len(),
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
    let assembled = assembled.clone();
    let what = shown(&to);
    let written = tokio::task::spawn_blocking(move || {
        into(&to, |out| {
            let mut tar = Tar::new(out);
            folder(&mut tar, "blobs")?;
            folder(&mut tar, "blobs/sha256")?;
            let name = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
            let mut blobs: BTreeMap<String, Blob> = BTreeMap::new();
            for (layer, path) in &assembled.layers {
                blobs.insert(name(&layer.digest), Blob::File(path.clone()));
            }
            blobs.insert(name(&assembled.digest), Blob::Bytes(assembled.manifest.clone()));
            blobs.insert(name(&assembled.config.digest), Blob::Bytes(assembled.config_bytes.clone()));
            for (name, blob) in blobs {
                match blob {
                    Blob::Bytes(bytes) => file(&mut tar, &name, bytes.len() as u64, &bytes[..])?,
                    Blob::File(path) => {
                        let opened = File::open(path)?;
                        file(&mut tar, &name, opened.metadata()?.len(), opened)?;
                    }
                }
            }
            let index = index(&assembled, &tags);
            file(&mut tar, "index.json", index.len() as u64, &index[..])?;
            if docker {
                let manifest = docker_manifest(&assembled, &tags);
                file(&mut tar, "manifest.json", manifest.len() as u64, &manifest[..])?;
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
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let layers: Vec<String> = assembled.layers.iter().map(|(layer, _)| path(&layer.digest)).collect();
    let tags: Vec<String> = tags.iter().map(crate::store::usual).collect();
    let config = path(&assembled.config.digest);
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
