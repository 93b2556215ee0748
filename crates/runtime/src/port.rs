//! The ports: what runs sandboxes, and what keeps service instances.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::RuntimeError;
use crate::spec::{Capabilities, Exec, Exit, InstanceSpec, Observed, SandboxSpec, Signal, Usage};

/// What a program writes.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;

/// Starts sandboxes.
#[async_trait]
pub trait Runtime: Send + Sync + fmt::Debug {
    /// What the machine permits, and why not more.
    fn capabilities(&self) -> &Capabilities;

    /// Sets a sandbox up. It lives until [`Sandbox::kill`], until it is dropped, or until this process ends.
    async fn start(&self, spec: SandboxSpec) -> Result<Arc<dyn Sandbox>, RuntimeError>;
}

/// A living sandbox.
#[async_trait]
pub trait Sandbox: Send + Sync + fmt::Debug {
    /// Its id.
    fn id(&self) -> &str;

    /// The home folder that programs should be given (`HOME`), as seen inside.
    fn home(&self) -> &Path;

    /// The variables that every program here should start from: `HOME`, `PATH`, `TMPDIR`, and where toolchains are.
    fn environment(&self) -> BTreeMap<String, String>;

    /// Where a folder of the machine is seen inside, if it is. At level `process` that is where it is.
    fn inside(&self, host: &Path) -> Option<PathBuf>;

    /// Starts a program. Programs of one sandbox see each other, and what one leaves running stays.
    async fn exec(&self, exec: Exec) -> Result<Process, RuntimeError>;

    /// What it uses.
    async fn usage(&self) -> Result<Usage, RuntimeError>;

    /// A TCP socket of the sandbox's own network ([`SandboxSpec::isolate_network`]): neither bound nor connected, and never
    /// blocking. Whoever has it connects to what listens on that network's loopback address, or listens there.
    ///
    /// # Errors
    /// Also when the sandbox has no network of its own.
    async fn socket(&self, v6: bool) -> Result<OwnedFd, RuntimeError> {
        let _ = v6;
        Err(no_own_network())
    }

    /// The TCP ports that programs listen on in the sandbox's own network.
    ///
    /// # Errors
    /// Also when the sandbox has no network of its own.
    async fn listening(&self) -> Result<BTreeSet<u16>, RuntimeError> {
        Err(no_own_network())
    }

    /// Ends everything in it, at once. When this returns nothing of it runs any more; what it wrote may still be being
    /// deleted, which [`Sandbox::kill`] waits for.
    async fn end(&self) -> Result<(), RuntimeError> {
        self.kill().await
    }

    /// Ends everything in it, at once, and deletes what it wrote. When this returns, nothing is left. May be repeated.
    async fn kill(&self) -> Result<(), RuntimeError>;
}

/// What a sandbox says that shares the machine's network.
pub(crate) fn no_own_network() -> RuntimeError {
    RuntimeError::Invalid("the sandbox shares the machine's network".into())
}

/// A started program. Take it apart to read, wait and signal from different tasks.
pub struct Process {
    /// Its standard output (and error, if merged).
    pub stdout: Output,
    /// Its standard error; empty if merged.
    pub stderr: Output,
    /// Waits for it, signals it.
    pub control: Arc<dyn ProcessControl>,
}

/// What can be done with a started program; share it freely.
#[async_trait]
pub trait ProcessControl: Send + Sync + fmt::Debug {
    /// Its process id within the sandbox.
    fn pid(&self) -> u32;

    /// Waits for its end. May be called again, and by many.
    async fn wait(&self) -> Result<Exit, RuntimeError>;

    /// Signals it and what shares its process group. No error when it has ended.
    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError>;
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("control", &self.control).finish_non_exhaustive()
    }
}

/// A program's end with all that it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Process {
    /// Waits for its end.
    pub async fn wait(&self) -> Result<Exit, RuntimeError> {
        self.control.wait().await
    }

    /// Signals it.
    pub async fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        self.control.signal(signal).await
    }

    /// Reads all that it writes until it ends. What it left in the background and still holds the
    /// output open is not waited for beyond a moment.
    pub async fn finish(self) -> Result<Finished, RuntimeError> {
        let Self { mut stdout, mut stderr, control } = self;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = {
            let read = async {
                let _ = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
            };
            tokio::pin!(read);
            tokio::select! {
                () = &mut read => control.wait().await?,
                exit = control.wait() => {
                    let _ = tokio::time::timeout(Duration::from_millis(200), read).await;
                    exit?
                }
            }
        };
        Ok(Finished { exit, stdout: out, stderr: err })
    }
}

/// Keeps service instances: each in a process of its own that outlives whoever started it.
#[async_trait]
pub trait Instances: Send + Sync + fmt::Debug {
    /// Starts an instance that keeps its things in `dir` (made if missing). Returns once its shim holds `dir`; whether
    /// the program runs is seen by [`Instances::observe`]. Does nothing if a shim holds `dir` already.
    async fn spawn(&self, dir: &Path, spec: &InstanceSpec) -> Result<(), RuntimeError>;

    /// How the instance of `dir` is.
    async fn observe(&self, dir: &Path) -> Result<Observed, RuntimeError>;

    /// Asks the instance to end (SIGTERM), kills it after `grace`, and waits for the end. `None`: there was none.
    async fn stop(&self, dir: &Path, grace: Duration) -> Result<Option<Exit>, RuntimeError>;

    /// The files that hold its output, oldest first. Each line: RFC 3339 time, ` o ` or ` e `, text.
    fn logs(&self, dir: &Path) -> Vec<PathBuf>;
}
