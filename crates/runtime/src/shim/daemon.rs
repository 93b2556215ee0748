//! The shim itself.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use windlass_kernel::{Clock as _, SystemClock};

use super::lines::Lines;
use super::log::{Log, Stream};
use super::{Answer, Ask, LOCK, Order, SOCKET, SPEC, STATUS, Status, write_whole};
use crate::RuntimeError;
use crate::kernel_calls;
use crate::linux::Linux;
use crate::port::{Output, Process, Sandbox};
use crate::scratch::lock;
use crate::spec::{Exec, Exit, Signal, Stdin};

/// The exit code that says: another shim holds the folder.
pub(super) const HELD: i32 = 3;
/// What a program has to end in when the shim itself is asked to (by the machine's shutdown).
const SHUTDOWN: Duration = Duration::from_secs(10);
/// How long output is still read after the program's end.
const DRAIN: Duration = Duration::from_secs(1);

/// The entry of a shim: call it for the hidden subcommand `shim DIR`, before any thread is started. Returns, as the
/// exit code, when a detached child holds `dir`; in that child, when the instance has ended.
pub fn shim_main(dir: &Path) -> u8 {
    match detach(dir) {
        Ok(Place::Starter(code)) => code,
        Ok(Place::Shim { tell, lock }) => {
            let code = u8::from(run(dir, tell).is_err());
            drop(lock);
            code
        }
        Err(error) => {
            eprintln!("windlass shim: {}: {error}", dir.display());
            1
        }
    }
}

enum Place {
    Starter(u8),
    Shim { tell: File, lock: File },
}

/// Takes the folder, and goes on in a child that has left the starter's session.
fn detach(dir: &Path) -> io::Result<Place> {
    kernel_calls::close_from(3);
    let Some(lock) = lock(&dir.join(LOCK))? else { return Ok(Place::Starter(HELD as u8)) };
    let (told, tell) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    if kernel_calls::fork()?.is_some() {
        drop((tell, lock));
        let ready = File::from(told).read(&mut [0]).unwrap_or(0) == 1;
        return Ok(Place::Starter(u8::from(!ready)));
    }
    drop(told);
    nix::unistd::setsid()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(Place::Shim { tell: tell.into(), lock })
}

fn run(dir: &Path, mut tell: File) -> io::Result<()> {
    std::env::set_current_dir(dir)?;
    let order: Order = serde_json::from_slice(&fs::read(SPEC)?)?;
    let status = |status: Status| write_whole(Path::new("."), STATUS, &status);
    status(Status::Starting { pid: std::process::id() })?;
    let _ = fs::remove_file(SOCKET);
    // Relative, since the whole path may be longer than a socket's address may be.
    let listener = std::os::unix::net::UnixListener::bind(SOCKET)?;
    listener.set_nonblocking(true)?;
    tell.write_all(&[1])?;
    drop(tell);
    let log = Rc::new(RefCell::new(Log::open(Path::new("."))?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let ended = local.block_on(&runtime, async {
        let keeper = Keeper { log: log.clone() };
        let listener = UnixListener::from_std(listener).map_err(|e| RuntimeError::io("listening", e))?;
        keeper.keep(order, listener).await
    });
    let at = SystemClock.now();
    let last = match &ended {
        Ok(exit) => status(Status::Exited { exit: *exit, at }),
        Err(error) => {
            let text = format!("windlass: the instance did not start: {error}");
            log.borrow_mut().line(at, Stream::Error, text.as_bytes());
            status(Status::Failed { at })
        }
    };
    let _ = fs::remove_file(SOCKET);
    last
}

struct Keeper {
    log: Rc<RefCell<Log>>,
}

impl Keeper {
    /// Runs the instance to its end.
    async fn keep(&self, order: Order, listener: UnixListener) -> Result<Exit, RuntimeError> {
        let instance = order.instance;
        let sandbox = Linux::start_one(&order.exe, instance.sandbox, order.level).await?;
        let exec = Exec {
            argv: instance.argv,
            env: instance.env,
            cwd: instance.cwd,
            stdin: Stdin::Null,
            merge_output: false,
        };
        let process = match sandbox.exec(exec).await {
            Ok(process) => process,
            Err(error) => {
                let _ = sandbox.kill().await;
                return Err(error);
            }
        };
        let running = Status::Running { pid: std::process::id(), started_at: SystemClock.now() };
        let noted = write_whole(Path::new("."), STATUS, &running);
        noted.map_err(|error| RuntimeError::io("writing the instance's status", error))?;
        self.attend(&sandbox, process, listener).await
    }

    async fn attend(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        process: Process,
        listener: UnixListener,
    ) -> Result<Exit, RuntimeError> {
        let Process { stdout, stderr, control } = process;
        let reading = [(stdout, Stream::Out), (stderr, Stream::Error)]
            .map(|(output, stream)| tokio::task::spawn_local(copy(output, stream, self.log.clone())));
        let (stop, mut stops) = watch::channel(None::<Duration>);
        let (tell_exit, exits) = watch::channel(None::<Exit>);
        let mut terminated = signal(SignalKind::terminate())
            .map_err(|error| RuntimeError::io("listening to signals", error))?;
        let mut killing = None;
        let mut answering = Vec::new();
        let exit = loop {
            let patience = async {
                match killing {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                exit = control.wait() => break exit?,
                () = patience => {
                    let _ = sandbox.kill().await;
                    killing = None;
                }
                Ok((stream, _)) = listener.accept() => {
                    let answer = answer(stream, sandbox.clone(), stop.clone(), exits.clone());
                    answering.push(tokio::task::spawn_local(answer));
                    answering.retain(|task| !task.is_finished());
                }
                _ = terminated.recv() => { stop.send_replace(Some(SHUTDOWN)); }
                Ok(()) = stops.changed() => {
                    let grace = *stops.borrow_and_update();
                    let until = grace.map(|grace| tokio::time::Instant::now() + grace);
                    killing = [killing, until].into_iter().flatten().min();
                    let _ = control.signal(Signal::TERMINATE).await;
                }
            }
        };
        let [out, error] = reading;
        let _ = tokio::time::timeout(DRAIN, async { tokio::join!(out, error) }).await;
        sandbox.kill().await?;
        tell_exit.send_replace(Some(exit));
        for task in answering {
            let _ = tokio::time::timeout(DRAIN, task).await;
        }
        Ok(exit)
    }
}

/// Output into the log, line by line.
async fn copy(mut output: Output, stream: Stream, log: Rc<RefCell<Log>>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut lines = Lines::default();
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        let at = SystemClock.now();
        lines.take(&buffer[..length], |line| log.borrow_mut().line(at, stream, line));
    }
    lines.end(|line| log.borrow_mut().line(SystemClock.now(), stream, line));
}

/// Answers one question on the socket.
async fn answer(
    mut stream: UnixStream,
    sandbox: Arc<dyn Sandbox>,
    stop: watch::Sender<Option<Duration>>,
    mut exits: watch::Receiver<Option<Exit>>,
) -> Option<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    BufReader::new(read.take(4096)).read_line(&mut line).await.ok()?;
    let answer = match serde_json::from_str(&line).ok()? {
        Ask::Usage => Answer::Usage(sandbox.usage().await.ok()?),
        Ask::Stop { grace_ms } => {
            stop.send_replace(Some(Duration::from_millis(grace_ms)));
            let exit = exits.wait_for(Option::is_some).await.ok()?;
            Answer::Stopped((*exit)?)
        }
    };
    write.write_all(&serde_json::to_vec(&answer).ok()?).await.ok()?;
    write.shutdown().await.ok()
}
