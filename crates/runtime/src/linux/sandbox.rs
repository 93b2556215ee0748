//! The owner's side of one sandbox: sends orders to its init, hands out what programs write, and ends it.

mod network;
mod resident;

pub use resident::{Door, Resident};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use crate::cgroup::Group;
use crate::port::{Output, Process, ProcessControl, Sandbox};
use crate::scratch::{MARK, Scratch, kill_marked};
use crate::spec::{Exec, Exit, Level, SandboxSpec, Signal, Stdin, Usage};
use crate::wire::{self, Birth, Launch, NotStarted, Reply, Request};
use crate::{RuntimeError, flat, kernel_calls, machine, toolchain};

/// One living sandbox.
pub(super) struct LinuxSandbox {
    spec: SandboxSpec,
    level: Level,
    home: PathBuf,
    link: Arc<Link>,
    /// What is left to do at the end; taken by whoever ends it first.
    ending: Mutex<Option<Ending>>,
    ended: watch::Sender<bool>,
}

/// The connection to init, shared with programs' handles and the task that reads replies.
struct Link {
    socket: AsyncFd<OwnedFd>,
    group: Option<Group>,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    ended: bool,
    starting: HashMap<u64, Starting>,
    running: HashMap<u64, Running>,
    usage: Vec<oneshot::Sender<Usage>>,
    network: HashMap<u64, oneshot::Sender<network::Answer>>,
}

struct Starting {
    told: oneshot::Sender<Result<u32, NotStarted>>,
    exit: watch::Sender<Option<Exit>>,
    kills: u64,
}

struct Running {
    exit: watch::Sender<Option<Exit>>,
    kills: u64,
}

struct Ending {
    child: Child,
    scratch: Scratch,
    group: Option<Group>,
    level: Level,
}

impl Ending {
    /// Waits for the end of all, and removes what is left. The socket is closed already.
    fn finish(mut self) -> Result<(), RuntimeError> {
        self.wait()?;
        self.remove()
    }

    fn wait(&mut self) -> Result<(), RuntimeError> {
        // Process 1 (or, at level `process`, the adopter of orphans) ends when its socket does; its parent ends only
        // when the kernel has ended everything in the sandbox.
        let waited = self.child.wait();
        if self.level == Level::Process {
            // Its adopter may itself have been killed.
            kill_marked(self.scratch.dir());
            self.group.iter().for_each(Group::kill);
        }
        waited.map(drop).map_err(|error| RuntimeError::io("waiting for the sandbox's end", error))
    }

    fn remove(self) -> Result<(), RuntimeError> {
        self.group.iter().for_each(Group::remove);
        let what = || format!("deleting the sandbox's folder {}", self.scratch.dir().display());
        self.scratch.remove().map_err(|error| RuntimeError::io(what(), error))
    }
}

impl LinuxSandbox {
    /// Gives init its description and waits until the sandbox stands.
    pub(super) async fn connect(
        spec: SandboxSpec,
        birth: Birth,
        socket: OwnedFd,
        child: Child,
        scratch: Scratch,
        group: Option<Group>,
    ) -> Result<Self, RuntimeError> {
        let level = birth.level;
        let home = if level == Level::Process { spec.scratch.join("home") } else { machine::own_home() };
        let ending = Ending { child, scratch, group: group.clone(), level };
        let link = async {
            nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
            let waiting = Mutex::default();
            let link = Link { socket: kernel_calls::watch(socket)?, group, next: AtomicU64::new(0), waiting };
            link.send(&Request::Birth(Box::new(birth)), &[]).await?;
            let first = link.receive().await?;
            Ok::<_, io::Error>((link, first))
        };
        let refused = match link.await {
            Ok((link, Some((Reply::Ready, _)))) => {
                let link = Arc::new(link);
                tokio::spawn(read_replies(link.clone()));
                let ended = watch::channel(false).0;
                return Ok(Self { spec, level, home, link, ending: Mutex::new(Some(ending)), ended });
            }
            Ok((_, Some((Reply::Failed(fault), _)))) => fault.into(),
            Ok((_, _)) => RuntimeError::start("starting the sandbox's init", "it ended without a word"),
            Err(error) => RuntimeError::io("talking to the sandbox's init", error),
        };
        let _ = tokio::task::spawn_blocking(move || ending.finish()).await;
        Err(refused)
    }

    fn check_own_network(&self) -> Result<(), RuntimeError> {
        let own = self.spec.isolate_network && self.level != Level::Process;
        if own { Ok(()) } else { Err(crate::port::no_own_network()) }
    }

    fn take_ending(&self) -> Option<Ending> {
        self.link.close();
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Link {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            let mut ready = self.socket.writable().await?;
            if let Ok(result) = ready.try_io(|socket| wire::send(socket.get_ref().as_fd(), request, fds)) {
                return result;
            }
        }
    }

    async fn receive(&self) -> io::Result<Option<(Reply, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.socket.readable().await?;
            if let Ok(result) = ready.try_io(|socket| wire::receive(socket.get_ref().as_fd())) {
                return result;
            }
        }
    }

    fn close(&self) {
        let _ = nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }

    fn memory_kills(&self) -> u64 {
        self.group.as_ref().map_or(0, Group::memory_kills)
    }

    /// Starts a program.
    async fn exec(self: &Arc<Self>, exec: Exec) -> Result<Process, RuntimeError> {
        let plumbing = |error| RuntimeError::io("making pipes for a program", error);
        let (stdout, write_out) = output().map_err(plumbing)?;
        let (stderr, write_err): (Output, _) = if exec.merge_output {
            (Box::new(tokio::io::empty()), write_out.try_clone().map_err(plumbing)?)
        } else {
            output().map_err(plumbing)?
        };
        let stdin = match &exec.stdin {
            Stdin::Null => OwnedFd::from(std::fs::File::open("/dev/null").map_err(plumbing)?),
            Stdin::Bytes(bytes) => wire::memory_file(bytes).map_err(plumbing)?,
            Stdin::File(file) => file.handle().map_err(plumbing)?,
        };
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        let (told, hears) = oneshot::channel();
        let (exit, ends) = watch::channel(None);
        {
            let mut waiting = self.waiting();
            if waiting.ended {
                return Err(RuntimeError::Ended);
            }
            waiting.starting.insert(seq, Starting { told, exit, kills: self.memory_kills() });
        }
        let Exec { argv, env, cwd, .. } = exec;
        let program = argv.first().cloned().unwrap_or_default();
        let request = Request::Exec(Launch { seq, argv, env, cwd: cwd.clone() });
        let sent = self.send(&request, &[stdin.as_fd(), write_out.as_fd(), write_err.as_fd()]).await;
        drop((write_out, write_err));
        sent.map_err(|_| RuntimeError::Ended)?;
        let pid = hears.await.map_err(|_| RuntimeError::Ended)?.map_err(|why| match why {
            NotStarted::NotFound { searched } => RuntimeError::ProgramNotFound { program, searched },
            NotStarted::Directory { reason } => RuntimeError::WorkingDirectory { path: cwd, reason },
            NotStarted::Refused { reason } => RuntimeError::NotRunnable { program, reason },
        })?;
        let control = Arc::new(LinuxProcess { link: self.clone(), seq, pid, ends });
        Ok(Process { stdout, stderr, control })
    }

    async fn usage(&self) -> Result<Usage, RuntimeError> {
        if let Some(group) = &self.group {
            return if self.waiting().ended { Err(RuntimeError::Ended) } else { Ok(group.usage()) };
        }
        let (tell, heard) = oneshot::channel();
        self.waiting().usage.push(tell);
        self.send(&Request::Usage, &[]).await.map_err(|_| RuntimeError::Ended)?;
        heard.await.map_err(|_| RuntimeError::Ended)
    }

    fn hear(&self, reply: Reply, fds: Vec<OwnedFd>) {
        let mut waiting = self.waiting();
        match reply {
            Reply::Ready | Reply::Failed(_) => {}
            Reply::Started { seq, pid } => {
                if let Some(Starting { told, exit, kills }) = waiting.starting.remove(&seq) {
                    waiting.running.insert(seq, Running { exit, kills });
                    let _ = told.send(Ok(pid));
                }
            }
            Reply::NotStarted { seq, why } => {
                if let Some(starting) = waiting.starting.remove(&seq) {
                    let _ = starting.told.send(Err(why));
                }
            }
            Reply::Exited { seq, exit } => {
                if let Some(Running { exit: tell, kills }) = waiting.running.remove(&seq) {
                    // A compiler killed for its memory makes `make` fail with code 2: the reason is the same.
                    let starved = !exit.success() && self.memory_kills() > kills;
                    tell.send_replace(Some(if starved { Exit::OutOfMemory } else { exit }));
                }
            }
            Reply::Usage(usage) => {
                for waiter in waiting.usage.drain(..) {
                    let _ = waiter.send(usage);
                }
            }
            Reply::Socket { seq, why } => {
                let made = fds.into_iter().next().ok_or_else(|| why.unwrap_or_default());
                waiting.network.remove(&seq).map(|told| told.send(network::Answer::Socket(made)));
            }
            Reply::Listening { seq, ports } => {
                let ports = ports.into_iter().collect();
                waiting.network.remove(&seq).map(|told| told.send(network::Answer::Listening(ports)));
            }
        }
    }
}

/// Reads replies until init is gone; then all that still ran was killed.
async fn read_replies(link: Arc<Link>) {
    while let Ok(Some((reply, fds))) = link.receive().await {
        link.hear(reply, fds);
    }
    let mut waiting = link.waiting();
    waiting.ended = true;
    waiting.starting.clear();
    waiting.usage.clear();
    waiting.network.clear();
    for (_, running) in waiting.running.drain() {
        running.exit.send_replace(Some(Exit::Signal(Signal::KILL.0)));
    }
}

#[async_trait]
impl Sandbox for LinuxSandbox {
    fn id(&self) -> &str {
        &self.spec.id
    }

    fn home(&self) -> &Path {
        &self.home
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let of_machine = std::env::var("PATH").unwrap_or_default();
        let machine_home = machine::own_home();
        let mut env = BTreeMap::from([
            ("HOME".to_owned(), self.home.display().to_string()),
            (
                "PATH".to_owned(),
                toolchain::own_first(&self.home, &toolchain::search_path(&machine_home, &of_machine)),
            ),
        ]);
        if self.level == Level::Process {
            env.insert("TMPDIR".into(), self.spec.scratch.join("tmp").display().to_string());
            env.extend(toolchain::variables(&machine_home));
        } else {
            env.extend(["USER", "LOGNAME"].map(|name| (name.to_owned(), "root".to_owned())));
        }
        env
    }

    fn inside(&self, host: &Path) -> Option<PathBuf> {
        if self.level == Level::Process {
            return Some(host.to_owned());
        }
        let host = std::fs::canonicalize(host).ok()?;
        let fitting =
            self.spec.binds.iter().filter_map(|bind| Some((bind, host.strip_prefix(&bind.host).ok()?)));
        let (bind, rest) = fitting.max_by_key(|(bind, _)| bind.host.components().count())?;
        Some(if rest.as_os_str().is_empty() { bind.inside.clone() } else { bind.inside.join(rest) })
    }

    async fn exec(&self, mut exec: Exec) -> Result<Process, RuntimeError> {
        if self.level == Level::Process {
            flat::rewrite(&mut exec, &self.spec);
            exec.env.insert(MARK.into(), self.spec.scratch.display().to_string());
        }
        self.link.exec(exec).await
    }

    async fn usage(&self) -> Result<Usage, RuntimeError> {
        self.link.usage().await
    }

    async fn socket(&self, v6: bool) -> Result<OwnedFd, RuntimeError> {
        self.check_own_network()?;
        self.link.socket(v6).await
    }

    async fn listening(&self) -> Result<BTreeSet<u16>, RuntimeError> {
        self.check_own_network()?;
        self.link.listening().await
    }

    async fn end(&self) -> Result<(), RuntimeError> {
        let Some(mut ending) = self.take_ending() else { return self.kill().await };
        let ended = self.ended.clone();
        let (tell, heard) = oneshot::channel();
        // In a task of its own, so that it is done even if the caller loses patience.
        tokio::task::spawn_blocking(move || {
            let waited = ending.wait();
            let over = waited.is_ok();
            let _ = tell.send(waited);
            let removed = if over { ending.remove() } else { Ok(()) };
            if let Err(error) = removed {
                tracing::warn!(%error, "a sandbox was not cleaned up completely");
            }
            ended.send_replace(true);
        });
        heard.await.unwrap_or(Err(RuntimeError::Ended))
    }

    async fn kill(&self) -> Result<(), RuntimeError> {
        let Some(ending) = self.take_ending() else {
            let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
            return Ok(());
        };
        let ended = self.ended.clone();
        // In a task of its own, so that it is done even if the caller loses patience.
        let finish = tokio::task::spawn_blocking(move || {
            let result = ending.finish();
            ended.send_replace(true);
            result
        });
        finish.await.map_err(|error| RuntimeError::io("ending a sandbox", io::Error::other(error)))?
    }
}

impl Drop for LinuxSandbox {
    fn drop(&mut self) {
        if let Some(ending) = self.take_ending() {
            std::thread::spawn(move || {
                if let Err(error) = ending.finish() {
                    tracing::warn!(%error, "a sandbox was not cleaned up completely");
                }
            });
        }
    }
}

impl fmt::Debug for LinuxSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinuxSandbox")
            .field("id", &self.spec.id)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

fn output() -> io::Result<(Output, OwnedFd)> {
    let (write, read) = pipe::pipe()?;
    Ok((Box::new(read), write.into_blocking_fd()?))
}

/// A program in a sandbox.
struct LinuxProcess {
    link: Arc<Link>,
    seq: u64,
    pid: u32,
    ends: watch::Receiver<Option<Exit>>,
}

impl fmt::Debug for LinuxProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinuxProcess").field("pid", &self.pid).finish_non_exhaustive()
    }
}

#[async_trait]
impl ProcessControl for LinuxProcess {
    fn pid(&self) -> u32 {
        self.pid
    }

    async fn wait(&self) -> Result<Exit, RuntimeError> {
        let mut ends = self.ends.clone();
        let exit = ends.wait_for(Option::is_some).await.map_err(|_| RuntimeError::Ended)?;
        exit.ok_or(RuntimeError::Ended)
    }

    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        if self.ends.borrow().is_some() {
            return Ok(());
        }
        match self.link.send(&Request::Signal { seq: self.seq, signal: signal.0 }, &[]).await {
            Err(_) if self.link.waiting().ended => Ok(()),
            result => result.map_err(|error| RuntimeError::io("signalling a program", error)),
        }
    }
}
