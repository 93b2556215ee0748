//! The driver of plain processes without an init: for runs that a person starts on their own machine, as if typed by
//! hand. Nothing is kept apart and nothing is thrown away; what a job leaves running ends with it. It starts a program
//! with one system call of this very process, which is why it is quick, and not for what strangers send.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use nix::sys::signal::{self, Signal as Posix};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;
use tokio::net::unix::pipe;

use crate::port::{Output, Process, ProcessControl, Runtime, Sandbox};
use crate::scratch::{MARK, kill_marked};
use crate::spec::{Capabilities, ControlGroups, Exec, Exit, Level, Root, SandboxSpec, Signal, Stdin, Usage};
use crate::{RuntimeError, machine, wire};

/// Starts programs as children of this process. What they leave behind becomes its child too, so that it can be ended.
#[derive(Debug)]
pub struct Host {
    capabilities: Capabilities,
    children: Arc<Children>,
}

/// The living programs that this process started itself.
#[derive(Debug, Default)]
struct Children {
    known: Mutex<HashSet<i32>>,
}

impl Host {
    /// Becomes the parent of what its programs leave running.
    pub fn new() -> Self {
        // Without it, what a job leaves running lives on: no more than a person's own command would leave.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        let why = vec![
            "Jobs run as plain processes of the user that started them, in that user's own home.".to_owned(),
        ];
        let capabilities = Capabilities {
            level: Level::Process,
            why,
            cgroup: ControlGroups::None,
            overlay: false,
            abstract_sockets_hidden: false,
        };
        Self { capabilities, children: Arc::default() }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Runtime for Host {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn start(&self, spec: SandboxSpec) -> Result<Arc<dyn Sandbox>, RuntimeError> {
        if spec.root != Root::Machine {
            return Err(RuntimeError::Invalid("plain processes see the machine's own root only".into()));
        }
        let home = std::env::var_os("HOME").map_or_else(machine::own_home, PathBuf::from);
        Ok(Arc::new(HostSandbox { spec, home, children: self.children.clone(), ended: OnceLock::new() }))
    }
}

/// Programs that end together.
#[derive(Debug)]
struct HostSandbox {
    spec: SandboxSpec,
    home: PathBuf,
    children: Arc<Children>,
    ended: OnceLock<()>,
}

#[async_trait]
impl Sandbox for HostSandbox {
    fn id(&self) -> &str {
        &self.spec.id
    }

    fn home(&self) -> &Path {
        &self.home
    }

    fn environment(&self) -> BTreeMap<String, String> {
        const OF_USER: [&str; 5] = ["HOME", "PATH", "TMPDIR", "USER", "LOGNAME"];
        OF_USER.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
    }

    fn inside(&self, host: &Path) -> Option<PathBuf> {
        Some(host.to_owned())
    }

    async fn exec(&self, exec: Exec) -> Result<Process, RuntimeError> {
        if self.ended.get().is_some() {
            return Err(RuntimeError::Ended);
        }
        let plumbing = |error| RuntimeError::io("making pipes for a program", error);
        let (stdout, write_out) = output().map_err(plumbing)?;
        let (stderr, write_err): (Output, OwnedFd) = if exec.merge_output {
            (Box::new(tokio::io::empty()), write_out.try_clone().map_err(plumbing)?)
        } else {
            output().map_err(plumbing)?
        };
        let stdin = match &exec.stdin {
            Stdin::Null => Stdio::null(),
            Stdin::Bytes(bytes) => Stdio::from(wire::memory_file(bytes).map_err(plumbing)?),
            Stdin::File(file) => Stdio::from(file.handle().map_err(plumbing)?),
        };
        let program = exec.argv.first().cloned().unwrap_or_default();
        let path = find(&program, &exec)?;
        let mut command = std::process::Command::new(&path);
        command
            .arg0(&program)
            .args(exec.argv.get(1..).unwrap_or_default())
            .env_clear()
            .envs(&exec.env)
            .env(MARK, &self.spec.scratch)
            .current_dir(&exec.cwd)
            .stdin(stdin)
            .stdout(write_out)
            .stderr(write_err)
            // Signals reach what it starts, and the terminal's Ctrl-C reaches only us.
            .process_group(0);
        // Held while it is started: whoever looks for left-overs must not take the new one for one.
        let mut known = self.children.known();
        let child = tokio::process::Command::from(command)
            .spawn()
            .map_err(|error| refused(&program, &exec, &error))?;
        let pid = child.id().unwrap_or_default();
        known.insert(pid.cast_signed());
        drop(known);
        let control = HostProcess {
            pid,
            child: tokio::sync::Mutex::new(child),
            exit: OnceLock::new(),
            children: self.children.clone(),
        };
        Ok(Process { stdout, stderr, control: Arc::new(control) })
    }

    async fn usage(&self) -> Result<Usage, RuntimeError> {
        Ok(Usage::default())
    }

    async fn kill(&self) -> Result<(), RuntimeError> {
        if self.ended.set(()).is_ok() && self.children.left_behind() {
            let (scratch, children) = (self.spec.scratch.clone(), self.children.clone());
            let ended = tokio::task::spawn_blocking(move || {
                kill_marked(&scratch);
                children.reap();
            });
            ended.await.map_err(|error| RuntimeError::io("ending a job", io::Error::other(error)))?;
        }
        Ok(())
    }
}

impl Children {
    fn known(&self) -> MutexGuard<'_, HashSet<i32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something lives, or waits to be reaped, that nobody waits for. When in doubt, yes.
    fn left_behind(&self) -> bool {
        let known = self.known();
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        if known.is_empty() && waitid(Id::All, peek) == Err(nix::errno::Errno::ECHILD) {
            return false;
        }
        strays(&known).is_none_or(|strays| !strays.is_empty())
    }

    /// Takes leave of the dead that nobody waits for.
    fn reap(&self) {
        for pid in strays(&self.known()).unwrap_or_default() {
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// This process's children that are not known; none if the kernel does not tell.
fn strays(known: &HashSet<i32>) -> Option<Vec<i32>> {
    let mut strays = Vec::new();
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let text = fs::read_to_string(thread.ok()?.path().join("children")).ok()?;
        let pids = text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        strays.extend(pids.filter(|pid| !known.contains(pid)));
    }
    Some(strays)
}

fn output() -> io::Result<(Output, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    Ok((Box::new(pipe::Receiver::from_owned_fd_unchecked(read)?), write))
}

/// The program's file, found in the search path of its own environment.
fn find(program: &str, exec: &Exec) -> Result<PathBuf, RuntimeError> {
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let path = exec.env.get("PATH").map_or("", String::as_str);
    let runnable = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    folders.map(|folder| exec.cwd.join(folder).join(program)).find(runnable).ok_or_else(|| {
        RuntimeError::ProgramNotFound { program: program.to_owned(), searched: path.to_owned() }
    })
}

fn refused(program: &str, exec: &Exec, error: &io::Error) -> RuntimeError {
    if !exec.cwd.is_dir() {
        let reason = "it is not there, or is no folder".to_owned();
        return RuntimeError::WorkingDirectory { path: exec.cwd.clone(), reason };
    }
    RuntimeError::NotRunnable { program: program.to_owned(), reason: error.to_string() }
}

/// A program, its first process being ours.
struct HostProcess {
    pid: u32,
    child: tokio::sync::Mutex<tokio::process::Child>,
    exit: OnceLock<Exit>,
    children: Arc<Children>,
}

impl fmt::Debug for HostProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostProcess").field("pid", &self.pid).finish_non_exhaustive()
    }
}

#[async_trait]
impl ProcessControl for HostProcess {
    fn pid(&self) -> u32 {
        self.pid
    }

    async fn wait(&self) -> Result<Exit, RuntimeError> {
        if let Some(exit) = self.exit.get() {
            return Ok(*exit);
        }
        let mut child = self.child.lock().await;
        let status = child.wait().await.map_err(|error| RuntimeError::io("waiting for a program", error))?;
        self.children.known().remove(&self.pid.cast_signed());
        let exit = match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(Signal::KILL.0)),
        };
        Ok(*self.exit.get_or_init(|| exit))
    }

    async fn signal(&self, wanted: Signal) -> Result<(), RuntimeError> {
        // While it is not reaped its number is its own.
        if self.exit.get().is_none()
            && let Ok(wanted) = Posix::try_from(wanted.0)
        {
            let _ = signal::kill(Pid::from_raw(-self.pid.cast_signed()), wanted);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(script: &str) -> Exec {
        let path = std::env::var("PATH").unwrap();
        Exec::new(["sh", "-c", script]).env("PATH", path).merge_output()
    }

    async fn sandbox(name: &str) -> Arc<dyn Sandbox> {
        let scratch = std::env::temp_dir().join(format!("host-{}-{name}", std::process::id()));
        Host::new().start(SandboxSpec::machine(name, scratch)).await.unwrap()
    }

    #[tokio::test]
    async fn programs_say_what_they_say_and_end_as_they_end() {
        let host = sandbox("says").await;
        let done = host.exec(exec("echo out; echo err >&2; exit 3")).await.unwrap().finish().await.unwrap();
        assert_eq!((done.text().as_str(), done.exit), ("out\nerr\n", Exit::Code(3)));
        let input = exec("cat").stdin("given");
        let done = host.exec(input).await.unwrap().finish().await.unwrap();
        assert_eq!(done.text(), "given");
        let missing = host.exec(Exec::new(["no-such-program"])).await.unwrap_err();
        assert!(matches!(missing, RuntimeError::ProgramNotFound { .. }), "{missing}");
        let nowhere = host.exec(exec("true").cwd("/no/such/folder")).await.unwrap_err();
        assert!(matches!(nowhere, RuntimeError::WorkingDirectory { .. }), "{nowhere}");
    }

    #[tokio::test]
    async fn a_signal_reaches_what_the_program_started() {
        let host = sandbox("signal").await;
        let process = host.exec(exec("sleep 1000")).await.unwrap();
        process.signal(Signal::TERMINATE).await.unwrap();
        assert_eq!(process.finish().await.unwrap().exit, Exit::Signal(15));
    }

    #[tokio::test]
    async fn what_a_job_leaves_running_ends_with_it_and_only_that() {
        let (one, other) = (sandbox("one").await, sandbox("other").await);
        let leave = "setsid sleep 1000 >/dev/null 2>&1 & echo $!";
        let first = one.exec(exec(leave)).await.unwrap().finish().await.unwrap();
        let second = other.exec(exec(leave)).await.unwrap().finish().await.unwrap();
        let alive = |text: String| Path::new("/proc").join(text.trim()).join("environ").exists();
        assert!(alive(first.text()) && alive(second.text()));
        one.kill().await.unwrap();
        assert!(!alive(first.text()), "it was to end with its job");
        assert!(alive(second.text()), "it belongs to another job");
        other.kill().await.unwrap();
        assert!(!alive(second.text()));
        assert!(matches!(other.exec(exec("true")).await, Err(RuntimeError::Ended)));
    }
}
