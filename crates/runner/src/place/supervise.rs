//! One program from its start to its end: its output as it comes, and the signals that ask it, then force it, to end.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep_until};
use windlass_runtime::{Exit, Output, Process, Signal};

use crate::stop::{Stop, StopSwitch};

/// How long an interrupted program has before the next signal (workflow contract, section 9).
const AFTER_INTERRUPT: Duration = Duration::from_millis(7500);
const AFTER_TERMINATE: Duration = Duration::from_millis(2500);
/// How long its output may stay open once it has ended, or was killed.
const LINGER: Duration = Duration::from_secs(5);

/// Why a step ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The job was cancelled.
    Cancelled,
    /// The step's time is over.
    TimedOut,
    /// The job's time is over for good, or it is not ours any more.
    Forced,
}

/// How long a step is waited for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    /// The job's switch.
    pub(crate) switch: StopSwitch,
    /// Whether the step goes on although the job is cancelled.
    pub(crate) survives_cancel: bool,
    /// The end of its time.
    pub(crate) deadline: Option<Instant>,
    /// The step's own switch: another step may cancel it.
    pub(crate) own: StopSwitch,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself.
    Exit(Exit),
    /// It was made to.
    Interrupted(Interruption),
}

/// A program that has run.
pub(crate) struct Run {
    /// How it ended.
    pub(crate) ended: Ended,
    /// Its output, where something that it left in the background still writes.
    pub(crate) leftover: Option<Output>,
}

impl Patience {
    /// Waits until the step is to end.
    pub(crate) async fn interruption(&self) -> Interruption {
        let stop = self.switch.until(|stop| stop.is_final() || (stop.is_stop() && !self.survives_cancel));
        let deadline = async {
            match self.deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            stop = stop => if stop.is_final() { Interruption::Forced } else { Interruption::Cancelled },
            () = deadline => Interruption::TimedOut,
            _ = self.own.until(Stop::is_stop) => Interruption::Cancelled,
        }
    }
}

/// The signals still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Interrupted,
    Terminated,
    Killed,
}

pub(super) async fn supervise(
    process: Process,
    patience: &Patience,
    sink: &mut (dyn FnMut(&[u8]) + Send),
) -> Run {
    let Process { mut stdout, control, .. } = process;
    let mut buffer = vec![0; 64 << 10];
    let (mut open, mut exit, mut why) = (true, None, None);
    let (mut stage, mut next) = (Stage::Running, None::<Instant>);
    while open || exit.is_none() {
        tokio::select! {
            read = stdout.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(n) => sink(&buffer[..n]),
            },
            ended = control.wait(), if exit.is_none() => {
                exit = Some(ended.unwrap_or(Exit::Signal(9)));
                next = Some(Instant::now() + LINGER);
            }
            interruption = patience.interruption(), if why.is_none() && exit.is_none() => {
                why = Some(interruption);
                let first = if interruption == Interruption::Forced { Signal::KILL } else { Signal::INTERRUPT };
                let _ = control.signal(first).await;
                stage = if first == Signal::KILL { Stage::Killed } else { Stage::Interrupted };
                next = Some(Instant::now() + if first == Signal::KILL { LINGER } else { AFTER_INTERRUPT });
            }
            // The time for an orderly end may itself come to an end.
            _ = patience.switch.until(Stop::is_final), if why.is_some() && stage != Stage::Killed && exit.is_none() => {
                let _ = control.signal(Signal::KILL).await;
                stage = Stage::Killed;
                next = Some(Instant::now() + LINGER);
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                if exit.is_some() || stage == Stage::Killed {
                    break;
                }
                let (signal, after, then) = match stage {
                    Stage::Interrupted => (Signal::TERMINATE, Stage::Terminated, AFTER_TERMINATE),
                    _ => (Signal::KILL, Stage::Killed, LINGER),
                };
                let _ = control.signal(signal).await;
                stage = after;
                next = Some(Instant::now() + then);
            }
        }
    }
    let ended = match (why, exit) {
        (Some(why), _) => Ended::Interrupted(why),
        (None, Some(exit)) => Ended::Exit(exit),
        (None, None) => Ended::Exit(Exit::Signal(9)),
    };
    Run { ended, leftover: open.then_some(stdout) }
}
