//! What `COPY` and `ADD` take from elsewhere than a tree: files in the Dockerfile itself, URLs, Git repositories.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_dockerfile::plan::{Checksum, GitSource, InlineFile, Source, TransferStep};

use super::Session;
use super::transfer::{Item, all_of, blocking};
use crate::BuildError;
use crate::git::{self, Access, Repository};
use crate::key::{Key, KeyMaker};
use crate::sources::{Bounds, file_name};
use crate::transfer::{Excludes, Gathered, Selected, gather};
use crate::tree::{Local, Tree, relative};

impl Session {
    /// What a source that is no path of the origin is.
    pub(super) async fn fetch(
        &self,
        transfer: &TransferStep,
        source: &Source,
        commit: Option<&str>,
    ) -> Result<Option<Item>, BuildError> {
        match source {
            Source::Path(_) => Ok(None),
            Source::Inline(file) => self.inline(file).await.map(Some),
            Source::Url(url) => {
                let expected = match &transfer.checksum {
                    Some(Checksum::Digest(expected)) => Some(expected),
                    Some(Checksum::Commit(_)) => {
                        return Err(BuildError::Request("a commit is no checksum of a file".into()));
                    }
                    None => None,
                };
                let limits = &self.request.limits;
                let bounds = Bounds { expected, bytes: limits.layer_bytes, stall: limits.stall };
                let page = self.sources.page(url, bounds).await.map_err(BuildError::Request)?;
                let (folder, name) = (self.store.fresh_folder("url")?, file_name(url));
                let put = self.sources.put_page(&page, &folder, &name);
                put.map_err(|e| BuildError::io(format!("writing {name}"), e))?;
                let mut item = self.single(&folder, &name).await?;
                item.unpack = transfer.unpack == Some(true);
                Ok(Some(item))
            }
            Source::Git(source) => self.git(transfer, source, commit).await.map(Some),
        }
    }

    async fn inline(&self, file: &InlineFile) -> Result<Item, BuildError> {
        let folder = self.store.fresh_folder("inline")?;
        let name = PathBuf::from(Path::new(&file.name).file_name().unwrap_or_default());
        let path = folder.join(&name);
        let written = fs::write(&path, &file.data)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)));
        written.map_err(|e| BuildError::io(format!("writing {}", file.name), e))?;
        self.single(&folder, &name.to_string_lossy()).await
    }

    /// One file of a folder of this build's own.
    async fn single(&self, folder: &Path, name: &str) -> Result<Item, BuildError> {
        let tree = Local::open(folder, None, None, &**self.store.clock());
        let tree: Arc<dyn Tree> = Arc::new(tree.map_err(|e| BuildError::io("opening what was fetched", e))?);
        let (from, path) = (tree.clone(), PathBuf::from(name));
        let gathered = blocking(move || {
            let selected = Selected { named: path.clone(), real: path, kept: PathBuf::new() };
            gather(&*from, vec![selected], &Excludes::default())
        });
        Ok(Item { tree, gathered: gathered.await?, unsure: false, unpack: false })
    }

    async fn git(
        &self,
        transfer: &TransferStep,
        source: &GitSource,
        commit: Option<&str>,
    ) -> Result<Item, BuildError> {
        let folder = self.store.fresh("git");
        let repository = of_source(source);
        let shown = repository.shown();
        let access = Access::of(&self.request, &source.remote).map_err(BuildError::Request)?;
        let doing = self.reporter.start(format!("[internal] load git source {shown}"));
        let found = git::check_out(&repository, &access, commit, &folder, transfer.keep_git_dir).await;
        let found = found.map_err(|why| format!("failed to load {shown}: {why}"));
        let found = found.and_then(|commit| fitting(transfer, &shown, &commit).map(|()| commit));
        doing.end(&found);
        found.map_err(BuildError::Request)?;
        let tree = Local::open(&folder, None, None, &**self.store.clock());
        let tree: Arc<dyn Tree> = Arc::new(tree.map_err(|e| BuildError::io("opening what was fetched", e))?);
        let (from, below) = (tree.clone(), relative(Path::new(source.folder.as_deref().unwrap_or("."))));
        let gathered: Gathered = blocking(move || all_of(&*from, &below)).await?;
        if gathered.entries.is_empty() {
            let below = source.folder.as_deref().unwrap_or(".");
            return Err(BuildError::Request(format!("{shown} has no folder `{below}`")));
        }
        Ok(Item { tree, gathered, unsure: false, unpack: false })
    }

    /// What holds for a source that is fetched before it is: the key of a commit, or of a checksum; and the commit. What
    /// has such a key and was fetched before is not fetched again.
    pub(super) async fn fetched_key(
        &self,
        transfer: &TransferStep,
        source: &Source,
    ) -> Result<(Option<Key>, Option<String>), BuildError> {
        match (source, &transfer.checksum) {
            (Source::Url(url), Some(Checksum::Digest(digest))) => {
                let key = KeyMaker::new("url").text(&file_name(url)).text(&digest.to_string());
                Ok((Some(key.done()), None))
            }
            (Source::Git(source), _) => {
                let repository = of_source(source);
                let access = Access::of(&self.request, &source.remote).map_err(BuildError::Request)?;
                let shown = repository.shown();
                let failed = |why: String| BuildError::Request(format!("failed to load {shown}: {why}"));
                let Some(commit) = git::resolve(&repository, &access).await.map_err(failed)? else {
                    return Ok((None, None));
                };
                fitting(transfer, &shown, &commit).map_err(BuildError::Request)?;
                let key = KeyMaker::new("git").text(&source.remote).text(&commit);
                let key = key
                    .text(source.folder.as_deref().unwrap_or("."))
                    .text(&transfer.keep_git_dir.to_string());
                Ok((Some(key.done()), Some(commit)))
            }
            _ => Ok((None, None)),
        }
    }
}

fn of_source(source: &GitSource) -> Repository {
    let GitSource { remote, reference, folder } = source.clone();
    Repository { remote, reference, folder }
}

/// Whether a commit is the one that `--checksum` says.
fn fitting(transfer: &TransferStep, shown: &str, commit: &str) -> Result<(), String> {
    match &transfer.checksum {
        Some(Checksum::Commit(expected)) if !commit.starts_with(&expected.to_ascii_lowercase()) => {
            Err(format!("{shown} is at the commit {commit}, not at {expected}"))
        }
        _ => Ok(()),
    }
}
