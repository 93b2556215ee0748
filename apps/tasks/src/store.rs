//! The database: SQLite with a write-ahead log, so that an old and a new version may share the file while one
//! takes over from the other. Calls block; the API makes them off its event loop.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, TransactionBehavior, params};

use crate::{Change, Filter, NewTask, Task, timestamp};

/// How long one version waits for the other's write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Readers that are kept open.
const READERS: usize = 8;

/// The schema's versions. Only ever added to, and only with what an older version can live with beside it.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE tasks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        title TEXT NOT NULL,
        description TEXT NOT NULL DEFAULT '',
        status TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX tasks_by_status ON tasks (status, id);
"];

/// The tasks.
pub struct Store {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// Why the database did not do it.
#[derive(Debug)]
pub enum StoreError {
    /// Another process was writing for too long.
    Busy,
    /// It failed.
    Failed(rusqlite::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the database is busy"),
            Self::Failed(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Failed(error),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database at `path`; it is made, or brought up to date, if need be.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut writer = connect(path)?;
        // The mode is kept in the file: whoever comes first sets it.
        writer.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        migrate(&mut writer)?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::default() })
    }

    /// Whether the database answers.
    pub fn ping(&self) -> Result<(), StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT count(*) FROM (SELECT 1 FROM tasks LIMIT 1)")?.query_row([], |_| Ok(()))
        })
    }

    /// Keeps a new task; gives its number.
    pub fn create(&self, task: &NewTask) -> Result<i64, StoreError> {
        let now = timestamp();
        let db = self.writer();
        let mut insert = db.prepare_cached(
            "INSERT INTO tasks (title, description, status, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?4)",
        )?;
        Ok(insert.insert(params![task.title, task.description, task.status, now])?)
    }

    /// One task.
    pub fn get(&self, id: i64) -> Result<Option<Task>, StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT * FROM tasks WHERE id = ?1")?.query_row([id], task).optional()
        })
    }

    /// Some tasks in the order of their numbers, and how many there are in all.
    pub fn list(&self, filter: &Filter) -> Result<(Vec<Task>, u64), StoreError> {
        self.read(|db| {
            // One transaction, so that the list and the count are of the same moment.
            let snapshot = db.unchecked_transaction()?;
            let tasks = snapshot
                .prepare_cached(
                    "SELECT * FROM tasks WHERE ?1 IS NULL OR status = ?1 ORDER BY id LIMIT ?2 OFFSET ?3",
                )?
                .query_map(params![filter.status, filter.limit, filter.offset], task)?
                .collect::<Result<Vec<Task>, _>>()?;
            let total = snapshot
                .prepare_cached("SELECT count(*) FROM tasks WHERE ?1 IS NULL OR status = ?1")?
                .query_row([filter.status], |row| row.get::<_, i64>(0))?;
            Ok((tasks, total.unsigned_abs()))
        })
    }

    /// Changes a task; gives it as it is then.
    pub fn update(&self, id: i64, change: &Change) -> Result<Option<Task>, StoreError> {
        let db = self.writer();
        let mut update = db.prepare_cached(
            "UPDATE tasks SET title = coalesce(?2, title), description = coalesce(?3, description),
             status = coalesce(?4, status), updated_at = ?5 WHERE id = ?1 RETURNING *",
        )?;
        let row = params![id, change.title, change.description, change.status, timestamp()];
        Ok(update.query_row(row, task).optional()?)
    }

    /// Removes a task; false if it was not there.
    pub fn delete(&self, id: i64) -> Result<bool, StoreError> {
        Ok(self.writer().prepare_cached("DELETE FROM tasks WHERE id = ?1")?.execute([id])? > 0)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads with a connection of its own: readers wait for nobody.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        let result = work(&connection)?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(connection);
        }
        Ok(result)
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // A newer version's number stays: this one may be here for a rollback.
    for (number, migration) in (1i64..).zip(MIGRATIONS).filter(|(number, _)| *number > done) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", number)?;
    }
    Ok(transaction.commit()?)
}

fn task(row: &Row<'_>) -> rusqlite::Result<Task> {
    Ok(Task {
        id: row.get("id")?,
        title: row.get("title")?,
        description: row.get("description")?,
        status: row.get("status")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(title: &str) -> NewTask {
        NewTask { title: title.into(), description: String::new(), status: "pending" }
    }

    #[test]
    fn two_versions_share_the_file_and_the_data_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.db");
        let old = Store::open(&path).unwrap();
        let id = old.create(&new("made by the old one")).unwrap();
        let young = Store::open(&path).unwrap();
        assert_eq!(young.get(id).unwrap().unwrap().title, "made by the old one");
        std::thread::scope(|scope| {
            for store in [&old, &young] {
                scope.spawn(move || {
                    (0..50).for_each(|n| assert!(store.create(&new(&n.to_string())).unwrap() > 0));
                });
            }
        });
        drop(old);
        let filter = Filter { status: None, limit: 1000, offset: 0 };
        assert_eq!(young.list(&filter).unwrap().1, 101);
    }

    #[test]
    fn numbers_are_never_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("tasks.db")).unwrap();
        let first = store.create(&new("a")).unwrap();
        assert!(store.delete(first).unwrap());
        assert!(!store.delete(first).unwrap());
        assert!(store.create(&new("b")).unwrap() > first);
    }

    #[test]
    fn a_newer_schema_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.db");
        drop(Store::open(&path).unwrap());
        let db = Connection::open(&path).unwrap();
        db.execute_batch("ALTER TABLE tasks ADD COLUMN priority INTEGER; PRAGMA user_version = 7").unwrap();
        let store = Store::open(&path).unwrap();
        let id = store.create(&new("a")).unwrap();
        assert_eq!(store.get(id).unwrap().unwrap().title, "a");
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 7);
    }
}
