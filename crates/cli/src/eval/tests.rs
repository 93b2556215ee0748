use super::*;

fn eval(expr: &str, context: &Json) -> Result<Json, String> {
    let here = Path::new(".");
    Contexts::of(context, here)?.evaluate(expr).map(|value| value.to_json())
}

fn batch_of(input: &str, otherwise: &Json) -> Vec<Json> {
    let mut output = Vec::new();
    batch(&mut BufReader::new(input.as_bytes()), &mut output, otherwise, Path::new(".")).unwrap();
    String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_expression_may_stand_in_braces_or_not_or_among_text() {
    let context = json!({"GitHub": {"ref": "main"}, "matrix": {"list": [1, 2.5, "x"]}, "own": {"a": null}});
    for (expr, value) in [
        ("github.REF", json!("main")),
        ("${{ github.ref }}", json!("main")),
        ("  ${{ matrix.list }}\n", json!([1, 2.5, "x"])),
        ("on ${{ github.ref }}: ${{ matrix.list[1] }}", json!("on main: 2.5")),
        ("${{ github.ref }}${{ '}}' }}", json!("main}}")),
        ("${{ '}}' }}", json!("}}")),
        ("contains('${{', '$')", json!(true)),
        ("own.a == null", json!(true)),
        ("NaN", json!(null)),
        ("1e2", json!(100)),
    ] {
        assert_eq!(eval(expr, &context), Ok(value), "{expr}");
    }
    let missing = eval("vars.x", &context).unwrap_err();
    assert_eq!(missing, "Unrecognized named-value: 'vars'. Located at position 1 within expression: vars.x");
    assert!(eval("1", &json!([])).unwrap_err().contains("must be an object"));
    assert!(eval("${{ 1", &json!({})).unwrap_err().contains("not closed"));
}

#[test]
fn status_functions_follow_the_job_or_its_needs() {
    let job = |status: &str| json!({"job": {"status": status}});
    let needs = |result: &str| json!({"needs": {"a": {"result": "success"}, "b": {"result": result}}});
    for (context, wanted) in [
        (json!({}), [true, false, false]),
        (job("success"), [true, false, false]),
        (job("Failure"), [false, true, false]),
        (job("cancelled"), [false, false, true]),
        (needs("success"), [true, false, false]),
        (needs("failure"), [false, true, false]),
        (needs("skipped"), [false, false, false]),
        (needs("cancelled"), [false, false, true]),
    ] {
        for (function, wanted) in ["success()", "failure()", "cancelled()"].into_iter().zip(wanted) {
            assert_eq!(eval(function, &context), Ok(json!(wanted)), "{function} {context}");
        }
        assert_eq!(eval("always()", &context), Ok(json!(true)));
    }
    assert_eq!(eval("success('a') && failure('a', 'B')", &needs("failure")), Ok(json!(true)));
    assert!(eval("success('c')", &needs("failure")).unwrap_err().contains("no job 'c'"));
}

#[test]
fn variables_are_exact_and_files_are_hashed_below_the_folder() {
    let context = json!({"env": {"Path": 1, "PATH": 2}});
    assert!(eval("env.Path + 0", &context).is_err());
    assert_eq!(eval("format('{0}{1}{2}', env.Path, env.PATH, env.path)", &context), Ok(json!("12")));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.lock"), "one").unwrap();
    let contexts = Contexts::of(&Json::Null, folder.path()).unwrap();
    let hash = contexts.evaluate("hashFiles('**/*.lock')").unwrap().to_text();
    assert_eq!(hash.len(), 64);
    assert_eq!(contexts.evaluate("hashFiles('*.none')").unwrap(), Value::from(""));
}

#[test]
fn every_line_is_answered_by_one_and_none_ends_the_batch() {
    let lines = [
        r#"{"expr": "1 == 1", "context": {}}"#,
        r#"{"expr": "matrix.a", "context": {"matrix": {"a": [1, {"b": null}]}}}"#,
        r#"{"expr": "matrix.a"}"#,
        r#"{"expr": "matrix.a", "context": null}"#,
        r#"{"expr": 1}"#,
        r#"{"context": {}}"#,
        r#"{"expr": "1", "context": 1}"#,
        "[]",
        "",
        "not json",
        "\u{0}\u{1}",
        &"[".repeat(10_000),
        r#"{"expr": "fromJSON('')"}"#,
        r#"{"expr": "foo("}"#,
        "{\"expr\": \"'last, without a line break'\"}",
    ];
    let answers = batch_of(&lines.join("\n"), &json!({"matrix": {"a": "given"}}));
    assert_eq!(answers.len(), lines.len());
    assert_eq!(answers[0], json!({"value": true}));
    assert_eq!(answers[1], json!({"value": [1, {"b": null}]}));
    assert_eq!(answers[2], json!({"value": "given"}));
    assert_eq!(answers[3], json!({"value": "given"}));
    for (line, answer) in lines.iter().zip(&answers).skip(4).take(10) {
        assert!(answer["error"].as_str().is_some_and(|e| !e.is_empty()), "{line}: {answer}");
    }
    assert_eq!(answers[14], json!({"value": "last, without a line break"}));
    assert!(batch_of("", &Json::Null).is_empty());
    let bad_bytes = b"{\"expr\": \"'\xff'\"}\n{\"expr\": \"2\"}\n";
    let mut output = Vec::new();
    batch(&mut BufReader::new(&bad_bytes[..]), &mut output, &Json::Null, Path::new(".")).unwrap();
    let output = String::from_utf8(output).unwrap();
    assert!(output.starts_with("{\"error\":") && output.ends_with("{\"value\":2}\n"), "{output}");
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    let mut input = vec![b'x'; LARGEST + 10];
    input.extend_from_slice(b"\n{\"expr\": \"3\"}");
    let mut output = Vec::new();
    batch(&mut BufReader::new(&input[..]), &mut output, &Json::Null, Path::new(".")).unwrap();
    let expected = "{\"error\":\"the line is longer than 64 MiB\"}\n{\"value\":3}\n";
    assert_eq!(String::from_utf8(output).unwrap(), expected);
}
