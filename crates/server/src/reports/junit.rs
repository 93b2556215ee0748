//! Test results in the form that JUnit's Ant task began and everybody writes: `testsuites`, `testsuite`, `testcase` with
//! `failure`, `error`, `skipped`, and what was printed.

use std::collections::HashMap;
use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::xml::{Token, Xml, XmlError, attribute};

/// The most tests whose results are kept by name, and the most failures that are kept with their texts.
pub(super) const MOST_CASES: usize = 20_000;
const MOST_FAILURES: usize = 200;
/// How long the texts of a failure may be, in characters.
const MESSAGE: usize = 2000;
const OUTPUT: usize = 8000;
const NAME: usize = 300;

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Passed,
    Failed,
    Skipped,
    /// It failed and passed in the same run.
    Flaky,
}

/// A test's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    pub(super) millis: u64,
}

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) message: String,
    pub(super) output: String,
    pub(super) path: Option<String>,
    pub(super) line: Option<u32>,
}

/// Results of one or more files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    pub(super) cases: Vec<Case>,
    pub(super) failures: Vec<Failure>,
    /// Tests beyond those that are kept.
    pub(super) dropped: u64,
    places: HashMap<String, usize>,
}

/// A test case that is being read.
#[derive(Default)]
struct Going {
    name: String,
    millis: u64,
    failed: bool,
    flaky: bool,
    skipped: bool,
    message: String,
    output: String,
    path: Option<String>,
    line: Option<u32>,
}

impl Results {
    /// Reads a file's results into these.
    pub(super) fn read(&mut self, from: impl BufRead) -> Result<(), XmlError> {
        let mut xml = Xml::new(from);
        let mut open: Vec<String> = Vec::new();
        let mut suites: Vec<String> = Vec::new();
        let mut going: Option<Going> = None;
        while let Some(token) = xml.next()? {
            match token {
                Token::Open(name, attributes) => {
                    match name.as_str() {
                        "testsuite" => {
                            suites.push(attribute(&attributes, "name").unwrap_or_default().to_owned());
                        }
                        "testcase" => going = Some(begin(&attributes, suites.last())),
                        other => {
                            if let Some(going) = &mut going {
                                going.child(other, &attributes);
                            }
                        }
                    }
                    open.push(name);
                }
                Token::Text(text) => {
                    if let (Some(going), Some(name)) = (&mut going, open.last()) {
                        going.text(name, &text);
                    }
                }
                Token::Close => match open.pop().as_deref() {
                    Some("testsuite") => {
                        suites.pop();
                    }
                    Some("testcase") => {
                        if let Some(going) = going.take() {
                            self.take(going);
                        }
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }

    fn take(&mut self, going: Going) {
        let outcome = match (going.failed, going.flaky, going.skipped) {
            (true, ..) => Outcome::Failed,
            (_, true, _) => Outcome::Flaky,
            (_, _, true) => Outcome::Skipped,
            _ => Outcome::Passed,
        };
        if going.failed && self.failures.len() < MOST_FAILURES {
            self.failures.push(Failure {
                name: going.name.clone(),
                message: cut(going.message.trim(), MESSAGE),
                output: cut(going.output.trim_matches('\n'), OUTPUT),
                path: going.path,
                line: going.line,
            });
        }
        // Seen before: the legs of a matrix in one archive, or a test that was tried again.
        if let Some(place) = self.places.get(&going.name) {
            let case = &mut self.cases[*place];
            case.outcome = together(case.outcome, outcome);
            case.millis = case.millis.max(going.millis);
        } else if self.cases.len() < MOST_CASES {
            self.places.insert(going.name.clone(), self.cases.len());
            self.cases.push(Case { name: going.name, outcome, millis: going.millis });
        } else {
            self.dropped += 1;
        }
    }

    /// How many ended so.
    pub(super) fn count(&self, outcome: Outcome) -> u64 {
        self.cases.iter().filter(|c| c.outcome == outcome).count() as u64
    }
}

/// Two results of one test: a failure counts, whatever the other was.
pub(super) fn together(a: Outcome, b: Outcome) -> Outcome {
    let rank = |o: Outcome| match o {
        Outcome::Failed => 3,
        Outcome::Flaky => 2,
        Outcome::Passed => 1,
        Outcome::Skipped => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

fn begin(attributes: &[(String, String)], suite: Option<&String>) -> Going {
    let get = |name| attribute(attributes, name).unwrap_or_default();
    let class = Some(get("classname")).filter(|c| !c.is_empty()).or(suite.map(String::as_str));
    let name = match class.filter(|c| !c.is_empty() && *c != get("name")) {
        Some(class) => format!("{class} › {}", get("name")),
        None => get("name").to_owned(),
    };
    let seconds: f64 = get("time").replace(',', "").parse().unwrap_or(0.0);
    Going {
        name: cut(&name, NAME),
        millis: if seconds.is_finite() && seconds > 0.0 { (seconds * 1000.0) as u64 } else { 0 },
        path: attribute(attributes, "file").map(|f| cut(f.trim_start_matches("./"), NAME)),
        line: attribute(attributes, "line").and_then(|l| l.parse().ok()),
        ..Going::default()
    }
}

impl Going {
    fn child(&mut self, name: &str, attributes: &[(String, String)]) {
        match name {
            "failure" | "error" => {
                self.failed = true;
                if self.message.is_empty() {
                    attribute(attributes, "message").unwrap_or_default().clone_into(&mut self.message);
                }
            }
            // Surefire's: it failed, was tried again, and passed.
            "flakyFailure" | "flakyError" => self.flaky = true,
            "skipped" | "disabled" => self.skipped = true,
            _ => {}
        }
    }

    fn text(&mut self, inside: &str, text: &str) {
        let printed = matches!(inside, "system-out" | "system-err");
        if printed || matches!(inside, "failure" | "error" | "rerunFailure" | "stackTrace") {
            let room = (OUTPUT * 4).saturating_sub(self.output.len());
            let text: String = text.chars().take(room).collect();
            self.output.push_str(&text);
        }
    }
}

/// Text of at most so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Results {
        let mut results = Results::default();
        results.read(text.as_bytes()).unwrap();
        results
    }

    #[test]
    fn results_are_read_as_runners_write_them() {
        let results = read(
            r#"<?xml version="1.0"?><testsuites><testsuite name="api" tests="5">
            <testcase classname="tests.api" name="lists" time="0.25"/>
            <testcase classname="tests.api" name="adds" time="1,000.5" file="./tests/api.py" line="7"><failure message="no &lt; yes" type="AssertionError">stack
here</failure><system-out>printed</system-out></testcase>
            <testcase name="bare"><skipped/></testcase>
            <testcase name="wobbly"><flakyFailure message="once"/></testcase>
            <testcase name="broken"><error/></testcase>
            </testsuite></testsuites>"#,
        );
        let all: Vec<(&str, Outcome)> = results.cases.iter().map(|c| (c.name.as_str(), c.outcome)).collect();
        let expected = [
            ("tests.api › lists", Outcome::Passed),
            ("tests.api › adds", Outcome::Failed),
            ("api › bare", Outcome::Skipped),
            ("api › wobbly", Outcome::Flaky),
            ("api › broken", Outcome::Failed),
        ];
        assert_eq!(all, expected);
        assert_eq!((results.cases[0].millis, results.cases[1].millis), (250, 1_000_500));
        let failure = &results.failures[0];
        assert_eq!((failure.message.as_str(), failure.output.as_str()), ("no < yes", "stack\nhereprinted"));
        assert_eq!((failure.path.as_deref(), failure.line), (Some("tests/api.py"), Some(7)));
    }

    #[test]
    fn one_test_twice_counts_once_and_a_failure_wins() {
        let results = read(
            "<testsuite><testcase name='a'/><testcase name='a'><failure/></testcase><testcase name='a'/></testsuite>",
        );
        assert_eq!((results.cases.len(), results.cases[0].outcome), (1, Outcome::Failed));
    }

    #[test]
    fn a_flood_is_cut() {
        let one =
            format!("<testcase name='N'><failure message='m'>{}</failure></testcase>", "x".repeat(50_000));
        let text: String = (0..300).map(|n| one.replace('N', &n.to_string())).collect();
        let results = read(&format!("<testsuite>{text}</testsuite>"));
        assert_eq!((results.cases.len(), results.failures.len()), (300, MOST_FAILURES));
        assert!(results.failures.iter().all(|f| f.output.chars().count() <= OUTPUT + 1));
    }
}
