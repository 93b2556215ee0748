//! A process that commits in a loop is killed in the middle, again and again: what was acknowledged is there, what is
//! there is whole, and the chain holds.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use windlass_kernel::{Query, Store as _};
use windlass_store::{SqliteStore, verify_chain};

#[tokio::test]
async fn killed_while_it_commits() {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/commit_loop");
    assert!(
        program.is_file(),
        "{} is missing: run `cargo build -p windlass-store --examples`",
        program.display()
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("killed.sqlite");
    let mut acknowledged: u64 = 0;
    for round in 0..6 {
        let mut child = Command::new(&program).arg(&path).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for (n, line) in lines.enumerate() {
            let Ok(line) = line else { break };
            let Ok(number) = line.parse::<u64>() else { break };
            acknowledged = acknowledged.max(number);
            if n == 20 + round {
                // SIGKILL: it gets no chance to tidy up. What it printed meanwhile is still read.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();

        let store = SqliteStore::open(&path).await.unwrap();
        let report = verify_chain(&store).await.unwrap();
        assert!(report.intact(), "{report:?}");
        let marks = store.list_raw("mark", &Query::default()).await.unwrap();
        assert_eq!(marks.len() as u64, report.entries, "each document has its event");
        // A number that was drawn and never committed is missing in both.
        let events = store.events(0, 0).await.unwrap();
        let told = events.iter().map(|e| format!("{:012}", e.body.subject.parse::<u64>().unwrap()));
        assert_eq!(marks.iter().map(|m| m.id.clone()).collect::<Vec<_>>(), told.collect::<Vec<_>>());
        assert!(
            marks.iter().any(|m| m.id == format!("{acknowledged:012}")),
            "what was acknowledged is there"
        );
        assert_eq!(store.check().await.unwrap(), None);
        store.close().await;
    }
    assert!(acknowledged >= 6 * 20);
}
