//! What was found, for people and for programs.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};
use windlass_workflow::lint::RULES;
use windlass_workflow::{Diagnostic, Severity};

use super::Linted;
use crate::show::{self, Tone};

/// For people: each finding with its line, and how many there are.
pub(super) fn text(linted: &[Linted], notes: bool) -> Result<()> {
    let count = |severity| {
        linted.iter().flat_map(|one| &one.findings).filter(|found| found.severity == severity).count()
    };
    for one in linted {
        for finding in one.findings.iter().filter(|found| notes || found.severity != Severity::Note) {
            show::print(&toned(finding, &finding.snippet(&one.file, &one.text)))?;
        }
    }
    let words = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let mut text = format!(
        "{}: {}, {}",
        words(linted.len(), "file"),
        words(errors, "error"),
        words(warnings, "warning")
    );
    let hidden = count(Severity::Note);
    if hidden > 0 {
        let hint = if notes { "" } else { " (see --notes)" };
        _ = write!(text, ", {}{hint}", words(hidden, "note"));
    }
    let tone = if errors > 0 { Tone::Bad } else { Tone::Good };
    show::print(&tone.paint(text))
}

/// The snippet with its first line in the severity's colour.
pub(crate) fn toned(finding: &Diagnostic, snippet: &str) -> String {
    let tone = match finding.severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Busy,
        Severity::Note => Tone::Dim,
    };
    let (head, rest) = snippet.split_once('\n').unwrap_or((snippet, ""));
    format!("{}\n{}", tone.paint(show::clean(head)), show::clean(rest))
}

/// For programs: a list of objects.
pub(super) fn json(linted: &[Linted]) -> Result<()> {
    let object = |file: &str, finding: &Diagnostic| {
        json!({
            "file": file,
            "line": finding.span.start.line,
            "column": finding.span.start.column,
            "endLine": finding.span.end.line,
            "endColumn": finding.span.end.column,
            "severity": finding.severity.as_str(),
            "rule": finding.rule,
            "message": finding.message,
            "help": finding.help,
        })
    };
    let all: Vec<Value> =
        linted.iter().flat_map(|one| one.findings.iter().map(|found| object(&one.file, found))).collect();
    show::json(&all)
}

/// SARIF 2.1.0 (OASIS): one run with the rules and the results.
pub(super) fn sarif(linted: &[Linted]) -> Result<()> {
    show::json(&log(linted))
}

fn log(linted: &[Linted]) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.name,
                "shortDescription": {"text": rule.finds},
                "defaultConfiguration": {"level": rule.severity.as_str()},
            })
        })
        .collect();
    let results: Vec<Value> =
        linted.iter().flat_map(|one| one.findings.iter().map(|found| result(&one.file, found))).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "windlass lint",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(file: &str, finding: &Diagnostic) -> Value {
    let span = finding.span;
    let mut result = json!({
        "ruleId": finding.rule,
        "level": finding.severity.as_str(),
        "message": {"text": finding.sentence()},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(file)},
            "region": {
                "startLine": span.start.line,
                "startColumn": span.start.column,
                "endLine": span.end.line,
                "endColumn": span.end.column,
            },
        }}],
    });
    if let Some(at) = RULES.iter().position(|rule| rule.name == finding.rule) {
        result["ruleIndex"] = json!(at);
    }
    result
}

/// A path as a relative reference (RFC 3986, section 4.2).
fn uri(file: &str) -> String {
    let file = file.strip_prefix("./").unwrap_or(file);
    let mut uri = String::with_capacity(file.len());
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_names_a_rule_and_a_place_for_each_result() {
        let text = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - uses: a/b@v1\n      - run: echo ${{ github.head_ref }}\n";
        let findings =
            windlass_workflow::lint::workflow("w.yml", text, windlass_workflow::lint::Options::default());
        assert!(findings.len() >= 2, "{findings:?}");
        let log = log(&[Linted { file: "./a b/é.yml".into(), text: text.into(), findings }]);
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
        for result in run["results"].as_array().expect("results") {
            let at = result["ruleIndex"].as_u64().expect("an index");
            assert_eq!(rules[at as usize]["id"], result["ruleId"]);
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().expect("a level")));
            let place = &result["locations"][0]["physicalLocation"];
            assert_eq!(place["artifactLocation"]["uri"], "a%20b/%C3%A9.yml");
            assert!(place["region"]["startLine"].as_u64() >= Some(1));
            assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
        }
    }
}
