//! A client's connection with a guard in front: the HTTP library reads only bytes whose framing was found sound.
//!
//! A refused head is replaced by one of our own, so that the refusal comes in its turn, after the answers to the
//! requests before it, and is written by the same code as every other answer; nothing after it is read. Here are
//! also the times within which bytes must come and go.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::admission::{Limits, Permit};
use crate::framing::{Fault, Scanner, Step};

/// The method of the request that stands for a refused one. A client may send it too: it is told that this is no
/// request.
pub(crate) const REFUSED: &str = "REFUSED";
const STAND_IN: &[u8] = b"REFUSED / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// Bytes read at a time.
const READ: usize = 16 << 10;
/// How long, and for how many bytes, a client may go on sending what nobody reads.
const LINGER: (Duration, u64) = (Duration::from_secs(1), 4 << 20);

/// What the two ends of one connection's handling tell each other.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    fault: OnceLock<Fault>,
    /// Of a request that may change the protocol.
    answer: AtomicU8,
}

const OPEN: u8 = 0;
const STAYED: u8 = 1;
const CHANGED: u8 = 2;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Always there until dropped.
    stream: Option<TcpStream>,
    wire: Arc<Wire>,
    limits: Arc<Limits>,
    permit: Option<Permit>,
    scanner: Scanner,
    held: BytesMut,
    /// How many bytes at the front of `held` may be read.
    sound: usize,
    mode: Mode,
    reading: Timer,
    writing: Timer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Requests,
    /// The stand-in was given; nothing comes after.
    Refused,
    /// A tunnel: bytes without meaning to us.
    Tunnel,
    /// The client has ended its side.
    Ended,
}

/// A deadline that is armed while one waits.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Wire {
    /// Why the connection's last request was refused.
    pub(crate) fn fault(&self) -> Fault {
        self.fault.get().copied().unwrap_or(Fault::RequestLine)
    }

    /// The answer to a request that may change the protocol: whether it did.
    pub(crate) fn settle(&self, changed: bool) {
        self.answer.store(if changed { CHANGED } else { STAYED }, Ordering::Release);
    }
}

impl Timer {
    /// Whether the time is over; it runs from the first call since [`Self::stop`].
    fn is_over(&mut self, limit: Duration, cx: &mut Context<'_>) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        sleep.as_mut().poll(cx).is_ready()
    }

    fn stop(&mut self) {
        self.0 = None;
    }
}

impl Gate {
    pub(crate) fn new(stream: TcpStream, wire: Arc<Wire>, limits: Arc<Limits>, permit: Permit) -> Self {
        Self {
            stream: Some(stream),
            wire,
            limits,
            permit: Some(permit),
            scanner: Scanner::default(),
            held: BytesMut::new(),
            sound: 0,
            mode: Mode::Requests,
            reading: Timer::default(),
            writing: Timer::default(),
        }
    }

    fn stream(&mut self) -> Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Judges what is held.
    fn judge(&mut self) -> Result<()> {
        if self.scanner.is_undecided() {
            match self.wire.answer.swap(OPEN, Ordering::AcqRel) {
                STAYED => self.scanner.settle(),
                CHANGED => {
                    (self.mode, self.sound) = (Mode::Tunnel, self.held.len());
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
        loop {
            match self.scanner.step(&self.held[self.sound..]) {
                Step::More => return Ok(()),
                Step::Pass(n) => {
                    self.sound += n;
                    self.reading.stop();
                }
                Step::Skip(n) if self.sound == 0 => self.held.advance(n),
                // What goes before it is read first.
                Step::Skip(_) => return Ok(()),
                Step::Refuse(fault) => {
                    self.refuse(fault);
                    return Ok(());
                }
                Step::Broken(why) => return Err(Error::new(ErrorKind::InvalidData, why)),
            }
        }
    }

    /// Puts the stand-in after what was found sound.
    fn refuse(&mut self, fault: Fault) {
        let _ = self.wire.fault.set(fault);
        self.held.truncate(self.sound);
        self.held.extend_from_slice(STAND_IN);
        self.sound = self.held.len();
        self.mode = Mode::Refused;
    }

    /// Gives what is sound. False if there is none.
    fn give(&mut self, out: &mut ReadBuf<'_>) -> bool {
        let n = self.sound.min(out.remaining());
        out.put_slice(&self.held[..n]);
        self.held.advance(n);
        self.sound -= n;
        n > 0
    }

    /// Nothing has come: whether that has lasted too long.
    fn waited(&mut self, cx: &mut Context<'_>) -> Result<()> {
        // An idle connection holds no memory.
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
        let in_head = self.scanner.is_between();
        if self.scanner.is_undecided() || (in_head && self.held.is_empty()) {
            // Between requests the HTTP library keeps the time.
            self.reading.stop();
        } else if in_head {
            if self.reading.is_over(self.limits.head, cx) {
                self.refuse(Fault::Slow);
            }
        } else if self.reading.is_over(self.limits.stall, cx) {
            return Err(Error::new(ErrorKind::TimedOut, "the client stopped sending"));
        }
        Ok(())
    }
}

impl AsyncRead for Gate {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        loop {
            if this.sound == 0 && this.mode == Mode::Requests {
                this.judge()?;
            }
            if this.sound > 0 && this.give(out) {
                return Poll::Ready(Ok(()));
            }
            match this.mode {
                // Not an end: the answer is still to be written. Nothing wakes this again.
                Mode::Refused => return Poll::Pending,
                Mode::Ended => return Poll::Ready(Ok(())),
                Mode::Tunnel => return this.stream()?.poll_read(cx, out),
                Mode::Requests => {}
            }
            if this.scanner.is_undecided() && this.held.len() >= READ {
                return Poll::Pending;
            }
            this.held.reserve(READ);
            let mut chunk = std::mem::take(&mut this.held);
            let polled = {
                let stream = this.stream()?.get_mut();
                let reading = std::pin::pin!(stream.read_buf(&mut chunk));
                reading.poll(cx)
            };
            this.held = chunk;
            match polled {
                Poll::Ready(read) => {
                    if read? == 0 {
                        this.mode = Mode::Ended;
                    }
                }
                Poll::Pending => {
                    this.waited(cx)?;
                    if this.sound == 0 {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl Gate {
    fn wrote<T>(&mut self, polled: Poll<Result<T>>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        if polled.is_ready() {
            self.writing.stop();
        } else if self.writing.is_over(self.limits.stall, cx) {
            return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client stopped reading")));
        }
        polled
    }
}

impl AsyncWrite for Gate {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let polled = this.stream()?.poll_write(cx, bytes);
        this.wrote(polled, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let polled = this.stream()?.poll_write_vectored(cx, slices);
        this.wrote(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.get_mut().stream()?.poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Gate {
    /// Closing a socket with unread bytes resets the connection, and the client may lose the answer that is on its
    /// way: so what it still sends is read and thrown away for a moment.
    fn drop(&mut self) {
        let unread = self.mode == Mode::Refused || (self.mode == Mode::Requests && !self.is_quiet());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if unread && let Some(stream) = self.stream.take() {
            let permit = self.permit.take();
            runtime.spawn(async move {
                let mut rest = stream.take(LINGER.1);
                let _ =
                    tokio::time::timeout(LINGER.0, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
                drop(permit);
            });
        }
    }
}

impl Gate {
    /// Whether no request is half read.
    fn is_quiet(&self) -> bool {
        self.scanner.is_between() && self.held.is_empty()
    }
}
