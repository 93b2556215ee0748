//! The rules of lint over `tests/data/lint`, a repository of its own. `UPDATE_EXPECT=1` writes what is found anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use windlass_workflow::Admit;
use windlass_workflow::lint::{self, Options, RULES};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lint")
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(repository().join(path)).ok()
}

fn options() -> Options<'static> {
    Options { admit: Admit::Everything, files: Some(&read) }
}

#[test]
fn the_rules_find_what_they_say() {
    let mut found = String::new();
    let mut seen = Vec::new();
    for file in ["workflows/advice.yml", "workflows/calls.yml", "actions/greet/action.yml"] {
        let path = format!(".github/{file}");
        let text = read(&path).expect("a text");
        let findings = if file.starts_with("actions/") {
            lint::action(&text, options())
        } else {
            lint::workflow(&path, &text, options())
        };
        for finding in findings {
            _ = write!(found, "[{}] {}", finding.rule, finding.snippet(&path, &text));
            assert!(RULES.iter().any(|rule| rule.name == finding.rule), "{finding:?}");
            seen.push(finding.rule);
        }
    }
    for rule in ["actions", "calls", "checkout", "commands", "labels", "permissions", "shells", "unpinned"] {
        assert!(seen.contains(&rule), "{rule} found nothing");
    }
    let expected = repository().join("found.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&expected, &found).expect("written");
    }
    assert_eq!(fs::read_to_string(&expected).unwrap_or_default(), found);
}

#[test]
fn without_the_repository_only_the_file_itself_is_looked_at() {
    let path = ".github/workflows/calls.yml";
    let text = read(path).expect("a text");
    let found = lint::workflow(path, &text, Options { admit: Admit::Everything, files: None });
    assert!(found.iter().all(|finding| finding.rule != "calls"), "{found:?}");
}

#[test]
fn many_calls_are_followed_once() {
    // Each of the files calls all that come behind it: far more ways than files.
    let files = |path: &str| {
        let number: usize = path.strip_prefix(".github/workflows/f")?.strip_suffix(".yml")?.parse().ok()?;
        let mut text = String::from("on: workflow_call\njobs:\n  x: {runs-on: x, steps: [{run: x}]}\n");
        for next in number + 1..9 {
            for again in 0..30 {
                _ = writeln!(text, "  j{next}_{again}: {{uses: ./.github/workflows/f{next}.yml}}");
            }
        }
        Some(text)
    };
    let options = Options { admit: Admit::Everything, files: Some(&files) };
    let text = "on: push\njobs: {a: {uses: ./.github/workflows/f0.yml}}\n";
    let found = lint::workflow(".github/workflows/w.yml", text, options);
    assert!(found.is_empty(), "{found:?}");
    let deeper = |path: &str| Some(files(path)?.replace("f8.yml", "g.yml"));
    let options = Options { files: Some(&deeper), ..options };
    assert!(lint::workflow("w.yml", text, options).is_empty());
}
