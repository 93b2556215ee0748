//! Whole repositories' workflows, planned for every event beside an oracle (`tests/oracle`): which workflows start,
//! which jobs there are and how they end when every step succeeds, their legs, names, labels, environments, groups.
//!
//! The repositories are those of `tests/repositories`, and those below the folder that `WINDLASS_REPOSITORIES` names:
//! `OWNER/NAME/.github/workflows/*.yml`. A file `OWNER/NAME/outputs.json` gives outputs of jobs:
//! `{FILE: {JOB: {NAME: TEXT}}}`. With `WINDLASS_REPORT` set, figures are printed.

mod repositories {
    pub(crate) mod happening;
    pub(crate) mod planned;
}

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use repositories::happening::{Happening, all};
use repositories::planned::{Repository, planned};
use serde_json::{Value, json};

const PACKAGE: &str = "@actions/workflow-parser@0.3.61";
const NAME: &str = "repositories";

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).unwrap_or_else(|e| panic!("{}: {e}", of.display()));
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// All repositories below a folder, as `OWNER/NAME`.
fn repositories(root: &Path) -> Vec<Repository> {
    let mut found = Vec::new();
    for folder in folders(root).iter().flat_map(|owner| folders(owner)) {
        let workflows = folder.join(".github/workflows");
        let entries = fs::read_dir(&workflows).unwrap_or_else(|e| panic!("{}: {e}", workflows.display()));
        let paths = entries.map(|entry| entry.unwrap().path());
        let files = paths.filter(|path| path.extension().is_some_and(|end| end == "yml" || end == "yaml"));
        let files = files.map(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            (format!(".github/workflows/{name}"), fs::read_to_string(&path).unwrap())
        });
        let files = files.collect();
        let outputs = fs::read_to_string(folder.join("outputs.json")).unwrap_or_else(|_| "{}".to_owned());
        let outputs = serde_json::from_str(&outputs).unwrap();
        let name = folder.strip_prefix(root).unwrap().display().to_string();
        found.push(Repository { name, files, outputs, stubs: BTreeMap::new() }.with_stubs());
    }
    found
}

/// The oracle's answers to all questions.
fn asked(questions: &[Value]) -> Result<Vec<Value>, String> {
    let folder = windlass_testkit::node_package(Path::new(env!("CARGO_TARGET_TMPDIR")), PACKAGE)?;
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflow/tests/oracle");
    let scripts = [(&shared, "hooks.mjs"), (&shared, "main.mjs")];
    let ours = own().join("oracle");
    let ours = ["plan.mjs", "matrix.mjs", "starts.mjs"].map(|name| (&ours, name));
    for (from, name) in scripts.into_iter().chain(ours) {
        fs::copy(from.join(name), folder.join(name)).map_err(|e| e.to_string())?;
    }
    windlass_testkit::ask_node(&folder, &["main.mjs", "./plan.mjs"], questions)
}

/// What is compared of a plan: jobs that did not begin, or failed by what is written, may have no name yet.
fn compared(plan: &Value) -> BTreeSet<String> {
    let jobs = plan["jobs"].as_array().cloned().unwrap_or_default();
    let line = |job: Value| {
        let known = job["conclusion"] == "success";
        if known { job.to_string() } else { json!([job["key"], job["conclusion"]]).to_string() }
    };
    jobs.into_iter().map(line).collect()
}

#[test]
fn whole_repositories_plan_as_the_oracle_says() {
    let mut repositories_found = repositories(&own().join("repositories"));
    assert!(!repositories_found.is_empty(), "the repositories are gone");
    if let Some(more) = std::env::var_os("WINDLASS_REPOSITORIES") {
        repositories_found.extend(repositories(Path::new(&more)));
    }
    let mut questions = Vec::new();
    let mut plans = Vec::new();
    for repository in &repositories_found {
        for file in repository.files.keys() {
            for happening in all(repository, file) {
                questions.push(happening.question(repository, file));
                plans.push((repository, file, planned(repository, file, &happening), happening));
            }
        }
    }
    let answers = match asked(&questions) {
        Ok(answers) => answers,
        Err(why) => return windlass_testkit::skip(NAME, &why),
    };
    assert_eq!(answers.len(), plans.len());
    let mut wrong = Vec::new();
    for ((repository, file, ours, happening), theirs) in plans.iter().zip(&answers) {
        let (mine, yours) = (compared(ours), compared(theirs));
        let verdict = |plan: &Value| (plan["runs"].clone(), plan["error"].is_string());
        if verdict(ours) != verdict(theirs) || mine != yours {
            wrong.push(format!(
                "{} {file} on {}\n  ours {:?} {}\n  {}\n  theirs {:?} {}\n  {}",
                repository.name,
                happening.title,
                verdict(ours),
                ours["error"],
                mine.difference(&yours).take(6).cloned().collect::<Vec<_>>().join("\n  "),
                verdict(theirs),
                theirs["error"],
                yours.difference(&mine).take(6).cloned().collect::<Vec<_>>().join("\n  "),
            ));
        }
    }
    if std::env::var_os("WINDLASS_REPORT").is_some() {
        report(&plans);
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), plans.len(), wrong.join("\n"));
}

/// A line for each repository: files, jobs in them, plans with a run, jobs and legs planned.
fn report(plans: &[(&Repository, &String, Value, Happening)]) {
    let mut rows: BTreeMap<&str, (BTreeSet<&str>, usize, usize, usize)> = BTreeMap::new();
    for (repository, file, plan, _) in plans {
        let row = rows.entry(&repository.name).or_default();
        row.0.insert(file);
        row.1 += 1;
        row.2 += usize::from(plan["runs"] == true);
        row.3 += plan["jobs"].as_array().map_or(0, Vec::len);
    }
    println!("repository | files | events | runs | jobs and legs");
    let mut total = (0, 0, 0, 0);
    for (name, (files, events, runs, jobs)) in rows {
        println!("{name} | {} | {events} | {runs} | {jobs}", files.len());
        total = (total.0 + files.len(), total.1 + events, total.2 + runs, total.3 + jobs);
    }
    println!("together | {} | {} | {} | {}", total.0, total.1, total.2, total.3);
}
