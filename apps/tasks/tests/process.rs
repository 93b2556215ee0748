//! The program itself: its environment, its signals, its log, and the file that outlives it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

struct Server {
    child: Child,
    log: BufReader<ChildStdout>,
    address: String,
}

fn command(database: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasks"));
    command.env_clear().env("PORT", "0").env("DATABASE_PATH", database);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

impl Server {
    fn start(database: &Path) -> Self {
        let mut child = command(database).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "listening", "{line}");
        Self { child, log, address: line["address"].as_str().unwrap().to_owned() }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// Sends a whole request and reads the whole answer.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The rest of the log, after the end.
    fn finish(mut self) -> (bool, Vec<Value>) {
        let status = self.child.wait().unwrap();
        let lines = self.log.lines().map(|l| serde_json::from_str(&l.unwrap()).unwrap()).collect();
        (status.success(), lines)
    }
}

fn post(title: &str) -> String {
    let body = format!("{{\"title\":\"{title}\"}}");
    let length = body.len();
    format!(
        "POST /tasks HTTP/1.1\r\nhost: x\r\nx-request-id: id-{length}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_request_in_flight_is_finished_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("tasks.db"));
    assert!(server.address.starts_with("127.0.0.1:"), "only this machine, unless asked: {}", server.address);
    let request = post("in flight");
    let mut stream = server.connect();
    stream.write_all(&request.as_bytes()[..request.len() - 3]).unwrap();
    // An answer on a second connection shows that the server has seen the first.
    assert!(
        server
            .ask("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .starts_with("HTTP/1.1 200")
    );
    server.terminate();
    let mut log = server;
    let mut line = String::new();
    while !line.contains("stopping") {
        line.clear();
        assert!(log.log.read_line(&mut line).unwrap() > 0, "the log ended");
    }
    stream.write_all(&request.as_bytes()[request.len() - 3..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let (good, lines) = log.finish();
    assert!(good);
    let request = lines.iter().find(|l| l["message"] == "request").expect("the request is in the log");
    assert_eq!(
        (&request["request_id"], &request["endpoint"], &request["status"]),
        (&"id-21".into(), &"/tasks".into(), &201.into())
    );
    assert_eq!(lines.last().unwrap()["message"], "stopped");
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("tasks.db"));
    let mut idle = server.connect();
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    server.terminate();
    assert!(server.finish().0);
}

#[test]
fn a_new_version_finds_what_the_old_one_kept_while_both_run() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("tasks.db");
    let old = Server::start(&database);
    let young = Server::start(&database);
    assert!(old.ask(&post("from the old one")).starts_with("HTTP/1.1 201"));
    assert!(young.ask(&post("from the new one")).starts_with("HTTP/1.1 201"));
    old.terminate();
    assert!(old.finish().0);
    let list = young.ask("GET /tasks HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(list.contains("from the old one") && list.contains("from the new one"), "{list}");
    young.terminate();
    assert!(young.finish().0);
}

#[test]
fn wrong_settings_end_it_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("tasks.db");
    let cases = [
        ("PORT", "http", "PORT is `http`"),
        ("HOST", "here", "HOST is `here`"),
        ("DATABASE_PATH", "/nowhere/x.db", "/nowhere/x.db"),
    ];
    for (name, value, why) in cases {
        let output = command(&database).env(name, value).output().unwrap();
        assert!(!output.status.success(), "{name}");
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(line["message"].as_str().unwrap().contains(why), "{line}");
        assert_eq!(line["level"], "error");
    }
}
