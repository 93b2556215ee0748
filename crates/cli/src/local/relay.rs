//! This terminal shows another one: what is typed goes there, what is written there comes here.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// A relay under way. Nobody else may read what is typed meanwhile.
pub(super) struct Relay {
    /// When it is dropped, the relay shows what is left and ends.
    going: OwnedFd,
    thread: JoinHandle<()>,
    before: Termios,
}

impl Relay {
    /// Begins to relay to the terminal whose master side this is.
    pub(super) fn start(master: OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        // What is typed is for the other terminal to make sense of, interrupts included.
        cfmakeraw(&mut raw);
        let (until, going) = nix::unistd::pipe()?;
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        let thread = std::thread::spawn(move || pass(&master, &until));
        Ok(Self { going, thread, before })
    }

    /// Ends it, and gives this terminal its manners back.
    pub(super) fn end(self) {
        drop(self.going);
        let _ = self.thread.join();
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Passes on until the other terminal is closed, or until there is nothing more to show after `until` has ended.
fn pass(master: &OwnedFd, until: &OwnedFd) {
    let (input, mut typing, mut over) = (io::stdin(), true, false);
    loop {
        let watched = PollFlags::POLLIN;
        let mut ends = vec![PollFd::new(master.as_fd(), watched)];
        if !over {
            ends.push(PollFd::new(until.as_fd(), watched));
        }
        if typing && !over {
            ends.push(PollFd::new(input.as_fd(), watched));
        }
        let patience = if over { PollTimeout::ZERO } else { PollTimeout::NONE };
        match poll(&mut ends, patience) {
            Err(Errno::EINTR) => continue,
            Err(_) | Ok(0) => return,
            Ok(_) => {}
        }
        let ready: Vec<bool> =
            ends.iter().map(|end| end.revents().is_some_and(|found| !found.is_empty())).collect();
        if ready[0] && show(master).is_err() {
            return;
        }
        if ready.get(2).copied().unwrap_or_default() {
            typing = type_in(master).is_ok();
        }
        over |= ready.get(1).copied().unwrap_or_default();
    }
}

/// Shows what was written at the other terminal. Its end is an error.
fn show(master: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let read = nix::unistd::read(master, &mut buffer)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut out = io::stdout().lock();
    out.write_all(&buffer[..read])?;
    out.flush()
}

/// Hands on what was typed.
fn type_in(master: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let read = nix::unistd::read(io::stdin(), &mut buffer)?;
    let mut rest = &buffer[..read];
    if rest.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    while !rest.is_empty() {
        let written = nix::unistd::write(master, rest)?;
        rest = &rest[written..];
    }
    Ok(())
}
