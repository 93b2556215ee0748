//! What every request has: an id, security headers, its place in the metrics, a line in the log.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use crate::event;
use crate::metrics::{self, Metrics};

const REQUEST_ID: &str = "x-request-id";

/// Nothing here is a page, may be framed, sniffed or kept.
const HEADERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

pub(crate) async fn observe(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = given_id(request.headers()).unwrap_or_else(new_id);
    let verb = metrics::method(request.method().as_str());
    // The template, never the raw path: that would be a series, and a line, of each client's own making.
    let endpoint =
        request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let mut response = next.run(request).await;
    let took = began.elapsed();
    let status = response.status().as_u16();
    metrics.record(verb, &endpoint, status, took);
    let level = if status < 500 { "info" } else { "error" };
    let millis = (took.as_secs_f64() * 1e6).round() / 1e3;
    let fields = json!({ "request_id": id, "method": verb, "endpoint": endpoint, "status": status, "duration_ms": millis });
    event(level, "request", fields);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// The client's id, or its proxy's, if it is one that can be written into a log.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    ((1..=128).contains(&id.len()) && id.bytes().all(good)).then(|| id.to_owned())
}

/// An id that no other request has: a count, hashed with a process's own random keys.
fn new_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let keys = RandomState::new();
    format!("{:016x}{:016x}", keys.hash_one(count), keys.hash_one(!count))
}
