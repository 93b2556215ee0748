//! A build's context: a folder of this machine, or one that is made of a tar or a Git repository first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_dockerfile::Ignore;
use windlass_kernel::Digest;
use windlass_oci::UnpackLimits;

use crate::BuildError;
use crate::request::{BuildRequest, Context, DockerfileSource};
use crate::store::Store;
use crate::transfer::{Archive, unpack};
use crate::tree::{Ignored, Kind, Local, Tree as _, follow, read_small, relative};
use crate::writer::Writer;

/// Dockerfiles and lists of what is ignored are no larger.
const LARGEST: u64 = 4 << 20;

/// A context, found.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// Its folder; none when it is empty.
    pub(crate) folder: Option<PathBuf>,
    /// What of it is left out.
    pub(crate) ignore: Ignore,
}

/// Finds a context's folder.
pub(crate) async fn find(store: &Arc<Store>, context: &Context) -> Result<Option<PathBuf>, BuildError> {
    match context {
        Context::Empty => Ok(None),
        Context::Folder(path) => {
            let found = fs::canonicalize(path).and_then(|real| {
                if real.is_dir() { Ok(real) } else { Err(io::ErrorKind::NotADirectory.into()) }
            });
            match found {
                Ok(real) => Ok(Some(real)),
                Err(e) => Err(BuildError::Context(format!("`{}` cannot be used: {e}", path.display()))),
            }
        }
        Context::Tar(path) => unpacked(store, path.clone(), path.display().to_string()).await.map(Some),
        Context::Git(address) | Context::Url(address) => {
            Err(BuildError::Context(format!("`{address}` was not fetched")))
        }
    }
}

/// Unpacks a tar into a folder of this build's own.
pub(crate) async fn unpacked(
    store: &Arc<Store>,
    path: PathBuf,
    shown: String,
) -> Result<PathBuf, BuildError> {
    let folder = store.fresh("context");
    let at = folder.clone();
    let done = tokio::task::spawn_blocking(move || {
        let why = |e: &dyn std::fmt::Display| BuildError::Context(format!("`{shown}`: {e}"));
        let mut file = fs::File::open(&path).map_err(|e| why(&e))?;
        let archive = Archive::of(&mut file).map_err(|e| why(&e))?;
        let archive = archive.ok_or_else(|| why(&"it is no tar"))?;
        let mut writer = Writer::plain(at).map_err(|e| why(&e))?;
        let most = UnpackLimits::default();
        unpack(&mut writer, file, archive, "/", Some((0, 0)), most).map_err(|e| why(&e))?;
        writer.done().map(drop).map_err(|e| why(&e))
    });
    done.await.unwrap_or_else(|e| Err(BuildError::Context(e.to_string())))?;
    Ok(folder)
}

/// The Dockerfile's name, as messages have it, and its text.
pub(crate) fn dockerfile(
    folder: Option<&Path>,
    request: &BuildRequest,
    store: &Store,
) -> Result<(String, String), BuildError> {
    let bytes = |name: &str, read: io::Result<Vec<u8>>| {
        let read = read.map_err(|e| {
            let why = match e.kind() {
                io::ErrorKind::NotFound => "there is no such file; -f names another one".to_owned(),
                _ => e.to_string(),
            };
            BuildError::Request(format!("failed to read dockerfile: {name}: {why}"))
        })?;
        if read.len() as u64 > LARGEST {
            return Err(BuildError::Request(format!("{name} is larger than {LARGEST} bytes")));
        }
        Ok((name.to_owned(), String::from_utf8_lossy(&read).into_owned()))
    };
    match &request.dockerfile {
        DockerfileSource::Text(text) => Ok(("Dockerfile".into(), text.clone())),
        DockerfileSource::File(path) => {
            let name =
                path.file_name().map_or_else(|| "Dockerfile".into(), |n| n.to_string_lossy().into_owned());
            use std::io::Read as _;
            let mut read = Vec::new();
            let outcome = fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut read));
            bytes(&name, outcome.map(|_| read))
        }
        DockerfileSource::InContext(path) => {
            let Some(folder) = folder else {
                return Err(BuildError::Request("the build has no context to find a Dockerfile in".into()));
            };
            let read = Local::open(folder, None, None, &**store.clock()).and_then(|tree| {
                let real = follow(&tree, &relative(Path::new(path)))?;
                match tree.node(&real)? {
                    Some(node) if node.kind == Kind::File => read_small(&tree, &real, LARGEST + 1),
                    Some(_) => Err(io::Error::other("it is no file")),
                    None => Err(io::ErrorKind::NotFound.into()),
                }
            });
            bytes(path, read)
        }
    }
}

/// What is left out of a context: the Dockerfile's own list goes before the folder's.
pub(crate) fn ignored(
    folder: Option<&Path>,
    request: &BuildRequest,
    store: &Store,
) -> Result<Ignore, BuildError> {
    let read = |tree: &Local, path: &str| -> Option<Vec<u8>> {
        let real = follow(tree, &relative(Path::new(path))).ok()?;
        let node = tree.node(&real).ok()??;
        (node.kind == Kind::File).then(|| read_small(tree, &real, LARGEST).ok())?
    };
    let parse = |name: &str, bytes: &[u8]| {
        Ignore::parse(&String::from_utf8_lossy(bytes))
            .map_err(|e| BuildError::Request(format!("{name}: {e}")))
    };
    if let DockerfileSource::File(path) = &request.dockerfile {
        let mut own = path.clone().into_os_string();
        own.push(".dockerignore");
        if let Ok(bytes) = fs::read(&own) {
            return parse(&own.to_string_lossy(), &bytes);
        }
    }
    let Some(folder) = folder else { return Ok(Ignore::default()) };
    let tree = Local::open(folder, None, None, &**store.clock())
        .map_err(|e| BuildError::Context(format!("`{}` cannot be read: {e}", folder.display())))?;
    if let DockerfileSource::InContext(path) = &request.dockerfile {
        let own = format!("{path}.dockerignore");
        if let Some(bytes) = read(&tree, &own) {
            return parse(&own, &bytes);
        }
    }
    match read(&tree, ".dockerignore") {
        Some(bytes) => parse(".dockerignore", &bytes),
        None => Ok(Ignore::default()),
    }
}

/// Opens a folder as a tree, without what is left out, with the digests that earlier builds found.
pub(crate) fn open(store: &Store, folder: &Path, ignore: &Ignore) -> Result<Local, BuildError> {
    let failed = |e: io::Error| BuildError::Context(format!("`{}` cannot be read: {e}", folder.display()));
    let real = fs::canonicalize(folder).map_err(failed)?;
    let digests = (!real.starts_with(store.root()))
        .then(|| store.path("contexts", Digest::sha256(real.to_string_lossy().as_bytes()).hex()));
    let exceptions = ignore.takes_back();
    let ignored = (!ignore.is_empty()).then(|| {
        let ignore = ignore.clone();
        Ignored { excludes: Box::new(move |path| ignore.excludes(path)), exceptions }
    });
    Local::open(&real, ignored, digests, &**store.clock()).map_err(failed)
}
