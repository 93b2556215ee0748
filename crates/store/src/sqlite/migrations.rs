//! Bringing the tables up to date. A migration that has been released is never edited: its checksum is kept.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr as _, SqlitePool};
use windlass_kernel::StoreError;

/// Number, name and text of each, in order.
const ALL: &[(i64, &str, &str)] =
    &[(1, "documents and ledger", include_str!("../../migrations/sqlite/0001_documents_and_ledger.sql"))];

pub(super) async fn run(writer: &SqlitePool) -> Result<(), StoreError> {
    let migrations = ALL
        .iter()
        .map(|(version, name, text)| {
            Migration::new(*version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
        })
        .collect();
    match Migrator::with_migrations(migrations).run(writer).await {
        Ok(()) => Ok(()),
        Err(MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) => Err(super::failure(e)),
        Err(MigrateError::VersionMissing(version)) => Err(StoreError::Backend(format!(
            "it was written by a newer Windlass (its tables are at version {version}, this binary knows {}); \
             start that version, or restore a backup from before the upgrade",
            ALL.len()
        ))),
        Err(other) => Err(StoreError::Backend(other.to_string())),
    }
}
