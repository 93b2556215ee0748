//! An SSH agent as a step sees it (`RUN --mount=type=ssh`): a socket of the step's own, with the owner and mode that the
//! Dockerfile says, behind which somebody hands on what is said. The agent's real socket stays out of the sandbox.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// How many programs of a step may speak to the agent at once.
const AT_ONCE: usize = 64;

/// A socket that leads to an agent, as long as this value lives.
#[derive(Debug)]
pub(crate) struct Forwarded {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Forwarded {
    /// Opens the socket `path`.
    pub(crate) fn open(path: PathBuf, agent: PathBuf, mode: u32, owner: (u32, u32)) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // A socket's path has at most 107 bytes (unix(7)); a folder's handle makes any path short.
        let folder = fs::File::open(parent)?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        let listener = UnixListener::bind(short)?;
        if nix::unistd::geteuid().is_root() {
            chown(&path, Some(owner.0), Some(owner.1))?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(Self { path, task: tokio::spawn(serve(listener, agent)) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, agent: PathBuf) {
    // Whoever is being served ends with this task.
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept(), if served.len() < AT_ONCE => {
                let Ok((client, _)) = taken else { return };
                served.spawn(hand_on(client, agent.clone()));
            }
            Some(_) = served.join_next() => {}
        }
    }
}

async fn hand_on(mut client: UnixStream, agent: PathBuf) {
    if let Ok(mut agent) = UnixStream::connect(agent).await {
        // An agent that ends is what the client then sees.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut agent).await;
    }
}

/// A file with a secret in it, removed when the step has ended: a builder may live longer than its builds.
#[derive(Debug)]
pub(crate) struct Passing(pub(crate) PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
