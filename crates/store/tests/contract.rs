//! The contract of `kernel::Store`, over SQLite and over memory; and what only a file can show.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use windlass_kernel::{Batch, Store};
use windlass_store::{SqliteStore, verify_chain};
use windlass_testkit::{MemoryStore, contract_event, store_contract};

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    store_contract(|| async {
        let file = dir.path().join(format!("{}.sqlite", next.fetch_add(1, Ordering::SeqCst)));
        Arc::new(SqliteStore::open(&file).await.unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    store_contract(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }).await;
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db/windlass.sqlite");
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.next_number("runs").await.unwrap(), 1);
    let events = [contract_event("a").key("once"), contract_event("b"), contract_event("c")];
    assert_eq!(store.commit(Batch::new().events(events)).await.unwrap().len(), 3);
    store.set_cursor("reader", 1).await.unwrap();
    store.close().await;

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.cursor("reader").await.unwrap(), 1);
    assert_eq!(store.next_number("runs").await.unwrap(), 2);
    let entered = store.commit(Batch::new().event(contract_event("a").key("once"))).await.unwrap();
    assert!(entered.is_empty(), "the key is remembered");
    store.commit(Batch::new().event(contract_event("d"))).await.unwrap();
    let report = verify_chain(&store).await.unwrap();
    assert_eq!((report.entries, report.intact()), (4, true));
    assert_eq!(report.head, store.head().await.unwrap());
}
