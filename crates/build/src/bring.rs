//! Contexts that are not on this machine: fetched before anything is read, so that the rest of a build knows folders only.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::BuildError;
use crate::builder::Builder;
use crate::context::unpacked;
use crate::git::{self, Access, Repository, redacted};
use crate::progress::Reporter;
use crate::request::{BuildRequest, Context, DockerfileSource, NamedContext};
use crate::sources::Bounds;
use crate::transfer::Archive;
use crate::tree::{Kind, Local, Tree as _, follow, relative};

/// A Dockerfile is no larger.
const LARGEST_TEXT: u64 = 4 << 20;

/// What an address led to.
enum Brought {
    Folder(PathBuf),
    Text(String),
}

impl Builder {
    /// Fetches the contexts of a request that are elsewhere; they are folders of the store then, as long as it is open.
    pub(crate) async fn bring(
        &self,
        mut request: BuildRequest,
        reporter: &Reporter,
    ) -> Result<BuildRequest, BuildError> {
        let address = match &request.context {
            Context::Git(address) | Context::Url(address) => Some(address.clone()),
            _ => None,
        };
        if let Some(address) = address {
            match self.fetch(&request, &address, reporter).await? {
                Brought::Folder(folder) => request.context = Context::Folder(folder),
                Brought::Text(text) => {
                    request.context = Context::Empty;
                    request.dockerfile = DockerfileSource::Text(text);
                }
            }
        }
        for (name, context) in request.contexts.clone() {
            let NamedContext::Remote(address) = context else { continue };
            match self.fetch(&request, &address, reporter).await? {
                Brought::Folder(folder) => drop(request.contexts.insert(name, NamedContext::Folder(folder))),
                Brought::Text(_) => {
                    let why = format!("{name}: what {} leads to is no tar", redacted(&address));
                    return Err(BuildError::Context(why));
                }
            }
        }
        Ok(request)
    }

    async fn fetch(
        &self,
        request: &BuildRequest,
        address: &str,
        reporter: &Reporter,
    ) -> Result<Brought, BuildError> {
        if Repository::is_one(address) {
            return self.clone_of(request, address, reporter).await.map(Brought::Folder);
        }
        let sources = self.sources(request, reporter.clone());
        let limits = &request.limits;
        let bounds = Bounds { expected: None, bytes: limits.layer_bytes, stall: limits.stall };
        let page = sources.page(address, bounds).await.map_err(BuildError::Context)?;
        let path = self.store().blobs().path(&page.digest);
        let failed = |e: std::io::Error| BuildError::Context(format!("{}: {e}", redacted(address)));
        let mut file = fs::File::open(&path).map_err(failed)?;
        if Archive::of(&mut file).map_err(failed)?.is_some() {
            return unpacked(self.store(), path, redacted(address)).await.map(Brought::Folder);
        }
        let mut text = Vec::new();
        file.take(LARGEST_TEXT + 1).read_to_end(&mut text).map_err(failed)?;
        let is_text = text.len() as u64 <= LARGEST_TEXT && !text.contains(&0);
        String::from_utf8(text).ok().filter(|_| is_text).map(Brought::Text).ok_or_else(|| {
            BuildError::Context(format!("{} leads to neither a tar nor a Dockerfile", redacted(address)))
        })
    }

    async fn clone_of(
        &self,
        request: &BuildRequest,
        address: &str,
        reporter: &Reporter,
    ) -> Result<PathBuf, BuildError> {
        let repository = Repository::parse(address).map_err(BuildError::Context)?;
        let access = Access::of(request, &repository.remote).map_err(BuildError::Context)?;
        let shown = repository.shown();
        let failed = |why: String| BuildError::Context(format!("{shown} cannot be fetched: {why}"));
        let folder = self.store().fresh("context");
        let doing = reporter.start(format!("[internal] load git source {shown}"));
        let done = git::check_out(&repository, &access, None, &folder, false).await;
        if let Ok(commit) = &done {
            doing.line(commit.clone());
        }
        doing.end(&done);
        done.map_err(failed)?;
        let Some(below) = &repository.folder else { return Ok(folder) };
        let tree = Local::open(&folder, None, None, &**self.store().clock());
        let found = tree.and_then(|tree| {
            let real = follow(&tree, &relative(Path::new(below)))?;
            Ok(tree.node(&real)?.filter(|node| node.kind == Kind::Folder).map(|_| real))
        });
        match found {
            Ok(Some(real)) => Ok(folder.join(real)),
            Ok(None) => Err(failed(format!("it has no folder `{below}`"))),
            Err(e) => Err(failed(format!("`{below}`: {e}"))),
        }
    }
}
