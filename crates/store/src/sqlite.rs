//! The store in one SQLite file, in WAL mode: readers do not wait for the writer, nor it for them.
//!
//! There is one writing connection, so that writers queue here rather than run into "database is locked"; each of its
//! transactions is `BEGIN IMMEDIATE`. `synchronous` is FULL: a commit that was acknowledged survives a power cut, which
//! costs one `fsync` each. With NORMAL a power cut could take back acknowledged events, and a ledger must not do that.

mod migrations;
mod write;

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, QueryBuilder, Sqlite, SqlitePool};
use windlass_kernel::{Batch, ChainHead, Event, Query, RawDoc, Store, StoreError};

use crate::row::EventRow;

const READERS: u32 = 4;
/// How long a write may wait for its turn.
const PATIENCE: Duration = Duration::from_mins(1);

/// How the file is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqliteOptions {
    /// At most so many pages (of 4 KiB): beyond that the store answers that the disk is full.
    pub page_limit: Option<u32>,
}

/// The store in one SQLite file. Clones share its connections.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, makes it (readable by its owner only) if need be, and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, SqliteOptions::default()).await
    }

    /// As [`open`](Self::open), with options.
    pub async fn open_with(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let place =
            |e: std::io::Error| StoreError::Backend(format!("{} cannot be opened: {e}", path.display()));
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(place)?;
        }
        // SQLite gives its other two files the mode of this one.
        let mut file = std::fs::OpenOptions::new();
        file.create(true).append(true).mode(0o600).open(path).map_err(place)?;

        let mut connect = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .pragma("cache_size", "-1024")
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging();
        if let Some(pages) = options.page_limit {
            connect = connect.pragma("max_page_count", pages.to_string());
        }
        let pool = || SqlitePoolOptions::new().acquire_timeout(PATIENCE).max_lifetime(None);
        let writer = pool()
            .max_connections(1)
            .idle_timeout(None)
            .connect_with(connect.clone())
            .await
            .map_err(failure)?;
        migrations::run(&writer).await?;
        let readers = pool()
            .max_connections(READERS)
            .idle_timeout(Duration::from_mins(1))
            .connect_with(connect.pragma("query_only", "on"))
            .await
            .map_err(failure)?;
        Ok(Self { writer, readers })
    }

    /// Closes the file once running queries have ended, and folds the write-ahead log into it.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Has SQLite look over the whole file; says what is wrong with it, if anything.
    pub async fn check(&self) -> Result<Option<String>, StoreError> {
        let lines: Vec<String> =
            sqlx::query_scalar("PRAGMA quick_check").fetch_all(&self.readers).await.map_err(failure)?;
        let text = lines.join("\n");
        Ok((text != "ok").then_some(text))
    }

    async fn fetch_events(&self, mut query: QueryBuilder<Sqlite>) -> Result<Vec<Event>, StoreError> {
        let rows: Vec<EventRow> = query.build_query_as().fetch_all(&self.readers).await.map_err(failure)?;
        rows.into_iter().map(EventRow::decode).collect()
    }
}

/// SQLite's result code for "database or disk is full".
const SQLITE_FULL: &str = "13";

fn failure(error: sqlx::Error) -> StoreError {
    match error.as_database_error().and_then(|e| e.code()) {
        Some(code) if code == SQLITE_FULL => StoreError::Full,
        _ => StoreError::Backend(error.to_string()),
    }
}

const DOCUMENT: &str = "SELECT kind, id, parent, state, version, body FROM documents WHERE kind = ";
const EVENT: &str = "SELECT seq, at, actor, kind, project, subject, key, data, hash FROM events WHERE seq ";

type DocumentRow = (String, String, String, String, i64, String);

fn document((kind, id, parent, state, version, body): DocumentRow) -> RawDoc {
    RawDoc { kind, id, parent, state, version: version as u64, body }
}

/// A limit for SQL, where 0 means none.
fn limit(limit: usize) -> i64 {
    if limit == 0 { -1 } else { i64::try_from(limit).unwrap_or(-1) }
}

/// A sequence number for SQL.
fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for SqliteStore {
    async fn get_raw(&self, kind: &str, id: &str) -> Result<Option<RawDoc>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(DOCUMENT);
        query.push_bind(kind).push(" AND id = ").push_bind(id);
        let row: Option<DocumentRow> =
            query.build_query_as().fetch_optional(&self.readers).await.map_err(failure)?;
        Ok(row.map(document))
    }

    async fn list_raw(&self, kind: &str, wanted: &Query) -> Result<Vec<RawDoc>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(DOCUMENT);
        query.push_bind(kind);
        if let Some(parent) = &wanted.parent {
            query.push(" AND parent = ").push_bind(parent);
        }
        if !wanted.states.is_empty() {
            query.push(" AND state IN (");
            let mut states = query.separated(", ");
            for state in &wanted.states {
                states.push_bind(state);
            }
            query.push(")");
        }
        if let Some(after) = &wanted.after {
            query.push(if wanted.newest_first { " AND id < " } else { " AND id > " }).push_bind(after);
        }
        query.push(if wanted.newest_first { " ORDER BY id DESC" } else { " ORDER BY id" });
        query.push(" LIMIT ").push_bind(limit(wanted.limit));
        let rows: Vec<DocumentRow> =
            query.build_query_as().fetch_all(&self.readers).await.map_err(failure)?;
        Ok(rows.into_iter().map(document).collect())
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Event>, StoreError> {
        let writer = self.writer.clone();
        write::to_the_end(async move { write::commit(&writer, batch).await }).await
    }

    async fn events(&self, after: u64, count: usize) -> Result<Vec<Event>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(EVENT);
        query.push("> ").push_bind(number(after)).push(" ORDER BY seq LIMIT ").push_bind(limit(count));
        self.fetch_events(query).await
    }

    async fn events_back(
        &self,
        before: u64,
        count: usize,
        project: Option<&str>,
        kind_prefix: Option<&str>,
    ) -> Result<Vec<Event>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(EVENT);
        query.push("< ").push_bind(if before == 0 { i64::MAX } else { number(before) });
        if let Some(project) = project {
            query.push(" AND project = ").push_bind(project);
        }
        if let Some(prefix) = kind_prefix {
            query.push(" AND substr(kind, 1, length(").push_bind(prefix).push(")) = ").push_bind(prefix);
        }
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(limit(count));
        self.fetch_events(query).await
    }

    async fn head(&self) -> Result<ChainHead, StoreError> {
        let mut reader = self.readers.acquire().await.map_err(failure)?;
        write::head(&mut reader).await
    }

    async fn cursor(&self, reader: &str) -> Result<u64, StoreError> {
        let seq: Option<i64> = sqlx::query_scalar("SELECT seq FROM cursors WHERE reader = $1")
            .bind(reader)
            .fetch_optional(&self.readers)
            .await
            .map_err(failure)?;
        Ok(seq.unwrap_or(0) as u64)
    }

    async fn set_cursor(&self, reader: &str, seq: u64) -> Result<(), StoreError> {
        let (writer, reader) = (self.writer.clone(), reader.to_owned());
        write::to_the_end(async move { write::set_cursor(&writer, &reader, number(seq)).await }).await
    }

    async fn next_number(&self, counter: &str) -> Result<u64, StoreError> {
        let (writer, counter) = (self.writer.clone(), counter.to_owned());
        write::to_the_end(async move { write::next_number(&writer, &counter).await }).await
    }
}

#[cfg(test)]
mod tests;
