//! The binary as a program calls it: exit codes, what goes to which stream, and what it says when nothing runs.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the binary with a data directory of its own and none of the machine's settings.
fn windlass(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    for name in ["WINDLASS_URL", "WINDLASS_TOKEN", "WINDLASS_DATA"] {
        command.env_remove(name);
    }
    command.args(args).arg("--data").arg(data).current_dir(data).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn exit_codes_are_those_of_the_reference() {
    let temp = tempfile::tempdir().unwrap();
    let cases: [(&[&str], i32, &str); 13] = [
        (&["--help"], 0, ""),
        (&["run", "list", "--help"], 0, ""),
        (&["--version"], 0, ""),
        (&["nonsense"], 2, "unrecognized subcommand"),
        (&["deploy", "tasks"], 2, "required"),
        (&["up", "--listen", "0.0.0.0:0"], 2, "--expose"),
        (&["status"], 5, "windlass up"),
        (&["project", "list"], 5, "windlass up"),
        (&["status", "--url", "http://127.0.0.1:1"], 4, "WINDLASS_TOKEN"),
        (&["lint", "not-there"], 3, "does not exist"),
        (&["lint"], 3, ".github/workflows"),
        (&["demo"], 2, "--yes"),
        (&["down"], 0, ""),
    ];
    for (args, code, said) in cases {
        let done = windlass(temp.path(), args);
        let error = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(said), "{args:?} says `{error}`, not `{said}`");
    }
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "asking made files");
}

#[test]
fn nobody_at_an_address_is_code_5() {
    let temp = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.env("WINDLASS_TOKEN", "wlu_x").args([
        "run",
        "list",
        "--url",
        &format!("http://127.0.0.1:{port}"),
    ]);
    let done = command.current_dir(temp.path()).output().unwrap();
    assert_eq!(done.status.code(), Some(5), "{}", text(&done.stderr));
    assert!(!text(&done.stderr).contains("wlu_x"));
}

#[test]
fn lint_finds_the_line() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join(".github/workflows");
    std::fs::create_dir_all(&folder).unwrap();
    let good = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo\n";
    std::fs::write(folder.join("ci.yml"), good).unwrap();
    let done = windlass(temp.path(), &["lint"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stdout));
    std::fs::write(folder.join("ci.yml"), good.replace("runs-on", "rns-on")).unwrap();
    let done = windlass(temp.path(), &["lint"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stdout).contains("ci.yml:4:5"), "{}", text(&done.stdout));
    let done = windlass(temp.path(), &["lint", "--json"]);
    let findings: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(findings.as_array().unwrap().iter().any(|f| f["line"] == 4 && f["column"] == 5), "{findings}");
}

#[test]
fn a_remote_is_not_added_where_there_is_no_repository() {
    let temp = tempfile::tempdir().unwrap();
    let done = windlass(temp.path(), &["project", "remote"]);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("git init"));
}
