//! What is kept, in SQL: documents and the ledger behind `kernel::Store`. The only crate that names the SQL library.
//!
//! One machine's store is SQLite ([`SqliteStore`]). The contract that every implementation keeps is a test suite,
//! `windlass_testkit::store_contract`.

mod audit;
mod row;
mod sqlite;

pub use audit::{ChainReport, verify_chain};
pub use sqlite::{SqliteOptions, SqliteStore};
