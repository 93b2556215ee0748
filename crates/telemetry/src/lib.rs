//! What services and Windlass itself say of themselves, kept: metrics as series of samples in compressed chunks,
//! logs as lines in segment files; and the pure functions that make figures of them.
//!
//! Not here: who is scraped and when, and where lines come from (crate `server`).

mod chunk;
mod exposition;
mod figures;
mod logs;
mod metrics;

pub use exposition::{Exposition, ParseError, Sample, parse};
pub use figures::{Grid, quantile, rate, sum};
pub use logs::{Line, LogError, LogSearch, LogStore, Stream};
pub use metrics::{Labels, Matcher, MetricError, MetricStore, SeriesData};
