use serde_json::json;

use super::super::*;

struct Given;

impl Scope for Given {
    fn context(&self, name: &str) -> Option<Value> {
        let value = match name {
            "github" => json!({
                "event_name": "push", "ref": "refs/heads/main", "sha": "abc", "event": {
                    "commits": [{"id": 1, "author": {"name": "A"}}, {"id": 2}, {"id": 3, "author": {"name": "C"}}],
                    "labels": {"x": {"name": "bug"}, "y": {"name": "help"}},
                    "number": 12,
                },
            }),
            "matrix" => json!({"os": "linux", "version": 3.10, "list": [1, 2, "three", true, null]}),
            "vars" => json!({"EMPTY": "", "Yes": "YES"}),
            "env" => {
                let mut env = Object::exact();
                env.insert("Path", "a".into());
                return Some(env.into());
            }
            _ => return None,
        };
        Some(value.into())
    }

    fn status(&self, function: StatusFunction, _: &[Value]) -> Result<Value, EvalError> {
        Ok(Value::Bool(matches!(function, StatusFunction::Success | StatusFunction::Always)))
    }
}

fn value(text: &str) -> serde_json::Value {
    match Expr::parse(text) {
        Ok(expr) => expr.evaluate(&Given).unwrap_or_else(|e| panic!("{text}: {e}")).to_json(),
        Err(e) => panic!("{text}: {e}"),
    }
}

fn check(table: &[(&str, serde_json::Value)]) {
    for (text, expected) in table {
        assert_eq!(&value(text), expected, "{text}");
    }
}

#[test]
fn literals_operators_and_comparison() {
    check(&[
        // Literals.
        ("null", json!(null)),
        ("true", json!(true)),
        ("'it''s'", json!("it's")),
        ("''", json!("")),
        ("0x1F", json!(31)),
        ("0xFFFFFFFF", json!(-1)),
        ("0o17", json!(15)),
        ("-1.5e3", json!(-1500)),
        (".5", json!(0.5)),
        ("+7", json!(7)),
        ("NaN == NaN", json!(false)),
        ("Infinity > 1", json!(true)),
        // Precedence and short circuit.
        ("true || false && false", json!(true)),
        ("!true || true", json!(true)),
        ("!false && 'x'", json!("x")),
        ("1 < 2 == true", json!(true)),
        ("1 == 1 && 2 || 3", json!(2)),
        ("'' || 'default'", json!("default")),
        ("0 && fromJSON('')", json!(0)),
        ("1 || fromJSON('')", json!(1)),
        ("!!'x'", json!(true)),
        ("!NaN", json!(true)),
        ("!0 && !'' && !null && !-0", json!(true)),
        ("!'0' || !'false' || !fromJSON('[]') || !fromJSON('{}')", json!(false)),
        ("(1 == 2) == false", json!(true)),
        // Coercion in comparison.
        ("1 == '1'", json!(true)),
        ("'abc' == 'ABC'", json!(true)),
        ("'é' == 'É'", json!(true)),
        ("null == 0", json!(true)),
        ("null == ''", json!(true)),
        ("true == '1'", json!(true)),
        ("true == 'true'", json!(false)),
        ("'x' == 0", json!(false)),
        ("' 0x10 ' == 16", json!(true)),
        ("'a' < 'B'", json!(true)),
        ("'2' < 10", json!(true)),
        ("'2' < '10'", json!(false)),
        ("'abc' < 1", json!(false)),
        ("'abc' >= 1", json!(false)),
        ("null < null", json!(false)),
        ("true > false", json!(true)),
        ("github.event == github.event", json!(true)),
        ("github == github && github.event != fromJSON(toJSON(github.event))", json!(true)),
        ("fromJSON('[]') == fromJSON('[]')", json!(false)),
        ("matrix.list > 1", json!(false)),
    ]);
}

#[test]
fn dereferencing() {
    check(&[
        ("github.EVENT_name", json!("push")),
        ("GitHub['event_name']", json!("push")),
        ("github.event.commits[1].id", json!(2)),
        ("github.event.commits['1'].id", json!(2)),
        ("github.event.commits[1.9].id", json!(2)),
        ("github.event.commits[-1]", json!(null)),
        ("github.event.commits[9].id", json!(null)),
        ("github.nothing.at.all", json!(null)),
        ("github.sha.x", json!(null)),
        ("env.Path", json!("a")),
        ("env.PATH", json!(null)),
        ("github.event.commits.*.id", json!([1, 2, 3])),
        ("github.event.commits.*.author.name", json!(["A", "C"])),
        ("github.event.commits[*].author[*]", json!(["A", "C"])),
        ("github.event.labels.*.name", json!(["bug", "help"])),
        ("github.sha.*", json!([])),
        ("matrix.version", json!(3.1)),
        ("github['ref'] == format('refs/heads/{0}', 'main')", json!(true)),
    ]);
}

#[test]
fn functions() {
    check(&[
        ("contains('Hello World', 'WORLD')", json!(true)),
        ("contains(matrix.list, 'THREE')", json!(true)),
        ("contains(matrix.list, '2')", json!(true)),
        ("contains(github.event.labels.*.name, 'bug')", json!(true)),
        ("contains(github, 'push')", json!(false)),
        ("contains(12345, 234)", json!(true)),
        ("startsWith('Hello', 'HE')", json!(true)),
        ("endsWith('Hello', 'LO')", json!(true)),
        ("startsWith('a', 'abc')", json!(false)),
        ("startsWith(matrix.list, '')", json!(false)),
        ("startsWith(123, 12)", json!(true)),
        ("format('{0} {1} {0}', 'a', true)", json!("a true a")),
        ("format('{{{0}}}', 1)", json!("{1}")),
        ("format('{{0}}')", json!("{0}")),
        ("join(matrix.list, '-')", json!("1-2-three-true-")),
        ("join(matrix.list)", json!("1,2,three,true,")),
        ("join('x', '-')", json!("x")),
        ("join(github)", json!("")),
        ("toJSON('a\"b')", json!("\"a\\\"b\"")),
        ("toJSON(1)", json!("1")),
        ("fromJSON('{\"a\": [1, {\"b\": null}]}').A[0]", json!(1)),
        ("fromJSON('[1, 2,]')[1]", json!(2)),
        ("fromJSON('{/*c*/''k'': \"\\u00e9\\ud83d\\ude00\"} // end').k", json!("é😀")),
        ("fromJSON('true')", json!(true)),
        ("fromJSON('\"x\"')", json!("x")),
        ("case(false, 1, 'a' == 'A', 2, fromJSON(''))", json!(2)),
        ("case(false, 1, 3)", json!(3)),
        ("SUCCESS()", json!(true)),
        ("always() && !cancelled()", json!(true)),
        ("failure('a', 'b')", json!(false)),
    ]);
}

#[test]
fn numbers_have_fifteen_digits() {
    let table = [
        (0.1 + 0.2, "0.3"),
        (-0.0, "0"),
        (1e15, "1E+15"),
        (123_456_789_012_345.0, "123456789012345"),
        (1_234_567_890_123_456.0, "1.23456789012346E+15"),
        (0.0001, "0.0001"),
        (0.00001, "1E-05"),
        (-2.5e-7, "-2.5E-07"),
        (1.0 / 3.0, "0.333333333333333"),
        (100.0, "100"),
        (1e100, "1E+100"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-Infinity"),
    ];
    for (number, expected) in table {
        assert_eq!(Value::Number(number).to_text().as_ref(), expected);
    }
}

#[test]
fn texts_become_numbers() {
    let table = [
        ("", 0.0),
        ("  12 ", 12.0),
        ("1.", 1.0),
        ("0x7f", 127.0),
        ("0o10", 8.0),
        ("-Infinity", f64::NEG_INFINITY),
        ("1e3", 1000.0),
    ];
    for (text, expected) in table {
        assert_eq!(Value::from(text).to_number().to_bits(), f64::to_bits(expected), "{text}");
    }
    for text in ["x", "1 2", "0xg", "0x", "0x+1", "0x1FFFFFFFF", "inf", "nan", "1e", "-", "0o9", "true"] {
        assert!(Value::from(text).to_number().is_nan(), "{text}");
    }
}

#[test]
fn json_is_laid_out_as_on_github() {
    let value = Value::from(json!({"a": [1, 0.5, {"b": null}], "e": [], "o": {}, "s": "é\n\u{1}\u{2028}"}));
    let expected = "{\n  \"a\": [\n    1,\n    0.5,\n    {\n      \"b\": null\n    }\n  ],\n  \"e\": [],\n  \"o\": {},\n  \"s\": \"é\\n\\u0001\\u2028\"\n}";
    assert_eq!(value.to_json_text(), expected);
}

#[test]
fn errors_in_githubs_words() {
    let deep = "!".repeat(50) + "true";
    let parens = "(".repeat(5_000);
    let long = format!("'{}'", "x".repeat(20_999));
    let table: &[(&str, &str, usize)] = &[
        ("foo.bar", "Unrecognized named-value: 'foo'. Located at position 1 within expression: foo.bar", 0),
        (" a && foo ", "Unrecognized named-value: 'a'. Located at position 1 within expression: a && foo", 1),
        (
            "'é' == foo()",
            "Unrecognized function: 'foo'. Located at position 8 within expression: 'é' == foo()",
            8,
        ),
        ("1 ==", "Unexpected end of expression: '=='. Located at position 3 within expression: 1 ==", 2),
        ("(1", "Unexpected end of expression: '1'. Located at position 2 within expression: (1", 1),
        ("1 2", "Unexpected symbol: '2'. Located at position 3 within expression: 1 2", 2),
        ("1 = 2", "Unexpected symbol: '='. Located at position 3 within expression: 1 = 2", 2),
        ("github & 1", "Unexpected symbol: '&'. Located at position 8 within expression: github & 1", 7),
        ("\"x\"", "Unexpected symbol: '\"x\"'. Located at position 1 within expression: \"x\"", 0),
        ("'x", "Unexpected symbol: ''x'. Located at position 1 within expression: 'x", 0),
        ("github.'x'", "Unexpected symbol: ''x''. Located at position 8 within expression: github.'x'", 7),
        ("1abc", "Unexpected symbol: '1abc'. Located at position 1 within expression: 1abc", 0),
        (
            "contains('a')",
            "Too few parameters supplied: 'contains'. Located at position 1 within expression: contains('a')",
            0,
        ),
        (
            "toJSON(1, 2)",
            "Too many parameters supplied: 'toJSON'. Located at position 1 within expression: toJSON(1, 2)",
            0,
        ),
        (
            "case(true, 1, false, 2)",
            "Even number of parameters supplied, requires an odd number of parameters: 'case'. Located at position 1 within expression: case(true, 1, false, 2)",
            0,
        ),
        ("", "An expression was expected", 0),
        (&deep, "Exceeded max expression depth 50", 0),
        (&long, "Exceeded max expression length 21000", 0),
        ("True", "Unrecognized named-value: 'True'. Located at position 1 within expression: True", 0),
        ("github.*.[0]", "Unexpected symbol: '['. Located at position 10 within expression: github.*.[0]", 9),
        // What comes first is told first.
        (
            "foo == \"x\"",
            "Unrecognized named-value: 'foo'. Located at position 1 within expression: foo == \"x\"",
            0,
        ),
        (
            "'😀' == foo",
            "Unrecognized named-value: 'foo'. Located at position 9 within expression: '😀' == foo",
            10,
        ),
        ("true()", "Unexpected symbol: '('. Located at position 5 within expression: true()", 4),
        ("github..5", "Unexpected symbol: '.'. Located at position 8 within expression: github..5", 7),
        ("join('a',)", "Unexpected symbol: ')'. Located at position 10 within expression: join('a',)", 9),
        ("(1, 2)", "Unexpected symbol: ','. Located at position 3 within expression: (1, 2)", 2),
        ("()", "Unexpected symbol: ')'. Located at position 2 within expression: ()", 1),
        ("(1]", "Unexpected symbol: ']'. Located at position 3 within expression: (1]", 2),
        ("github[]", "Unexpected symbol: ']'. Located at position 8 within expression: github[]", 7),
        ("github[*.a]", "Unexpected symbol: '.'. Located at position 9 within expression: github[*.a]", 8),
        ("a'b'", "Unexpected symbol: 'a'b''. Located at position 1 within expression: a'b'", 0),
        ("github.", "Unexpected end of expression: '.'. Located at position 7 within expression: github.", 6),
        ("'x'.y", "Unexpected symbol: '.'. Located at position 4 within expression: 'x'.y", 3),
    ];
    let unclosed = Expr::parse(&parens).expect_err("not closed").message;
    assert!(
        unclosed.starts_with("Unexpected end of expression: '('. Located at position 5000 "),
        "{unclosed}"
    );
    for (text, message, position) in table {
        let error = Expr::parse(text).expect_err(text);
        assert_eq!((error.message.as_str(), error.position), (*message, *position));
    }
}

#[test]
fn evaluation_errors_say_what() {
    let table = [
        ("fromJSON('')", "fromJSON: the text is empty"),
        ("fromJSON('[1')", "fromJSON: the text ends where `,` or `]` should stand (line 1, column 3)"),
        ("fromJSON('{1: 1}')", "fromJSON: `1` stands where a key should (line 1, column 3)"),
        ("fromJSON('[1] [2]')", "fromJSON: `[` stands behind the end of the value (line 1, column 5)"),
        ("fromJSON('  ')", "fromJSON: the text is empty"),
        ("fromJSON('[+1]')", "fromJSON: `+1` is no value (line 1, column 2)"),
        (
            "format('{1}', 'a')",
            "The following format string references more arguments than were supplied: {1}",
        ),
        ("format('{0:x}', 'a')", "The format specifiers 'x' are not valid: {0:x}"),
        ("format('{0x}', 'a')", "The following format string is invalid: {0x}"),
        ("format('{256}', 'a')", "The following format string is invalid: {256}"),
        ("format('{', 'a')", "The following format string is invalid: {"),
        ("format('{0', 'a')", "The following format string is invalid: {0"),
        ("format('{ 0}', 'a')", "The following format string is invalid: { 0}"),
        ("format('{0:}}', 'a')", "The following format string is invalid: {0:}}"),
        ("format('}', 'a')", "The following format string is invalid: }"),
        ("case(1, 2, 3)", "case predicate must evaluate to a boolean value, not 1"),
        ("hashFiles('x')", "the function 'hashFiles' is not available here"),
        ("secrets.X", "the context 'secrets' is not available here"),
    ];
    for (text, message) in table {
        assert_eq!(Expr::parse(text).unwrap().evaluate(&Given).unwrap_err().message, message, "{text}");
    }
}

#[test]
fn no_expression_is_a_bomb() {
    let mut text = "'xxxxxxxxxxxxxxxx'".to_owned();
    for _ in 0..12 {
        text = format!("format('{{0}}{{0}}{{0}}{{0}}{{0}}{{0}}{{0}}{{0}}', {text})");
    }
    let error = Expr::parse(&text).unwrap().evaluate(&Given).unwrap_err();
    assert!(error.message.contains("maximum allowed memory"), "{error}");
    let nested = format!("fromJSON('{}')", "[".repeat(15_000));
    assert!(Expr::parse(&nested).unwrap().evaluate(&Given).unwrap_err().message.contains("100 deep"));
}

#[test]
fn a_long_chain_is_not_deep() {
    let chain = vec!["true"; 500].join(" && ");
    assert_eq!(value(&chain), json!(true));
    let calls = format!("github{}", ".a".repeat(48));
    assert_eq!(value(&calls), json!(null));
    assert!(Expr::parse(&format!("github{}", ".a".repeat(51))).is_err());
}

#[test]
fn references_name_what_is_used_and_where() {
    let expr =
        Expr::parse("needs.build.result == 'x' && contains(secrets['A b'], github[env.X]) || always()")
            .unwrap();
    let found: Vec<_> = expr
        .references()
        .iter()
        .map(|r| (r.name.as_str(), r.position, r.property.as_deref(), r.arguments))
        .collect();
    assert_eq!(
        found,
        [
            ("needs", 0, Some("build"), 0),
            ("contains", 29, None, 2),
            ("secrets", 38, Some("A b"), 0),
            ("github", 54, None, 0),
            ("env", 61, Some("X"), 0),
            ("always", 72, None, 0),
        ]
    );
    assert!(expr.uses_status_function());
    assert!(expr.uses_context("Secrets"));
}

#[test]
fn an_explanation_shows_what_was_read() {
    let expr = Expr::parse("github.ref == 'refs/heads/x' && (matrix.version > 3 || !vars.none)").unwrap();
    assert_eq!(expr.explain(&Given), "('refs/heads/main' == 'refs/heads/x') && ((3.1 > 3) || !null)");
}
