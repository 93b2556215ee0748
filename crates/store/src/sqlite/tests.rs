use windlass_kernel::{Actor, Batch, NewEvent, Timestamp};

use super::*;
use crate::verify_chain;

fn event(n: i64) -> NewEvent {
    NewEvent::new(Timestamp::from_millis(n), Actor::System, "test.happened", n)
}

async fn store(dir: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(&dir.path().join("db/windlass.sqlite")).await.unwrap()
}

async fn run(store: &SqliteStore, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(&store.writer).await.map(|_| ())
}

#[tokio::test]
async fn the_ledger_cannot_be_altered_by_sql_and_alterations_behind_its_back_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    store.commit(Batch::new().events((1..=5).map(event))).await.unwrap();
    for sql in ["UPDATE events SET subject = 'x' WHERE seq = 3", "DELETE FROM events WHERE seq = 3"] {
        assert!(run(&store, sql).await.unwrap_err().to_string().contains("only ever appended"));
    }
    run(&store, "DROP TRIGGER events_are_not_changed").await.unwrap();
    run(&store, "UPDATE events SET subject = 'x' WHERE seq = 3").await.unwrap();
    let report = verify_chain(&store).await.unwrap();
    assert_eq!((report.entries, report.intact()), (2, false));
    assert!(report.problem.unwrap().to_string().contains("entry 3 was altered"));
}

#[tokio::test]
async fn a_full_disk_has_its_own_answer_and_nothing_is_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.sqlite");
    let store = SqliteStore::open_with(&path, SqliteOptions { page_limit: Some(40) }).await.unwrap();
    let large = serde_json::Value::String("x".repeat(16 * 1024));
    let mut kept = 0;
    let error = loop {
        match store.commit(Batch::new().events([event(1).data(large.clone()), event(2)])).await {
            Ok(events) => kept += events.len() as u64,
            Err(error) => break error,
        }
        assert!(kept < 1000, "the limit holds");
    };
    assert!(matches!(error, StoreError::Full), "{error:?}");
    let report = verify_chain(&store).await.unwrap();
    assert_eq!((report.entries, report.intact()), (kept, true));
    store.close().await;

    // With room again it goes on.
    let store = SqliteStore::open(&path).await.unwrap();
    store.commit(Batch::new().event(event(3))).await.unwrap();
    assert_eq!(store.head().await.unwrap().seq, kept + 1);
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(&dir).await;
    run(
        &first,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'later', 1, x'00', 0)",
    )
    .await
    .unwrap();
    first.close().await;
    let error = SqliteStore::open(&dir.path().join("db/windlass.sqlite")).await.unwrap_err().to_string();
    assert!(error.contains("newer Windlass"), "{error}");
}

#[tokio::test]
async fn the_file_is_its_owners_and_a_broken_one_is_said_to_be() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let first = store(&dir).await;
    first.commit(Batch::new().event(event(1))).await.unwrap();
    for file in ["windlass.sqlite", "windlass.sqlite-wal", "windlass.sqlite-shm"] {
        let mode = std::fs::metadata(dir.path().join("db").join(file)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(first.check().await.unwrap(), None);

    let broken = dir.path().join("broken.sqlite");
    std::fs::write(
        &broken,
        "this is not a database, not at all, but it is long enough to be read as one".repeat(99),
    )
    .unwrap();
    assert!(matches!(SqliteStore::open(&broken).await, Err(StoreError::Backend(_))));
}

#[tokio::test]
async fn a_write_whose_caller_goes_away_is_carried_out_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    for n in 0..50 {
        let mut commit = store.commit(Batch::new().events([event(n), event(n)]));
        // Polled once, then dropped.
        let _ = futures_util::poll!(&mut commit);
    }
    store.commit(Batch::new().event(event(100))).await.unwrap();
    let report = verify_chain(&store).await.unwrap();
    assert!(report.intact() && report.entries % 2 == 1, "{report:?}");
}

#[tokio::test]
async fn lists_use_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    for (sql, index) in [
        (
            "EXPLAIN QUERY PLAN SELECT body FROM documents WHERE kind = 'a' AND parent = 'b' ORDER BY id",
            "documents_by_parent",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT body FROM documents WHERE kind = 'a' AND state IN ('b')",
            "documents_by_state",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT body FROM documents WHERE kind = 'a' AND id > 'b' ORDER BY id",
            "sqlite_autoindex",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT seq FROM events WHERE seq < 9 AND project = 'b' ORDER BY seq DESC",
            "events_by_project",
        ),
    ] {
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(&store.readers).await.unwrap();
        assert!(plan.iter().any(|row| row.3.contains(index)), "{sql}: {plan:?}");
    }
}
