//! The init of a container that somebody else made (a container engine): it sets nothing up, it connects to its owner's
//! door and serves there as the init of a sandbox at level `process` does. As process 1 it takes all with it when it ends.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::reaper;
use crate::fault::{Doing as _, Fault};
use crate::kernel_calls;
use crate::wire::{self, Reply, Request};

/// The argument after `sandbox-init` that says so; the door's path follows.
pub(crate) const CONNECT: &str = "connect";

/// Serves until the owner is gone. Gives the exit code.
pub(super) fn serve(door: &str) -> u8 {
    kernel_calls::close_from(3);
    let socket = match reach(door) {
        Ok(socket) => socket,
        Err(fault) => {
            eprintln!("windlass: {}: {}", fault.doing, fault.reason);
            return 3;
        }
    };
    match wire::receive::<Request>(socket.as_fd()) {
        Ok(Some((Request::Birth(birth), _))) => {
            let _ = nix::sys::prctl::set_child_subreaper(true);
            wire::tell(&socket, &Reply::Ready);
            reaper::run(&birth, &socket);
            0
        }
        _ => 0,
    }
}

fn reach(door: &str) -> Result<OwnedFd, Fault> {
    let null = File::open("/dev/null").doing(|| "opening /dev/null".into())?;
    nix::unistd::dup2_stdin(&null).doing(|| "closing the input".into())?;
    let _ = nix::unistd::setsid();
    let what = || format!("reaching the job's unit at {door}");
    let socket =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).doing(what)?;
    let address = UnixAddr::new(door).doing(what)?;
    connect(socket.as_raw_fd(), &address).doing(what)?;
    Ok(socket)
}
