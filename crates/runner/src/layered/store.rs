//! Images kept on this machine, by digest: each layer laid out once, whoever needs it. Several processes share the folder; who
//! changes something in it holds its lock.
//!
//! `ROOT/layers/HEX…` a layer; `ROOT/images/HEX.json` a manifest and its configuration; `ROOT/names/HEX` what a name stood for
//! when it was last asked for, by name and login together: who has no login finds nothing that another one's opened.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};
use windlass_kernel::{Clock as _, Digest, Entropy as _, OsEntropy, SystemClock};
use windlass_oci::{
    BlobStore as _, ContainerConfig, Descriptor, FileBlobs, ImageConfig, ImageManifest, ImageName, LayOut,
    Login, Pull, PullError, Puller, UnpackLimits, WhiteoutStyle, lay_out,
};
use windlass_runtime::Level;

use super::archive::Archive;

/// How long an image is kept that nobody uses.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// How often it is looked whether another process is done with the folder.
const LOOK: Duration = Duration::from_millis(100);

/// Where images are kept.
#[derive(Clone, Debug)]
pub(super) struct Store {
    root: PathBuf,
    style: WhiteoutStyle,
}

/// An image, laid out.
#[derive(Clone, Debug)]
pub(super) struct Laid {
    /// Its layers' folders, the topmost first.
    pub(super) layers: Vec<PathBuf>,
    pub(super) config: ContainerConfig,
}

/// What is kept of an image beside its layers.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    manifest: ImageManifest,
    config: ImageConfig,
}

/// Where blobs come from.
enum Origin<'a> {
    Registry(Box<Pull<'a>>),
    Archive(&'a Archive),
}

/// Says how it goes.
pub(super) type Say<'a> = &'a (dyn Fn(&str) + Send + Sync);

impl Store {
    pub(super) fn new(root: &Path, level: Level) -> Self {
        let style = match level {
            Level::Namespaces => WhiteoutStyle::Overlay,
            _ => WhiteoutStyle::OverlayUser,
        };
        Self { root: root.to_owned(), style }
    }

    /// An image of a registry: its name is asked for each time, what is there is not fetched again. Where the registry cannot
    /// be reached, what the name last stood for is taken, and that is said.
    pub(super) async fn fetch(
        &self,
        image: &ImageName,
        login: Option<Login>,
        say: Say<'_>,
    ) -> Result<Laid, String> {
        let name = self.name_file(image, login.as_ref());
        let puller = Puller::new(login.into_iter().collect());
        let pull = match puller.begin(image).await {
            Ok(pull) => pull,
            Err(why @ PullError::Unreachable { .. }) => {
                let known = std::fs::read_to_string(&name).ok().and_then(|hex| self.kept(hex.trim()));
                let Some(laid) = known else { return Err(why.to_string()) };
                say(&format!("##[warning]{why}; the copy that is kept here is used"));
                return Ok(laid);
            }
            Err(why) => return Err(why.to_string()),
        };
        let hex = pull.digest.hex().to_owned();
        let laid = match self.kept(&hex) {
            Some(laid) => laid,
            None => self.lay(&hex, Origin::Registry(Box::new(pull)), say).await?,
        };
        let put = || write(&name, hex.as_bytes());
        put().map_err(|e| self.refused(&e))?;
        Ok(laid)
    }

    /// An image of a folder or file of this machine.
    pub(super) async fn unpack(&self, archive: &Archive, say: Say<'_>) -> Result<Laid, String> {
        let hex = archive.digest.hex().to_owned();
        match self.kept(&hex) {
            Some(laid) => Ok(laid),
            None => self.lay(&hex, Origin::Archive(archive), say).await,
        }
    }

    /// An image of which everything is there.
    pub(super) fn kept(&self, hex: &str) -> Option<Laid> {
        let text = std::fs::read(self.image_file(hex)).ok()?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        let layers: Vec<PathBuf> =
            kept.config.rootfs.diff_ids.iter().rev().map(|diff_id| self.folder(diff_id)).collect();
        if !layers.iter().all(|layer| layer.is_dir()) {
            return None;
        }
        // What is used is not forgotten.
        let now = TimeSpec::UTIME_NOW;
        let touched = File::open(self.image_file(hex)).map(|file| futimens(&file, &now, &now));
        drop(touched);
        Some(Laid { layers, config: kept.config.config })
    }

    async fn lay(&self, hex: &str, mut origin: Origin<'_>, say: Say<'_>) -> Result<Laid, String> {
        let _held = self.hold(say).await?;
        // Somebody else may have done it meanwhile.
        if let Some(laid) = self.kept(hex) {
            return Ok(laid);
        }
        self.sweep();
        self.forget();
        let folder = self.root.join("layers");
        std::fs::create_dir_all(&folder).map_err(|e| self.refused(&e))?;
        let blobs = FileBlobs::open(&self.root.join("blobs"), Arc::new(SystemClock), Arc::new(OsEntropy))
            .map_err(|e| e.to_string())?;
        let config = origin.config(&blobs).await?;
        let manifest = origin.manifest().clone();
        let all = manifest.layers.len();
        for (number, (layer, diff_id)) in manifest.layers.iter().zip(&config.rootfs.diff_ids).enumerate() {
            if self.folder(diff_id).is_dir() {
                continue;
            }
            say(&format!("Layer {} of {all}: {}", number + 1, size(layer.size)));
            let path = origin.file(&blobs, layer).await?;
            self.lay_layer(layer, diff_id, path).await?;
            // What is laid out is not needed packed.
            let _ = blobs.delete(&layer.digest).await;
        }
        let kept = Kept { manifest, config };
        let json = serde_json::to_vec(&kept).map_err(|e| e.to_string())?;
        write(&self.image_file(hex), &json).map_err(|e| self.refused(&e))?;
        self.kept(hex).ok_or_else(|| format!("what was fetched is no longer in {}", self.root.display()))
    }

    async fn lay_layer(&self, layer: &Descriptor, diff_id: &Digest, packed: PathBuf) -> Result<(), String> {
        let mut tag = [0u8; 8];
        OsEntropy.fill(&mut tag);
        let what = LayOut {
            layer: layer.clone(),
            diff_id: diff_id.clone(),
            style: self.style,
            limits: UnpackLimits::default(),
            new: self.root.join("layers").join(format!(".new-{:016x}", u64::from_be_bytes(tag))),
            folder: self.folder(diff_id),
            durable: true,
        };
        let done = tokio::task::spawn_blocking(move || {
            let file = File::open(&packed).map_err(|e| format!("{}: {e}", packed.display()))?;
            lay_out(what, std::io::BufReader::new(file)).map_err(|e| e.to_string())
        });
        done.await.map_err(|e| e.to_string())?
    }

    /// Holds the folder against other processes.
    async fn hold(&self, say: Say<'_>) -> Result<File, String> {
        let path = self.root.join("lock");
        std::fs::create_dir_all(&self.root).map_err(|e| self.refused(&e))?;
        // Images may be private, and names of files are made of logins.
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&self.root, private).map_err(|e| self.refused(&e))?;
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(|e| self.refused(&e))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(self.refused(&e)),
            }
            if !told {
                say("Waiting for another job that fetches an image");
                told = true;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Removes images that nobody has used for long, and the layers of no image. The folder is held.
    fn forget(&self) {
        let entries = |name: &str| std::fs::read_dir(self.root.join(name)).into_iter().flatten().flatten();
        let now = SystemClock.now().as_millis();
        let mut used = BTreeSet::new();
        for entry in entries("images") {
            let modified = entry.metadata().and_then(|meta| meta.modified()).ok();
            let at = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let old = at.is_some_and(|at| now - at.as_millis() as i64 > KEPT.as_millis() as i64);
            let kept =
                std::fs::read(entry.path()).ok().and_then(|json| serde_json::from_slice::<Kept>(&json).ok());
            match kept.filter(|_| !old) {
                Some(kept) => used.extend(kept.config.rootfs.diff_ids.iter().map(|id| id.hex().to_owned())),
                None => drop(std::fs::remove_file(entry.path())),
            }
        }
        for entry in entries("layers") {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !used.contains(name.trim_end_matches("-user")) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Removes what a process left that died while it held the folder.
    fn sweep(&self) {
        for entry in std::fs::read_dir(self.root.join("layers")).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".new-") {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let _ = std::fs::remove_dir_all(self.root.join("blobs/uploads"));
    }

    fn folder(&self, diff_id: &Digest) -> PathBuf {
        // Another style of whiteouts is another folder.
        let style = if self.style == WhiteoutStyle::Overlay { "" } else { "-user" };
        self.root.join("layers").join(format!("{}{style}", diff_id.hex()))
    }

    fn image_file(&self, hex: &str) -> PathBuf {
        self.root.join("images").join(format!("{hex}.json"))
    }

    fn name_file(&self, image: &ImageName, login: Option<&Login>) -> PathBuf {
        let host = image.host.as_deref().unwrap_or_default();
        let login = login.map(|login| (&login.user, login.password.expose()));
        let text = format!("{host}\n{}\n{}\n{login:?}", image.repository, image.reference());
        self.root.join("names").join(Digest::sha256(text.as_bytes()).hex())
    }

    fn refused(&self, error: &std::io::Error) -> String {
        format!("the folder of images {} cannot be used: {error}", self.root.display())
    }
}

impl Origin<'_> {
    fn manifest(&self) -> &ImageManifest {
        match self {
            Self::Registry(pull) => &pull.manifest,
            Self::Archive(archive) => &archive.manifest,
        }
    }

    async fn config(&mut self, blobs: &FileBlobs) -> Result<ImageConfig, String> {
        match self {
            Self::Registry(pull) => pull.config(blobs).await.map_err(|e| e.to_string()),
            Self::Archive(archive) => Ok(archive.config.clone()),
        }
    }

    /// The file of a layer.
    async fn file(&mut self, blobs: &FileBlobs, layer: &Descriptor) -> Result<PathBuf, String> {
        match self {
            Self::Registry(pull) => {
                pull.blob(blobs, layer).await.map_err(|e| e.to_string())?;
                Ok(blobs.path(&layer.digest))
            }
            Self::Archive(archive) => archive.file(&layer.digest),
        }
    }
}

/// A file that is there whole or not at all.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension(format!("draft{}", std::process::id()));
    std::fs::write(&draft, text)?;
    std::fs::rename(draft, path)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_used_for_long_is_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::new(temp.path(), Level::Namespaces);
        let id = |text: &str| Digest::sha256(text.as_bytes());
        let image = |name: &str, layers: &[&str]| {
            let ids: Vec<String> = layers.iter().map(|layer| id(layer).to_string()).collect();
            let config = serde_json::json!({
                "architecture": "x", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids},
            });
            let blob = serde_json::json!({"mediaType": "x", "digest": id("c").to_string(), "size": 1});
            let manifest = serde_json::json!({"schemaVersion": 2, "config": blob, "layers": []});
            let kept = serde_json::json!({"manifest": manifest, "config": config});
            write(&store.image_file(name), kept.to_string().as_bytes()).unwrap();
        };
        image("old", &["shared", "alone"]);
        image("new", &["shared"]);
        for layer in ["shared", "alone", "nobodys"] {
            std::fs::create_dir_all(store.folder(&id(layer))).unwrap();
        }
        let long_ago = TimeSpec::new(1, 0);
        futimens(File::open(store.image_file("old")).unwrap(), &long_ago, &long_ago).unwrap();
        assert!(store.kept("new").is_some());
        store.forget();
        assert!(store.kept("old").is_none() && store.kept("new").is_some());
        let left: Vec<bool> =
            ["shared", "alone", "nobodys"].iter().map(|layer| store.folder(&id(layer)).is_dir()).collect();
        assert_eq!(left, [true, false, false]);
        // To look for it is to use it.
        futimens(File::open(store.image_file("new")).unwrap(), &long_ago, &long_ago).unwrap();
        assert!(store.kept("new").is_some());
        store.forget();
        assert!(store.kept("new").is_some());
    }
}
