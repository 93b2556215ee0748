//! `windlass eval` as programs call it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

fn eval(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.arg("eval").args(args).stdin(Stdio::null()).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn one_expression_goes_to_standard_output_or_its_error_to_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("contexts.json");
    std::fs::write(&file, r#"{"github": {"ref": "main", "list": [1, {}]}, "job": {"status": "failure"}}"#)
        .unwrap();
    let file = file.to_str().unwrap();
    for (args, wanted) in [
        (&["--context", file, "github.ref"][..], "main\n"),
        (&["--context", file, "on ${{ github.ref }}"], "on main\n"),
        (&["--context", file, "github.list"], "[\n  1,\n  {}\n]\n"),
        (&["--context", file, "--json", "github.ref"], "\"main\"\n"),
        (&["--context", file, "failure() && 'failed'"], "failed\n"),
        (&["-1 < 0"], "true\n"),
        (&["!true"], "false\n"),
        (&["NaN"], "NaN\n"),
        (&["--json", "NaN"], "null\n"),
    ] {
        let output = eval(args);
        assert_eq!((text(&output.stdout).as_str(), output.status.code()), (wanted, Some(0)), "{args:?}");
    }
    for (args, code, wanted) in [
        (&["foo"][..], 1, "Unrecognized named-value: 'foo'. Located at position 1 within expression: foo"),
        (&["fromJSON('')"], 1, "fromJSON: the text is empty"),
        (&["--context", "/none/such", "1"], 1, "cannot read /none/such"),
        (&["-C", "/none/such", "1"], 1, "cannot look into /none/such"),
        (&["1", "--batch"], 2, "cannot be used with"),
        (&[], 2, "required"),
    ] {
        let output = eval(args);
        assert!(text(&output.stderr).contains(wanted), "{args:?}: {}", text(&output.stderr));
        assert_eq!((output.stdout.len(), output.status.code()), (0, Some(code)), "{args:?}");
    }
}

#[test]
fn a_batch_answers_each_line_before_the_next_is_asked() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args(["eval", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut questions = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for (question, wanted) in [
        (r#"{"expr": "1 == '1'"}"#, r#"{"value":true}"#),
        ("nonsense", r#"{"error":"the line is no JSON: expected ident at line 1 column 2"}"#),
        (r#"{"expr": "matrix.os", "context": {"matrix": {"os": "linux"}}}"#, r#"{"value":"linux"}"#),
        (
            r#"{"expr": "1 +"}"#,
            r#"{"error":"Unexpected symbol: '+'. Located at position 3 within expression: 1 +"}"#,
        ),
        (r#"{"expr": "fromJSON('[1.50, null]')"}"#, r#"{"value":[1.5,null]}"#),
    ] {
        writeln!(questions, "{question}").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), wanted);
    }
    drop(questions);
    assert!(answers.next().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
