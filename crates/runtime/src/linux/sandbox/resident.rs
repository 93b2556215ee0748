//! A container that somebody else made, as a sandbox: our init in it connects to a door, and takes orders from then on as
//! any other does. Starting a program there costs what it costs in a sandbox; the container's engine is not asked.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, listen, socket};
use tokio::io::unix::AsyncFd;

use super::{Link, read_replies};
use crate::init::{CONNECT, SUBCOMMAND};
use crate::port::{Process, Sandbox};
use crate::spec::{Bind, Exec, Level, Limits, Usage};
use crate::wire::{Birth, Reply, Request};
use crate::{RuntimeError, kernel_calls};

/// The door's name in its folder.
const NAME: &str = "door";

/// Where the init of one container reports. The folder in which it lies is shown to the container.
pub struct Door {
    listener: AsyncFd<OwnedFd>,
    folder: PathBuf,
}

/// A container, as its programs are to find it.
#[derive(Clone, Debug, Default)]
pub struct Resident {
    /// Its name.
    pub id: String,
    /// What of the machine is seen in it, and where.
    pub binds: Vec<Bind>,
    /// `HOME`.
    pub home: PathBuf,
    /// The variables that every program there starts from.
    pub environment: BTreeMap<String, String>,
}

impl Door {
    /// Makes a door in a folder of its own.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self, RuntimeError> {
        let refused =
            |error: io::Error| RuntimeError::io(format!("making a door in {}", folder.display()), error);
        let listener = listen_in(folder).map_err(refused)?;
        Ok(Self { listener: kernel_calls::watch(listener).map_err(refused)?, folder: folder.to_owned() })
    }

    /// What the binary is called with in the container, which sees the door's folder at `inside`.
    pub fn arguments(inside: &Path) -> [String; 3] {
        [SUBCOMMAND.to_owned(), CONNECT.to_owned(), inside.join(NAME).display().to_string()]
    }

    /// Waits for the container's init. Nobody else is let in afterwards.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub async fn answer(self, resident: Resident) -> Result<Arc<dyn Sandbox>, RuntimeError> {
        let talking = |error| RuntimeError::io("talking to the container's init", error);
        let socket = self.accept().await.map_err(talking)?;
        let _ = std::fs::remove_file(self.folder.join(NAME));
        let socket = kernel_calls::watch(socket).map_err(talking)?;
        let link = Link { socket, group: None, next: AtomicU64::new(0), waiting: super::Mutex::default() };
        let birth = Birth {
            id: resident.id.clone(),
            level: Level::Process,
            layout: None,
            join: Vec::new(),
            hostname: String::new(),
            user: None,
            groups: Vec::new(),
            isolate_network: false,
            limits: Limits::default(),
        };
        link.send(&Request::Birth(Box::new(birth)), &[]).await.map_err(talking)?;
        match link.receive().await.map_err(talking)? {
            Some((Reply::Ready, _)) => {}
            _ => return Err(RuntimeError::start("starting the container's init", "it ended without a word")),
        }
        let link = Arc::new(link);
        tokio::spawn(read_replies(link.clone()));
        Ok(Arc::new(ResidentSandbox { resident, link }))
    }

    async fn accept(&self) -> io::Result<OwnedFd> {
        loop {
            let mut ready = self.listener.readable().await?;
            let accepted = ready.try_io(|listener| {
                let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                Ok(kernel_calls::adopt(accept4(listener.as_raw_fd(), flags)?))
            });
            if let Ok(result) = accepted {
                return result;
            }
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn listen_in(folder: &Path) -> io::Result<OwnedFd> {
    std::fs::create_dir_all(folder)?;
    // The container may run as any user; who cannot see the folder cannot reach what is in it.
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    let handle = std::fs::File::open(folder)?;
    // The address of a socket is short, a folder's path may not be.
    let short = format!("/proc/self/fd/{}/{NAME}", handle.as_raw_fd());
    let _ = std::fs::remove_file(&short);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(short.as_str())?)?;
    std::fs::set_permissions(&short, std::fs::Permissions::from_mode(0o666))?;
    listen(&socket, Backlog::new(1)?)?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(socket)
}

/// A container whose init serves.
struct ResidentSandbox {
    resident: Resident,
    link: Arc<Link>,
}

#[async_trait]
impl Sandbox for ResidentSandbox {
    fn id(&self) -> &str {
        &self.resident.id
    }

    fn home(&self) -> &Path {
        &self.resident.home
    }

    fn environment(&self) -> BTreeMap<String, String> {
        self.resident.environment.clone()
    }

    fn inside(&self, host: &Path) -> Option<PathBuf> {
        let binds = self.resident.binds.iter();
        let fitting = binds.filter_map(|bind| Some((bind, host.strip_prefix(&bind.host).ok()?)));
        let (bind, rest) = fitting.max_by_key(|(bind, _)| bind.host.components().count())?;
        Some(if rest.as_os_str().is_empty() { bind.inside.clone() } else { bind.inside.join(rest) })
    }

    async fn exec(&self, exec: Exec) -> Result<Process, RuntimeError> {
        self.link.exec(exec).await
    }

    async fn usage(&self) -> Result<Usage, RuntimeError> {
        self.link.usage().await
    }

    async fn kill(&self) -> Result<(), RuntimeError> {
        self.link.close();
        Ok(())
    }
}

impl Drop for ResidentSandbox {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl fmt::Debug for ResidentSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResidentSandbox").field("id", &self.resident.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_door_opens_wherever_its_folder_is() {
        let dir = std::env::temp_dir().join(format!("door-{}", std::process::id()));
        let deep = dir.join("a".repeat(120)).join("b".repeat(120));
        let door = Door::open(&deep).unwrap();
        assert!(deep.join(NAME).exists());
        drop(door);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn the_longest_bind_names_a_path() {
        let (a, _b) = crate::wire::pair().unwrap();
        let socket = kernel_calls::watch(a).unwrap();
        let link =
            Link { socket, group: None, next: AtomicU64::new(0), waiting: super::super::Mutex::default() };
        let bind =
            |host: &str, inside: &str| Bind { host: host.into(), inside: inside.into(), read_only: false };
        let resident = Resident {
            binds: vec![bind("/job/work", "/__w"), bind("/job/work/_tool", "/__t")],
            ..Resident::default()
        };
        let sandbox = ResidentSandbox { resident, link: Arc::new(link) };
        for (host, inside) in [
            ("/job/work", Some("/__w")),
            ("/job/work/shop/shop", Some("/__w/shop/shop")),
            ("/job/work/_tool/node", Some("/__t/node")),
            ("/job/workshop", None),
        ] {
            assert_eq!(sandbox.inside(Path::new(host)), inside.map(PathBuf::from), "{host}");
        }
    }
}
