//! `docs/reference/compatibility.md` is made from `compatibility.txt`, and no line of it says more than a test shows.
//! `UPDATE_EXPECT=1` writes the page anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use windlass_workflow::supported::{Form, KEYS_NOT_YET, form_not_yet};

const TABLE: &str = include_str!("../compatibility.txt");

struct Row<'t> {
    section: &'t str,
    feature: &'t str,
    state: &'t str,
    tests: Vec<&'t str>,
    remark: &'t str,
}

fn rows() -> Vec<Row<'static>> {
    let mut section = "";
    let mut rows = Vec::new();
    for line in TABLE.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix("== ") {
            section = title;
            continue;
        }
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [feature, state, tests, remark] = fields[..] else { panic!("four fields: {line}") };
        let tests = tests.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        rows.push(Row { section, feature, state, tests, remark });
    }
    rows
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of all functions below a folder that are marked as tests, or made into ones by a macro.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                tests_below(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            for part in text.split("fn ").skip(1) {
                let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(0);
                found.insert(part[..end].to_owned());
            }
        }
    }
}

#[test]
fn no_line_says_more_than_a_test_shows() {
    let mut known = BTreeSet::new();
    tests_below(&crates(), &mut known);
    let mut wrong = Vec::new();
    for Row { feature, state, tests, remark, .. } in rows() {
        match state {
            "yes" | "partly" if tests.is_empty() => wrong.push(format!("{feature}: no test")),
            "yes" | "partly" | "refused" | "no" => {}
            other => wrong.push(format!("{feature}: no state '{other}'")),
        }
        if state != "yes" && remark.is_empty() {
            wrong.push(format!("{feature}: no word about why"));
        }
        for name in tests.iter().filter(|name| !known.contains(**name)) {
            wrong.push(format!("{feature}: there is no test '{name}'"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_refused_is_told_and_what_is_told_as_refused_is() {
    let rows = rows();
    let told = |name: &str, state: &str| {
        rows.iter().any(|row| row.state == state && row.feature.contains(&format!("`{name}`")))
    };
    for (place, name, _) in KEYS_NOT_YET {
        assert!(
            told(name, "refused"),
            "'{name}' of {} is refused: say so in compatibility.txt",
            place.path()
        );
    }
    for name in ["container", "services", "snapshot", "cache-mode"] {
        let refused = KEYS_NOT_YET.iter().any(|(_, key, _)| *key == name);
        assert_eq!(told(name, "refused"), refused, "'{name}': compatibility.txt says otherwise");
    }
    for (form, feature) in [
        (Form::DockerAction, "docker://image"),
        (Form::ComputedKey, "${{ insert }}"),
        (Form::WholeMapping, "strategy"),
    ] {
        let refused = form_not_yet(form).is_some();
        assert_eq!(told(feature, "refused"), refused, "'{feature}': compatibility.txt says otherwise");
    }
}

#[test]
fn the_page_is_up_to_date() {
    let mut page = "# Compatibility\n\n\
        <!-- Made by `UPDATE_EXPECT=1 cargo test -p windlass-workflow --test compatibility` from compatibility.txt. -->\n\n\
        What of GitHub's workflow language and runner contract Windlass has, and the test that shows it. *yes*: as there.\n\
        *partly*: with what is said beside it. *refused*: Windlass says so by line and column before anything runs. *no*: it is\n\
        not there. What each key may be stands in [the reference of the language](workflow-language.md).\n"
        .to_owned();
    let mut section = "";
    for row in rows() {
        if row.section != section {
            section = row.section;
            _ = write!(page, "\n## {section}\n\n| feature | state | shown by |\n| --- | --- | --- |\n");
        }
        let tests: Vec<String> = row.tests.iter().map(|name| format!("`{name}`")).collect();
        let colon = if row.remark.is_empty() { String::new() } else { format!(": {}", row.remark) };
        _ = writeln!(page, "| {} | {}{colon} | {} |", row.feature, row.state, tests.join(", "));
    }
    let path = crates().join("../docs/reference/compatibility.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &page).expect("written");
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == page, "{}: not up to date", path.display());
}
