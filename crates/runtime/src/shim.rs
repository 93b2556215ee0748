//! One detached process per service instance: it holds the sandbox, the output and the exit status, so that
//! control, gateway and runner may die and the instance goes on.
//!
//! Everything is in the instance's folder:
//!
//! | file | what |
//! | --- | --- |
//! | `spec.json` | what to run (0600: it holds the environment) |
//! | `lock` | held by the shim as long as it lives: who asks whether an instance lives, asks for this lock |
//! | `status.json` | state, times, exit; replaced in one step |
//! | `sock` | takes `usage` and `stop` |
//! | `log`, `log.1` | output, a line each: RFC 3339 time, ` o ` or ` e `, text |
//!
//! When a shim is killed, its sandbox ends with it, and `observe` says [`Observed::Gone`].

mod daemon;
mod lines;
mod log;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use windlass_kernel::Timestamp;

pub use daemon::shim_main;

use crate::RuntimeError;
use crate::port::Instances;
use crate::scratch::{self, is_locked};
use crate::spec::{Exit, InstanceSpec, Level, Observed, Usage};

const SUBCOMMAND: &str = "shim";
const SPEC: &str = "spec.json";
const LOCK: &str = "lock";
const STATUS: &str = "status.json";
const SOCKET: &str = "sock";
/// How long a shim may take to answer for what its instance uses.
const ANSWER: Duration = Duration::from_millis(500);
/// How much longer than its grace a stop may take until the shim itself is given up.
const SPARE: Duration = Duration::from_secs(15);

/// Keeps instances by shims. Needs no state but the instances' folders.
#[derive(Clone, Debug)]
pub struct Shims {
    exe: PathBuf,
    level: Level,
}

/// What `spec.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    level: Level,
    exe: PathBuf,
    instance: InstanceSpec,
}

/// What `status.json` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Status {
    Starting { pid: u32 },
    Running { pid: u32, started_at: Timestamp },
    Exited { exit: Exit, at: Timestamp },
    Failed { at: Timestamp },
}

/// What the socket takes, a JSON line each.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Usage,
    Stop { grace_ms: u64 },
}

/// What it answers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Usage(Usage),
    Stopped(Exit),
}

impl Shims {
    /// Shims of the binary `exe`, which must call [`shim_main`] for its subcommand `shim DIR`. Their sandboxes are of
    /// level `level`: the one in [`Capabilities`](crate::Capabilities).
    pub fn new(exe: impl Into<PathBuf>, level: Level) -> Self {
        Self { exe: exe.into(), level }
    }

    /// Whether a shim holds the folder, other than one that has noted its instance's end and is about to let go.
    async fn held(dir: &Path) -> io::Result<bool> {
        let deadline = tokio::time::Instant::now() + SPARE;
        while is_locked(&dir.join(LOCK))? {
            let ending = matches!(read_status(dir)?, Some(Status::Exited { .. } | Status::Failed { .. }));
            if !ending || tokio::time::Instant::now() >= deadline {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(false)
    }

    async fn ask(dir: &Path, ask: Ask) -> io::Result<Answer> {
        // The folder's path may be longer than a socket's address may be.
        let folder = fs::File::open(dir)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", std::os::fd::AsRawFd::as_raw_fd(&folder));
        let mut stream = UnixStream::connect(path).await?;
        let mut text = serde_json::to_vec(&ask)?;
        text.push(b'\n');
        stream.write_all(&text).await?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer).await?;
        Ok(serde_json::from_slice(&answer)?)
    }
}

#[async_trait]
impl Instances for Shims {
    async fn spawn(&self, dir: &Path, spec: &InstanceSpec) -> Result<(), RuntimeError> {
        let what = |doing: &str| format!("{doing} the instance's folder {}", dir.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| RuntimeError::io(what("making"), error))?;
        let dir = fs::canonicalize(dir).map_err(|error| RuntimeError::io(what("finding"), error))?;
        if Self::held(&dir).await.map_err(|error| RuntimeError::io(what("looking into"), error))? {
            return Ok(());
        }
        let order = Order { level: self.level, exe: self.exe.clone(), instance: spec.clone() };
        write_whole(&dir, SPEC, &order).map_err(|error| RuntimeError::io(what("writing into"), error))?;
        let mut command = tokio::process::Command::new(&self.exe);
        command.arg(SUBCOMMAND).arg(&dir).current_dir("/").env_clear();
        for name in ["PATH", "HOME", "RUST_BACKTRACE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        // The process that is started here ends as soon as the shim proper, its child, holds the folder.
        let status = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .status()
            .await
            .map_err(|error| RuntimeError::io(format!("starting {}", self.exe.display()), error))?;
        match status.code() {
            Some(0 | daemon::HELD) => Ok(()),
            _ => Err(RuntimeError::Start {
                step: format!("starting the shim of {}", dir.display()),
                reason: status.to_string(),
            }),
        }
    }

    async fn observe(&self, dir: &Path) -> Result<Observed, RuntimeError> {
        let problem =
            |error| RuntimeError::io(format!("looking into the instance's folder {}", dir.display()), error);
        // The lock first: a shim writes its last status before it lets go of the lock.
        let alive = is_locked(&dir.join(LOCK)).map_err(problem)?;
        let status = read_status(dir).map_err(problem)?;
        Ok(match (alive, status) {
            (true, Some(Status::Running { pid, started_at })) => {
                let usage = match tokio::time::timeout(ANSWER, Self::ask(dir, Ask::Usage)).await {
                    Ok(Ok(Answer::Usage(usage))) => usage,
                    _ => Usage::default(),
                };
                Observed::Running { pid, started_at, usage }
            }
            (_, Some(Status::Exited { exit, at })) => Observed::Exited { exit, at },
            (_, Some(Status::Failed { at })) => Observed::Failed { at },
            (true, _) => Observed::Starting,
            (false, _) => Observed::Gone,
        })
    }

    async fn stop(&self, dir: &Path, grace: Duration) -> Result<Option<Exit>, RuntimeError> {
        let problem = |error| RuntimeError::io(format!("stopping the instance of {}", dir.display()), error);
        let lock = dir.join(LOCK);
        let ask = Ask::Stop { grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) };
        let deadline = tokio::time::Instant::now() + grace + SPARE;
        while is_locked(&lock).map_err(problem)? {
            // A shim that is just starting, or just ending, does not listen.
            let asked = tokio::time::timeout_at(deadline, Self::ask(dir, ask)).await;
            if tokio::time::Instant::now() >= deadline {
                give_up(dir).map_err(problem)?;
            }
            if !matches!(asked, Ok(Ok(Answer::Stopped(_)))) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            } else {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        if dir.is_dir() {
            // What a killed shim could not clean up itself.
            let dir = dir.to_owned();
            let _ = tokio::task::spawn_blocking(move || scratch::sweep(&dir)).await;
        }
        Ok(match read_status(dir).map_err(problem)? {
            Some(Status::Exited { exit, .. }) => Some(exit),
            _ => None,
        })
    }

    fn logs(&self, dir: &Path) -> Vec<PathBuf> {
        log::files(dir).into_iter().filter(|file| file.exists()).collect()
    }
}

/// Kills a shim that does not answer; its sandbox ends with it.
fn give_up(dir: &Path) -> io::Result<()> {
    if let Some(Status::Running { pid, .. } | Status::Starting { pid }) = read_status(dir)?
        && let Ok(pid) = i32::try_from(pid)
        && pid > 1
    {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    Ok(())
}

fn read_status(dir: &Path) -> io::Result<Option<Status>> {
    match fs::read(dir.join(STATUS)) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file of the folder in one step: readers see the old one or the new one.
fn write_whole(dir: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    fs::rename(new, dir.join(name))
}
