//! `windlass up`: binds the listening sockets, starts control, gateway and runner as processes of their own,
//! and starts each again when it ends. It holds no state: the sockets stay open across a role's restart, so
//! that a connection made meanwhile waits instead of being refused.

use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::data_dir::{DataDir, Endpoint, Owner};

/// What `windlass up` was asked for.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The data directory.
    pub data: PathBuf,
    /// Where pages, API, Git and registry listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where services are reached; port 0 takes a free one.
    pub gateway: SocketAddr,
    /// Whether the ports are this run's only (a demo): a busy one is then never reported as somebody else's.
    pub slots: u32,
    /// What jobs may do with the machine's Docker Engine, instead of what `WINDLASS_DOCKER` says.
    pub docker: Option<String>,
    /// Where blobs are kept (`s3://BUCKET/PREFIX`, or `files` for the data directory), instead of what `WINDLASS_BLOBS` says.
    pub blobs: Option<String>,
}

/// A platform that is being supervised.
#[derive(Debug)]
pub struct Supervisor {
    data: DataDir,
    endpoint: Endpoint,
    control: OwnedFd,
    gateway: OwnedFd,
    exe: PathBuf,
    slots: u32,
    docker: Option<String>,
    blobs: String,
    _owner: Owner,
}

const ROLES: [Role; 3] = [Role::Control, Role::Gateway, Role::Runner];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Control,
    Gateway,
    Runner,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Gateway => "gateway",
            Self::Runner => "runner",
        }
    }
}

/// A role that runs, or waits to be started again.
struct Seat {
    role: Role,
    child: Option<Child>,
    started: Instant,
    backoff: Duration,
}

impl Supervisor {
    /// Takes the data directory and the ports; nothing runs yet.
    pub fn prepare(options: &UpOptions) -> Result<Self> {
        let blobs = crate::registry::blob_place(options.blobs.as_deref())?;
        let data = DataDir::open(&options.data)?;
        let owner = data.own()?;
        let control = bind(options.listen, "--listen", "pages and API")?;
        let gateway = bind(options.gateway, "--gateway-listen", "the gateway")?;
        let endpoint = Endpoint {
            url: format!("http://{}", control.local_addr()?),
            gateway_url: format!("http://{}", gateway.local_addr()?),
            pid: std::process::id(),
        };
        data.set_endpoint(&endpoint)?;
        let exe = std::env::current_exe().context("cannot find the windlass program itself")?;
        let (control, gateway) = (control.into(), gateway.into());
        let (slots, docker) = (options.slots, options.docker.clone());
        Ok(Self { data, endpoint, control, gateway, exe, slots, docker, blobs, _owner: owner })
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Runs the roles until SIGTERM or SIGINT (or `stop` resolves), then ends them in order.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let mut seats: Vec<Seat> = Vec::new();
        for role in ROLES {
            let child = Some(self.spawn(role)?);
            seats.push(Seat { role, child, started: Instant::now(), backoff: Duration::from_millis(100) });
        }
        tokio::pin!(stop);
        let [control, gateway, runner] = &mut seats[..] else { bail!("three roles are supervised") };
        loop {
            tokio::select! {
                () = self.tend(control) => {}
                () = self.tend(gateway) => {}
                () = self.tend(runner) => {}
                _ = term.recv() => break,
                _ = int.recv() => break,
                () = &mut stop => break,
            }
        }
        // The runner first (no new jobs), then control; the gateway serves to the last.
        for role in [Role::Runner, Role::Control, Role::Gateway] {
            if let Some(seat) = seats.iter_mut().find(|s| s.role == role) {
                end(seat).await;
            }
        }
        let _ = std::fs::remove_file(self.data.run("endpoint.json"));
        Ok(())
    }

    /// Waits for one role to end and starts it again. Cancel-safe: a role that ended is seen again.
    async fn tend(&self, seat: &mut Seat) {
        if let Some(child) = &mut seat.child {
            let status = child.wait().await;
            seat.child = None;
            let ended = status.map_or_else(|e| e.to_string(), |s| s.to_string());
            tracing::warn!(role = seat.role.name(), %ended, "a role ended; starting it again");
            if seat.started.elapsed() > Duration::from_secs(20) {
                seat.backoff = Duration::from_millis(100);
            }
        }
        tokio::time::sleep(seat.backoff).await;
        seat.backoff = (seat.backoff * 2).min(Duration::from_secs(5));
        seat.started = Instant::now();
        match self.spawn(seat.role) {
            Ok(child) => seat.child = Some(child),
            Err(e) => tracing::error!(role = seat.role.name(), error = %e, "cannot start a role"),
        }
    }

    fn spawn(&self, role: Role) -> Result<Child> {
        let log = log_file(&self.data.path(&format!("logs/{}.log", role.name())))?;
        let mut command = Command::new(&self.exe);
        command.arg("role").arg(role.name()).arg("--data").arg(self.data.root());
        command.arg("--url").arg(&self.endpoint.url).arg("--gateway-url").arg(&self.endpoint.gateway_url);
        command.arg("--slots").arg(self.slots.to_string());
        command.env(crate::registry::BLOBS, &self.blobs);
        if let Some(docker) = &self.docker {
            command.env("WINDLASS_DOCKER", docker);
        }
        // The listening socket travels as standard input, as inetd does it.
        let stdin = match role {
            Role::Control => Stdio::from(self.control.try_clone()?),
            Role::Gateway => Stdio::from(self.gateway.try_clone()?),
            Role::Runner => Stdio::null(),
        };
        command.stdin(stdin).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {}", role.name()))?;
        Ok(child)
    }
}

/// The listening socket that the supervisor passed as standard input.
pub(crate) fn inherited_listener() -> Result<TcpListener> {
    let fd = std::io::stdin().as_fd().try_clone_to_owned()?;
    let listener = TcpListener::from(fd);
    listener.local_addr().context("this role is started by `windlass up`, which passes it its socket")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Makes this process end when the supervisor does, however the supervisor ends.
pub(crate) fn end_with_parent() -> Result<()> {
    let parent = nix::unistd::getppid();
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
    if nix::unistd::getppid() != parent {
        bail!("the supervisor is gone");
    }
    Ok(())
}

fn bind(address: SocketAddr, flag: &str, what: &str) -> Result<TcpListener> {
    match TcpListener::bind(address) {
        Ok(listener) => Ok(listener),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {} for {what} is in use by another program; free it, or choose another with {flag} {}:PORT",
                address.port(),
                address.ip()
            )
        }
        Err(e) => Err(e)
            .with_context(|| format!("cannot listen on {address} for {what} (choose another with {flag})")),
    }
}

/// A log that is kept: appended to, and moved aside once it is large.
fn log_file(path: &Path) -> Result<File> {
    const LARGE: u64 = 32 << 20;
    if path.metadata().is_ok_and(|m| m.len() > LARGE) {
        let _ = std::fs::rename(path, path.with_extension("log.1"));
    }
    let open = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    open.with_context(|| format!("cannot open {}", path.display()))
}

async fn end(seat: &mut Seat) {
    let Some(mut child) = seat.child.take() else { return };
    if let Some(pid) = child.id() {
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGTERM);
    }
    if tokio::time::timeout(Duration::from_secs(15), child.wait()).await.is_err() {
        tracing::warn!(role = seat.role.name(), "did not stop within 15 s; killing it");
        let _ = child.kill().await;
    }
}
