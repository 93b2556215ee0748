//! The driver over the kernel's own means.

mod probe;
mod sandbox;

use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::cgroup::{Group, Hierarchies};
use crate::fault::Doing as _;
use crate::init::{SUBCOMMAND, sealed_copy};
use crate::port::{Runtime, Sandbox};
use crate::scratch::Scratch;
use crate::spec::{Capabilities, Exec, Level, Root, SandboxSpec};
use crate::wire::{self, Birth};
use crate::{RuntimeError, layout};

use sandbox::LinuxSandbox;
pub use sandbox::{Door, Resident};

/// What the driver needs to know.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// The binary that becomes the init of sandboxes: it must call [`init_main`](crate::init_main) when its first argument is
    /// `sandbox-init`. Usually `std::env::current_exe()`.
    pub exe: PathBuf,
    /// A folder in which sandboxes will have theirs: what the machine permits is tried there.
    pub scratch_root: PathBuf,
    /// Insists on a level. `None`: the strongest that the machine permits.
    pub level: Option<Level>,
}

impl RuntimeConfig {
    /// With the level that `WINDLASS_SANDBOX` names, if it names one.
    pub fn new(exe: impl Into<PathBuf>, scratch_root: impl Into<PathBuf>) -> Result<Self, RuntimeError> {
        let level = match std::env::var("WINDLASS_SANDBOX") {
            Ok(name) if !name.is_empty() => {
                Some(name.parse().map_err(|e| RuntimeError::Invalid(format!("WINDLASS_SANDBOX: {e}")))?)
            }
            _ => None,
        };
        Ok(Self { exe: exe.into(), scratch_root: scratch_root.into(), level })
    }
}

/// The driver over the kernel's own means: namespaces, overlay, control groups.
#[derive(Debug)]
pub struct Linux {
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

#[derive(Debug)]
struct Shared {
    exe: PathBuf,
    /// The binary behind a mount that cannot be written to, where this process may make one.
    sealed: Option<OwnedFd>,
    groups: Hierarchies,
}

impl Linux {
    /// Finds out what the machine permits, by trying, and makes a driver of it.
    ///
    /// # Errors
    /// [`RuntimeError::LevelRefused`] when the configuration insists on a level that the machine does not permit.
    pub async fn open(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        probe::open(config).await
    }

    /// A driver at a level that another process found out with [`Linux::open`]: nothing is tried. Should the machine
    /// no longer permit it, starting a sandbox fails, and `open` says what it does permit.
    pub fn trusting(config: RuntimeConfig, capabilities: Capabilities) -> Self {
        let shared = Shared { sealed: seal(&config.exe), exe: config.exe, groups: Hierarchies::find() };
        Self { shared: Arc::new(shared), capabilities }
    }

    /// Starts one sandbox at a level that is known to work: what a shim does.
    pub(crate) async fn start_one(
        exe: &Path,
        spec: SandboxSpec,
        level: Level,
    ) -> Result<Arc<dyn Sandbox>, RuntimeError> {
        let shared = Shared { sealed: seal(exe), exe: exe.to_owned(), groups: Hierarchies::find() };
        Ok(Arc::new(Self::start_at(&shared, spec, level).await?))
    }

    async fn start_at(
        shared: &Shared,
        spec: SandboxSpec,
        level: Level,
    ) -> Result<LinuxSandbox, RuntimeError> {
        check(&spec)?;
        let Prepared { birth, scratch, group, spec } = {
            let groups = shared.groups.clone();
            tokio::task::spawn_blocking(move || prepare(spec, level, &groups))
                .await
                .map_err(|e| RuntimeError::io("preparing a sandbox", std::io::Error::other(e)))??
        };
        let (ours, theirs) = wire::pair().map_err(|error| RuntimeError::io("making a socket", error))?;
        let child = shared.spawn(&birth, theirs)?;
        LinuxSandbox::connect(spec, birth, ours, child, scratch, group).await
    }
}

#[async_trait]
impl Runtime for Linux {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn start(&self, spec: SandboxSpec) -> Result<Arc<dyn Sandbox>, RuntimeError> {
        let sandbox = Self::start_at(&self.shared, spec, self.capabilities.level).await?;
        Ok(Arc::new(sandbox))
    }
}

impl Shared {
    fn spawn(&self, birth: &Birth, socket: OwnedFd) -> Result<Child, RuntimeError> {
        let (uid, gid) = birth.user.unwrap_or((0, 0));
        let mut args: Vec<OsString> = vec![birth.level.name().into(), format!("{uid}:{gid}").into()];
        let program = match &self.sealed {
            Some(sealed) if birth.level == Level::Namespaces => {
                args.push("sealed".into());
                PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), sealed.as_raw_fd()))
            }
            _ => self.exe.clone(),
        };
        use std::os::unix::process::CommandExt as _;
        Command::new(&program)
            .arg0("windlass")
            .arg(SUBCOMMAND)
            .args(args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| RuntimeError::io(format!("starting {}", self.exe.display()), error))
    }
}

struct Prepared {
    birth: Birth,
    scratch: Scratch,
    group: Option<Group>,
    spec: SandboxSpec,
}

/// All that is done in the machine's file system before the init is started.
fn prepare(mut spec: SandboxSpec, level: Level, groups: &Hierarchies) -> Result<Prepared, RuntimeError> {
    let scratch = Scratch::make(&spec.scratch)?;
    scratch.dir().clone_into(&mut spec.scratch);
    let undo = |error: RuntimeError| {
        let _ = scratch.remove();
        error
    };
    for bind in &mut spec.binds {
        bind.host = std::fs::canonicalize(&bind.host).map_err(|error| {
            undo(RuntimeError::io(format!("showing {} in the sandbox", bind.host.display()), error))
        })?;
    }
    if level == Level::Namespaces {
        give_volumes(&spec);
    }
    if level == Level::Process {
        for name in ["home", "tmp"] {
            std::fs::create_dir(spec.scratch.join(name)).map_err(|error| {
                undo(RuntimeError::io(format!("making the sandbox's {name} folder"), error))
            })?;
        }
    }
    let group = groups
        .make(&spec.id, &spec.limits, if level == Level::Process { 1 } else { 2 })
        .map_err(|fault| undo(fault.into()))?;
    let noted =
        scratch.note_groups(group.iter().flat_map(Group::folders)).doing(|| "noting control groups".into());
    noted.map_err(|fault| undo(fault.into()))?;
    let birth = Birth {
        id: spec.id.clone(),
        level,
        layout: (level != Level::Process).then(|| layout::decide(&spec, level)),
        join: group.as_ref().map(Group::join_files).unwrap_or_default(),
        hostname: spec.hostname.clone(),
        user: spec.user,
        groups: spec.groups.clone(),
        isolate_network: spec.isolate_network && level != Level::Process,
        limits: if group.is_some() { crate::spec::Limits::default() } else { spec.limits },
    };
    Ok(Prepared { birth, scratch, group, spec })
}

/// An empty folder of root's that a program of another user is to write in (a new volume) is given to that user.
fn give_volumes(spec: &SandboxSpec) {
    use std::os::unix::fs::MetadataExt as _;
    let Some((uid, gid)) = spec.user else { return };
    for bind in spec.binds.iter().filter(|bind| !bind.read_only) {
        let empty = std::fs::read_dir(&bind.host).is_ok_and(|mut entries| entries.next().is_none());
        if empty && std::fs::metadata(&bind.host).is_ok_and(|meta| meta.uid() == 0) {
            let _ = std::os::unix::fs::chown(&bind.host, Some(uid), Some(gid));
        }
    }
}

fn check(spec: &SandboxSpec) -> Result<(), RuntimeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let wrong = |what: String| Err(RuntimeError::Invalid(what));
    if spec.id.is_empty() || spec.id.len() > 100 || !spec.id.chars().all(plain) || spec.id.starts_with('.') {
        return wrong(format!(
            "`{}` is no sandbox id: letters, digits, `-`, `_` and `.`, at most 100",
            spec.id
        ));
    }
    if let Some(bind) = spec.binds.iter().find(|bind| !clean(&bind.inside)) {
        return wrong(format!("`{}` is no absolute path without `..`", bind.inside.display()));
    }
    if let Root::Layers(layers) | Root::MachineWithLayers(layers) = &spec.root
        && (layers.is_empty() || !layers.iter().all(|layer| layer.is_absolute()))
    {
        return wrong("layers are absolute paths, and there is at least one".into());
    }
    Ok(())
}

fn clean(path: &Path) -> bool {
    use std::path::Component;
    path.is_absolute()
        && path.components().count() > 1
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

/// Starts `count` sandboxes over the machine's root one after the other, runs `/bin/true` in each, ends it, and
/// gives the time that each took until the program had ended, and until all was cleaned up. For benchmarks.
pub async fn measure_start(
    runtime: &dyn Runtime,
    scratch_root: &Path,
    count: usize,
) -> Result<Vec<(Duration, Duration)>, RuntimeError> {
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let id = format!("measure-{}-{number}", std::process::id());
        let spec = SandboxSpec::machine(&id, scratch_root.join(&id));
        let begin = tokio::time::Instant::now();
        let sandbox = runtime.start(spec).await?;
        let done = sandbox.exec(Exec::new(["/bin/true"])).await?.finish().await?;
        let ran = begin.elapsed();
        sandbox.kill().await?;
        if !done.exit.success() {
            return Err(RuntimeError::Invalid(format!("/bin/true ended with {}", done.exit)));
        }
        times.push((ran, begin.elapsed()));
    }
    Ok(times)
}

fn seal(exe: &Path) -> Option<OwnedFd> {
    sealed_copy(exe).ok()
}
