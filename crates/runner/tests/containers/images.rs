//! Images of nothing but busybox, made here, and a registry in this process that has them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use windlass_kernel::{Actor, Digest, Secret, SystemClock};
use windlass_oci::{
    Access, Action, Credential, FileBlobs, Grant, MediaType, Reference, Registry, RegistryToken,
    RepositoryName, StoreIndex, router,
};
use windlass_testkit::{MemoryStore, TestEntropy};

/// One entry of a layer.
pub(crate) enum Piece {
    Folder(&'static str, u32),
    File(&'static str, u32, Vec<u8>),
    Link(String, &'static str),
    Whiteout(&'static str),
}

/// An image: its layers, as archives, the lowest first, and how it is run.
#[derive(Clone)]
pub(crate) struct Image {
    layers: Vec<Vec<u8>>,
    config: Value,
}

fn tar_of(pieces: &[Piece]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for piece in pieces {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match piece {
            Piece::Folder(path, mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                tar.append_data(&mut header, format!("{path}/"), std::io::empty()).unwrap();
            }
            Piece::File(path, mode, bytes) => {
                header.set_mode(*mode);
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, path, bytes.as_slice()).unwrap();
            }
            Piece::Link(path, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                tar.append_link(&mut header, path, target).unwrap();
            }
            Piece::Whiteout(path) => {
                let path = Path::new(path);
                let name = format!(".wh.{}", path.file_name().unwrap().to_string_lossy());
                header.set_mode(0o644);
                tar.append_data(&mut header, path.with_file_name(name), std::io::empty()).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}

/// The machine's busybox.
pub(crate) fn busybox() -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').map(|folder| Path::new(folder).join("busybox")).find(|file| file.is_file())
}

impl Image {
    /// Busybox under all of its names, a password file, and a second layer that takes something away.
    pub(crate) fn of_busybox() -> Option<Self> {
        let busybox = busybox()?;
        let list = std::process::Command::new(&busybox).arg("--list").output().ok()?;
        let mut pieces = vec![
            Piece::Folder("bin", 0o755),
            Piece::Folder("etc", 0o755),
            Piece::Folder("tmp", 0o1777),
            Piece::Folder("run", 0o755),
            Piece::Folder("run/mine", 0o777),
            Piece::File("bin/busybox", 0o755, std::fs::read(&busybox).unwrap()),
            Piece::File(
                "etc/passwd",
                0o644,
                b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/sh\n".to_vec(),
            ),
            Piece::File("etc/group", 0o644, b"root:x:0:\nweb:x:34:\n".to_vec()),
            Piece::File("gone", 0o644, b"x".to_vec()),
            Piece::File("kept", 0o644, b"below\n".to_vec()),
        ];
        let names = String::from_utf8_lossy(&list.stdout).into_owned();
        for name in names.lines().filter(|name| *name != "busybox") {
            pieces.push(Piece::Link(format!("bin/{name}"), "busybox"));
        }
        let upper = [Piece::Whiteout("gone"), Piece::File("kept", 0o644, b"above\n".to_vec())];
        let config = json!({"Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["sh"]});
        Some(Self { layers: vec![tar_of(&pieces), tar_of(&upper)], config })
    }

    /// The same with something else in its configuration.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Its blobs by their digests, and its manifest.
    fn parts(&self) -> (BTreeMap<String, Vec<u8>>, Vec<u8>) {
        let mut blobs = BTreeMap::new();
        let mut put = |bytes: Vec<u8>, media_type: &str| {
            let digest = Digest::sha256(&bytes).to_string();
            let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
            blobs.insert(digest, bytes);
            descriptor
        };
        let layers: Vec<Value> =
            self.layers.iter().map(|l| put(l.clone(), "application/vnd.oci.image.layer.v1.tar")).collect();
        let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({
            "architecture": architecture, "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = put(serde_json::to_vec(&config).unwrap(), "application/vnd.oci.image.config.v1+json");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OciManifest.as_str(), "config": config, "layers": layers,
        });
        (blobs, serde_json::to_vec(&manifest).unwrap())
    }

    /// Writes it as an OCI image layout.
    pub(crate) fn write(&self, folder: &Path) {
        let (mut blobs, manifest) = self.parts();
        let digest = Digest::sha256(&manifest).to_string();
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{"mediaType": MediaType::OciManifest.as_str(), "digest": digest, "size": manifest.len()}],
        });
        blobs.insert(digest, manifest);
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        for (digest, bytes) in blobs {
            std::fs::write(folder.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
        }
        std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

/// A registry that lets `ann` pull with the password `open-sesame`, and everybody from `public/…`.
pub(crate) struct Served {
    pub(crate) host: String,
    registry: Registry,
    serving: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

struct Door;

#[async_trait]
impl Access for Door {
    type Principal = String;

    async fn authenticate(&self, credential: &Credential) -> Option<String> {
        match credential {
            Credential::Basic { user, password } if user == "ann" && password.expose() == "open-sesame" => {
                Some(user.clone())
            }
            Credential::Basic { user, password }
                if user == "job" && password.expose() == "job-token-0123456789" =>
            {
                Some(user.clone())
            }
            _ => None,
        }
    }

    async fn may(&self, principal: &String, action: Action, repository: &RepositoryName) -> bool {
        action == Action::Pull && (principal == "ann" || repository.as_str().starts_with("own/"))
    }

    fn actor(&self, _: &String) -> Actor {
        Actor::System
    }

    async fn issue(&self, principal: &String, _: &[Grant]) -> RegistryToken {
        RegistryToken { token: Secret::new(format!("pass-{principal}")), lifetime: Duration::from_mins(5) }
    }

    async fn verify(&self, token: &str) -> Option<(String, Vec<Grant>)> {
        let principal = token.strip_prefix("pass-")?.to_owned();
        let all = ["private/box", "own/box", "own/none"]
            .map(|name| Grant { repository: name.parse().unwrap(), actions: vec![Action::Pull] });
        Some((principal, all.to_vec()))
    }
}

impl Served {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock);
        let blobs = FileBlobs::open(folder.path(), clock.clone(), Arc::new(TestEntropy::default())).unwrap();
        let index = StoreIndex::new(Arc::new(MemoryStore::default()), clock.clone());
        let registry = Registry::new(Arc::new(blobs), Arc::new(index), clock);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let router = router(registry.clone(), Arc::new(Door));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { host, registry, serving, _folder: folder }
    }

    /// Puts an image there; gives its whole name.
    pub(crate) async fn put(&self, name: &str, image: &Image) -> String {
        let (repository, tag) = name.split_once(':').unwrap();
        let repository: RepositoryName = repository.parse().unwrap();
        let (blobs, manifest) = image.parts();
        let mut digests = Vec::new();
        for bytes in blobs.into_values() {
            digests.push(self.registry.blobs().put(bytes.into()).await.unwrap());
        }
        self.registry.index().link_blobs(&repository, &digests).await.unwrap();
        let tag = Reference::Tag(tag.parse().unwrap());
        let pushed =
            self.registry.push(&repository, &tag, MediaType::OciManifest, manifest.into(), &Actor::System);
        pushed.await.unwrap();
        format!("{}/{name}", self.host)
    }

    /// Nobody answers there any more.
    pub(crate) async fn stop(self) -> String {
        self.serving.abort();
        let _ = self.serving.await;
        self.host
    }
}
