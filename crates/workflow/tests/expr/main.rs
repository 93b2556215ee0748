//! Expressions beside the package `@actions/expressions`: thousands that are drawn, each of which must have the same value
//! or none on both sides; and a list of those in which the package does otherwise than the runner, which decides.

mod differences;
mod generator;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value as Json, json};
use windlass_testkit::skip;
use windlass_workflow::expr::{Expr, Scope, Value};

use generator::{Draw, broken, contexts, expression};

const PACKAGE: &str = "@actions/expressions@0.3.61";
const WELL_FORMED: usize = 20_000;
const BROKEN: usize = 10_000;

struct Given(Value);

impl Scope for Given {
    fn context(&self, name: &str) -> Option<Value> {
        self.0.as_object().and_then(|contexts| contexts.get(name)).cloned()
    }
}

/// A value with its numbers as the oracle writes them.
fn plain(value: &Value) -> Json {
    match value {
        Value::Number(n) if !n.is_finite() => json!({ "$number": value.to_text().as_ref() }),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.to_owned(), plain(value))).collect(),
        other => other.to_json(),
    }
}

/// Why there is no value.
#[derive(Clone, Debug)]
enum Refusal {
    /// The text is no expression.
    Text(#[expect(dead_code, reason = "shown when a test fails")] String),
    /// The expression has no value.
    Value(#[expect(dead_code, reason = "shown when a test fails")] String),
}

type Answer = Result<Json, Refusal>;

/// Our answer, in the oracle's form.
fn ours(text: &str, scope: &Given) -> Answer {
    let named = |name: &str| scope.0.as_object().is_some_and(|contexts| contexts.contains_key(name));
    let expr = Expr::parse_over(text, named).map_err(|e| Refusal::Text(e.message))?;
    expr.evaluate(scope).map(|value| plain(&value)).map_err(|e| Refusal::Value(e.message))
}

/// Whether two answers are the same; numbers are, whatever JSON makes of them.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

/// The folder in which the package is, installed when it is not there yet.
fn package() -> Result<PathBuf, String> {
    static ONCE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    ONCE.get_or_init(install).clone()
}

fn install() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle-expressions");
    // Written last: an installation that was cut short is made again.
    let stamp = folder.join("whole");
    if std::fs::read_to_string(&stamp).is_ok_and(|whole| whole == PACKAGE) {
        return Ok(folder);
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let done = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
        .arg(&folder)
        .arg(PACKAGE)
        .output()
        .map_err(|e| format!("npm cannot be started: {e}"))?;
    if !done.status.success() {
        return Err(format!("npm cannot install {PACKAGE}"));
    }
    std::fs::write(stamp, PACKAGE).map_err(|e| e.to_string())?;
    Ok(folder)
}

/// The oracle's answers; `None` where there is no oracle.
fn asked(test: &str, texts: &[String]) -> Option<Vec<Answer>> {
    let folder = match package() {
        Ok(folder) => folder,
        Err(why) => {
            skip(test, &why);
            return None;
        }
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expr/oracle.mjs");
    let child = Command::new("node")
        .arg(script)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .inspect_err(|e| skip(test, &format!("node cannot be started: {e}")));
    let mut child = child.ok()?;
    let mut input = child.stdin.take().expect("its input");
    let context = contexts();
    let lines: Vec<String> =
        texts.iter().map(|expr| json!({"expr": expr, "context": context}).to_string()).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").expect("the oracle reads");
        }
    });
    let output = child.wait_with_output().expect("the oracle ends");
    writer.join().expect("all was written");
    let text = String::from_utf8(output.stdout).expect("text");
    let answers: Vec<_> = text
        .lines()
        .map(|line| {
            let answer: Json = serde_json::from_str(line).expect("JSON");
            match answer.get("value") {
                Some(value) => Ok(value.clone()),
                None => {
                    let why = answer["error"].as_str().unwrap_or_default().to_owned();
                    Err(if answer["parsed"] == json!(true) {
                        Refusal::Value(why)
                    } else {
                        Refusal::Text(why)
                    })
                }
            }
        })
        .collect();
    assert_eq!(answers.len(), texts.len(), "one answer for each");
    Some(answers)
}

/// Compares all answers; where only one side has a value, `excused` says whether that is one of the known differences.
fn compare(test: &str, texts: &[String], excused: fn(&Answer, &Answer) -> bool) {
    let Some(theirs) = asked(test, texts) else { return };
    let scope = Given(Value::from(contexts()));
    let (mut values, mut errors, mut known, mut differ) = (0, 0, 0, Vec::new());
    for (text, theirs) in texts.iter().zip(theirs) {
        let ours = ours(text, &scope);
        match (&ours, &theirs) {
            (Ok(a), Ok(b)) if same(a, b) => values += 1,
            (Err(Refusal::Text(_)), Err(Refusal::Text(_)))
            | (Err(Refusal::Value(_)), Err(Refusal::Value(_))) => {
                errors += 1;
            }
            _ if excused(&ours, &theirs) => known += 1,
            _ => differ.push(format!("{text}\n    ours   {ours:?}\n    theirs {theirs:?}")),
        }
    }
    println!("{test}: {values} values and {errors} errors are the same, {known} differ as is known");
    assert!(
        values > texts.len() / 20 && errors > 0,
        "{values} values, {errors} errors: the draw is one-sided"
    );
    assert!(known < texts.len() / 100, "{known} are too many to be excused");
    let shown = differ.iter().take(25).cloned().collect::<Vec<_>>().join("\n  ");
    assert!(differ.is_empty(), "{} of {} differ:\n  {shown}", differ.len(), texts.len());
}

#[test]
fn well_formed_expressions_have_the_package_s_values() {
    let mut draw = Draw::new(3);
    let texts: Vec<String> = (0..WELL_FORMED).map(|_| expression(&mut draw)).collect();
    compare("well_formed_expressions_have_the_package_s_values", &texts, |_, _| false);
}

#[test]
fn broken_expressions_are_refused_as_by_the_package() {
    let mut draw = Draw::new(4);
    let texts: Vec<String> =
        (0..BROKEN).map(|_| broken(&mut draw)).filter(|text| !differences::known(text)).collect();
    assert!(texts.len() > BROKEN * 3 / 4, "too much is left out");
    // An argument that is never needed may be wrong here, and a format specifier there: see the table.
    compare("broken_expressions_are_refused_as_by_the_package", &texts, |ours, theirs| {
        let well_formed = |answer: &Answer| !matches!(answer, Err(Refusal::Text(_)));
        well_formed(ours) && well_formed(theirs) && ours.is_ok() != theirs.is_ok()
    });
}

#[test]
fn where_the_package_differs_the_runner_decides() {
    let rows = differences::TABLE;
    let texts: Vec<String> = rows.iter().map(|row| row.expr.to_owned()).collect();
    let scope = Given(Value::from(contexts()));
    for row in rows {
        let ours = ours(row.expr, &scope);
        let shown = ours.as_ref().map_or("error".to_owned(), Json::to_string);
        assert_eq!(shown, row.ours, "{}: {}: {ours:?}", row.expr, row.why);
    }
    let Some(theirs) = asked("where_the_package_differs_the_runner_decides", &texts) else { return };
    for (row, theirs) in rows.iter().zip(theirs) {
        let shown = theirs.as_ref().map_or("error".to_owned(), Json::to_string);
        assert_eq!(shown, row.theirs, "{}: {}: {theirs:?}", row.expr, row.why);
        assert_ne!(row.ours, row.theirs, "{} is no difference any more", row.expr);
    }
}
