//! Commits to the file given until it is killed, and prints the number of each commit once it is acknowledged. The kill
//! test runs it.

use windlass_kernel::{Actor, Batch, Document, NewEvent, Store as _, Timestamp};
use windlass_store::SqliteStore;

#[derive(serde::Serialize, serde::Deserialize)]
struct Mark {
    number: u64,
}

impl Document for Mark {
    const KIND: &'static str = "mark";
    fn id(&self) -> String {
        format!("{:012}", self.number)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: commit_loop FILE")?;
    let store = SqliteStore::open(path.as_ref()).await?;
    loop {
        let number = store.next_number("marks").await?;
        let event = NewEvent::new(Timestamp::from_millis(0), Actor::System, "mark.made", number);
        store
            .commit(Batch::new().create(&Mark { number }).event(event.key(format!("mark:{number}"))))
            .await?;
        println!("{number}");
    }
}
