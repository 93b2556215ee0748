//! Figures and lines for a service's page.

use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::Timestamp;
use windlass_telemetry::{Grid, LogSearch, Matcher, SeriesData, Stream, quantile, rate, sum};

use crate::context::{Context, internal};
use crate::observe::INTERVAL;

type Answer<T> = Result<T, Problem>;

/// Points of a chart.
const POINTS: i64 = 120;
/// Lines when no number is asked for, and at most.
const LINES: u32 = 200;
const MOST_LINES: u32 = 5000;

impl Context {
    fn grid(&self, minutes: u32) -> (Grid, i64) {
        let span = i64::from(minutes.clamp(1, 60 * 24 * 15)) * 60_000;
        let to = self.now().as_millis();
        let step = (span / POINTS).max(INTERVAL.as_millis() as i64);
        // At least four scrapes, so that a rate has two samples even when one is missed.
        let window = (4 * INTERVAL.as_millis() as i64).max(step);
        (Grid { from: to - span, to, step }, window)
    }

    fn select(
        &self,
        name: &str,
        wanted: &[(&str, &str)],
        grid: Grid,
        window: i64,
    ) -> Answer<Vec<SeriesData>> {
        let mut matchers = vec![Matcher::new("__name__", name)];
        matchers.extend(wanted.iter().map(|(label, value)| Matcher::new(label, value)));
        let found = self.telemetry.metrics.select(&matchers, grid.from - window, grid.to);
        found.map_err(|e| internal("metrics cannot be read", &e))
    }

    pub(crate) async fn service_metrics(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        minutes: u32,
    ) -> Answer<api::ServiceMetrics> {
        let (doc, name) = self.service_named(who, project, environment, service, Action::ReadProject).await?;
        let (project, environment, service) = (doc.project.as_str(), doc.name.as_str(), name.as_str());
        let of = [("project", project), ("environment", environment), ("service", service)];
        let (grid, window) = self.grid(minutes);
        let requests = self.select("windlass_gateway_requests_total", &of, grid, window)?;
        let failed: Vec<SeriesData> = requests
            .iter()
            .filter(|s| s.labels.get("code").is_some_and(|c| c.starts_with('5')))
            .cloned()
            .collect();
        let buckets = self.select("windlass_gateway_request_duration_seconds_bucket", &of, grid, window)?;
        let cpu = self.select("windlass_instance_cpu_seconds_total", &of, grid, window)?;
        let memory = self.select("windlass_instance_memory_bytes", &of, grid, window)?;
        let request_rate = rate(&requests, grid, window);
        // No failure was ever counted, but requests were: none failed.
        let error_rate = if failed.is_empty() {
            request_rate.iter().map(|r| r.map(|_| 0.0)).collect()
        } else {
            rate(&failed, grid, window)
        };
        let matchers = [("job", "service"), of[0], of[1], of[2]].map(|(l, v)| Matcher::new(l, v));
        let mut own = self.telemetry.metrics.names(&matchers);
        own.retain(|n| !n.starts_with("windlass_instance_"));
        Ok(api::ServiceMetrics {
            from: Timestamp::from_millis(grid.from),
            to: Timestamp::from_millis(grid.to),
            step_seconds: (grid.step / 1000) as u32,
            request_rate,
            error_rate,
            p50: quantile(0.5, &buckets, grid, window),
            p95: quantile(0.95, &buckets, grid, window),
            p99: quantile(0.99, &buckets, grid, window),
            cpu: rate(&cpu, grid, window),
            memory: sum(&memory, grid, window),
            own,
        })
    }

    pub(crate) async fn series(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        metric: &str,
        minutes: u32,
    ) -> Answer<Vec<api::Series>> {
        let (doc, name) = self.service_named(who, project, environment, service, Action::ReadProject).await?;
        let of = [
            ("project", doc.project.as_str()),
            ("environment", doc.name.as_str()),
            ("service", name.as_str()),
        ];
        let (grid, _) = self.grid(minutes);
        let found = self.select(metric, &of, grid, 0)?;
        let series = found.into_iter().map(|s| api::Series {
            labels: s.labels,
            points: s.points.into_iter().map(|(t, v)| (Timestamp::from_millis(t), v)).collect(),
        });
        Ok(series.collect())
    }

    pub(crate) async fn service_logs(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        query: api::LogQuery,
    ) -> Answer<Vec<api::LogLine>> {
        let (doc, name) = self.service_named(who, project, environment, service, Action::ReadLogs).await?;
        let search = LogSearch {
            text: query.q,
            instance: query.instance,
            since: query.since,
            after: query.after,
            limit: query.limit.unwrap_or(LINES).clamp(1, MOST_LINES) as usize,
        };
        let telemetry = self.telemetry.clone();
        let service = [doc.project.to_string(), doc.name.to_string(), name.to_string()];
        let found = tokio::task::spawn_blocking(move || {
            let service: Vec<&str> = service.iter().map(String::as_str).collect();
            telemetry.logs.search(&service, &search)
        });
        let found = found.await.map_err(|e| internal("logs cannot be read", &e))?;
        let lines = found.map_err(|e| internal("logs cannot be read", &e))?;
        let line = |l: windlass_telemetry::Line| api::LogLine {
            at: l.at,
            instance: l.instance,
            stream: if l.stream == Stream::Err { "stderr" } else { "stdout" }.to_owned(),
            text: l.text,
            cursor: l.cursor,
        };
        Ok(lines.into_iter().map(line).collect())
    }
}
