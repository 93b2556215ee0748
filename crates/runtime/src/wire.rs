//! What the owner of a sandbox and its init say to each other: packets over a socket pair, with descriptors.
//! A packet too large for the socket travels in a memory file.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::kernel_calls::adopt;
use crate::layout::Layout;
use crate::spec::{Exit, Level, Limits, Usage};

/// Packets up to this many bytes travel inline.
const INLINE: usize = 16 * 1024;
const DESCRIPTORS: usize = 4;
/// The most that a packet may hold.
const LARGEST: u64 = 64 << 20;

/// What init needs to become the init of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Birth {
    /// The sandbox's id.
    pub(crate) id: String,
    /// How strongly it is kept apart.
    pub(crate) level: Level,
    /// The file system; none at level `process`.
    pub(crate) layout: Option<Layout>,
    /// `cgroup.procs` (or `tasks`) files to join, before anything else.
    pub(crate) join: Vec<PathBuf>,
    /// The machine's name inside.
    pub(crate) hostname: String,
    /// User and group of programs.
    pub(crate) user: Option<(u32, u32)>,
    /// Further groups of that user.
    pub(crate) groups: Vec<u32>,
    /// A network of its own.
    pub(crate) isolate_network: bool,
    /// Limits that init itself has to keep, because no control group does.
    pub(crate) limits: Limits,
}

/// From the owner to init.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first packet.
    Birth(Box<Birth>),
    /// Start a program. Descriptors: standard input, output, error.
    Exec(Launch),
    /// Signal a program's process group.
    Signal {
        /// Which.
        seq: u64,
        /// The signal's number.
        signal: i32,
    },
    /// Answer with [`Reply::Usage`].
    Usage,
    /// Answer with [`Reply::Socket`].
    Socket {
        /// Names it in the reply.
        seq: u64,
        /// Of the sixth version of the protocol instead of the fourth.
        v6: bool,
    },
    /// Answer with [`Reply::Listening`].
    Listening {
        /// Names it in the reply.
        seq: u64,
    },
}

/// A program to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// Names it in replies.
    pub(crate) seq: u64,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Working directory.
    pub(crate) cwd: PathBuf,
}

/// Why a program did not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NotStarted {
    /// No such program.
    NotFound {
        /// Where it was looked for.
        searched: String,
    },
    /// The working directory is not usable.
    Directory {
        /// What the system answered.
        reason: String,
    },
    /// The system refused.
    Refused {
        /// What the system answered.
        reason: String,
    },
}

/// From init to the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The sandbox stands.
    Ready,
    /// It could not be set up; init is gone.
    Failed(Fault),
    /// A program runs, under this process id.
    Started {
        /// Which.
        seq: u64,
        /// Its process id inside.
        pid: u32,
    },
    /// A program did not start.
    NotStarted {
        /// Which.
        seq: u64,
        /// Why.
        why: NotStarted,
    },
    /// A program ended.
    Exited {
        /// Which.
        seq: u64,
        /// How.
        exit: Exit,
    },
    /// What everything in the sandbox uses.
    Usage(Usage),
    /// A socket of the sandbox's network, as a descriptor; none with the reason.
    Socket {
        /// Which.
        seq: u64,
        /// Why there is none.
        why: Option<String>,
    },
    /// The ports that programs of the sandbox's network listen on.
    Listening {
        /// Which.
        seq: u64,
        /// The ports, each once.
        ports: Vec<u16>,
    },
}

/// Two connected ends. Neither is inherited by an executed program.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends one packet with descriptors.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    packet: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(packet)?;
    let memory;
    let mut raw: Vec<RawFd> = Vec::with_capacity(DESCRIPTORS);
    let (mark, inline): (&[u8], &[u8]) = if text.len() <= INLINE {
        (&[0], &text)
    } else {
        memory = memory_file(&text)?;
        raw.push(memory.as_raw_fd());
        (&[1], &[])
    };
    raw.extend(fds.iter().map(|fd| fd.as_raw_fd()));
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let data = [IoSlice::new(mark), IoSlice::new(inline)];
    sendmsg::<()>(socket.as_raw_fd(), &data, control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives one packet; `None` when the other end is gone.
pub(crate) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut buffer = vec![0_u8; INLINE + 1];
    let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let (length, mut fds) = {
        let mut data = [IoSliceMut::new(&mut buffer)];
        let message =
            recvmsg::<()>(socket.as_raw_fd(), &mut data, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
        let mut fds = Vec::new();
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = part {
                fds.extend(raw.into_iter().map(adopt));
            }
        }
        (message.bytes, fds)
    };
    let Some((mark, inline)) = buffer.get(..length).and_then(<[u8]>::split_first) else { return Ok(None) };
    if *mark == 0 {
        return Ok(Some((serde_json::from_slice(inline)?, fds)));
    }
    if fds.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet without its memory file"));
    }
    // The other end may be a container that somebody else filled: nothing that could go on for ever is read.
    let memory = std::fs::File::from(fds.remove(0));
    if !memory.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet whose memory file is no file"));
    }
    let mut text = Vec::new();
    memory.take(LARGEST).read_to_end(&mut text)?;
    Ok(Some((serde_json::from_slice(&text)?, fds)))
}

/// A file in memory that holds `bytes`, to be read from its start.
pub(crate) fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create(c"windlass", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// Sends, for init: a lost owner is noticed at the next wait, not here.
pub(crate) fn tell(socket: &impl AsFd, reply: &Reply) {
    let _ = send(socket.as_fd(), reply, &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_any_size_arrive_with_their_descriptors() {
        for size in [0, 1, INLINE - 200, INLINE + 1, 3_000_000] {
            let (a, b) = pair().unwrap();
            let launch = Launch {
                seq: 7,
                argv: vec!["x".repeat(size)],
                env: BTreeMap::from([("A".into(), "é\n".into())]),
                cwd: "/".into(),
            };
            let file = memory_file(b"hello").unwrap();
            send(a.as_fd(), &Request::Exec(launch.clone()), &[file.as_fd(), file.as_fd()]).unwrap();
            let (got, mut fds) = receive::<Request>(b.as_fd()).unwrap().unwrap();
            assert_eq!(got, Request::Exec(launch));
            assert_eq!(fds.len(), 2);
            let mut text = String::new();
            std::fs::File::from(fds.remove(0)).read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
        }
    }

    #[test]
    fn the_end_of_the_other_side_is_seen() {
        let (a, b) = pair().unwrap();
        drop(a);
        assert!(receive::<Request>(b.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_packet_that_is_not_ours_is_an_error() {
        let (a, b) = pair().unwrap();
        nix::unistd::write(&a, b"\0{").unwrap();
        assert!(receive::<Request>(b.as_fd()).is_err());
        nix::unistd::write(&a, b"\x01").unwrap();
        assert!(receive::<Request>(b.as_fd()).is_err());
    }
}
