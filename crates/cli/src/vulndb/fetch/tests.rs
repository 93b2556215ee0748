use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use super::*;

const CHANGED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
const NOW: Timestamp = Timestamp::from_millis(1_445_500_000_000);

/// A server on this machine that gives these answers, one to each connection; and what it was asked.
fn server(answers: Vec<Vec<u8>>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/osv", listener.local_addr().unwrap());
    let (send, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).unwrap() > 2 {}
            let _ = send.send(head);
            stream.write_all(&answer).unwrap();
        }
    });
    (address, asked)
}

fn answer(status: &str, body: &[u8], length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nlast-modified: {CHANGED}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// An archive as OSV has it.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn advisory(id: &str, fixed: &str) -> Vec<u8> {
    format!(
        r#"{{"id":"{id}","modified":"2015-10-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"PyPI","name":"flask"}},
        "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
    )
    .into_bytes()
}

fn known(folder: &Path) -> Vec<(String, u64, i64)> {
    let states = Database::at(folder, FRESH).states().unwrap();
    states.into_iter().map(|s| (s.ecosystem, s.advisories, s.as_of.as_millis())).collect()
}

#[test]
fn dates_of_http_are_read_and_written() {
    let at = written(CHANGED).unwrap();
    let millis = at.duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    assert_eq!(millis, 1_445_412_480_000);
    assert_eq!(written("yesterday"), None);
    assert_eq!(header(Timestamp::from_millis(millis)).as_deref(), Some(CHANGED));
}

#[tokio::test]
async fn names_of_ecosystems_do_not_leave_the_folder() {
    for bad in ["../x", "", ".hidden", "a/b"] {
        let refused = one(Path::new("/nowhere"), "/nowhere", bad, NOW).await.unwrap_err();
        assert!(refused.to_string().contains("not the name"), "{bad}");
    }
}

#[tokio::test]
async fn advisories_are_fetched_kept_and_asked_for_only_when_they_changed() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("evil.json");
    let below = folder.path().join("vulndb");
    // Names in the archive are names only.
    let first = archive(&[
        ("../evil.json", &advisory("PYSEC-1", "2.0")),
        ("/etc/PYSEC-2.json", &advisory("PYSEC-2", "3.0")),
        ("readme.txt", b"no advisory"),
    ]);
    let (address, asked) = server(vec![
        answer("200 OK", &first, first.len()),
        answer("304 Not Modified", b"", 0),
        answer("404 Not Found", b"", 0),
    ]);
    let wanted = ["PyPI".to_owned()];
    let (done, unchanged) = all(&below, &address, &wanted, NOW).await.unwrap();
    assert_eq!((done.ecosystems[0].advisories, unchanged.len()), (2, 0));
    assert_eq!(known(&below), [("PyPI".to_owned(), 2, 1_445_412_480_000)]);
    assert!(!outside.exists());
    let head = asked.recv().unwrap();
    assert!(head.starts_with("GET /osv/PyPI/all.zip "), "{head}");
    assert!(!head.contains("if-modified-since"), "{head}");

    let (done, unchanged) = all(&below, &address, &wanted, NOW).await.unwrap();
    assert_eq!((done.ecosystems.len(), unchanged), (0, vec!["PyPI".to_owned()]));
    assert!(asked.recv().unwrap().contains(&format!("if-modified-since: {CHANGED}\r\n")));
    // It is as old as before: that nothing is newer there does not make it new.
    assert_eq!(known(&below), [("PyPI".to_owned(), 2, 1_445_412_480_000)]);

    let refused = all(&below, &address, &wanted, NOW).await.unwrap_err();
    assert!(format!("{refused:#}").contains("404"), "{refused:#}");
    assert_eq!(known(&below).len(), 1);
}

#[tokio::test]
async fn what_comes_broken_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let good = archive(&[("a.json", &advisory("PYSEC-1", "2.0"))]);
    let next = archive(&[("a.json", &advisory("PYSEC-1", "2.0")), ("b.json", &advisory("PYSEC-2", "3.0"))]);
    let half = &next[..next.len() / 2];
    // Blanks, of which a small archive holds more than an advisory may have.
    let bomb = archive(&[("bomb.json", &vec![b' '; (64 << 20) + 2])]);
    assert!(bomb.len() < 1 << 20);
    let (address, _asked) = server(vec![
        answer("200 OK", &good, good.len()),
        // The connection ends before all has come; then, half is all there is.
        answer("200 OK", half, next.len()),
        answer("200 OK", half, half.len()),
        answer("200 OK", &bomb, bomb.len()),
        answer("200 OK", b"<html>no such page</html>", 25),
    ]);
    let wanted = ["PyPI".to_owned()];
    all(folder.path(), &address, &wanted, NOW).await.unwrap();
    let before = known(folder.path());
    for what in ["cut short", "half an archive", "a bomb", "a page"] {
        let refused = all(folder.path(), &address, &wanted, NOW).await;
        assert!(refused.is_err(), "{what}");
        assert_eq!(known(folder.path()), before, "{what}");
    }
    // Nothing half is left lying about.
    let left = std::fs::read_dir(folder.path()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "zip" || end == "part")
    });
    assert_eq!(left.count(), 0);
}
