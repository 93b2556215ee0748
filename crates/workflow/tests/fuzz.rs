//! What the crate reads from outside, fuzzed: see `windlass_testkit::Fuzz` and `cargo xtask fuzz`.

use windlass_kernel::Timestamp;
use windlass_testkit::{Fuzz, way};
use windlass_workflow::cron::Schedule;
use windlass_workflow::expr::{EvalError, Expr, Scope, StatusFunction, Value};
use windlass_workflow::glob::Pattern;
use windlass_workflow::template::{Condition, Template};
use windlass_workflow::{Diagnostic, Severity, parse_action, parse_bytes};

/// Findings that hold together, and which they are.
fn findings(text: &str, usable: bool, findings: &[Diagnostic]) -> u64 {
    let errors = findings.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(usable, !errors, "{findings:?}");
    let mut ways = u64::from(usable);
    for found in findings {
        let (start, end) = (found.span.start, found.span.end);
        assert!(start.offset <= end.offset && end.offset <= text.len(), "{found:?}");
        assert!(found.snippet("w.yml", text).starts_with(found.severity.as_str()));
        ways = ways.rotate_left(1) ^ way(&found.message);
    }
    ways
}

#[test]
fn workflow() {
    let words = [
        "on:",
        "jobs:",
        "  ",
        "\n",
        "- ",
        ": ",
        "runs-on:",
        "steps:",
        "needs:",
        "if:",
        "run:",
        "uses:",
        "with:",
        "matrix:",
        "include:",
        "exclude:",
        "strategy:",
        "${{",
        "}}",
        "&a ",
        "*a",
        "<<: ",
        "{",
        "}",
        "[",
        "]",
        "|\n",
        ">-\n",
        "!!str ",
        "'",
        "\"",
        "concurrency:",
        "permissions:",
        "container:",
        "services:",
        "environment:",
        "outputs:",
        "secrets:",
        "inputs:",
        "workflow_call:",
        "schedule:",
        "cron:",
        "\u{feff}",
        "---",
        "...",
        "~",
        "? ",
        "%YAML 1.2",
    ];
    Fuzz { name: "workflow", words: &words, longest: 8 << 10 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let parsed = parse_bytes("w.yml", text.as_bytes());
        let mut ways = findings(&text, parsed.workflow.is_some(), &parsed.diagnostics);
        if let Some(workflow) = parsed.workflow {
            assert_eq!(workflow.topological().len(), workflow.jobs.len());
            ways ^= workflow.jobs.len().min(4) as u64;
        }
        if bytes.len() < 512 {
            parse_bytes("w.yml", bytes);
        }
        let action = parse_action(&text);
        ways.rotate_left(7) ^ findings(&text, action.action.is_some(), &action.diagnostics)
    });
}

struct Given(Value);

impl Scope for Given {
    fn context(&self, name: &str) -> Option<Value> {
        matches!(name, "github" | "matrix" | "env").then(|| self.0.clone())
    }

    fn status(&self, _: StatusFunction, arguments: &[Value]) -> Result<Value, EvalError> {
        Ok(arguments.is_empty().into())
    }

    fn hash_files(&self, patterns: &[String]) -> Result<String, EvalError> {
        Ok(patterns.join(","))
    }
}

const EXPRESSION: [&str; 44] = [
    "github",
    "matrix",
    "env",
    "secrets",
    ".*",
    "[*]",
    ".a",
    "['a']",
    "[0]",
    "contains(",
    "startsWith(",
    "endsWith(",
    "format(",
    "join(",
    "toJSON(",
    "fromJSON(",
    "hashFiles(",
    "case(",
    "success()",
    "always()",
    "&&",
    "||",
    "!",
    "==",
    "!=",
    "<",
    ">=",
    "'",
    "''",
    "(",
    ")",
    ",",
    "'{0}'",
    "'{{'",
    "NaN",
    "Infinity",
    "null",
    "true",
    "0x",
    "-",
    "'[1,{\"a\":[]}]'",
    "\\u00e9",
    "${{ ",
    " }}",
];

#[test]
fn expression() {
    let json = serde_json::json!({"a": [1, {"a": "x"}, [2, [3]], null], "b": {"a": "0x10", "c": true}, "é": "É", "n": 1e300});
    let scope = Given(Value::from(json));
    Fuzz { name: "expression", words: &EXPRESSION, longest: 22_000 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut ways = match Expr::parse(&text) {
            Err(error) => {
                assert!(error.position <= text.len() && text.is_char_boundary(error.position), "{error:?}");
                way(&format!("{:?}", error.kind))
            }
            Ok(expr) => {
                assert!(expr.explain(&scope).chars().count() <= 401);
                match expr.evaluate(&scope) {
                    Err(error) => way(&error.message.chars().take(40).collect::<String>()),
                    Ok(value) => {
                        let read = Value::from(&value.to_json());
                        assert!(read.to_json_text().len() < 64 << 20);
                        way(match value {
                            Value::Null => "null",
                            Value::Bool(_) => "boolean",
                            Value::Number(n) if n.is_finite() => "number",
                            Value::Number(_) => "no number",
                            Value::String(_) => "text",
                            Value::Array(_) => "array",
                            Value::Object(_) => "object",
                        })
                    }
                }
            }
        };
        if let Ok(template) = Template::parse(&text) {
            ways ^= template.render(&scope).is_ok() as u64;
        }
        if let Ok(condition) = Condition::parse(&text) {
            ways ^= condition.evaluate(&scope).is_ok() as u64;
        }
        ways
    });
}

#[test]
fn glob() {
    let words = ["**", "*", "?", "+", "[a-z]", "[", "]", "!", "\\", "/", "**/", "/**", ".", "-", "é", "\n"];
    Fuzz { name: "glob", words: &words, longest: 1 << 10 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (pattern, subject) = text.split_once('\n').unwrap_or((&text, "refs/heads/main"));
        match Pattern::parse(pattern) {
            Err(error) => way(&error.to_string()),
            Ok(pattern) => {
                let long = subject.repeat(8);
                u64::from(pattern.matches(subject))
                    | u64::from(pattern.matches(&long)) << 1
                    | u64::from(pattern.matches("")) << 2
            }
        }
    });
}

#[test]
fn cron() {
    let words = [
        "*",
        "/",
        "-",
        ",",
        "*/5",
        "0",
        "59",
        "jan",
        "DEC",
        "sun",
        "30 2 * * *",
        "0 0 29 2 *",
        "0 0 31 2 *",
        " ",
        "@daily",
        "?",
        "L",
    ];
    let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Pacific/Apia"];
    let zones: Vec<_> = zones.iter().filter_map(|name| jiff::tz::TimeZone::get(name).ok()).collect();
    Fuzz { name: "cron", words: &words, longest: 200 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        match Schedule::parse(&text) {
            Err(error) => way(&error.to_string()),
            Ok(schedule) => {
                let mut ways = u64::from(schedule.is_too_frequent());
                for zone in &zones {
                    for from in [0, 1_711_846_800_000, 1_729_990_800_000, 253_402_300_000_000] {
                        let next = schedule.next_after(Timestamp::from_millis(from), zone);
                        assert!(
                            next.is_none_or(|next| next.as_millis() > from),
                            "{text} after {from}: {next:?}"
                        );
                        ways = ways.rotate_left(3) ^ u64::from(next.is_some());
                    }
                }
                ways
            }
        }
    });
}
