//! The drivers for tests of other crates: nothing runs, a script says what programs would have done.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use windlass_kernel::{Clock, SystemClock};

use crate::RuntimeError;
use crate::port::{Instances, Output, Process, ProcessControl, Runtime, Sandbox};
use crate::spec::{
    Capabilities, ControlGroups, Exec, Exit, InstanceSpec, Level, Observed, SandboxSpec, Signal, Usage,
};

/// What a pretended program does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// What it writes.
    pub stdout: Vec<u8>,
    /// What it writes to standard error.
    pub stderr: Vec<u8>,
    /// How it ends; `None`: it runs until it is signalled or its sandbox is killed.
    pub exit: Option<Exit>,
}

impl Played {
    /// Writes `stdout` and ends well.
    pub fn prints(stdout: impl Into<Vec<u8>>) -> Self {
        Self { stdout: stdout.into(), stderr: Vec::new(), exit: Some(Exit::Code(0)) }
    }

    /// Ends with `code`.
    pub fn exits(code: i32) -> Self {
        Self { stdout: Vec::new(), stderr: Vec::new(), exit: Some(Exit::Code(code)) }
    }

    /// Runs until it is signalled.
    pub fn runs() -> Self {
        Self { stdout: Vec::new(), stderr: Vec::new(), exit: None }
    }
}

type Script = dyn Fn(&SandboxSpec, &Exec) -> Result<Played, RuntimeError> + Send + Sync;

/// A runtime that starts nothing. It remembers what was asked.
pub struct FakeRuntime {
    capabilities: Capabilities,
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<(SandboxSpec, Exec)>>>,
}

impl FakeRuntime {
    /// A runtime whose programs do what `script` says.
    pub fn new(
        script: impl Fn(&SandboxSpec, &Exec) -> Result<Played, RuntimeError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            capabilities: Capabilities {
                level: Level::Process,
                why: vec!["a pretended runtime, for tests".into()],
                cgroup: ControlGroups::None,
                overlay: false,
                abstract_sockets_hidden: false,
            },
            script: Arc::new(script),
            seen: Arc::default(),
        }
    }

    /// A runtime whose programs all print nothing and end well.
    pub fn succeeding() -> Self {
        Self::new(|_, _| Ok(Played::exits(0)))
    }

    /// All programs that were asked for, in order.
    pub fn seen(&self) -> Vec<(SandboxSpec, Exec)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for FakeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeRuntime").finish_non_exhaustive()
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn start(&self, spec: SandboxSpec) -> Result<Arc<dyn Sandbox>, RuntimeError> {
        Ok(Arc::new(FakeSandbox {
            home: spec.scratch.join("home"),
            spec,
            script: self.script.clone(),
            seen: self.seen.clone(),
            ended: watch::channel(false).0,
        }))
    }
}

struct FakeSandbox {
    spec: SandboxSpec,
    home: PathBuf,
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<(SandboxSpec, Exec)>>>,
    ended: watch::Sender<bool>,
}

impl fmt::Debug for FakeSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSandbox").field("id", &self.spec.id).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sandbox for FakeSandbox {
    fn id(&self) -> &str {
        &self.spec.id
    }

    fn home(&self) -> &Path {
        &self.home
    }

    fn environment(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("HOME".into(), self.home.display().to_string()),
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
        ])
    }

    fn inside(&self, host: &Path) -> Option<PathBuf> {
        Some(host.to_owned())
    }

    async fn exec(&self, exec: Exec) -> Result<Process, RuntimeError> {
        if *self.ended.borrow() {
            return Err(RuntimeError::Ended);
        }
        let played = (self.script)(&self.spec, &exec)?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push((self.spec.clone(), exec));
        let stdout: Output = Box::new(std::io::Cursor::new(played.stdout));
        let stderr: Output = Box::new(std::io::Cursor::new(played.stderr));
        let exit = watch::channel(played.exit).0;
        Ok(Process { stdout, stderr, control: Arc::new(FakeProcess { exit, ended: self.ended.subscribe() }) })
    }

    async fn usage(&self) -> Result<Usage, RuntimeError> {
        Ok(Usage::default())
    }

    async fn kill(&self) -> Result<(), RuntimeError> {
        self.ended.send_replace(true);
        Ok(())
    }
}

#[derive(Debug)]
struct FakeProcess {
    exit: watch::Sender<Option<Exit>>,
    ended: watch::Receiver<bool>,
}

#[async_trait]
impl ProcessControl for FakeProcess {
    fn pid(&self) -> u32 {
        2
    }

    async fn wait(&self) -> Result<Exit, RuntimeError> {
        let (mut exit, mut ended) = (self.exit.subscribe(), self.ended.clone());
        tokio::select! {
            biased;
            found = exit.wait_for(Option::is_some) => found.ok().and_then(|e| *e).ok_or(RuntimeError::Ended),
            _ = ended.wait_for(|ended| *ended) => Ok(Exit::Signal(Signal::KILL.0)),
        }
    }

    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        self.exit.send_if_modified(|exit| exit.is_none() && exit.replace(Exit::Signal(signal.0)).is_none());
        Ok(())
    }
}

/// Instances that are only remembered. A test ends them with [`FakeInstances::end`].
#[derive(Debug)]
pub struct FakeInstances {
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<PathBuf, (InstanceSpec, Observed)>>,
}

impl Default for FakeInstances {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl FakeInstances {
    /// No instances yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    /// Says that the instance of `dir` is in state `observed` from now on.
    pub fn end(&self, dir: &Path, observed: Observed) {
        if let Some(entry) = self.lock().get_mut(dir) {
            entry.1 = observed;
        }
    }

    /// What was started, by folder.
    pub fn specs(&self) -> BTreeMap<PathBuf, InstanceSpec> {
        self.lock().iter().map(|(dir, (spec, _))| (dir.clone(), spec.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, (InstanceSpec, Observed)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Instances for FakeInstances {
    async fn spawn(&self, dir: &Path, spec: &InstanceSpec) -> Result<(), RuntimeError> {
        let running = Observed::Running { pid: 1, started_at: self.clock.now(), usage: Usage::default() };
        let mut known = self.lock();
        if !matches!(known.get(dir), Some((_, Observed::Running { .. }))) {
            known.insert(dir.to_owned(), (spec.clone(), running));
        }
        Ok(())
    }

    async fn observe(&self, dir: &Path) -> Result<Observed, RuntimeError> {
        Ok(self.lock().get(dir).map_or(Observed::Gone, |(_, observed)| *observed))
    }

    async fn stop(&self, dir: &Path, _grace: Duration) -> Result<Option<Exit>, RuntimeError> {
        let at = self.clock.now();
        let mut known = self.lock();
        let Some((_, observed)) = known.get_mut(dir) else { return Ok(None) };
        let exit = match *observed {
            Observed::Exited { exit, .. } => exit,
            _ => Exit::Signal(Signal::TERMINATE.0),
        };
        *observed = Observed::Exited { exit, at };
        Ok(Some(exit))
    }

    fn logs(&self, _dir: &Path) -> Vec<PathBuf> {
        Vec::new()
    }
}
