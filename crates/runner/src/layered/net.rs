//! How services are reached. Each has a network of its own, with nothing but a loopback device; so two jobs may both have a
//! server on one port, and a service reaches nothing of the machine. It has an address of the machine's loopback network
//! (127.0.0.0/8) for itself. Where a program of the service begins to listen, that address and port are listened on as well: on
//! the machine, and in the networks of the job's other services. What comes is carried in.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use windlass_runtime::Sandbox;

/// By a socket on this port an address is held. Nothing is ever read from it.
const HOLD: u16 = 61_347;
/// How many addresses are tried.
const TRIES: u32 = 64;
/// The most ports of a service that are listened on for it.
const MOST_PORTS: usize = 64;
/// The most connections to a port at a time.
const MOST_CONNECTIONS: usize = 1024;
/// How often it is looked where a service listens: often while it starts.
const SOON: Duration = Duration::from_millis(25);
const LATER: Duration = Duration::from_millis(250);
const STARTS: Duration = Duration::from_secs(15);
/// The longest wait for what listens to be listened on for.
const CATCHES_UP: Duration = Duration::from_secs(2);

/// An address of this machine's loopback network that is one service's alone.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) ip: Ipv4Addr,
    /// None: it is the machine's own.
    _held: Option<UdpSocket>,
}

/// Where sockets are made.
#[derive(Clone)]
pub(super) enum Realm {
    /// In the machine's network.
    Machine,
    /// In that of a sandbox.
    Own(Arc<dyn Sandbox>),
}

/// What carries connections; it ends with this value.
#[derive(Debug, Default)]
pub(super) struct Carriers(Mutex<Vec<AbortHandle>>);

impl Drop for Carriers {
    fn drop(&mut self) {
        self.end();
    }
}

impl Carriers {
    fn keep(&self, handle: AbortHandle) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
    }

    /// Nothing is carried any more.
    pub(super) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|handle| handle.abort());
    }
}

impl Address {
    /// The machine's own.
    pub(super) fn of_machine() -> Self {
        Self { ip: Ipv4Addr::LOCALHOST, _held: None }
    }

    /// One that nobody else has; `seed` says where to begin to look.
    pub(super) fn take(seed: &str) -> io::Result<Self> {
        let mut last = io::Error::other("none is free");
        for attempt in 0..TRIES {
            let hash = Sha256::digest(format!("{seed} {attempt}"));
            // 127.0.0.0/10 is left to people, and so are the first and the last of each 256.
            let ip = Ipv4Addr::new(127, 64 | (hash[0] & 0x7f), hash[1], hash[2].clamp(1, 254));
            match UdpSocket::bind((ip, HOLD)) {
                Ok(held) => return Ok(Self { ip, _held: Some(held) }),
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

impl Realm {
    async fn socket(&self, v6: bool) -> io::Result<TcpSocket> {
        match self {
            Self::Machine if v6 => TcpSocket::new_v6(),
            Self::Machine => TcpSocket::new_v4(),
            Self::Own(sandbox) => {
                let made = sandbox.socket(v6).await.map_err(io::Error::other)?;
                Ok(TcpSocket::from_std_stream(made.into()))
            }
        }
    }

    pub(super) async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let socket = self.socket(at.is_ipv6()).await?;
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        socket.listen(256)
    }

    /// Connects to a port of the loopback address.
    pub(super) async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let v4 = self.socket(false).await?.connect((Ipv4Addr::LOCALHOST, port).into()).await;
        match v4 {
            Ok(stream) => Ok(stream),
            Err(why) => {
                let v6 = self.socket(true).await?.connect((Ipv6Addr::LOCALHOST, port).into()).await;
                v6.map_err(|_| why)
            }
        }
    }
}

/// Carries what connects to `listener` to a port of `to`, for as long as the handle is not aborted.
pub(super) fn carry(listener: TcpListener, to: Realm, port: u16) -> AbortHandle {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let carrying = tokio::spawn(async move {
        // What is carried ends with the one who accepts.
        let mut carried = tokio::task::JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let to = to.clone();
                        carried.spawn(async move {
                            pass(stream, &to, port).await;
                            drop(place);
                        });
                    }
                    // Too many open files, say: it passes.
                    Err(_) => tokio::time::sleep(LATER).await,
                },
                Some(_) = carried.join_next() => {}
            }
        }
    });
    carrying.abort_handle()
}

async fn pass(mut from: TcpStream, to: &Realm, port: u16) {
    match to.connect(port).await {
        Ok(mut stream) => {
            let _ = (from.set_nodelay(true), stream.set_nodelay(true));
            let _ = tokio::io::copy_bidirectional(&mut from, &mut stream).await;
        }
        // As a port that nobody listens on: the connection is reset.
        Err(_) => drop(from.set_zero_linger()),
    }
}

/// Services of one job that reach each other.
#[derive(Default)]
pub(super) struct Mesh {
    members: Mutex<Vec<Member>>,
    carriers: Carriers,
}

/// A service, as the others see it.
#[derive(Clone)]
struct Member {
    ip: Ipv4Addr,
    realm: Realm,
    /// The ports that its image or the workflow names.
    declared: BTreeSet<u16>,
    /// Where it listens.
    listening: Arc<Mutex<BTreeSet<u16>>>,
    /// How often it was looked where it listens, to the end.
    looked: watch::Receiver<u64>,
    /// Has it looked at once.
    hurry: Arc<Notify>,
}

impl Member {
    /// Whether a port may be taken in its network for another service. A program that listens on all addresses fails where
    /// somebody listens on one of them already; so none is taken that the service names, and of one that names none nothing
    /// before it listens somewhere.
    fn yields(&self, port: u16) -> bool {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = !self.declared.is_empty() || !listening.is_empty();
        settled && !self.declared.contains(&port) && !listening.contains(&port)
    }
}

/// Says what cannot be had.
pub(super) type Say = Box<dyn Fn(&str) + Send + Sync>;

impl Mesh {
    /// Listens at the service's address where its programs listen, on the machine and in the networks of other services.
    pub(super) fn join(
        self: &Arc<Self>,
        ip: Ipv4Addr,
        service: Arc<dyn Sandbox>,
        declared: BTreeSet<u16>,
        say: Say,
    ) {
        let (own, listening) = (Realm::Own(service.clone()), Arc::<Mutex<BTreeSet<u16>>>::default());
        let (told, looked) = watch::channel(0);
        let hurry = Arc::<Notify>::default();
        let hurried = hurry.clone();
        let member = Member { ip, realm: own.clone(), declared, listening: listening.clone(), looked, hurry };
        self.members.lock().unwrap_or_else(PoisonError::into_inner).push(member);
        let mesh = Arc::downgrade(self);
        let watching = tokio::spawn(async move {
            let begin = Instant::now();
            let mut watch = Watch { ip, own, listeners: BTreeMap::new(), refused: BTreeSet::new(), say };
            while let Ok(ports) = service.listening().await {
                let Some(mesh) = mesh.upgrade() else { return };
                listening.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&ports);
                let members = mesh.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
                drop(mesh);
                watch.follow(&ports, &members).await;
                told.send_modify(|times| *times += 1);
                let pause = if begin.elapsed() < STARTS { SOON } else { LATER };
                let _ = tokio::time::timeout(pause, hurried.notified()).await;
            }
        });
        self.carriers.keep(watching.abort_handle());
    }

    /// Returns once what listens now is listened on for: what was found well a moment ago can be reached.
    pub(super) async fn caught_up(&self) {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for mut member in members {
            // One look may be on its way, begun too early: the next one counts.
            for _ in 0..2 {
                let before = *member.looked.borrow_and_update();
                member.hurry.notify_one();
                let next = member.looked.wait_for(|times| *times > before);
                let _ = tokio::time::timeout(CATCHES_UP, next).await;
            }
        }
    }

    /// Listens on a port of 127.0.0.1 for a port of a service; any free one if none is given. Gives the port.
    pub(super) async fn publish(&self, outer: Option<u16>, to: Realm, inner: u16) -> io::Result<u16> {
        let listener = Realm::Machine.listen((Ipv4Addr::LOCALHOST, outer.unwrap_or(0)).into()).await?;
        let port = listener.local_addr()?.port();
        self.carriers.keep(carry(listener, to, inner));
        Ok(port)
    }

    /// Nothing is carried any more.
    pub(super) fn end(&self) {
        self.carriers.end();
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What is listened on for one service.
struct Watch {
    ip: Ipv4Addr,
    own: Realm,
    /// By port, and by the member in whose network it is (the machine is `None`).
    listeners: BTreeMap<(u16, Option<Ipv4Addr>), AbortHandle>,
    refused: BTreeSet<u16>,
    say: Box<dyn Fn(&str) + Send + Sync>,
}

impl Watch {
    async fn follow(&mut self, ports: &BTreeSet<u16>, members: &[Member]) {
        let ports: BTreeSet<u16> = ports.iter().copied().take(MOST_PORTS).collect();
        let others: Vec<&Member> = members.iter().filter(|member| member.ip != self.ip).collect();
        self.listeners.retain(|(port, place), handle| {
            let other = place.and_then(|ip| others.iter().find(|member| member.ip == ip));
            let still = ports.contains(port) && other.is_none_or(|member| member.yields(*port));
            if !still {
                handle.abort();
            }
            still
        });
        for port in ports {
            self.listen(None, &Realm::Machine, port).await;
            for member in others.iter().filter(|member| member.yields(port)) {
                self.listen(Some(member.ip), &member.realm, port).await;
            }
        }
    }

    async fn listen(&mut self, place: Option<Ipv4Addr>, realm: &Realm, port: u16) {
        if self.listeners.contains_key(&(port, place)) {
            return;
        }
        match realm.listen((self.ip, port).into()).await {
            Ok(listener) => {
                let handle = carry(listener, self.own.clone(), port);
                self.listeners.insert((port, place), handle);
            }
            Err(e) if place.is_none() && self.refused.insert(port) => {
                (self.say)(&format!("port {port} cannot be listened on at {}: {e}", self.ip));
            }
            Err(_) => {}
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.listeners.values().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn no_two_have_one_address() {
        let one = Address::take("job web").unwrap();
        let other = Address::take("job web").unwrap();
        assert!(one.ip.is_loopback() && other.ip.is_loopback() && one.ip != other.ip);
        assert_ne!(one.ip, Ipv4Addr::LOCALHOST);
        let ip = one.ip;
        drop(one);
        assert_eq!(Address::take("job web").unwrap().ip, ip, "it is free again");
    }

    #[tokio::test]
    async fn what_connects_is_carried_and_what_nobody_listens_on_is_reset() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let mesh = Arc::new(Mesh::default());
        let outer = mesh.publish(None, Realm::Machine, port).await.unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            stream.write_all(said.to_uppercase().as_bytes()).await.unwrap();
        });
        let mut client = TcpStream::connect(("127.0.0.1", outer)).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "HELLO");
        serving.await.unwrap();
        // The server is gone now.
        let mut client = TcpStream::connect(("127.0.0.1", outer)).await.unwrap();
        assert!(client.read(&mut [0; 1]).await.is_err());
        mesh.end();
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(TcpStream::connect(("127.0.0.1", outer)).await.is_err());
    }
}
