//! The system calls that no crate wraps: the mount calls over descriptors, capabilities, Landlock.
//! Each is a thin function; what they are for is said where they are used.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

/// Mount attributes (`mount_setattr(2)`).
pub(crate) mod attr {
    pub(crate) const READ_ONLY: u64 = 0x1;
    pub(crate) const NO_SUID: u64 = 0x2;
    pub(crate) const NO_DEV: u64 = 0x4;
    pub(crate) const NO_EXEC: u64 = 0x8;
}

const CLOEXEC_FS: libc::c_int = 1;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_FROM_EMPTY: libc::c_uint = 0x4;
const MOVE_TO_SYMLINKS: libc::c_uint = 0x10;
const SET_FLAG: libc::c_uint = 0;
const SET_STRING: libc::c_uint = 1;
const CREATE: libc::c_uint = 6;

fn path_text(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn own(result: libc::c_long) -> io::Result<OwnedFd> {
    // SAFETY: a non-negative result of these calls is a new descriptor that nobody else owns.
    check(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A detached copy of the mount at `path`, with those below it if `recursive` (`open_tree(2)`).
pub(crate) fn clone_mount(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let path = path_text(path)?;
    let below = if recursive { libc::AT_RECURSIVE as libc::c_uint } else { 0 };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | below;
    // SAFETY: the path is a terminated string that outlives the call.
    own(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// Sets attributes of the mount behind `fd`, and of those below it if `recursive` (`mount_setattr(2)`).
pub(crate) fn set_attributes(fd: BorrowedFd<'_>, attributes: u64, recursive: bool) -> io::Result<()> {
    let change: [u64; 4] = [attributes, 0, 0, 0];
    let below = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `change` has the layout of `struct mount_attr`, its size is given, and it outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | below,
            change.as_ptr(),
            size_of_val(&change),
        )
    })?;
    Ok(())
}

/// Attaches a detached mount at `path` (`move_mount(2)`).
pub(crate) fn attach_mount(mount: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = path_text(path)?;
    let flags = MOVE_FROM_EMPTY | MOVE_TO_SYMLINKS;
    // SAFETY: both strings are terminated and outlive the call.
    check(unsafe {
        let empty = c"".as_ptr();
        libc::syscall(libc::SYS_move_mount, mount.as_raw_fd(), empty, libc::AT_FDCWD, path.as_ptr(), flags)
    })?;
    Ok(())
}

/// A new detached mount of a file system (`fsopen(2)` and the calls that follow it). An option without
/// a value is a flag.
pub(crate) fn new_mount(
    kind: &CStr,
    options: &[(&str, Option<&CStr>)],
    attributes: u64,
) -> io::Result<OwnedFd> {
    // SAFETY: the name is a terminated string.
    let context = own(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC_FS) })?;
    let configure = |command: libc::c_uint, key: *const libc::c_char, value: *const libc::c_char| {
        // SAFETY: the pointers are null or terminated strings of the caller, which outlive the call.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0) })
    };
    for (key, value) in options {
        let key = CString::new(*key)?;
        match value {
            Some(value) => configure(SET_STRING, key.as_ptr(), value.as_ptr())?,
            None => configure(SET_FLAG, key.as_ptr(), std::ptr::null())?,
        };
    }
    configure(CREATE, std::ptr::null(), std::ptr::null())?;
    // SAFETY: plain numbers.
    own(unsafe {
        libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC_FS, attributes as libc::c_uint)
    })
}

/// Keeps of all capabilities only those in `kept` (a bit per number): in the bounding set, and in the
/// effective, permitted and inheritable ones.
pub(crate) fn keep_capabilities(kept: u64) -> io::Result<()> {
    for capability in 0..64 {
        if kept & (1 << capability) == 0 {
            // SAFETY: plain numbers. An unknown number is EINVAL and ends the loop: there are no more.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } < 0 {
                break;
            }
        }
    }
    let header: [u32; 2] = [0x2008_0522, 0];
    let (low, high) = (kept as u32, (kept >> 32) as u32);
    let data: [u32; 6] = [low, low, 0, high, high, 0];
    // SAFETY: version 3 of the interface: a header of two words, data of twice three; both outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) })?;
    Ok(())
}

/// Lets this process keep its capabilities through `execve` although it is not root: in a user namespace of an
/// ordinary user whose only id inside is another one.
pub(crate) fn keep_capabilities_over_exec() -> io::Result<()> {
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut data: [u32; 6] = [0; 6];
    // SAFETY: version 3 of the interface: a header of two words, room for twice three; both outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) })?;
    (data[2], data[5]) = (data[1], data[4]);
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) })?;
    let permitted = u64::from(data[1]) | u64::from(data[4]) << 32;
    for capability in (0..64).filter(|capability| permitted & (1 << capability) != 0) {
        // SAFETY: plain numbers.
        check(
            unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability, 0, 0) }.into(),
        )?;
    }
    Ok(())
}

/// The version of Landlock that the kernel has; 0 without.
pub(crate) fn landlock_version() -> i64 {
    // SAFETY: asks for the version only: no memory is read.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, 1_u32) }.max(0)
}

/// Puts abstract Unix sockets and processes outside of this one's descendants out of reach (Landlock 6 and later).
/// Needs `no_new_privs`.
pub(crate) fn scope_to_descendants() -> io::Result<()> {
    let ruleset: [u64; 3] = [0, 0, 0b11];
    // SAFETY: the layout of `struct landlock_ruleset_attr`, with its size; it outlives the call.
    let rules = own(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, ruleset.as_ptr(), size_of_val(&ruleset), 0_u32)
    })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) })?;
    Ok(())
}

/// Leaves the session keyring of whoever started this process for a new, empty one.
pub(crate) fn new_keyring() {
    const JOIN_SESSION: libc::c_long = 1;
    // SAFETY: no name is given: an anonymous keyring. A kernel without keyrings answers ENOSYS: nothing to leave.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION, std::ptr::null::<u8>()) };
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) {
    // SAFETY: descriptors are closed that no value of this process will use: it executes another program next.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0_u32) };
}

/// Splits this single-threaded process: the child gets `None`, the parent the child's id.
pub(crate) fn fork() -> nix::Result<Option<nix::unistd::Pid>> {
    // SAFETY: callers are single-threaded (the sandbox's init, the shim before its runtime), so that the child
    // may go on like any process.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Some(child)),
        nix::unistd::ForkResult::Child => Ok(None),
    }
}

/// Takes a descriptor that came over a socket, or that the starting process left at a known number.
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller was just given it by the kernel, or holds it by agreement; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Brings the loopback device of this network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: libc::c_short,
        rest: [u8; 22],
    }
    let mut request = Request { name: [0; 16], flags: libc::IFF_UP as libc::c_short, rest: [0; 22] };
    request.name[..2].copy_from_slice(b"lo");
    // SAFETY: the layout of `struct ifreq` with flags; it outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }.into())?;
    Ok(())
}

/// Sets both bounds of a resource limit.
pub(crate) fn limit(resource: nix::sys::resource::Resource, bound: u64) -> nix::Result<()> {
    let (_, hard) = nix::sys::resource::getrlimit(resource)?;
    let bound = bound.min(hard);
    nix::sys::resource::setrlimit(resource, bound, bound)
}

/// The size of a memory page.
pub(crate) fn page_size() -> u64 {
    // SAFETY: a plain number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Watches a socket from an async runtime.
pub(crate) fn watch(socket: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    // SAFETY: `OwnedFd` keeps its descriptor open, and nothing replaces it while it is watched.
    Ok(unsafe { tokio::io::unix::AsyncFd::register(socket) }?)
}
