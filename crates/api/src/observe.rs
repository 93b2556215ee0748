use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_kernel::Timestamp;

/// What a service's page draws.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ServiceMetrics {
    /// The first point's time.
    #[schema(value_type = i64)]
    pub from: Timestamp,
    /// The last point's time.
    #[schema(value_type = i64)]
    pub to: Timestamp,
    /// The distance between points, in seconds.
    pub step_seconds: u32,
    /// Requests per second.
    pub request_rate: Vec<Option<f64>>,
    /// Answers of class 5xx (and refused ones) per second.
    pub error_rate: Vec<Option<f64>>,
    /// Median latency, in seconds.
    pub p50: Vec<Option<f64>>,
    /// 95th percentile of latency, in seconds.
    pub p95: Vec<Option<f64>>,
    /// 99th percentile of latency, in seconds.
    pub p99: Vec<Option<f64>>,
    /// CPU in use, in cores, all instances.
    pub cpu: Vec<Option<f64>>,
    /// Memory in use, in bytes, all instances.
    pub memory: Vec<Option<f64>>,
    /// Names of the metrics that the service itself exposes.
    pub own: Vec<String>,
}

/// One series of a range query.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// Its labels, `__name__` among them.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Its points: time and value.
    #[schema(value_type = Vec<(i64, f64)>)]
    pub points: Vec<(Timestamp, f64)>,
}

/// Which log lines.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct LogQuery {
    /// Only lines that contain this text (upper and lower case alike).
    #[serde(default)]
    pub q: String,
    /// Only this instance's.
    #[serde(default)]
    pub instance: Option<String>,
    /// Only lines at or after this time.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    pub since: Option<Timestamp>,
    /// Only lines after this position (a line's `cursor`), oldest first: to follow.
    #[serde(default)]
    pub after: Option<String>,
    /// At most so many, the newest; 200 if not given, 5,000 at most.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// A line that an instance wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When it was read.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// The instance that wrote it.
    pub instance: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The line, without its break; cut at 64 KiB.
    pub text: String,
    /// Its position, for [`LogQuery::after`].
    pub cursor: String,
}
