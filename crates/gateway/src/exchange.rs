//! One request being answered, and the bodies that pass through: what they tell of progress, and what ends with them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use crate::access::Entry;
use crate::backend::{Backend, Place};
use crate::forward;
use crate::proxy::{Proxy, Service};

/// What is being answered: dropped when the last byte has gone (or the client has).
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) began: Instant,
    pub(crate) service: Option<Arc<Service>>,
    pub(crate) entry: Entry,
    pub(crate) place: Option<Place>,
}

/// What a request carries on its way to an instance.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// Nothing.
    Nothing,
    /// What the client sends.
    Client(Incoming, Arc<Progress>),
}

/// How far a request's body has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    frames: AtomicU64,
    wanting: AtomicBool,
    broken: AtomicBool,
}

/// What a response carries; holds the exchange open until its end.
pub(crate) struct ResponseBody {
    content: Content,
    exchange: Exchange,
}

/// Where a response's bytes come from.
pub(crate) enum Content {
    /// The gateway itself; taken when sent.
    Own(Bytes),
    /// An instance. When the body has gone whole, its connection serves the next request.
    Passing { body: Incoming, connection: Option<(SendRequest<RequestBody>, Arc<Backend>)> },
}

impl Progress {
    /// Waits for an answer that must begin within `limit`. The time does not run while it is the client that we
    /// wait for, and begins anew with every piece of the body: a long upload is no slow instance.
    pub(crate) async fn within<T>(
        progress: Option<&Self>,
        limit: Duration,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        let frames = || progress.map_or(0, |p| p.frames.load(Ordering::Relaxed));
        loop {
            let before = frames();
            match tokio::time::timeout(limit, answer.as_mut()).await {
                Ok(answer) => return Some(answer),
                Err(_)
                    if progress.is_some_and(|p| p.wanting.load(Ordering::Relaxed)) || frames() != before => {}
                Err(_) => return None,
            }
        }
    }

    /// Whether the client's body broke off or was malformed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Client(body, progress) = self.get_mut() else { return Poll::Ready(None) };
        let mut polled = Pin::new(body).poll_frame(cx);
        progress.wanting.store(polled.is_pending(), Ordering::Relaxed);
        match &mut polled {
            Poll::Pending => {}
            Poll::Ready(Some(Err(_))) => progress.broken.store(true, Ordering::Relaxed),
            Poll::Ready(frame) => {
                progress.frames.fetch_add(1, Ordering::Relaxed);
                if let Some(Ok(frame)) = frame
                    && let Some(trailers) = frame.trailers_mut()
                {
                    forward::strip_origin(trailers);
                    forward::strip_hop_by_hop(trailers);
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Client(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Client(body, _) => body.size_hint(),
        }
    }
}

impl Content {
    fn is_end(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Passing { body, .. } => body.is_end_stream(),
        }
    }

    fn give_back(&mut self) {
        if let Self::Passing { connection, .. } = self
            && let Some((sender, backend)) = connection.take()
        {
            backend.keep(sender);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = match &mut this.content {
            Content::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Passing { body, .. } => Pin::new(body).poll_frame(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.exchange.entry.bytes += frame.data_ref().map_or(0, |d| d.len() as u64);
            }
            Poll::Ready(Some(Err(e))) => {
                this.exchange.entry.broken = true;
                tracing::warn!(instance = this.exchange.entry.instance, error = %e, "an answer broke off");
            }
            _ => {}
        }
        if matches!(polled, Poll::Ready(None)) || this.content.is_end() {
            this.content.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Passing { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // A body that is empty from the start is never polled.
        if self.is_end() {
            self.give_back();
        }
    }
}

impl Exchange {
    /// Keeps the exchange open until the answer's last byte.
    pub(crate) fn follow(mut self, response: Response<Content>, id: HeaderValue) -> Response<ResponseBody> {
        self.entry.status = response.status().as_u16();
        let (mut parts, content) = response.into_parts();
        parts.headers.entry(forward::REQUEST_ID).or_insert(id);
        if self.proxy.is_closing() && parts.status != StatusCode::SWITCHING_PROTOCOLS {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Response::from_parts(parts, ResponseBody { content, exchange: self })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.proxy.metrics.ended(self.service.as_ref().map(|s| &s.figures), self.entry.status, took);
        self.entry.duration_ms = took.as_secs_f64() * 1000.0;
        self.entry.service = self.service.as_ref().map(|s| s.name.clone()).unwrap_or_default();
        self.proxy.access.write(&mut self.entry);
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
