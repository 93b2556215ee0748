//! Metrics in Prometheus' text format (version 0.0.4). Labels come from fixed sets, so that no client can make
//! the number of series grow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The content type of what [`Metrics::render`] writes.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the duration's buckets, in seconds.
const BUCKETS: [(&str, f64); 11] = [
    ("0.005", 0.005),
    ("0.01", 0.01),
    ("0.025", 0.025),
    ("0.05", 0.05),
    ("0.1", 0.1),
    ("0.25", 0.25),
    ("0.5", 0.5),
    ("1", 1.0),
    ("2.5", 2.5),
    ("5", 5.0),
    ("10", 10.0),
];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// What was counted so far.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(&'static str, String, u16), u64>,
    durations: BTreeMap<(&'static str, String), Durations>,
}

#[derive(Debug, Default)]
struct Durations {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

/// The method as a label; any that is not HTTP's own is `other`.
pub(crate) fn method(name: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == name).unwrap_or("other")
}

impl Metrics {
    /// Counts a request. `endpoint` is a route's template.
    pub(crate) fn record(&self, method: &'static str, endpoint: &str, status: u16, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry((method, endpoint.to_owned(), status)).or_default() += 1;
        let durations = counts.durations.entry((method, endpoint.to_owned())).or_default();
        let seconds = took.as_secs_f64();
        durations.count += 1;
        durations.seconds += seconds;
        for (bucket, (_, bound)) in durations.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    /// All of it as text.
    pub(crate) fn render(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text =
            String::from("# HELP api_requests_total Requests answered.\n# TYPE api_requests_total counter\n");
        for ((method, endpoint, status), count) in &counts.requests {
            let labels = format!(r#"method="{method}",endpoint="{endpoint}",status="{status}""#);
            let _ = writeln!(text, "api_requests_total{{{labels}}} {count}");
        }
        text.push_str("# HELP api_request_duration_seconds How long answers took.\n");
        text.push_str("# TYPE api_request_duration_seconds histogram\n");
        for ((method, endpoint), durations) in &counts.durations {
            let name = "api_request_duration_seconds";
            let labels = format!(r#"method="{method}",endpoint="{endpoint}""#);
            for (count, (bound, _)) in durations.buckets.iter().zip(BUCKETS) {
                let _ = writeln!(text, r#"{name}_bucket{{{labels},le="{bound}"}} {count}"#);
            }
            let _ = writeln!(text, r#"{name}_bucket{{{labels},le="+Inf"}} {}"#, durations.count);
            let _ = writeln!(text, "{name}_sum{{{labels}}} {}", durations.seconds);
            let _ = writeln!(text, "{name}_count{{{labels}}} {}", durations.count);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        for millis in [1, 5, 6, 700, 20_000] {
            metrics.record("GET", "/tasks/{id}", 200, Duration::from_millis(millis));
        }
        metrics.record("GET", "/tasks/{id}", 404, Duration::ZERO);
        let text = metrics.render();
        let labels = r#"method="GET",endpoint="/tasks/{id}""#;
        for line in [
            format!(r#"api_requests_total{{{labels},status="200"}} 5"#),
            format!(r#"api_requests_total{{{labels},status="404"}} 1"#),
            format!(r#"api_request_duration_seconds_bucket{{{labels},le="0.005"}} 3"#),
            format!(r#"api_request_duration_seconds_bucket{{{labels},le="0.01"}} 4"#),
            format!(r#"api_request_duration_seconds_bucket{{{labels},le="1"}} 5"#),
            format!(r#"api_request_duration_seconds_bucket{{{labels},le="10"}} 5"#),
            format!(r#"api_request_duration_seconds_bucket{{{labels},le="+Inf"}} 6"#),
            format!(r"api_request_duration_seconds_count{{{labels}}} 6"),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(text.contains(r"# TYPE api_request_duration_seconds histogram"));
    }

    #[test]
    fn strange_methods_share_a_label() {
        assert_eq!((method("GET"), method("get"), method("BREW")), ("GET", "other", "other"));
    }
}
