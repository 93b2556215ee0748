//! What jobs of a local run reach in a server's stead: artifacts, caches and images in folders. What only a platform can
//! do is refused, and said.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use windlass_api::runner::{BuildImage, BuiltImage, JobUpdate, UpdateReply};
use windlass_api::{ArtifactView, DeploymentView, ErrorCode};
use windlass_kernel::{Digest, RunId, Timestamp};
use windlass_runner::{CacheStored, Control, ControlError, NewArtifact};

use super::images::LocalImages;
use super::plan::Plan;

/// How many caches of a repository are kept, the newest.
const CACHES: usize = 50;

/// Artifacts of one run, the caches of its repository, and all images.
pub(super) struct LocalControl {
    artifacts: PathBuf,
    caches: PathBuf,
    images: PathBuf,
    /// What an image is called that has no name.
    name: String,
    opened: tokio::sync::OnceCell<LocalImages>,
}

impl LocalControl {
    /// Of a run of a plan; folders are made when something is stored.
    pub(super) fn new(plan: &Plan, run: RunId) -> Self {
        let store = &plan.request.store;
        let of = Digest::sha256(plan.repository.root.as_os_str().as_encoded_bytes()).to_string();
        let of = of.rsplit(':').next().unwrap_or_default().get(..20).unwrap_or_default();
        Self {
            artifacts: store.join("artifacts").join(run.to_string()),
            caches: store.join("caches").join(of),
            images: store.join("images"),
            name: super::shell::project(&plan.repository.name).to_string(),
            opened: tokio::sync::OnceCell::new(),
        }
    }

    /// The layout of the images, if this run made one.
    pub(super) fn images_folder(&self) -> Option<&Path> {
        self.opened.get().map(LocalImages::layout)
    }

    /// Where the run's artifacts are, if there are any.
    pub(super) fn artifacts_folder(&self) -> &Path {
        &self.artifacts
    }

    fn entries(&self, version: &str) -> std::io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let listed = match std::fs::read_dir(&self.caches) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(entries),
            other => other?,
        };
        for file in listed.flatten() {
            let path = file.path();
            if path.extension().is_some_and(|e| e == "key")
                && let Ok(text) = std::fs::read_to_string(&path)
                && let Some((of, key)) = text.split_once('\n')
                && of == version
            {
                let at = file.metadata().and_then(|meta| meta.modified())?;
                entries.push(Entry { key: key.to_owned(), archive: path.with_extension("tar.zst"), at });
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        Ok(entries)
    }

    /// Removes the oldest caches beyond those that are kept.
    fn prune(&self) -> std::io::Result<()> {
        let mut keys = Vec::new();
        for file in std::fs::read_dir(&self.caches)?.flatten() {
            if file.path().extension().is_some_and(|e| e == "key") {
                keys.push((file.metadata()?.modified()?, file.path()));
            }
        }
        keys.sort();
        for (_, key) in keys.iter().take(keys.len().saturating_sub(CACHES)) {
            let _ = std::fs::remove_file(key.with_extension("tar.zst"));
            std::fs::remove_file(key)?;
        }
        Ok(())
    }
}

struct Entry {
    key: String,
    archive: PathBuf,
    at: std::time::SystemTime,
}

/// Puts a copy of a file in its place, whole or not at all.
fn place(from: &Path, to: &Path) -> std::io::Result<u64> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let draft = to.with_extension("draft");
    let size = std::fs::copy(from, &draft)?;
    std::fs::rename(&draft, to)?;
    Ok(size)
}

fn refused(code: ErrorCode, detail: impl Into<String>) -> ControlError {
    ControlError::Refused { code, detail: detail.into() }
}

/// Names of artifacts hold no slash; as files they must not be hidden or odd either.
fn file_name(name: &str) -> Result<String, ControlError> {
    let odd =
        name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) || name.len() > 200;
    if odd {
        return Err(refused(ErrorCode::Invalid, format!("`{name}` cannot be an artifact's name")));
    }
    Ok(format!("{name}.zip"))
}

/// An artifact's digest, as it was written down beside it; found anew where that is missing.
fn kept_digest(path: &Path) -> std::io::Result<String> {
    let beside = path.with_extension("digest");
    if let Ok(kept) = std::fs::read_to_string(&beside)
        && kept.parse::<Digest>().is_ok()
    {
        return Ok(kept);
    }
    let mut hash = Sha256::new();
    let mut file = std::io::BufReader::with_capacity(128 << 10, std::fs::File::open(path)?);
    loop {
        let chunk = file.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        hash.update(chunk);
        let read = chunk.len();
        file.consume(read);
    }
    let digest = format!("sha256:{}", hex::encode(hash.finalize()));
    std::fs::write(beside, &digest)?;
    Ok(digest)
}

fn view(path: &Path) -> std::io::Result<ArtifactView> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let meta = std::fs::metadata(path)?;
    let at = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(ArtifactView {
        id: name.clone(),
        name,
        size: meta.len(),
        digest: kept_digest(path)?,
        created_at: Timestamp::from_millis(i64::try_from(at.as_millis()).unwrap_or(i64::MAX)),
        expires_at: Timestamp::from_millis(i64::MAX / 2),
        raw: false,
        untrusted: false,
    })
}

#[async_trait]
impl Control for LocalControl {
    async fn updates(&self, updates: &[JobUpdate]) -> Result<UpdateReply, ControlError> {
        let acknowledged = updates.last().map_or(0, |update| update.seq);
        Ok(UpdateReply { acknowledged, cancel: None, lost: false })
    }

    async fn append_log(&self, offset: u64, bytes: Bytes) -> Result<u64, ControlError> {
        Ok(offset + bytes.len() as u64)
    }

    async fn store_artifact(&self, artifact: NewArtifact<'_>) -> Result<ArtifactView, ControlError> {
        let path = self.artifacts.join(file_name(artifact.name)?);
        if !artifact.overwrite && path.exists() {
            let why = format!("the run has an artifact named `{}` already", artifact.name);
            return Err(refused(ErrorCode::Conflict, why));
        }
        // What it says is of the archive that it stands beside, or it is not there.
        let _ = std::fs::remove_file(path.with_extension("digest"));
        place(artifact.archive, &path)?;
        Ok(view(&path)?)
    }

    async fn artifacts(&self) -> Result<Vec<ArtifactView>, ControlError> {
        let listed = match std::fs::read_dir(&self.artifacts) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut paths: Vec<PathBuf> = listed.flatten().map(|file| file.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "zip"));
        paths.sort();
        Ok(paths.iter().map(|path| view(path)).collect::<Result<_, _>>()?)
    }

    async fn fetch_artifact(&self, name: &str, into: &Path) -> Result<(), ControlError> {
        let path = self.artifacts.join(file_name(name)?);
        if !path.is_file() {
            let why = format!("the run has no artifact named `{name}`");
            return Err(refused(ErrorCode::NotFound, why));
        }
        std::fs::copy(path, into)?;
        Ok(())
    }

    async fn fetch_cache(
        &self,
        version: &str,
        keys: &[String],
        into: &Path,
    ) -> Result<Option<String>, ControlError> {
        let entries = self.entries(version)?;
        for (nth, key) in keys.iter().enumerate() {
            let exact = entries.iter().find(|entry| entry.key == *key);
            let begun = || entries.iter().find(|entry| entry.key.starts_with(key.as_str()));
            // Only what comes after the key itself is the beginning of one.
            if let Some(entry) = exact.or_else(|| begun().filter(|_| nth > 0)) {
                std::fs::copy(&entry.archive, into)?;
                return Ok(Some(entry.key.clone()));
            }
        }
        Ok(None)
    }

    async fn store_cache(
        &self,
        version: &str,
        key: &str,
        archive: &Path,
    ) -> Result<CacheStored, ControlError> {
        let text = format!("{version}\n{key}");
        let digest = Digest::sha256(text.as_bytes()).to_string();
        let name = digest.rsplit(':').next().unwrap_or_default();
        let note = self.caches.join(format!("{name}.key"));
        if note.exists() {
            return Ok(CacheStored::Exists);
        }
        place(archive, &note.with_extension("tar.zst"))?;
        std::fs::write(note, text)?;
        self.prune()?;
        Ok(CacheStored::Stored)
    }

    async fn build_image(&self, build: &BuildImage, tar: &Path) -> Result<BuiltImage, ControlError> {
        let failed = |e: anyhow::Error| refused(ErrorCode::Invalid, format!("{e:#}"));
        let images = self.opened.get_or_try_init(|| LocalImages::open(&self.images)).await.map_err(failed)?;
        images.build(build.clone(), &self.name, tar).await.map_err(failed)
    }

    async fn start_deployment(
        &self,
        _images: BTreeMap<String, String>,
    ) -> Result<DeploymentView, ControlError> {
        Err(refused(
            ErrorCode::Forbidden,
            "`windlass/deploy` does nothing in a local run: only a platform has environments (`windlass up`, `git push windlass`)",
        ))
    }

    async fn deployment(&self, _id: &str) -> Result<DeploymentView, ControlError> {
        Err(refused(ErrorCode::NotFound, "a local run has no deployments"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(root: &Path) -> LocalControl {
        LocalControl {
            artifacts: root.join("artifacts/r"),
            caches: root.join("caches/p"),
            images: root.join("images"),
            name: "shop".to_owned(),
            opened: tokio::sync::OnceCell::new(),
        }
    }

    #[tokio::test]
    async fn artifacts_are_there_once_and_leave_their_folder_never() {
        let temp = tempfile::tempdir().unwrap();
        let (control, archive) = (control(temp.path()), temp.path().join("a"));
        std::fs::write(&archive, "zip").unwrap();
        let new = |name, overwrite| NewArtifact { name, archive: &archive, retention_days: None, overwrite };
        assert_eq!(control.store_artifact(new("out", false)).await.unwrap().size, 3);
        assert!(control.store_artifact(new("out", false)).await.is_err());
        assert!(control.store_artifact(new("out", true)).await.is_ok());
        for bad in ["../x", "", ".hidden", "a/b"] {
            assert!(control.store_artifact(new(bad, true)).await.is_err(), "{bad}");
            assert!(control.fetch_artifact(bad, &temp.path().join("b")).await.is_err(), "{bad}");
        }
        let listed = control.artifacts().await.unwrap();
        assert_eq!(listed.iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), ["out"]);
        assert_eq!(listed[0].digest, Digest::sha256(b"zip").to_string());
        std::fs::write(&archive, "other").unwrap();
        let replaced = control.store_artifact(new("out", true)).await.unwrap();
        assert_eq!(replaced.digest, Digest::sha256(b"other").to_string());
        std::fs::write(&archive, "zip").unwrap();
        control.store_artifact(new("out", true)).await.unwrap();
        control.fetch_artifact("out", &temp.path().join("b")).await.unwrap();
        assert_eq!(std::fs::read_to_string(temp.path().join("b")).unwrap(), "zip");
    }

    #[tokio::test]
    async fn caches_are_found_by_key_and_by_its_beginning() {
        let temp = tempfile::tempdir().unwrap();
        let (control, archive, into) =
            (control(temp.path()), temp.path().join("a"), temp.path().join("into"));
        let keys = |list: &[&str]| list.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        assert_eq!(control.fetch_cache("v", &keys(&["x"]), &into).await.unwrap(), None);
        for (key, text) in [("deps-1", "one"), ("deps-2", "two")] {
            std::fs::write(&archive, text).unwrap();
            assert_eq!(control.store_cache("v", key, &archive).await.unwrap(), CacheStored::Stored);
        }
        assert_eq!(control.store_cache("v", "deps-1", &archive).await.unwrap(), CacheStored::Exists);
        let cases: &[(&str, &[&str], Option<&str>)] = &[
            ("v", &["deps-1"], Some("deps-1")),
            ("v", &["deps-"], None),
            ("v", &["none", "deps-1"], Some("deps-1")),
            ("w", &["deps-1"], None),
        ];
        for (version, wanted, found) in cases {
            let got = control.fetch_cache(version, &keys(wanted), &into).await.unwrap();
            assert_eq!(got.as_deref(), *found, "{wanted:?}");
        }
        assert!(control.fetch_cache("v", &keys(&["none", "deps"]), &into).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn images_are_built_into_a_layout_and_one_stands_on_another() {
        let temp = tempfile::tempdir().unwrap();
        let (control, tar) = (control(temp.path()), temp.path().join("files.tar"));
        let packed = std::process::Command::new("tar")
            .args(["-cf", &tar.display().to_string(), "-C", env!("CARGO_MANIFEST_DIR"), "Cargo.toml"])
            .status();
        assert!(packed.unwrap().success());
        let build = |base: &str, name: Option<&str>| BuildImage {
            base: base.to_owned(),
            name: name.map(str::to_owned),
            tags: vec!["latest".to_owned()],
            entrypoint: vec!["/app".to_owned()],
            cmd: Vec::new(),
            env: Vec::new(),
            workdir: None,
            user: None,
            expose: Vec::new(),
            labels: BTreeMap::new(),
        };
        let first = control.build_image(&build("scratch", None), &tar).await.unwrap();
        assert_eq!(first.reference, format!("localhost/shop@{}", first.digest));
        let second = control.build_image(&build("localhost/shop:latest", Some("shop/over")), &tar).await;
        assert_ne!(second.unwrap().digest, first.digest);
        let layout = control.images_folder().unwrap();
        let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
        assert!(index.contains("\"shop:latest\"") && index.contains("\"shop/over:latest\""), "{index}");
        assert!(layout.join("blobs/sha256").join(first.digest.trim_start_matches("sha256:")).is_file());
        let error = control.build_image(&build("localhost/none:1", None), &tar).await.unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }

    #[tokio::test]
    async fn what_only_a_platform_does_is_refused_in_words() {
        let temp = tempfile::tempdir().unwrap();
        let error = control(temp.path()).start_deployment(BTreeMap::new()).await.unwrap_err().to_string();
        assert!(error.contains("windlass up"), "{error}");
    }
}
