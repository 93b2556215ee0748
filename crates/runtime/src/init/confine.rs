//! Taking power away: capabilities, new privileges, the keyring, sockets and signals out of the sandbox.

use std::os::fd::AsFd as _;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::fault::{Doing as _, Fault};
use crate::kernel_calls;

/// What the sandbox's root may do, within the sandbox: the set that containers commonly have (`capabilities(7)`).
/// chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot,
/// mknod, audit_write, setfcap.
const KEPT: u64 = 1 << 0
    | 1 << 1
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 7
    | 1 << 8
    | 1 << 10
    | 1 << 13
    | 1 << 18
    | 1 << 27
    | 1 << 29
    | 1 << 31;

/// The first version of Landlock that keeps abstract sockets and signals inside.
const SCOPES_SINCE: i64 = 6;

/// Whether abstract sockets of the machine can be kept out of reach.
pub(crate) fn can_scope() -> bool {
    kernel_calls::landlock_version() >= SCOPES_SINCE
}

/// Keeps abstract sockets and signals inside, where the kernel can.
pub(super) fn scope() {
    if can_scope() {
        let _ = kernel_calls::scope_to_descendants();
    }
}

/// The last step of process 1 before it takes orders.
pub(super) fn give_up_power() -> Result<(), Fault> {
    kernel_calls::keep_capabilities(KEPT).doing(|| "giving up capabilities".into())?;
    nix::sys::prctl::set_no_new_privs().doing(|| "refusing new privileges".into())?;
    // So that no program in here can look into process 1, whatever its user.
    nix::sys::prctl::set_dumpable(false).doing(|| "closing process 1 to others".into())?;
    scope();
    Ok(())
}

/// Level `user`: a user namespace in which this user's ids are `inside`, and a mount namespace in it.
pub(super) fn own_user_namespace(inside: (&str, &str)) -> Result<(), Fault> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .doing(|| "making a user namespace".into())?;
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/self/{file}"), text).doing(|| format!("writing /proc/self/{file}"))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("{} {uid} 1", inside.0))?;
    write("gid_map", format!("{} {gid} 1", inside.1))?;
    kernel_calls::keep_capabilities_over_exec().doing(|| "keeping power over the user namespace".into())
}

/// Brings up the loopback device of the sandbox's own network, on which every port is anybody's: the network may belong to the
/// machine's users, and no program in here has power over those.
pub(super) fn own_network() -> Result<(), Fault> {
    // An old kernel has no such setting.
    let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .doing(|| "opening a socket".into())?;
    kernel_calls::loopback_up(socket.as_fd()).doing(|| "bringing up the loopback device".into())
}
