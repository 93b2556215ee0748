//! What is heard of a build while it runs.

mod plain;
mod secrets;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use plain::Plain;
pub(crate) use secrets::Secrets;

/// One thing that a build does, by its number: `#3` in plain progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vertex(pub u32);

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Work at something began.
    Started {
        /// Which.
        vertex: Vertex,
        /// What: `[build 2/5] RUN make`.
        name: String,
    },
    /// It had been done before.
    Cached {
        /// Which.
        vertex: Vertex,
        /// What.
        name: String,
    },
    /// A line was written; secrets are masked.
    Line {
        /// By which.
        vertex: Vertex,
        /// Seconds since it began.
        at: Duration,
        /// The line, without its end.
        text: String,
    },
    /// It is done.
    Done {
        /// Which.
        vertex: Vertex,
        /// How long it took.
        took: Duration,
    },
    /// It failed.
    Failed {
        /// Which.
        vertex: Vertex,
        /// How long it took.
        took: Duration,
        /// Why, in one line or few.
        message: String,
    },
    /// Something that is not wrong, but should be known: what a lint found, say.
    Warning {
        /// What.
        message: String,
    },
}

/// Hears of a build. Calls come from many threads, one after the other.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: Event) {}
}

/// Hands events on one by one, and numbers what happens.
#[derive(Clone)]
pub(crate) struct Reporter {
    sink: Arc<Mutex<Arc<dyn Progress>>>,
    next: Arc<AtomicU32>,
    secrets: Arc<Secrets>,
}

/// Something under way.
#[derive(Clone)]
pub(crate) struct Doing {
    reporter: Reporter,
    vertex: Vertex,
    began: tokio::time::Instant,
}

impl Reporter {
    pub(crate) fn new(sink: Arc<dyn Progress>, secrets: Secrets) -> Self {
        let (sink, next) = (Arc::new(Mutex::new(sink)), Arc::new(AtomicU32::new(1)));
        Self { sink, next, secrets: Arc::new(secrets) }
    }

    fn send(&self, event: Event) {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }

    fn vertex(&self) -> Vertex {
        Vertex(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    pub(crate) fn start(&self, name: impl Into<String>) -> Doing {
        let (vertex, name) = (self.vertex(), self.secrets.mask(&name.into()));
        self.send(Event::Started { vertex, name });
        Doing { reporter: self.clone(), vertex, began: tokio::time::Instant::now() }
    }

    pub(crate) fn cached(&self, name: &str) {
        let name = self.secrets.mask(name);
        self.send(Event::Cached { vertex: self.vertex(), name });
    }

    pub(crate) fn warn(&self, message: impl Into<String>) {
        self.send(Event::Warning { message: message.into() });
    }
}

impl Doing {
    /// A line, masked already.
    pub(crate) fn line(&self, text: String) {
        self.reporter.send(Event::Line { vertex: self.vertex, at: self.began.elapsed(), text });
    }

    pub(crate) fn done(self) {
        self.reporter.send(Event::Done { vertex: self.vertex, took: self.began.elapsed() });
    }

    pub(crate) fn failed(self, message: &str) {
        let message = self.reporter.secrets.mask(message);
        self.reporter.send(Event::Failed { vertex: self.vertex, took: self.began.elapsed(), message });
    }

    /// Tells how it ended.
    pub(crate) fn end<T, E: std::fmt::Display>(self, outcome: &Result<T, E>) {
        match outcome {
            Ok(_) => self.done(),
            Err(error) => self.failed(error.to_string().lines().last().unwrap_or_default()),
        }
    }
}
