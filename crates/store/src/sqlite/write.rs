//! The writing half: each function is one transaction on the one writing connection.

use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use windlass_kernel::{Batch, ChainHead, Event, NewEvent, RawDoc, StoreError, WriteOp};

use super::failure;
use crate::row::settled;

/// Carries a write to its end even if whoever asked for it has gone away meanwhile: a transaction that is cancelled
/// half-way would leave the one writing connection in doubt.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(e) => Err(StoreError::Backend(format!("the write was broken off: {e}"))),
    }
}

async fn begin(writer: &SqlitePool) -> Result<Transaction<'static, Sqlite>, StoreError> {
    writer.begin_with("BEGIN IMMEDIATE").await.map_err(failure)
}

pub(super) async fn commit(writer: &SqlitePool, batch: Batch) -> Result<Vec<Event>, StoreError> {
    let mut transaction = begin(writer).await?;
    for op in &batch.writes {
        write(&mut transaction, op).await?;
    }
    let mut appended = Vec::with_capacity(batch.events.len());
    if !batch.events.is_empty() {
        let mut head = head(&mut transaction).await?;
        for event in batch.events {
            if let Some(event) = append(&mut transaction, &head, event).await? {
                head = ChainHead::after(&event);
                appended.push(event);
            }
        }
    }
    transaction.commit().await.map_err(failure)?;
    Ok(appended)
}

async fn write(connection: &mut SqliteConnection, op: &WriteOp) -> Result<(), StoreError> {
    match op {
        WriteOp::Put { doc, expected } => put(connection, doc, *expected).await,
        WriteOp::Delete { kind, id } => {
            let query = sqlx::query("DELETE FROM documents WHERE kind = $1 AND id = $2").bind(kind).bind(id);
            query.execute(connection).await.map_err(failure)?;
            Ok(())
        }
    }
}

async fn put(
    connection: &mut SqliteConnection,
    doc: &RawDoc,
    expected: Option<u64>,
) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO documents (kind, id, parent, state, body, version) \
                          VALUES ($1, $2, $3, $4, $5, 1) ON CONFLICT (kind, id) DO NOTHING";
    const UPDATE: &str = "UPDATE documents SET parent = $3, state = $4, body = $5, version = version + 1 \
                          WHERE kind = $1 AND id = $2 AND version = $6";
    const UPSERT: &str = "INSERT INTO documents (kind, id, parent, state, body, version) \
                          VALUES ($1, $2, $3, $4, $5, 1) ON CONFLICT (kind, id) DO UPDATE \
                          SET parent = $3, state = $4, body = $5, version = version + 1";
    let sql = match expected {
        None => UPSERT,
        Some(0) => INSERT,
        Some(_) => UPDATE,
    };
    let mut query =
        sqlx::query(sql).bind(&doc.kind).bind(&doc.id).bind(&doc.parent).bind(&doc.state).bind(&doc.body);
    if let Some(version) = expected.filter(|v| *v > 0) {
        query = query.bind(super::number(version));
    }
    let done = query.execute(connection).await.map_err(failure)?;
    if done.rows_affected() == 0 {
        return Err(StoreError::Conflict { kind: doc.kind.clone(), id: doc.id.clone() });
    }
    Ok(())
}

/// Appends an event; `None` if one with its key is there already.
async fn append(
    connection: &mut SqliteConnection,
    head: &ChainHead,
    event: NewEvent,
) -> Result<Option<Event>, StoreError> {
    if let Some(key) = &event.key {
        let known: Option<i64> = sqlx::query_scalar("SELECT seq FROM events WHERE key = $1")
            .bind(key)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failure)?;
        if known.is_some() {
            return Ok(None);
        }
    }
    let data = settled(event.data);
    let event = head.append(NewEvent { data, ..event });
    let body = &event.body;
    sqlx::query(
        "INSERT INTO events (seq, at, actor, kind, project, subject, key, data, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(super::number(event.seq))
    .bind(body.at.as_millis())
    .bind(body.actor.to_string())
    .bind(&body.kind)
    .bind(body.project.as_ref().map(|p| p.as_str()))
    .bind(&body.subject)
    .bind(&body.key)
    .bind(body.data.to_string())
    .bind(&event.hash)
    .execute(connection)
    .await
    .map_err(failure)?;
    Ok(Some(event))
}

pub(super) async fn head(connection: &mut SqliteConnection) -> Result<ChainHead, StoreError> {
    let last: Option<(i64, String)> =
        sqlx::query_as("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
            .fetch_optional(connection)
            .await
            .map_err(failure)?;
    Ok(last.map_or_else(ChainHead::empty, |(seq, hash)| ChainHead { seq: seq as u64, hash }))
}

pub(super) async fn set_cursor(writer: &SqlitePool, reader: &str, seq: i64) -> Result<(), StoreError> {
    let mut transaction = begin(writer).await?;
    sqlx::query(
        "INSERT INTO cursors (reader, seq) VALUES ($1, $2) ON CONFLICT (reader) DO UPDATE \
         SET seq = excluded.seq WHERE excluded.seq > cursors.seq",
    )
    .bind(reader)
    .bind(seq)
    .execute(&mut *transaction)
    .await
    .map_err(failure)?;
    transaction.commit().await.map_err(failure)
}

pub(super) async fn next_number(writer: &SqlitePool, counter: &str) -> Result<u64, StoreError> {
    let mut transaction = begin(writer).await?;
    let value: i64 = sqlx::query_scalar(
        "INSERT INTO counters (name, value) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE \
         SET value = counters.value + 1 RETURNING value",
    )
    .bind(counter)
    .fetch_one(&mut *transaction)
    .await
    .map_err(failure)?;
    transaction.commit().await.map_err(failure)?;
    Ok(value as u64)
}
