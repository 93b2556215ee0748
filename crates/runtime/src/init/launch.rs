//! Starts a program from init: splits, arranges descriptors, user and limits, and executes.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::Resource;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{Gid, Pid, Uid};

use crate::kernel_calls;
use crate::wire::{Launch, NotStarted};

/// What holds for every program of the sandbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// User and group to run as.
    pub(super) user: Option<(u32, u32)>,
    /// Further groups of that user.
    pub(super) groups: Vec<u32>,
    /// Bound on processes of this user (`RLIMIT_NPROC`).
    pub(super) processes: Option<u64>,
    /// Bound on a program's own data (`RLIMIT_DATA`).
    pub(super) data: Option<u64>,
}

/// Starts a program; gives its process id once it executes.
pub(super) fn start(launch: &Launch, fds: Vec<OwnedFd>, terms: &Terms) -> Result<Pid, NotStarted> {
    let refused = |reason: String| NotStarted::Refused { reason };
    let [input, output, error]: [OwnedFd; 3] =
        fds.try_into().map_err(|_| refused("its descriptors did not arrive".into()))?;
    let plan = Plan::new(launch).map_err(refused)?;
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| refused(e.to_string()))?;
    match kernel_calls::fork() {
        Err(Errno::EAGAIN) => Err(refused("the sandbox's process limit is reached".into())),
        Err(errno) => Err(refused(errno.to_string())),
        Ok(Some(child)) => {
            drop(write);
            let mut answer = [0; 5];
            if File::from(read).read_exact(&mut answer).is_err() {
                return Ok(child);
            }
            let _ = nix::sys::wait::waitpid(child, None);
            let errno = Errno::from_raw(i32::from_le_bytes([answer[1], answer[2], answer[3], answer[4]]));
            Err(match (answer[0], errno) {
                (DIRECTORY, errno) => NotStarted::Directory { reason: errno.desc().into() },
                (PROGRAM, Errno::ENOENT) => NotStarted::NotFound { searched: plan.searched },
                (PROGRAM, Errno::ENOEXEC) => {
                    refused("it is neither a program for this machine nor a script with a `#!` line".into())
                }
                (_, errno) => refused(errno.desc().into()),
            })
        }
        Ok(None) => {
            let (stage, errno) = child(&plan, launch, [input, output, error], terms);
            let mut answer = vec![stage];
            answer.extend((errno as i32).to_le_bytes());
            let _ = File::from(write).write_all(&answer);
            std::process::exit(127);
        }
    }
}

const SETUP: u8 = 0;
const DIRECTORY: u8 = 1;
const PROGRAM: u8 = 2;

struct Plan {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    searched: String,
}

impl Plan {
    fn new(launch: &Launch) -> Result<Self, String> {
        let text = |what: String| {
            CString::new(what).map_err(|_| "an argument or variable holds a zero byte".to_owned())
        };
        let program = launch.argv.first().filter(|p| !p.is_empty()).ok_or("there is no program to run")?;
        let path = launch.env.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
        let candidates = if program.contains('/') {
            vec![program.clone()]
        } else {
            path.split(':')
                .filter(|folder| !folder.is_empty())
                .map(|folder| format!("{folder}/{program}"))
                .collect()
        };
        let searched = if program.contains('/') { program.clone() } else { path.to_owned() };
        Ok(Self {
            candidates: candidates.into_iter().map(text).collect::<Result<_, _>>()?,
            argv: launch.argv.iter().cloned().map(text).collect::<Result<_, _>>()?,
            env: launch.env.iter().map(|(k, v)| text(format!("{k}={v}"))).collect::<Result<_, _>>()?,
            searched,
        })
    }
}

/// What the new process does. Returns only if something failed.
fn child(plan: &Plan, launch: &Launch, fds: [OwnedFd; 3], terms: &Terms) -> (u8, Errno) {
    if let Err(errno) = arrange(fds, terms) {
        return (SETUP, errno);
    }
    if let Err(errno) = enter(&launch.cwd) {
        return (DIRECTORY, errno);
    }
    let mut worst = Errno::ENOENT;
    for candidate in &plan.candidates {
        match nix::unistd::execve(candidate, &plan.argv, &plan.env) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            // Found, but not to be run: another folder may have one that is.
            Err(errno @ Errno::EACCES) => worst = errno,
            Err(errno) => return (PROGRAM, errno),
        }
    }
    (PROGRAM, worst)
}

fn arrange([input, output, error]: [OwnedFd; 3], terms: &Terms) -> nix::Result<()> {
    nix::unistd::setsid()?;
    nix::unistd::dup2_stdin(&input)?;
    nix::unistd::dup2_stdout(&output)?;
    nix::unistd::dup2_stderr(&error)?;
    if let Some(bound) = terms.data {
        kernel_calls::limit(Resource::RLIMIT_DATA, bound)?;
    }
    if let Some(bound) = terms.processes {
        kernel_calls::limit(Resource::RLIMIT_NPROC, bound)?;
    }
    let _ = kernel_calls::limit(Resource::RLIMIT_CORE, 0);
    if let Some((uid, gid)) = terms.user {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        // In a namespace of an ordinary user groups cannot be changed, and this is already the only id there is.
        if (nix::unistd::geteuid(), nix::unistd::getegid()) != (uid, gid) {
            let further: Vec<Gid> = terms.groups.iter().copied().map(Gid::from_raw).collect();
            nix::unistd::setgroups(&further)?;
            nix::unistd::setresgid(gid, gid, gid)?;
            nix::unistd::setresuid(uid, uid, uid)?;
        }
    }
    forget_signals()
}

/// A program starts with every signal at its default and none blocked. Whoever started Windlass may have ignored some
/// (a shell does so with SIGINT for what it puts in the background), and a shell cannot trap what was ignored before it.
fn forget_signals() -> nix::Result<()> {
    for each in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        #[expect(unsafe_code, reason = "signal dispositions")]
        // SAFETY: the default disposition runs no code of ours.
        unsafe {
            signal(each, SigHandler::SigDfl)?;
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

fn enter(cwd: &Path) -> nix::Result<()> {
    let path = CString::new(cwd.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    nix::unistd::chdir(path.as_c_str())
}
