//! `RUN --mount`: what of the machine, of other stages and of the store a step sees while it runs.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_dockerfile::Origin;
use windlass_dockerfile::plan::{InlineFile, Mount, MountKind, Sharing};
use windlass_kernel::Digest;
use windlass_runtime::{Bind, Laid, Memory};

use super::Session;
use super::transfer::{all_of, blocking};
use crate::BuildError;
use crate::agent::{Forwarded, Passing};
use crate::key::{Key, KeyMaker};
use crate::store::Lock;
use crate::transfer::{Gathered, Placement, TransferError, at, place};
use crate::tree::{Kind, Stack, Tree, follow, relative};
use crate::writer::Writer;

/// What a step's mounts come to.
#[derive(Default)]
pub(super) struct Mounted {
    pub(super) binds: Vec<Bind>,
    pub(super) laid: Vec<Laid>,
    pub(super) memory: Vec<Memory>,
    pub(super) env: Vec<(String, String)>,
    /// Places that files are attached to, and such that folders are.
    pub(super) files: Vec<PathBuf>,
    pub(super) folders: Vec<PathBuf>,
    /// Held until the step has ended.
    pub(super) locks: Vec<Lock>,
    pub(super) agents: Vec<Forwarded>,
    pub(super) secrets: Vec<Passing>,
}

/// What a bind mount shows.
enum Shown {
    Folder(Vec<PathBuf>),
    File(PathBuf),
}

impl Session {
    /// What of a step's mounts belongs into its key.
    pub(super) async fn mounts_key(&self, mounts: &[Mount]) -> Result<Key, BuildError> {
        let mut key = KeyMaker::new("mounts");
        for mount in mounts {
            key = key.text(mount.target.as_deref().unwrap_or_default());
            key = match &mount.kind {
                MountKind::Bind { from, source, writable } => {
                    let content = match self.origin_key(from).await? {
                        Some(origin) => KeyMaker::new("whole").key(origin).done(),
                        None => {
                            let (_, gathered) = self.gather_bind(from, source).await?;
                            KeyMaker::new("files").field(&gathered.digest()).done()
                        }
                    };
                    key.text("bind").text(source).text(&writable.to_string()).key(content)
                }
                MountKind::Cache { id, .. } => key.text("cache").text(id),
                MountKind::Tmpfs { size } => key.text("tmpfs").text(&size.to_string()),
                MountKind::Secret { id, env, .. } => {
                    key.text("secret").text(id).text(env.as_deref().unwrap_or_default())
                }
                MountKind::Ssh { id, .. } => key.text("ssh").text(id),
            };
        }
        Ok(key.done())
    }

    async fn gather_bind(
        &self,
        from: &Origin,
        source: &str,
    ) -> Result<(Arc<dyn Tree>, Gathered), BuildError> {
        let (tree, _) = self.origin_tree(from).await?;
        let (of, path) = (tree.clone(), relative(Path::new(source)));
        let gathered = blocking(move || {
            let real = follow(&*of, &path).map_err(at(&path))?;
            if of.node(&real).map_err(at(&real))?.is_none() {
                return Err(TransferError::Missing(path.display().to_string()));
            }
            all_of(&*of, &real)
        });
        Ok((tree, gathered.await?))
    }

    /// Makes a step's mounts.
    pub(super) async fn mount(
        &self,
        mounts: &[Mount],
        script: Option<&InlineFile>,
    ) -> Result<Mounted, BuildError> {
        let mut all = Mounted::default();
        for mount in mounts {
            let target = mount.target.as_ref().map(PathBuf::from);
            match (&mount.kind, target) {
                (MountKind::Bind { from, source, writable }, Some(target)) => {
                    match self.shown(from, source).await? {
                        Shown::Folder(layers) => {
                            all.folders.push(target.clone());
                            all.laid.push(Laid { layers, inside: target, read_only: !writable });
                        }
                        Shown::File(host) => {
                            let host = if *writable { self.own_copy(&host)? } else { host };
                            all.files.push(target.clone());
                            all.binds.push(Bind { host, inside: target, read_only: !writable });
                        }
                    }
                }
                (MountKind::Cache { .. }, Some(target)) => {
                    let read_only = matches!(mount.kind, MountKind::Cache { read_only: true, .. });
                    let (host, lock) = self.cache(&mount.kind).await?;
                    all.folders.push(target.clone());
                    all.binds.push(Bind { host, inside: target, read_only });
                    all.locks.push(lock);
                }
                (MountKind::Tmpfs { size }, Some(target)) => {
                    all.folders.push(target.clone());
                    all.memory.push(Memory { inside: target, bytes: *size });
                }
                (MountKind::Secret { .. }, target) => self.secret(&mount.kind, target, &mut all)?,
                (MountKind::Ssh { .. }, Some(target)) => self.ssh(&mount.kind, target, &mut all)?,
                _ => return Err(BuildError::Request("a mount needs a target".into())),
            }
        }
        if let Some(script) = script {
            let host = self.file_of_own("script", script.data.as_bytes(), 0o755, (0, 0))?;
            let inside = PathBuf::from(&script.name);
            all.files.push(inside.clone());
            all.binds.push(Bind { host, inside, read_only: true });
        }
        Ok(all)
    }

    async fn shown(&self, from: &Origin, source: &str) -> Result<Shown, BuildError> {
        if let Some(stack) = self.origin_stack(from).await? {
            return in_stack(&stack, source);
        }
        let (tree, gathered) = self.gather_bind(from, source).await?;
        let key = KeyMaker::new("tree").field(&gathered.digest()).done();
        let _lock = self.store.lock(&format!("tree-{}", key.hex())).await?;
        let folder = self.store.path("trees", &key.hex());
        if !folder.is_dir() {
            let new = self.store.fresh("tree");
            let (at_new, from) = (new.clone(), tree);
            let whole = gathered.clone();
            blocking(move || put(&*from, &whole, &at_new)).await?;
            fs::rename(&new, &folder).map_err(|e| BuildError::io("keeping mounted files", e))?;
        }
        let root = gathered.entries.first();
        match root.filter(|entry| !entry.node.is_folder()) {
            Some(entry) => Ok(Shown::File(folder.join(entry.path.file_name().unwrap_or_default()))),
            None => Ok(Shown::Folder(vec![folder])),
        }
    }

    /// A file of this build's own.
    fn file_of_own(
        &self,
        what: &str,
        bytes: &[u8],
        mode: u32,
        owner: (u32, u32),
    ) -> Result<PathBuf, BuildError> {
        use std::io::Write as _;
        let path = self.store.fresh(what);
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(bytes)?;
            if nix::unistd::geteuid().is_root() {
                chown(&path, Some(owner.0), Some(owner.1))?;
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        })();
        written.map_err(|e| BuildError::io(format!("writing a {what}"), e))?;
        Ok(path)
    }

    fn own_copy(&self, file: &Path) -> Result<PathBuf, BuildError> {
        let path = self.store.fresh("bind");
        fs::copy(file, &path).map_err(|e| BuildError::io("copying a mounted file", e))?;
        Ok(path)
    }

    fn secret(&self, kind: &MountKind, target: Option<PathBuf>, all: &mut Mounted) -> Result<(), BuildError> {
        let MountKind::Secret { id, required, env, mode, uid, gid } = kind else { return Ok(()) };
        let Some(value) = self.request.secrets.get(id) else {
            if *required {
                return Err(BuildError::Request(format!(
                    "secret {id}: not found (--secret id={id},… gives it)"
                )));
            }
            return Ok(());
        };
        if let Some(name) = env {
            let text = String::from_utf8(value.expose().clone());
            let text =
                text.map_err(|_| BuildError::Request(format!("secret {id}: its bytes are no text")))?;
            all.env.push((name.clone(), text));
        }
        if let Some(target) = target {
            let host = self.file_of_own("secret", value.expose(), *mode, (*uid, *gid))?;
            all.secrets.push(Passing(host.clone()));
            all.files.push(target.clone());
            all.binds.push(Bind { host, inside: target, read_only: true });
        }
        Ok(())
    }

    fn ssh(&self, kind: &MountKind, target: PathBuf, all: &mut Mounted) -> Result<(), BuildError> {
        let MountKind::Ssh { id, required, mode, uid, gid } = kind else { return Ok(()) };
        let Some(socket) = self.request.ssh.get(id) else {
            if *required {
                return Err(BuildError::Request(format!("ssh {id}: not found (--ssh {id} gives it)")));
            }
            return Ok(());
        };
        if !all.env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK") {
            all.env.push(("SSH_AUTH_SOCK".into(), target.display().to_string()));
        }
        all.files.push(target.clone());
        let forwarded = Forwarded::open(self.store.fresh("ssh"), socket.clone(), *mode, (*uid, *gid));
        let forwarded = forwarded.map_err(|e| BuildError::io(format!("opening a socket for ssh {id}"), e))?;
        all.binds.push(Bind { host: forwarded.path().to_owned(), inside: target, read_only: false });
        all.agents.push(forwarded);
        Ok(())
    }

    /// A cache's folder, held for as long as the step runs.
    async fn cache(&self, kind: &MountKind) -> Result<(PathBuf, Lock), BuildError> {
        let MountKind::Cache { id, sharing, from, source, mode, uid, gid, .. } = kind else {
            return Err(BuildError::Store("a cache is none".into()));
        };
        let hex = Digest::sha256(id.as_bytes()).hex().to_owned();
        let (name, lock) = match sharing {
            Sharing::Shared => (hex.clone(), self.store.share(&format!("mount-{hex}")).await?),
            Sharing::Locked => (hex.clone(), self.store.lock(&format!("mount-{hex}")).await?),
            Sharing::Private => {
                let mut number = 0;
                loop {
                    let name = if number == 0 { hex.clone() } else { format!("{hex}-{number}") };
                    if let Some(lock) = self.store.try_lock(&format!("mount-{name}"))? {
                        break (name, lock);
                    }
                    number += 1;
                }
            }
        };
        let folder = self.store.path("mounts", &name);
        let _making = self.store.lock(&format!("mount-making-{name}")).await?;
        if !folder.is_dir() {
            let new = self.store.fresh("mount");
            match from {
                Some(from) => {
                    let (tree, gathered) = self.gather_bind(from, source).await?;
                    let at_new = new.clone();
                    blocking(move || put(&*tree, &gathered, &at_new)).await?;
                }
                None => {
                    let made = fs::DirBuilder::new().mode(0o700).create(&new);
                    made.map_err(|e| BuildError::io("making a cache", e))?;
                }
            }
            let made = (|| {
                if nix::unistd::geteuid().is_root() {
                    chown(&new, Some(*uid), Some(*gid))?;
                }
                fs::set_permissions(&new, fs::Permissions::from_mode(*mode))?;
                fs::rename(&new, &folder)
            })();
            made.map_err(|e| BuildError::io("making a cache", e))?;
        }
        Ok((folder, lock))
    }
}

/// A path in layers laid over each other.
fn in_stack(stack: &Stack, source: &str) -> Result<Shown, BuildError> {
    let path = relative(Path::new(source));
    let failed = |e: std::io::Error| BuildError::Request(format!("{source}: {e}"));
    let real = follow(stack, &path).map_err(failed)?;
    match stack.node(&real).map_err(failed)? {
        Some(node) if node.is_folder() => {
            let parts = stack.parts(&real).map_err(failed)?;
            Ok(Shown::Folder(parts.map(|parts| (*parts).clone()).unwrap_or_default()))
        }
        Some(node) if node.kind == Kind::File => match stack.place(&real).map_err(failed)? {
            Some((place, _)) => Ok(Shown::File(place)),
            None => Err(BuildError::Request(format!("\"{source}\": not found"))),
        },
        _ => Err(BuildError::Request(format!("\"{source}\": not found"))),
    }
}

/// Puts everything that was gathered into a folder.
fn put(tree: &dyn Tree, gathered: &Gathered, folder: &Path) -> Result<(), TransferError> {
    let io = at(Path::new(""));
    let mut writer = Writer::new(folder.to_owned(), Arc::new(Stack::new(Vec::new()))).map_err(io)?;
    let placement = Placement { destination: "/", owner: None, mode: None, parents: false, unsure: true };
    place(&mut writer, tree, gathered, &placement)?;
    writer.done().map(drop).map_err(at(Path::new("")))
}
