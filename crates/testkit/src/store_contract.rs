//! What every implementation of `kernel::Store` keeps to.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_kernel::{
    Actor, Batch, ChainHead, Document, NewEvent, Query, Store, StoreError, StoreExt as _, Timestamp,
    verify_link,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    id: String,
    folder: String,
    state: String,
    text: String,
}

impl Document for Note {
    const KIND: &'static str = "note";
    fn id(&self) -> String {
        self.id.clone()
    }
    fn parent(&self) -> String {
        self.folder.clone()
    }
    fn state(&self) -> String {
        self.state.clone()
    }
}

/// Another kind, to see that kinds are kept apart.
#[derive(Serialize, Deserialize)]
struct Other(String);

impl Document for Other {
    const KIND: &'static str = "other";
    fn id(&self) -> String {
        self.0.clone()
    }
}

fn note(id: &str, folder: &str, state: &str) -> Note {
    Note { id: id.into(), folder: folder.into(), state: state.into(), text: "text \u{0} é 'quoted'".into() }
}

/// An event to fill a ledger with.
pub fn contract_event(subject: &str) -> NewEvent {
    NewEvent::new(Timestamp::from_millis(1), Actor::System, "note.written", subject)
        .data(json!({ "z": 1, "a": [0.1, 1e300, null] }))
}

/// Runs the whole contract; `make` gives a fresh, empty store each time.
pub async fn store_contract<F, M>(make: M)
where
    M: Fn() -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    documents_and_versions(&*make().await).await;
    lists(&*make().await).await;
    batches_are_atomic(&*make().await).await;
    the_ledger_has_no_gaps_and_is_chained(&*make().await).await;
    keyed_events_enter_once(&*make().await).await;
    reading_backwards(&*make().await).await;
    cursors_and_counters(&*make().await).await;
    writers_at_the_same_time(make().await).await;
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(
        matches!(result, Err(StoreError::Conflict { ref kind, ref id }) if kind == "note" && id == "a"),
        "{result:?}"
    );
}

async fn documents_and_versions(store: &dyn Store) {
    assert!(store.get::<Note>("a").await.unwrap().is_none());
    let mut a = note("a", "f", "new");
    store.commit(Batch::new().create(&a).create(&Other("a".into()))).await.unwrap();
    conflict(store.commit(Batch::new().create(&a)).await);
    let read = store.get::<Note>("a").await.unwrap().unwrap();
    assert_eq!((read.version, &read.value), (1, &a));

    a.state = "changed".into();
    store.commit(Batch::new().update(&a, 1)).await.unwrap();
    conflict(store.commit(Batch::new().update(&a, 1)).await);
    conflict(store.commit(Batch::new().update(&a, 3)).await);
    let read = store.get::<Note>("a").await.unwrap().unwrap();
    assert_eq!((read.version, read.value.state.as_str()), (2, "changed"));
    assert_eq!(store.get_raw("note", "a").await.unwrap().unwrap().state, "changed", "columns follow");

    store.commit(Batch::new().put(&a).put(&a)).await.unwrap();
    assert_eq!(store.get::<Note>("a").await.unwrap().unwrap().version, 4);
    store.commit(Batch::new().delete::<Note>("a").delete::<Note>("nothing")).await.unwrap();
    assert!(store.get::<Note>("a").await.unwrap().is_none());
    assert!(store.get::<Other>("a").await.unwrap().is_some(), "kinds are apart");
    conflict(store.commit(Batch::new().update(&a, 4)).await);
    store.commit(Batch::new().create(&a)).await.unwrap();
    assert_eq!(store.get::<Note>("a").await.unwrap().unwrap().version, 1);
}

async fn lists(store: &dyn Store) {
    let mut batch = Batch::new().create(&Other("0".into()));
    for (id, folder, state) in
        [("3", "x", "new"), ("1", "x", "new"), ("2", "y", "done"), ("5", "x", "done"), ("4", "", "")]
    {
        batch = batch.create(&note(id, folder, state));
    }
    store.commit(batch).await.unwrap();
    let all = Query::default;
    let of = |parent: &str| Query { parent: Some(parent.into()), ..all() };
    let states = |states: &[&str]| states.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let cases: Vec<(Query, &[&str])> = vec![
        (all(), &["1", "2", "3", "4", "5"]),
        (Query { newest_first: true, ..all() }, &["5", "4", "3", "2", "1"]),
        (of("x"), &["1", "3", "5"]),
        (of(""), &["4"]),
        (of("z"), &[]),
        (Query { states: states(&["done"]), ..all() }, &["2", "5"]),
        (Query { states: states(&["done", "new"]), ..of("x") }, &["1", "3", "5"]),
        (Query { states: states(&["' OR 1=1 --"]), ..all() }, &[]),
        (Query { limit: 2, ..all() }, &["1", "2"]),
        (Query { after: Some("2".into()), limit: 2, ..all() }, &["3", "4"]),
        (Query { after: Some("4".into()), newest_first: true, ..of("x") }, &["3", "1"]),
    ];
    for (query, expected) in cases {
        let found = store.list::<Note>(&query).await.unwrap();
        assert_eq!(found.iter().map(|n| n.value.id.as_str()).collect::<Vec<_>>(), expected, "{query:?}");
    }
}

async fn batches_are_atomic(store: &dyn Store) {
    store.commit(Batch::new().create(&note("a", "", ""))).await.unwrap();
    let broken = Batch::new()
        .create(&note("b", "", ""))
        .delete::<Note>("c")
        .event(contract_event("b"))
        .update(&note("a", "", ""), 7);
    conflict(store.commit(broken).await);
    assert!(store.get::<Note>("b").await.unwrap().is_none());
    assert_eq!(store.get::<Note>("a").await.unwrap().unwrap().version, 1);
    assert_eq!(store.head().await.unwrap(), ChainHead::empty());
    assert!(store.commit(Batch::new()).await.unwrap().is_empty());
}

async fn the_ledger_has_no_gaps_and_is_chained(store: &dyn Store) {
    let project = "shop".parse().unwrap();
    for n in 0..25 {
        let events = (0..=n % 3).map(|m| contract_event(&format!("{n}-{m}")).project(&project));
        store.commit(Batch::new().events(events)).await.unwrap();
    }
    let all = store.events(0, 0).await.unwrap();
    let mut head = ChainHead::empty();
    for event in &all {
        head = verify_link(&head, event).unwrap();
    }
    assert_eq!(head, store.head().await.unwrap());
    assert_eq!(head.seq, 49);
    let page = store.events(10, 5).await.unwrap();
    assert_eq!(page.iter().map(|e| e.seq).collect::<Vec<_>>(), [11, 12, 13, 14, 15]);
    assert_eq!(page[0], all[10]);
    assert_eq!(page[0].body.project.as_ref(), Some(&project));
    assert!(store.events(49, 5).await.unwrap().is_empty());
}

async fn keyed_events_enter_once(store: &dyn Store) {
    let keyed = |subject: &str| contract_event(subject).key("push:1");
    let first = store.commit(Batch::new().event(keyed("a")).event(keyed("b"))).await.unwrap();
    assert_eq!(first.len(), 1, "not twice in one batch");
    let again = store.commit(Batch::new().create(&note("a", "", "")).event(keyed("c"))).await.unwrap();
    assert!(again.is_empty());
    assert!(store.get::<Note>("a").await.unwrap().is_some(), "the rest of the batch is written");
    store.commit(Batch::new().event(contract_event("d")).event(contract_event("d"))).await.unwrap();
    let subjects: Vec<String> =
        store.events(0, 0).await.unwrap().into_iter().map(|e| e.body.subject).collect();
    assert_eq!(subjects, ["a", "d", "d"]);
}

/// Before, limit, project, kind prefix; and the numbers expected.
type Backwards = (u64, usize, Option<&'static str>, Option<&'static str>, &'static [u64]);

async fn reading_backwards(store: &dyn Store) {
    for n in 0..6 {
        let project = if n % 2 == 0 { "shop" } else { "other" }.parse().unwrap();
        let kind = ["run.started", "run.ended", "runner.joined"][n % 3];
        let event = NewEvent { kind: kind.into(), ..contract_event(&n.to_string()) };
        let event = if n == 5 { event } else { event.project(&project) };
        store.commit(Batch::new().event(event)).await.unwrap();
    }
    let cases: [Backwards; 8] = [
        (0, 3, None, None, &[6, 5, 4]),
        (4, 0, None, None, &[3, 2, 1]),
        (0, 0, Some("shop"), None, &[5, 3, 1]),
        (0, 0, None, Some("run."), &[5, 4, 2, 1]),
        (0, 0, None, Some("run"), &[6, 5, 4, 3, 2, 1]),
        (5, 1, Some("shop"), Some("run"), &[3]),
        (0, 0, Some("nothing"), None, &[]),
        (0, 0, None, Some("%"), &[]),
    ];
    for (before, limit, project, prefix, expected) in cases {
        let found = store.events_back(before, limit, project, prefix).await.unwrap();
        assert_eq!(found.iter().map(|e| e.seq).collect::<Vec<_>>(), expected, "{project:?} {prefix:?}");
    }
}

async fn cursors_and_counters(store: &dyn Store) {
    assert_eq!(store.cursor("a").await.unwrap(), 0);
    for (set, stands) in [(5, 5), (3, 5), (5, 5), (9, 9)] {
        store.set_cursor("a", set).await.unwrap();
        assert_eq!(store.cursor("a").await.unwrap(), stands);
    }
    assert_eq!(store.cursor("b").await.unwrap(), 0);
    for (counter, expected) in [("x", 1), ("x", 2), ("y", 1), ("x", 3)] {
        assert_eq!(store.next_number(counter).await.unwrap(), expected);
    }
}

/// Eight writers raise one number, each by reading, deciding and trying again on a conflict.
async fn writers_at_the_same_time(store: Arc<dyn Store>) {
    const EACH: usize = 20;
    let count = |text: &str| text.parse::<usize>().unwrap();
    store.commit(Batch::new().create(&Note { text: "0".into(), ..note("a", "", "") })).await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.push(tokio::spawn(async move {
            let mut numbers = Vec::new();
            for n in 0..EACH {
                loop {
                    let mut read = store.get::<Note>("a").await.unwrap().unwrap();
                    read.value.text = (count(&read.value.text) + 1).to_string();
                    let batch = Batch::new()
                        .update(&read.value, read.version)
                        .event(contract_event(&format!("{writer}-{n}")));
                    match store.commit(batch).await {
                        Ok(events) => {
                            assert_eq!(events.len(), 1);
                            break;
                        }
                        Err(StoreError::Conflict { .. }) => tokio::task::yield_now().await,
                        Err(other) => panic!("{other}"),
                    }
                }
                numbers.push(store.next_number("n").await.unwrap());
            }
            numbers
        }));
    }
    let mut numbers = Vec::new();
    for writer in writers {
        numbers.extend(writer.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8 * EACH as u64).collect::<Vec<_>>(), "no number is given out twice");
    let end = store.get::<Note>("a").await.unwrap().unwrap();
    assert_eq!((end.value.text, end.version), ((8 * EACH).to_string(), 8 * EACH as u64 + 1));
    let mut head = ChainHead::empty();
    for event in store.events(0, 0).await.unwrap() {
        head = verify_link(&head, &event).unwrap();
    }
    assert_eq!(head.seq, 8 * EACH as u64);
}
