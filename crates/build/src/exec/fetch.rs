//! What `COPY` and `ADD` take from elsewhere than a tree: files in the Dockerfile itself, URLs, Git repositories.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Url;
use sha2::{Digest as _, Sha256};
use windlass_dockerfile::plan::{Checksum, GitSource, InlineFile, Source, TransferStep};

use super::Session;
use super::transfer::{Item, all_of, blocking};
use crate::BuildError;
use crate::git::{self, Repository};
use crate::transfer::{Excludes, Gathered, Selected, gather};
use crate::tree::{Local, Tree, relative};

/// How many redirections are followed.
const REDIRECTIONS: usize = 10;

impl Session {
    /// What a source that is no path of the origin is.
    pub(super) async fn fetch(
        &self,
        transfer: &TransferStep,
        source: &Source,
    ) -> Result<Option<Item>, BuildError> {
        match source {
            Source::Path(_) => Ok(None),
            Source::Inline(file) => self.inline(file).await.map(Some),
            Source::Url(url) => {
                let folder = self.store.fresh_folder("url")?;
                let name = self.download(url, &folder, transfer.checksum.as_ref()).await?;
                let mut item = self.single(&folder, &name).await?;
                item.unpack = transfer.unpack == Some(true);
                Ok(Some(item))
            }
            Source::Git(source) => self.git(transfer, source).await.map(Some),
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

    async fn git(&self, transfer: &TransferStep, source: &GitSource) -> Result<Item, BuildError> {
        let folder = self.store.fresh("git");
        let repository = Repository {
            remote: source.remote.clone(),
            reference: source.reference.clone(),
            folder: source.folder.clone(),
        };
        let commit = git::check_out(&repository, &folder, transfer.keep_git_dir).await;
        let commit = commit.map_err(BuildError::Request)?;
        if let Some(Checksum::Commit(expected)) = &transfer.checksum
            && !commit.starts_with(expected.as_str())
        {
            let why = format!("{} is at the commit {commit}, not at {expected}", source.remote);
            return Err(BuildError::Request(why));
        }
        let tree = Local::open(&folder, None, None, &**self.store.clock());
        let tree: Arc<dyn Tree> = Arc::new(tree.map_err(|e| BuildError::io("opening what was fetched", e))?);
        let (from, below) = (tree.clone(), relative(Path::new(source.folder.as_deref().unwrap_or("."))));
        let gathered: Gathered = blocking(move || all_of(&*from, &below)).await?;
        if gathered.entries.is_empty() {
            let below = source.folder.as_deref().unwrap_or(".");
            return Err(BuildError::Request(format!("{} has no folder `{below}`", source.remote)));
        }
        Ok(Item { tree, gathered, unsure: false, unpack: false })
    }

    /// Fetches a file into a folder; gives its name.
    async fn download(
        &self,
        address: &str,
        folder: &Path,
        checksum: Option<&Checksum>,
    ) -> Result<String, BuildError> {
        let failed = |why: String| BuildError::Request(format!("failed to load {address}: {why}"));
        let url = Url::parse(address).map_err(|e| failed(e.to_string()))?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::limited(REDIRECTIONS))
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_mins(2))
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let answer = client.get(url.clone()).send().await.map_err(|e| failed(e.without_url().to_string()))?;
        if !answer.status().is_success() {
            return Err(failed(format!("the server answered {}", answer.status())));
        }
        let name = file_name(answer.headers(), &url);
        let path = folder.join(&name);
        let written = |e| BuildError::io(format!("writing {}", path.display()), e);
        let mut file = fs::File::create(&path).map_err(written)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(written)?;
        let (mut hasher, mut size) = (Sha256::new(), 0_u64);
        let mut body = answer.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| failed(e.without_url().to_string()))?;
            size += chunk.len() as u64;
            if size > self.request.limits.layer_bytes {
                return Err(failed(format!("it is larger than {} bytes", self.request.limits.layer_bytes)));
            }
            hasher.update(&chunk);
            file.write_all(&chunk).map_err(written)?;
        }
        let found = crate::pack::digest(hasher.finalize().into());
        match checksum {
            Some(Checksum::Digest(expected)) if *expected != found => {
                Err(failed(format!("digest mismatch: it hashes to {found}, {expected} was expected")))
            }
            Some(Checksum::Commit(_)) => Err(failed("a commit is no checksum of a file".into())),
            _ => Ok(name),
        }
    }
}

/// The file's name: what the server calls it, else the last part of its path.
fn file_name(headers: &reqwest::header::HeaderMap, url: &Url) -> String {
    let said = headers.get(reqwest::header::CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
    let said = said.and_then(|text| {
        let (_, name) = text.split_once("filename=")?;
        let name = name.split(';').next()?.trim().trim_matches('"');
        Path::new(name).file_name()?.to_str().map(str::to_owned)
    });
    let last = || url.path().rsplit('/').find(|part| !part.is_empty()).map(str::to_owned);
    let plain = |name: &String| !name.is_empty() && name != "." && name != ".." && !name.contains('\0');
    said.filter(plain).or_else(last).filter(plain).unwrap_or_else(|| "download".into())
}
