//! Process 1 at work: takes orders, starts programs, reaps, reports; keeps limits that no control group keeps.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::launch::{self, Terms};
use super::{network, tree};
use crate::spec::{Exit, Level, Limits};
use crate::wire::{self, Birth, Reply, Request};

/// How often limits are looked at, at the most often, milliseconds.
const WATCH: u16 = 100;
/// A look at level `process` reads of every process of the machine: it is followed by at least so many times its own
/// length without one, so that an idle service costs next to nothing on a busy machine. Never longer than [`SLOWEST`].
const REST: u64 = 50;
/// The longest time without a look, milliseconds: how late a limit may be kept at the worst.
const SLOWEST: u64 = 2000;

/// How often in a row a sandbox with too many processes is ended, until the next order is heard.
const LOOKS: usize = 200;

struct Init<'a> {
    socket: &'a OwnedFd,
    level: Level,
    limits: Limits,
    terms: Terms,
    running: BTreeMap<i32, u64>,
    /// Programs that ran while memory ran out.
    starved: Vec<u64>,
    /// When limits are looked at next, by the clock of [`monotonic`].
    look_at: u64,
}

/// Serves until the owner is gone. At level `process` everything below is killed then; else the kernel does it.
pub(super) fn run(birth: &Birth, socket: &OwnedFd) {
    let watched = birth.limits.memory_bytes.is_some() || birth.limits.processes.is_some();
    let mut init = Init {
        socket,
        level: birth.level,
        limits: birth.limits,
        terms: terms(birth),
        running: BTreeMap::new(),
        starved: Vec::new(),
        look_at: 0,
    };
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&child_ended), None);
    let Ok(ends) = SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK) else {
        return;
    };
    let timeout = if watched { PollTimeout::from(WATCH) } else { PollTimeout::NONE };
    loop {
        let mut ready =
            [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(ends.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Err(Errno::EINTR) => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        let [order, end] = ready.map(|ready| ready.any().unwrap_or(true));
        if end {
            while matches!(ends.read_signal(), Ok(Some(_))) {}
            init.reap();
        }
        if order && !init.obey() {
            break;
        }
        if watched {
            init.watch();
        }
    }
    if birth.level == Level::Process {
        init.end_all();
    }
}

/// Bounds that the kernel keeps for each program. `RLIMIT_AS` would count address space that is only reserved, which
/// Go, Java and JavaScript do by the gigabyte; `RLIMIT_DATA` counts memory that can be written. Twice the limit: the
/// watch, which sees real use of all programs together, should come first, since it can say what happened.
fn terms(birth: &Birth) -> Terms {
    let own_count = birth.level == Level::UserNamespaces;
    Terms {
        user: if birth.level == Level::Process { None } else { birth.user },
        groups: birth.groups.clone(),
        // The kernel counts processes by user: within a user namespace that is this sandbox, outside it is not.
        processes: birth
            .limits
            .processes
            .map(|limit| limit + 1 + if own_count { 0 } else { threads_of_this_user() }),
        data: birth.limits.memory_bytes.map(|limit| limit.saturating_mul(2)),
    }
}

fn threads_of_this_user() -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let user = nix::unistd::geteuid().as_raw();
    let own = |pid: i32| std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == user);
    tree::all().iter().filter(|entry| own(entry.pid)).map(|entry| entry.threads).sum()
}

impl Init<'_> {
    /// Takes one order. False: the owner is gone.
    fn obey(&mut self) -> bool {
        let Ok(Some((request, fds))) = wire::receive::<Request>(self.socket.as_fd()) else { return false };
        match request {
            Request::Birth(_) => {}
            Request::Exec(launch) => {
                let seq = launch.seq;
                let reply = match launch::start(&launch, fds, &self.terms) {
                    Ok(pid) => {
                        self.running.insert(pid.as_raw(), seq);
                        Reply::Started { seq, pid: pid.as_raw() as u32 }
                    }
                    Err(why) => Reply::NotStarted { seq, why },
                };
                wire::tell(self.socket, &reply);
            }
            Request::Signal { seq, signal } => {
                if let Some((pid, _)) = self.running.iter().find(|(_, running)| **running == seq)
                    && let Ok(signal) = Signal::try_from(signal)
                {
                    let _ = kill(Pid::from_raw(-pid), signal);
                }
            }
            Request::Usage => wire::tell(self.socket, &Reply::Usage(tree::usage(&Self::below(), spent()))),
            Request::Socket { seq, v6 } => network::hand_out(self.socket, seq, v6),
            Request::Listening { seq } => {
                wire::tell(self.socket, &Reply::Listening { seq, ports: network::listening() });
            }
        }
        true
    }

    fn reap(&mut self) {
        loop {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            let Some(seq) = self.running.remove(&pid.as_raw()) else { continue };
            let starved = self.starved.contains(&seq) && !exit.success();
            let exit = if starved { Exit::OutOfMemory } else { exit };
            wire::tell(self.socket, &Reply::Exited { seq, exit });
        }
    }

    fn below() -> Vec<tree::Entry> {
        tree::below(nix::unistd::getpid().as_raw(), &tree::all())
    }

    /// Keeps the limits that no control group keeps, unless that was looked at a moment ago.
    fn watch(&mut self) {
        let began = monotonic();
        if began < self.look_at {
            return;
        }
        self.look();
        let took = monotonic().saturating_sub(began);
        let pause = (took * REST / 1000).clamp(u64::from(WATCH), SLOWEST);
        self.look_at = began + pause * 1000;
    }

    fn look(&mut self) {
        let entries = Self::below();
        let now = tree::usage(&entries, 0);
        if self.limits.processes.is_some_and(|limit| now.processes > limit) {
            self.end_what_multiplies(entries);
        } else if self.limits.memory_bytes.is_some_and(|limit| now.memory_bytes > limit) {
            self.starved.extend(self.running.values());
            if let Some(largest) = entries.iter().max_by_key(|entry| entry.pages) {
                let _ = kill(Pid::from_raw(largest.pid), Signal::SIGKILL);
            }
        }
    }

    /// Ends everything, again and again: what multiplies has more children by the time that one look at it is over.
    fn end_what_multiplies(&mut self, mut entries: Vec<tree::Entry>) {
        for _ in 0..LOOKS {
            tree::kill_all(&entries);
            self.reap();
            entries = Self::below();
            if entries.is_empty() {
                return;
            }
        }
    }

    /// Level `process`: kills all descendants until there are none. Orphans come to this process, so none is missed.
    fn end_all(&self) {
        debug_assert_eq!(self.level, Level::Process);
        loop {
            tree::kill_all(&Self::below());
            loop {
                match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::StillAlive) => break,
                    Err(Errno::ECHILD) => return,
                    _ => {}
                }
            }
            let _ = poll(&mut [], PollTimeout::from(1_u16));
        }
    }
}

/// Microseconds of a clock that only goes forward.
fn monotonic() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1000)
}

/// Processor time of programs that have ended, nanoseconds.
fn spent() -> u64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| {
        let nanos =
            |time: nix::sys::time::TimeVal| (time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64) * 1000;
        nanos(usage.user_time()) + nanos(usage.system_time())
    })
}
