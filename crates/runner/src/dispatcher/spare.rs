//! One unit that waits, process and sandbox, for the next job: a job then begins at once. It is replaced when it was
//! taken, and when it has waited long: the machine around it may have changed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::sync::Notify;
use tokio::time::Instant;
use windlass_api::runner::Assignment;
use windlass_kernel::{Entropy as _, OsEntropy};

use super::{Dispatcher, LOOK, discard};
use crate::folder::{JobFolder, WAITING, private};
use crate::unit::{GO, READY};

/// How long a spare unit may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits for a job before a new one takes its place.
const FRESH: Duration = Duration::from_mins(5);

/// Where the spare unit is kept.
#[derive(Default)]
pub(super) struct Place {
    state: Mutex<State>,
    /// Told when a unit that was being started is here, or will not come.
    arrived: Notify,
    serial: AtomicU64,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    /// One is being started.
    Coming,
    Here(Box<Spare>),
    /// None is wanted any more.
    Closed,
}

struct Spare {
    folder: JobFolder,
    child: Child,
    word: pipe::Sender,
    since: Instant,
}

impl Place {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The unit that waits; the one that is being started, if that is so.
    async fn next(&self) -> Option<Box<Spare>> {
        loop {
            let mut arrived = pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if let Some(spare) = self.take() {
                return Some(spare);
            }
            if !matches!(*self.state(), State::Coming) {
                return None;
            }
            arrived.await;
        }
    }

    fn take(&self) -> Option<Box<Spare>> {
        let mut state = self.state();
        match std::mem::take(&mut *state) {
            State::Here(spare) => Some(spare),
            other => {
                *state = other;
                None
            }
        }
    }
}

impl Dispatcher {
    /// Lets the unit that waits go: no more jobs are handed out.
    pub(super) fn dismiss_spare(&self) {
        *self.spare.state() = State::Closed;
        self.spare.arrived.notify_waiters();
    }

    /// Gives the job to the unit that waits, if one does, or is about to: it was begun earlier than another would be.
    pub(super) async fn hand_to_spare(&self, assignment: &Assignment) -> Option<(JobFolder, Child)> {
        let Spare { folder, mut child, mut word, .. } = *self.spare.next().await?;
        let given = match child.try_wait() {
            Ok(None) => tell(&folder, &mut word, assignment).await,
            Ok(Some(status)) => Err(io::Error::other(format!("it has ended: {status}"))),
            Err(e) => Err(e),
        };
        match given {
            // That nothing more comes is the job's end for who reads it.
            Ok(()) => Some((folder, child)),
            Err(e) => {
                tracing::warn!(error = %e, "the waiting unit cannot take a job; a new one is started for it");
                drop(word);
                tokio::spawn(async move {
                    let _ = child.wait().await;
                    discard(&folder);
                });
                None
            }
        }
    }

    /// Sees to it that a unit waits for the next job.
    pub(super) fn keep_spare(self: &Arc<Self>) {
        {
            let mut state = self.spare.state();
            if !matches!(*state, State::Empty) {
                return;
            }
            *state = State::Coming;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let found = match this.start_spare().await {
                Ok(spare) => State::Here(Box::new(spare)),
                Err(e) => {
                    // Each job then starts a unit of its own, and says what is wrong.
                    tracing::warn!(error = %e, "no unit waits for the next job");
                    State::Empty
                }
            };
            let waits = matches!(found, State::Here(_));
            let closed = {
                let mut state = this.spare.state();
                let closed = matches!(*state, State::Closed);
                if !closed {
                    *state = found;
                }
                closed
            };
            this.spare.arrived.notify_waiters();
            if waits && !closed {
                this.renew().await;
            }
        });
    }

    /// Replaces the spare once it is no longer fresh; ends when somebody else has taken it.
    async fn renew(self: Arc<Self>) {
        let serial = self.spare.serial.load(Ordering::Relaxed);
        tokio::select! {
            () = tokio::time::sleep(FRESH) => {}
            () = self.config.shutdown.cancelled() => return,
        }
        if self.spare.serial.load(Ordering::Relaxed) != serial {
            return;
        }
        let Some(spare) = self.spare.take() else { return };
        let Spare { folder, mut child, word, since } = *spare;
        tracing::debug!(waited = ?since.elapsed(), "the waiting unit gives way to a new one");
        drop(word);
        self.keep_spare();
        let _ = child.wait().await;
        discard(&folder);
    }

    async fn start_spare(&self) -> io::Result<Spare> {
        self.spare.serial.fetch_add(1, Ordering::Relaxed);
        // Its sandbox bears this name, and other runners of the machine have sandboxes as well.
        let mut tag = [0u8; 8];
        OsEntropy.fill(&mut tag);
        let name = format!("{WAITING}{:016x}", u64::from_be_bytes(tag));
        let folder = JobFolder::at(&self.jobs.join(name));
        folder.remove()?;
        folder.create()?;
        folder.write_settings(&self.unit_settings(true))?;
        let log: File = private(&folder.unit_log())?;
        let (go, word) = io::pipe()?;
        let word = pipe::Sender::from_owned_fd(word.into())?;
        let (answer, ready) = io::pipe()?;
        let mut child = tokio::process::Command::new(&self.config.exe)
            .arg("job")
            .arg(folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::from(OwnedFd::from(go)))
            .stdout(Stdio::from(OwnedFd::from(ready)))
            .stderr(Stdio::from(log))
            .kill_on_drop(false)
            .spawn()?;
        let mut answer = pipe::Receiver::from_owned_fd(answer.into())?;
        let mut said = Vec::new();
        let listening = async {
            while said.len() < READY.len() && answer.read_buf(&mut said).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        let heard = tokio::time::timeout(PATIENCE, listening).await;
        if said == READY {
            return Ok(Spare { folder, child, word, since: Instant::now() });
        }
        drop(word);
        let why = match heard {
            Ok(_) => super::last_words(&folder.unit_log()),
            Err(_) => format!("it was not ready within {} s", PATIENCE.as_secs()),
        };
        tokio::spawn(async move {
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
            discard(&folder);
        });
        Err(io::Error::other(why))
    }
}

/// Gives a job to a unit that waits. One that does not read is no good.
async fn tell(folder: &JobFolder, word: &mut pipe::Sender, assignment: &Assignment) -> io::Result<()> {
    folder.hand(assignment)?;
    let mut text = GO.to_vec();
    serde_json::to_writer(&mut text, assignment).map_err(io::Error::other)?;
    let written = tokio::time::timeout(PATIENCE, word.write_all(&text)).await;
    written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// The folder of a unit that never got a job, from an earlier dispatcher: it goes when the unit has gone.
pub(super) fn forget(folder: JobFolder) {
    tokio::spawn(async move {
        while folder.is_held() {
            tokio::time::sleep(LOOK).await;
        }
        match folder.hand_out() {
            Some(_) => {
                tracing::warn!(folder = %folder.path().display(), "a unit got a job while it was given up");
            }
            None => discard(&folder),
        }
    });
}
