//! Series of samples: the newest in memory, older ones as chunks in an embedded database.
//!
//! A crash loses at most what was not flushed yet (the server flushes every minute): metrics are evidence, not truth;
//! truth is in the ledger.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
};

use crate::chunk::{pack, unpack};
use crate::exposition::Sample;

/// A series' labels, `__name__` among them.
pub type Labels = BTreeMap<String, String>;

/// Samples in one chunk at most.
const CHUNK: usize = 240;
/// Series at most: what a service that makes up label values can cost.
const MOST_SERIES: usize = 100_000;

const SERIES: TableDefinition<'_, &str, u64> = TableDefinition::new("series");
const CHUNKS: TableDefinition<'_, (u64, i64), &[u8]> = TableDefinition::new("chunks");

/// The store of metrics.
#[derive(Debug)]
pub struct MetricStore {
    database: Database,
    head: Mutex<Head>,
}

#[derive(Debug, Default)]
struct Head {
    ids: HashMap<Labels, u64>,
    next: u64,
    /// Samples not in a chunk yet; `dirty` since the last flush.
    open: HashMap<u64, Open>,
}

#[derive(Debug, Default)]
struct Open {
    samples: Vec<(i64, f64)>,
    dirty: bool,
}

/// A series and its samples, oldest first: milliseconds and value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesData {
    /// Its labels.
    pub labels: Labels,
    /// Its samples.
    pub points: Vec<(i64, f64)>,
}

/// Which series: this label has this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// The value.
    pub value: String,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// The database failed.
    #[error("the metric store failed: {0}")]
    Database(String),
    /// Too many series.
    #[error("more than {MOST_SERIES} series: the newest are left out (does a label hold ids or paths?)")]
    TooMany,
}

impl Matcher {
    /// `label` is `value`.
    pub fn new(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), value: value.to_owned() }
    }
}

fn failed(error: impl Into<redb::Error>) -> MetricError {
    MetricError::Database(error.into().to_string())
}

impl MetricStore {
    /// Opens the store in `folder`.
    pub fn open(folder: &Path) -> Result<Self, MetricError> {
        // A small cache: the newest samples, which are asked for most, are in memory anyway.
        let database = Database::builder()
            .set_cache_size(4 << 20)
            .create(folder.join("metrics.redb"))
            .map_err(failed)?;
        let write = database.begin_write().map_err(failed)?;
        let mut head = Head::default();
        {
            let series = write.open_table(SERIES).map_err(failed)?;
            let chunks = write.open_table(CHUNKS).map_err(failed)?;
            tracing::debug!(
                series = series.len().map_err(failed)?,
                chunks = chunks.len().map_err(failed)?,
                "metrics opened"
            );
            for entry in series.iter().map_err(failed)? {
                let (key, id) = entry.map_err(failed)?;
                if let Ok(labels) = serde_json::from_str(key.value()) {
                    head.next = head.next.max(id.value() + 1);
                    head.ids.insert(labels, id.value());
                }
            }
        }
        write.commit().map_err(failed)?;
        Ok(Self { database, head: Mutex::new(head) })
    }

    fn head(&self) -> std::sync::MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a scrape's samples at `at` (milliseconds), each with the `target`'s labels (which win over its own).
    pub fn append(&self, at: i64, target: &Labels, samples: &[Sample]) -> Result<(), MetricError> {
        let mut head = self.head();
        let mut full = false;
        for sample in samples {
            let mut labels = sample.labels.clone();
            labels.extend(target.iter().map(|(k, v)| (k.clone(), v.clone())));
            labels.insert("__name__".to_owned(), sample.name.clone());
            let id = match head.ids.get(&labels) {
                Some(id) => *id,
                None if head.ids.len() >= MOST_SERIES => {
                    full = true;
                    continue;
                }
                None => {
                    let id = head.next;
                    head.next += 1;
                    head.ids.insert(labels, id);
                    id
                }
            };
            let open = head.open.entry(id).or_default();
            if open.samples.last().is_none_or(|(last, _)| *last < at) {
                open.samples.push((at, sample.value));
                open.dirty = true;
            }
        }
        if full { Err(MetricError::TooMany) } else { Ok(()) }
    }

    /// Writes what is new to disk. Full chunks leave memory.
    pub fn flush(&self) -> Result<(), MetricError> {
        let mut head = self.head();
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut series = write.open_table(SERIES).map_err(failed)?;
            let mut chunks = write.open_table(CHUNKS).map_err(failed)?;
            let names: HashMap<u64, &Labels> = head.ids.iter().map(|(labels, id)| (*id, labels)).collect();
            for (id, open) in head.open.iter().filter(|(_, open)| open.dirty) {
                let Some(labels) = names.get(id) else { continue };
                let key = serde_json::to_string(labels).unwrap_or_default();
                if series.get(key.as_str()).map_err(failed)?.is_none() {
                    series.insert(key.as_str(), *id).map_err(failed)?;
                }
                if let Some((first, _)) = open.samples.first() {
                    chunks.insert((*id, *first), pack(&open.samples).as_slice()).map_err(failed)?;
                }
            }
        }
        write.commit().map_err(failed)?;
        for open in head.open.values_mut() {
            open.dirty = false;
            if open.samples.len() >= CHUNK {
                open.samples = Vec::new();
            }
        }
        // A series that has gone quiet costs nothing but its name.
        head.open.retain(|_, open| !open.samples.is_empty());
        Ok(())
    }

    /// Removes chunks that began before `before` (milliseconds), and series that have none left.
    pub fn prune(&self, before: i64) -> Result<usize, MetricError> {
        let write = self.database.begin_write().map_err(failed)?;
        let mut removed = 0;
        {
            let mut chunks = write.open_table(CHUNKS).map_err(failed)?;
            chunks
                .retain(|(_, first), _| {
                    let keep = first >= before;
                    removed += usize::from(!keep);
                    keep
                })
                .map_err(failed)?;
        }
        write.commit().map_err(failed)?;
        Ok(removed)
    }

    /// The series that match all of `matchers`, with their samples from `from` to `to` (milliseconds, both included).
    pub fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<SeriesData>, MetricError> {
        let head = self.head();
        let fits = |labels: &Labels| matchers.iter().all(|m| labels.get(&m.label) == Some(&m.value));
        let read = self.database.begin_read().map_err(failed)?;
        let chunks = read.open_table(CHUNKS).map_err(failed)?;
        let mut found = Vec::new();
        for (labels, id) in head.ids.iter().filter(|(labels, _)| fits(labels)) {
            let mut points: BTreeMap<i64, f64> = BTreeMap::new();
            // The chunk that began last before `from` may reach into the range.
            let before = chunks.range((*id, i64::MIN)..(*id, from)).map_err(failed)?.next_back();
            let within = chunks.range((*id, from)..=(*id, to)).map_err(failed)?;
            for entry in before.into_iter().chain(within) {
                let (_, bytes) = entry.map_err(failed)?;
                points.extend(unpack(bytes.value()).unwrap_or_default());
            }
            if let Some(open) = head.open.get(id) {
                points.extend(open.samples.iter().copied());
            }
            let points: Vec<(i64, f64)> = points.range(from..=to).map(|(t, v)| (*t, *v)).collect();
            if !points.is_empty() {
                found.push(SeriesData { labels: labels.clone(), points });
            }
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }

    /// The names of the metrics of series that match.
    pub fn names(&self, matchers: &[Matcher]) -> Vec<String> {
        let head = self.head();
        let fits = |labels: &&Labels| matchers.iter().all(|m| labels.get(&m.label) == Some(&m.value));
        let mut names: Vec<String> =
            head.ids.keys().filter(fits).filter_map(|l| l.get("__name__").cloned()).collect();
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, value: f64) -> Sample {
        Sample { name: name.into(), labels: Labels::new(), value }
    }

    fn target(service: &str) -> Labels {
        [("service".to_owned(), service.to_owned())].into()
    }

    #[test]
    fn samples_come_back_from_memory_from_disk_and_across_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        {
            let store = MetricStore::open(folder.path()).unwrap();
            for i in 0..1000i64 {
                store.append(i * 1000, &target("a"), &[sample("x", i as f64)]).unwrap();
                store.append(i * 1000, &target("b"), &[sample("x", 1.0)]).unwrap();
                if i % 100 == 0 {
                    store.flush().unwrap();
                }
            }
            store.flush().unwrap();
            store.append(1_000_000, &target("a"), &[sample("x", 7.0)]).unwrap();
            let found = store.select(&[Matcher::new("service", "a")], 500_000, 2_000_000).unwrap();
            assert_eq!((found.len(), found[0].points.len()), (1, 501));
        }
        let store = MetricStore::open(folder.path()).unwrap();
        let found = store
            .select(&[Matcher::new("service", "a"), Matcher::new("__name__", "x")], 0, 2_000_000)
            .unwrap();
        assert_eq!(found[0].points.len(), 1000, "all but what was never flushed");
        assert_eq!(store.names(&[]), ["x"]);
        store.append(2_000_000, &target("a"), &[sample("x", 8.0)]).unwrap();
        assert_eq!(
            store.select(&[Matcher::new("service", "a")], 0, 3_000_000).unwrap().len(),
            1,
            "the same series"
        );
        assert!(store.prune(500_000).unwrap() > 0);
    }
}
