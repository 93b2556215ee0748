//! Progress for programs: one JSON object a line, in the form of BuildKit's `SolveStatus`.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use windlass_build::{Event, Progress, Vertex};
use windlass_kernel::{Clock, Digest};

/// Writes events to standard error.
pub(super) struct Raw {
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<Vertex, (String, String)>>,
}

impl Raw {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    fn line(&self, event: Event) -> Value {
        let now = self.clock.now().to_string();
        let digest = |vertex: Vertex| Digest::sha256(format!("vertex {}", vertex.0).as_bytes()).to_string();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { vertex, name } => {
                known.insert(vertex, (name.clone(), now.clone()));
                json!({ "vertexes": [{ "digest": digest(vertex), "name": name, "started": now }] })
            }
            Event::Cached { vertex, name } => json!({ "vertexes": [{
                "digest": digest(vertex), "name": name, "started": now, "completed": now, "cached": true,
            }] }),
            Event::Line { vertex, text, .. } => json!({ "logs": [{
                "vertex": digest(vertex), "stream": 1, "data": STANDARD.encode(text + "\n"), "timestamp": now,
            }] }),
            Event::Done { vertex, .. } => {
                let (name, started) = known.remove(&vertex).unwrap_or_default();
                json!({ "vertexes": [{
                    "digest": digest(vertex), "name": name, "started": started, "completed": now,
                }] })
            }
            Event::Failed { vertex, message, .. } => {
                let (name, started) = known.remove(&vertex).unwrap_or_default();
                json!({ "vertexes": [{
                    "digest": digest(vertex), "name": name, "started": started, "completed": now, "error": message,
                }] })
            }
            Event::Warning { message } => json!({ "warnings": [{ "short": STANDARD.encode(message) }] }),
        }
    }
}

impl Progress for Raw {
    fn event(&self, event: Event) {
        let line = self.line(event);
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
