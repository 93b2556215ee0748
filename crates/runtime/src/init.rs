//! The init of a sandbox: our own binary, executed again. Single-threaded from its first instruction, so that
//! it may split and change namespaces.
//!
//! At the levels with namespaces there are two processes: the *outer* one stays in the machine's namespaces, maps
//! ids, waits for the inner one and ends with it; the *inner* one is process 1 of the sandbox. When the inner one
//! ends, the kernel ends all that is in the sandbox. It ends when its owner closes the socket, or dies; and when
//! the outer one is killed. At level `process` there is one, which adopts orphans and kills them at the end.

mod confine;
mod launch;
mod mounts;
mod network;
mod reaper;
mod resident;
pub(crate) mod tree;
mod veil;

pub(crate) use confine::can_scope;
pub(crate) use resident::CONNECT;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::fault::{Doing as _, Fault};
use crate::kernel_calls;
use crate::machine::identity_map;
use crate::spec::Level;
use crate::wire::{self, Birth, Reply, Request};

/// The hidden subcommand by which the binary must call [`init_main`].
pub(crate) const SUBCOMMAND: &str = "sandbox-init";
const SEALED: &str = "sealed";

/// The entry of a sandbox's init: call it when the first argument is `sandbox-init`, before any thread is started,
/// with the arguments that follow it. Gives the exit code. Of no use when called by a person.
pub fn init_main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<String> = args.into_iter().filter_map(|arg| arg.into_string().ok()).collect();
    if let [first, door] = args.as_slice()
        && first == CONNECT
    {
        return resident::serve(door);
    }
    let Some(socket) = take_socket() else {
        eprintln!(
            "windlass: `{SUBCOMMAND}` is started by Windlass itself; there is nothing to do for it here"
        );
        return 2;
    };
    match begin(&args, &socket) {
        Ok(code) => code,
        Err(fault) => {
            wire::tell(&socket, &Reply::Failed(fault));
            1
        }
    }
}

/// The socket comes as standard input. All other descriptors of the starting process are closed.
fn take_socket() -> Option<OwnedFd> {
    kernel_calls::close_from(3);
    let input = std::io::stdin();
    nix::sys::socket::getsockopt(&input, nix::sys::socket::sockopt::SockType).ok()?;
    let socket = kernel_calls::adopt(fcntl(&input, FcntlArg::F_DUPFD_CLOEXEC(3)).ok()?);
    Some(socket)
}

fn begin(args: &[String], socket: &OwnedFd) -> Result<u8, Fault> {
    let level: Level = args
        .first()
        .map_or("", String::as_str)
        .parse()
        .map_err(|e: String| Fault::new("reading the level", e))?;
    let ids = args.get(1).and_then(|text| text.split_once(':')).unwrap_or(("0", "0"));
    if level == Level::UserNamespaces && args.get(2).map(String::as_str) != Some(SEALED) {
        return Err(confine::own_user_namespace(ids).err().unwrap_or_else(|| seal(args)));
    }
    let null =
        File::options().read(true).write(true).open("/dev/null").doing(|| "opening /dev/null".into())?;
    nix::unistd::dup2_stdin(&null).doing(|| "closing the input".into())?;
    let _ = nix::unistd::setsid();
    let packet =
        wire::receive::<Request>(socket.as_fd()).doing(|| "reading the sandbox's description".into())?;
    let Some((Request::Birth(birth), _)) = packet else { return Ok(0) };
    for file in &birth.join {
        std::fs::write(file, "0").doing(|| format!("joining the control group {}", file.display()))?;
    }
    if level == Level::Process {
        return process_level(&birth, socket);
    }
    outer(&birth, socket)
}

/// Executes this binary once more, through a read-only mount that exists nowhere else. Otherwise a program in the
/// sandbox could reach the binary on the machine by `/proc/self/exe` and write to it (CVE-2019-5736 of runc).
fn seal(args: &[String]) -> Fault {
    let sealed = match sealed_binary() {
        Ok(sealed) => sealed,
        Err(error) => return Fault::new("sealing Windlass' own binary", error),
    };
    let error = Command::new(format!("/proc/self/fd/{}", sealed.as_raw_fd()))
        .arg0("windlass")
        .arg(SUBCOMMAND)
        .args(args)
        .arg(SEALED)
        .exec();
    Fault::new("executing Windlass' own binary", error)
}

/// This process' binary behind a read-only mount that exists nowhere else.
pub(crate) fn sealed_binary() -> std::io::Result<OwnedFd> {
    sealed_copy(std::path::Path::new("/proc/self/exe"))
}

/// A file behind a read-only mount that exists nowhere else.
pub(crate) fn sealed_copy(path: &std::path::Path) -> std::io::Result<OwnedFd> {
    let mount = kernel_calls::clone_mount(&std::fs::canonicalize(path)?, false)?;
    kernel_calls::set_attributes(mount.as_fd(), kernel_calls::attr::READ_ONLY, false)?;
    Ok(mount)
}

fn process_level(birth: &Birth, socket: &OwnedFd) -> Result<u8, Fault> {
    nix::sys::prctl::set_child_subreaper(true).doing(|| "adopting orphans".into())?;
    let _ = nix::sys::prctl::set_no_new_privs();
    confine::scope();
    wire::tell(socket, &Reply::Ready);
    reaper::run(birth, socket);
    Ok(0)
}

/// The process that stays in the machine's namespaces.
fn outer(birth: &Birth, socket: &OwnedFd) -> Result<u8, Fault> {
    let mut spaces = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    spaces.set(CloneFlags::CLONE_NEWNET, birth.isolate_network);
    unshare(spaces).doing(|| "making namespaces".into())?;
    if birth.isolate_network {
        confine::own_network()?;
    }
    let (asked, ask) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "making a pipe".into())?;
    let (told, tell) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "making a pipe".into())?;
    let Some(inner) = kernel_calls::fork().doing(|| "starting process 1".into())? else {
        drop((asked, tell));
        let code = match become_init(birth, File::from(ask), File::from(told)) {
            Ok(()) => {
                wire::tell(socket, &Reply::Ready);
                reaper::run(birth, socket);
                0
            }
            Err(fault) => {
                wire::tell(socket, &Reply::Failed(fault));
                1
            }
        };
        std::process::exit(code);
    };
    drop((ask, told));
    map_ids(inner, File::from(asked), File::from(tell))?;
    // From here on the inner process alone holds the socket: its end is the sandbox's end.
    let _ = nix::unistd::close(socket.as_raw_fd());
    loop {
        match waitpid(inner, None) {
            Err(nix::errno::Errno::EINTR) | Ok(WaitStatus::Stopped(..) | WaitStatus::Continued(_)) => {}
            Ok(WaitStatus::Exited(_, code)) => std::process::exit(code),
            _ => std::process::exit(1),
        }
    }
}

/// Waits for the inner process to ask, and maps its ids to themselves. It cannot do so itself.
fn map_ids(inner: Pid, mut asked: File, mut tell: File) -> Result<(), Fault> {
    let mut byte = [0];
    if asked.read(&mut byte).unwrap_or(0) == 0 {
        return Ok(());
    }
    for kind in ["uid_map", "gid_map"] {
        let own =
            std::fs::read_to_string(format!("/proc/self/{kind}")).doing(|| format!("reading {kind}"))?;
        std::fs::write(format!("/proc/{inner}/{kind}"), identity_map(&own))
            .doing(|| format!("writing {kind}"))?;
    }
    tell.write_all(&byte).doing(|| "answering process 1".into())
}

/// Process 1: makes the file system, gives up all power over the machine.
fn become_init(birth: &Birth, mut ask: File, mut told: File) -> Result<(), Fault> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).doing(|| "tying process 1 to its parent".into())?;
    let _ = nix::unistd::setsid();
    unshare(CloneFlags::CLONE_NEWNS).doing(|| "making a mount namespace".into())?;
    if let Some(layout) = &birth.layout {
        mounts::build(layout, birth.level)?;
    }
    nix::unistd::sethostname(&birth.hostname).doing(|| "setting the host's name".into())?;
    kernel_calls::new_keyring();
    if birth.level == Level::Namespaces {
        nix::unistd::setgroups(&[]).doing(|| "leaving supplementary groups".into())?;
        // After the mounts: what is mounted belongs to the machine's user namespace, and nothing in here can undo it.
        unshare(CloneFlags::CLONE_NEWUSER).doing(|| "making a user namespace".into())?;
        ask.write_all(&[1]).doing(|| "asking for ids".into())?;
        let mut byte = [0];
        told.read_exact(&mut byte).doing(|| "waiting for ids".into())?;
    }
    drop((ask, told));
    confine::give_up_power()?;
    // Giving up capabilities can cancel it.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).doing(|| "tying process 1 to its parent".into())
}
