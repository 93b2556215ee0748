//! Watching: metrics are scraped from services, the gateway and Windlass itself; instances' lines are taken into the
//! log store; pages get their figures.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use windlass_delivery::manifest::Metrics;
use windlass_delivery::{Instance, Release};
use windlass_kernel::{InstanceId, Query, StoreExt as _, Timestamp};
use windlass_runtime::{Observed, Usage};
use windlass_telemetry::{Labels, Line, LogStore, MetricStore, Sample, Stream, parse};

use crate::context::Context;
use crate::data_dir::DataDir;
use crate::delivery::instance_dir;
use crate::loopback;

/// Between two scrapes.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// Between two looks at instances' logs.
const LOG_INTERVAL: Duration = Duration::from_millis(500);
/// How long metrics are kept.
const RETENTION: Duration = Duration::from_hours(15 * 24);
/// The longest answer of a service's `/metrics`.
const LARGEST: usize = 16 << 20;
/// Bytes of one instance's log taken in at a time: a flood of one must not starve the others.
const AT_A_TIME: u64 = 4 << 20;

/// The stores, and what was seen last of each instance.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) metrics: MetricStore,
    pub(crate) logs: LogStore,
    usage: Mutex<HashMap<InstanceId, Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Timestamp,
    usage: Usage,
    cpu_millis: Option<u64>,
}

impl Telemetry {
    pub(crate) fn open(data: &DataDir) -> anyhow::Result<Self> {
        let metrics = MetricStore::open(&data.path("metrics"))?;
        Ok(Self { metrics, logs: LogStore::open(&data.path("logs/services")), usage: Mutex::default() })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, Seen>> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The CPU that an instance used between the last two looks, in thousandths of a core.
    pub(crate) fn cpu_millis(&self, id: InstanceId) -> Option<u64> {
        self.seen().get(&id).and_then(|s| s.cpu_millis)
    }

    fn note(&self, id: InstanceId, at: Timestamp, usage: Usage) {
        let mut seen = self.seen();
        let before = seen.get(&id).copied();
        let cpu_millis = before.and_then(|b| {
            let nanos = usage.cpu_nanos.checked_sub(b.usage.cpu_nanos)?;
            let passed = u64::try_from(at.since(b.at).as_nanos()).ok().filter(|p| *p > 0)?;
            Some(nanos.saturating_mul(1000) / passed)
        });
        seen.insert(id, Seen { at, usage, cpu_millis });
    }
}

/// Watches until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut scrape = tokio::time::interval(INTERVAL);
    let mut lines = tokio::time::interval(LOG_INTERVAL);
    let mut rounds = 0u64;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = scrape.tick() => {
                if let Err(e) = scrape_all(&ctx).await {
                    tracing::warn!(error = %format!("{e:#}"), "a scrape failed");
                }
                rounds += 1;
                if rounds.is_multiple_of(12) {
                    keep(&ctx, rounds.is_multiple_of(720)).await;
                }
            }
            _ = lines.tick() => {
                if let Err(e) = take_all_lines(&ctx).await {
                    tracing::warn!(error = %format!("{e:#}"), "instances' lines could not be taken in");
                }
            }
        }
    }
    keep(&ctx, false).await;
}

async fn keep(ctx: &Arc<Context>, prune: bool) {
    let ctx = ctx.clone();
    let done = tokio::task::spawn_blocking(move || {
        ctx.telemetry.metrics.flush()?;
        if prune {
            ctx.telemetry.metrics.prune((ctx.now() - RETENTION).as_millis())?;
        }
        Ok::<(), windlass_telemetry::MetricError>(())
    });
    match done.await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!(error = %e, "metrics could not be kept"),
        Err(e) => tracing::warn!(error = %e, "metrics could not be kept"),
    }
}

fn labels(pairs: &[(&str, String)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
}

async fn scrape_all(ctx: &Arc<Context>) -> anyhow::Result<()> {
    let now = ctx.now();
    if let Ok(text) = ctx.gateway.metrics().await {
        append(ctx, now, &labels(&[("job", "gateway".into())]), &text);
    }
    append(ctx, now, &labels(&[("job", "control".into())]), &own(ctx).await);
    let instances = ctx.store.list::<Instance>(&Query::default()).await?;
    let scrapes = instances.iter().map(|i| scrape_instance(ctx, &i.value, now));
    futures_util::future::join_all(scrapes).await;
    let alive: Vec<InstanceId> = instances.iter().map(|i| i.value.id).collect();
    ctx.telemetry.seen().retain(|id, _| alive.contains(id));
    Ok(())
}

fn append(ctx: &Context, at: Timestamp, target: &Labels, text: &str) {
    match parse(text) {
        Ok(read) => {
            if let Err(e) = ctx.telemetry.metrics.append(at.as_millis(), target, &read.samples) {
                tracing::warn!(error = %e, "samples could not be kept");
            }
        }
        Err(e) => tracing::debug!(error = %e, ?target, "metrics that cannot be read"),
    }
}

async fn scrape_instance(ctx: &Arc<Context>, instance: &Instance, now: Timestamp) {
    let target = labels(&[
        ("job", "service".into()),
        ("project", instance.project.to_string()),
        ("environment", instance.environment.to_string()),
        ("service", instance.service.to_string()),
        ("instance", instance.id.to_string()),
    ]);
    let observed = ctx.instances.observe(&instance_dir(&ctx.data, instance.id)).await;
    if let Ok(Observed::Running { usage, .. }) = observed {
        ctx.telemetry.note(instance.id, now, usage);
        let sample = |name: &str, value: f64| Sample { name: name.to_owned(), labels: Labels::new(), value };
        let samples = [
            sample("windlass_instance_cpu_seconds_total", usage.cpu_nanos as f64 / 1e9),
            sample("windlass_instance_memory_bytes", usage.memory_bytes as f64),
            sample("windlass_instance_processes", usage.processes as f64),
        ];
        let _ = ctx.telemetry.metrics.append(now.as_millis(), &target, &samples);
    }
    if !instance.state.ready() {
        return;
    }
    let Some(path) = metrics_path(ctx, instance).await else { return };
    let answer = tokio::time::timeout(Duration::from_secs(2), fetch(instance.port, &path)).await;
    if let Ok(Some(text)) = answer {
        append(ctx, now, &target, &text);
    }
}

/// Where a service's metrics are, unless its manifest says that it has none.
async fn metrics_path(ctx: &Context, instance: &Instance) -> Option<String> {
    let release = ctx.store.get::<Release>(&instance.release.to_string()).await.ok()??.value;
    let specs = release.manifest.for_environment(&instance.environment, &instance.project);
    match specs.into_iter().find(|s| s.name == instance.service)?.service.metrics {
        Metrics::At(path) => Some(path),
        Metrics::IfThere => Some("/metrics".to_owned()),
        Metrics::None => None,
    }
}

async fn fetch(port: u16, path: &str) -> Option<String> {
    let answer = loopback::get(port, path, ("accept", "text/plain;version=0.0.4"), LARGEST).await.ok()?;
    let body = answer.body.filter(|_| answer.status.is_success())?;
    String::from_utf8(body.into()).ok()
}

/// Windlass' own metrics, in the Prometheus text format.
pub(crate) async fn own(ctx: &Context) -> String {
    use std::fmt::Write as _;
    let head = ctx.store.head().await.map_or(0, |h| h.seq);
    let runs = ctx.store.list_raw("run", &Query { states: vec!["active".into()], ..Query::default() }).await;
    let deployments = ctx
        .store
        .list_raw("deployment", &Query { states: vec!["active".into(), "queued".into()], ..Query::default() })
        .await;
    let instances = ctx.store.list_raw("instance", &Query::default()).await.unwrap_or_default();
    let mut by_state: BTreeMap<&str, u64> = BTreeMap::new();
    for instance in &instances {
        *by_state.entry(instance.state.as_str()).or_default() += 1;
    }
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, value: f64| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    };
    gauge("windlass_active_runs", "Runs that are not finished", runs.map_or(0, |r| r.len()) as f64);
    gauge(
        "windlass_active_deployments",
        "Deployments that are not finished",
        deployments.map_or(0, |d| d.len()) as f64,
    );
    gauge("windlass_process_resident_memory_bytes", "Resident memory of control", resident_memory() as f64);
    gauge("windlass_start_time_seconds", "When control started", ctx.started_at.as_millis() as f64 / 1000.0);
    let _ = writeln!(
        out,
        "# HELP windlass_ledger_entries_total Entries of the ledger\n# TYPE windlass_ledger_entries_total counter\nwindlass_ledger_entries_total {head}"
    );
    let _ = writeln!(out, "# HELP windlass_instances Instances by state\n# TYPE windlass_instances gauge");
    for (state, count) in by_state {
        let _ = writeln!(out, "windlass_instances{{state=\"{state}\"}} {count}");
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        out,
        "# HELP windlass_build_info Version\n# TYPE windlass_build_info gauge\nwindlass_build_info{{version=\"{version}\"}} 1"
    );
    out
}

fn resident_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * 4096
}

/// How far an instance's log was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    inode: u64,
    offset: u64,
}

async fn take_all_lines(ctx: &Arc<Context>) -> anyhow::Result<()> {
    for instance in ctx.store.list::<Instance>(&Query::default()).await? {
        take_last_lines(ctx, &instance.value).await;
    }
    Ok(())
}

/// Takes in what an instance wrote since the last time.
pub(crate) async fn take_last_lines(ctx: &Context, instance: &Instance) {
    // The last lines of an instance that is ended are asked for beside the usual round: neither may take them twice.
    let _taking = ctx.locks.lines.lock().await;
    let dir = instance_dir(&ctx.data, instance.id);
    let logs = ctx.instances.logs(&dir);
    let service =
        [instance.project.to_string(), instance.environment.to_string(), instance.service.to_string()];
    let id = instance.id.to_string();
    let read = tokio::task::spawn_blocking(move || read_new(&dir, &logs, &id));
    match read.await {
        Ok(Ok((lines, keep_mark))) => {
            let service: Vec<&str> = service.iter().map(String::as_str).collect();
            if !lines.is_empty()
                && let Err(e) = ctx.telemetry.logs.append(&service, &lines)
            {
                tracing::warn!(error = %e, "instances' lines could not be kept");
                return;
            }
            keep_mark();
        }
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => {}
        Ok(Err(e)) => tracing::warn!(instance = %instance.id, error = %e, "an instance's log cannot be read"),
        Err(e) => tracing::warn!(instance = %instance.id, error = %e, "an instance's log cannot be read"),
    }
}

type Taken = (Vec<Line>, Box<dyn FnOnce() + Send>);

fn read_new(dir: &Path, logs: &[std::path::PathBuf], instance: &str) -> std::io::Result<Taken> {
    let mark_path = dir.join("taken.json");
    let before: Mark =
        std::fs::read(&mark_path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let mut mark = before;
    let mut lines = Vec::new();
    // From the file that was being read (it may have been moved aside since) to the newest.
    let known = logs.iter().position(|p| p.metadata().is_ok_and(|m| m.ino() == before.inode));
    for path in &logs[known.unwrap_or(0)..] {
        let file = std::fs::File::open(path)?;
        let meta = file.metadata()?;
        // A file shorter than what was read of it is another one that got its number.
        if meta.ino() != mark.inode || meta.len() < mark.offset {
            mark = Mark { inode: meta.ino(), offset: 0 };
        }
        if read_lines(file, &mut mark.offset, instance, &mut lines)? {
            // There is more of it: the next file's turn comes when this one is through.
            break;
        }
    }
    let keep = move || {
        if mark != before
            && let Ok(bytes) = serde_json::to_vec(&mark)
        {
            let _ = std::fs::write(&mark_path, bytes);
        }
    };
    Ok((lines, Box::new(keep)))
}

/// Takes whole lines in from `offset` on; gives whether it stopped before the end because that is enough for once.
fn read_lines(
    mut file: std::fs::File,
    offset: &mut u64,
    instance: &str,
    lines: &mut Vec<Line>,
) -> std::io::Result<bool> {
    let begin = *offset;
    file.seek(SeekFrom::Start(begin))?;
    let mut reader = BufReader::new(file.take(AT_A_TIME));
    let mut raw = Vec::new();
    loop {
        raw.clear();
        let read = reader.read_until(b'\n', &mut raw)?;
        if read == 0 || raw.last() != Some(&b'\n') {
            let enough = *offset - begin + read as u64 >= AT_A_TIME;
            if read as u64 >= AT_A_TIME {
                // One line longer than all that is taken at a time: nobody reads it, and it must not stop the rest.
                *offset += read as u64;
            }
            return Ok(enough);
        }
        *offset += read as u64;
        let text = String::from_utf8_lossy(&raw[..raw.len() - 1]);
        let mut parts = text.splitn(3, ' ');
        let (Some(at), Some(mark)) = (parts.next().and_then(time), parts.next()) else { continue };
        lines.push(Line {
            at,
            instance: instance.to_owned(),
            stream: if mark == "e" { Stream::Err } else { Stream::Out },
            text: parts.next().unwrap_or_default().to_owned(),
            cursor: String::new(),
        });
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(dir: &Path) -> Vec<String> {
        let logs: Vec<_> =
            [dir.join("log.1"), dir.join("log")].into_iter().filter(|path| path.exists()).collect();
        let (lines, keep) = read_new(dir, &logs, "i").unwrap();
        keep();
        lines.into_iter().map(|line| line.text).collect()
    }

    fn write(dir: &Path, name: &str, text: &str) {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(dir.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn line(text: &str) -> String {
        format!("2026-11-20T12:00:00.000Z o {text}\n")
    }

    #[test]
    fn every_line_is_taken_in_once_also_over_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        write(dir, "log", &(line("one") + "2026-11-20T12:00:00.000Z o ha"));
        assert_eq!(take(dir), ["one"]);
        write(dir, "log", "lf\n");
        write(dir, "log", &line("three"));
        std::fs::rename(dir.join("log"), dir.join("log.1")).unwrap();
        write(dir, "log", &line("four"));
        assert_eq!(take(dir), ["half", "three", "four"]);
        assert!(take(dir).is_empty());
    }

    #[test]
    fn a_flood_is_taken_in_whole_although_the_file_was_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let long = "x".repeat(60_000);
        let flood: String = (0..200).map(|_| line(&long)).collect();
        assert!(flood.len() as u64 > 2 * AT_A_TIME);
        write(dir, "log", &line("first"));
        assert_eq!(take(dir), ["first"]);
        write(dir, "log", &flood);
        std::fs::rename(dir.join("log"), dir.join("log.1")).unwrap();
        write(dir, "log", &line("last"));
        let taken: Vec<String> = (0..6).flat_map(|_| take(dir)).collect();
        assert_eq!(taken.len(), 201);
        assert_eq!(taken.last().unwrap(), "last");
    }

    #[test]
    fn a_line_longer_than_all_that_is_taken_at_a_time_does_not_stop_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        write(dir, "log", &(line(&"x".repeat(AT_A_TIME as usize + 10)) + &line("after")));
        let taken: Vec<String> = (0..4).flat_map(|_| take(dir)).collect();
        assert_eq!(taken.last().unwrap(), "after");
    }
}
